"""Which responses of a step are kept, and how they are written."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest

from lmms_eval_shotbench.runs.completions import read_completions
from tests.support.items import make_item
from tests.support.kept_completions import COMPLETION
from tests.support.rewarded_rows import row_of
from verl_recipes.inside_verl.completions import FIELDS, CompletionFile, completions_from, item_id_of, sampled
from verl_recipes.reward import RewardRefused

END = 7  # a token that ends a response
KEYS = [f"{prompt}_{sample}_0" for prompt in ("p", "q", "r", "s") for sample in range(3)]
ITEM_IDS = {key: f"item-{key[0]}" for key in KEYS}


def fields_of(responses: list[list[int]], **changes: Any) -> dict[str, Any]:
    """Fields of rows of one item, with rewards that are the numbers of their rows."""
    row = row_of(make_item()) | changes
    rewards = [{"reward_extra_info": {"acc": float(number), "note": "text"}} for number in range(len(responses))]
    columns: dict[str, Any] = {name: [row.get(name)] * len(responses) for name in FIELDS}
    scores = [numpy.array([0.0, number]) for number in range(len(responses))]
    return columns | {"responses": list(map(numpy.array, responses)), "extra_fields": rewards, "rm_scores": scores}


def test_all_responses_to_a_question_are_kept_or_none() -> None:
    kept = sampled(ITEM_IDS, step=5, groups=2)
    assert len(kept) == 6 and len({key[0] for key in kept}) == 2


def test_a_repeated_step_keeps_the_same_questions_whatever_their_keys_and_order() -> None:
    again = {f"other-{item_id}_{key[-3:]}": item_id for key, item_id in reversed(ITEM_IDS.items())}
    for step in range(20):
        before, after = sampled(ITEM_IDS, step, 1), sampled(again, step, 1)
        assert {ITEM_IDS[key] for key in before} == {again[key] for key in after}


def test_other_steps_keep_other_questions() -> None:
    kept = {ITEM_IDS[key] for step in range(50) for key in sampled(ITEM_IDS, step, 1)}
    assert kept == set(ITEM_IDS.values())


@pytest.mark.parametrize(("groups", "kept"), [(0, 0), (4, 12), (99, 12)])
def test_the_number_of_questions_is_a_maximum(groups: int, kept: int) -> None:
    assert len(sampled(ITEM_IDS, 1, groups)) == kept


def test_a_completion_has_question_medium_response_and_reward() -> None:
    item = make_item()
    fields = fields_of([[3, 4, END], [3, 4], []])
    keys = ["p_1_0", "p_0_0", "p_2_0"]
    found = list(completions_from(4, keys, fields, lambda ids: " ".join(map(str, ids)), {END, None}))
    assert [(one.sample, one.response, one.tokens, one.finished) for one in found] == [
        (0, "3 4", 2, False), (1, "3 4 7", 3, True), (2, "", 0, False),
    ]  # fmt: skip
    assert [(one.score, one.rewards) for one in found] == [(1, {"acc": 1}), (0, {"acc": 0}), (2, {"acc": 2})]
    first = found[0]
    assert (first.step, first.item_id, first.question) == (4, item.item_id, item.question)
    assert first.options == list(item.options)
    assert (first.dimension, first.ground_truth, first.media_sha256) == (item.dimension, item.answer, item.media_sha256)
    assert Path(first.medium).stem == (item.media_sha256 or item.item_id)
    assert item_id_of(fields["extra_info"][0]) == item.item_id


def test_rows_without_a_question_are_refused() -> None:
    with pytest.raises(RewardRefused, match="extra_info"):
        list(completions_from(1, ["p_0_0"], fields_of([[1]], extra_info={}), str, {END}))


def test_a_file_is_replaced_by_its_first_lines_and_extended_by_others(tmp_path: Path) -> None:
    path = tmp_path / "completions" / "rollouts" / "0001.jsonl"
    for start in (1, 11):  # as by a command repeated by hand
        file = CompletionFile(path)
        file.append([replace(COMPLETION, step=start), replace(COMPLETION, step=start, sample=1)])
        file.append([replace(COMPLETION, step=start + 1)])
        assert {step: len(several) for step, several in read_completions(tmp_path)["rollouts"].items()} == {
            start: 2, start + 1: 1,
        }  # fmt: skip


def test_a_full_disk_is_an_error() -> None:
    with pytest.raises(OSError) as raised:
        CompletionFile(Path("/dev/full")).append([COMPLETION])
    assert raised.value.errno == errno.ENOSPC


@pytest.mark.verl
def test_a_full_disk_is_reported_once_and_does_not_end_the_training(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dimension_trainer = pytest.importorskip("verl_recipes.inside_verl.dimension_trainer")
    trainer = dimension_trainer.DimensionTrainer.__new__(dimension_trainer.DimensionTrainer)
    trainer._completion_files = {"validation": CompletionFile(Path("/dev/full"))}
    trainer._not_kept, trainer.global_steps = set(), 1
    trainer.tokenizer = _Tokenizer()
    batch = _Batch(["p_0_0", "padding"], [{}, {"is_padding": True}])
    monkeypatch.setattr(
        dimension_trainer.transfer_queue, "kv_batch_get", lambda keys, **_: fields_of([[1]] * len(keys))
    )
    for _ in range(3):
        trainer._keep_completions("validation", batch)
    trainer._keep_completions("rollouts", batch)  # has no file
    reported = [record.message for record in caplog.records if record.name == dimension_trainer.logger.name]
    assert len(reported) == 1 and "(validation) are not kept" in reported[0] and "No space" in reported[0]


class _Tokenizer:
    eos_token_id, pad_token_id = END, 0

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        return str(ids)


class _Batch:
    """verl's handle of a batch."""

    partition_id = "val"

    def __init__(self, keys: list[str], tags: list[dict[str, Any]]) -> None:
        self.keys, self.tags = keys, tags
