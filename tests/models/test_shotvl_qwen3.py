"""`shotvl` with Qwen3-VL and Qwen3.5: the guarantees that it gives with Qwen2.5-VL."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

pytestmark = [pytest.mark.host, pytest.mark.slow]
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("lmms_eval")

from lmms_eval_shotbench import prompts
from lmms_eval_shotbench.grading.strict import extract_strict
from lmms_eval_shotbench.models.shotvl import ShotVL
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint, load_checkpoint
from lmms_eval_shotbench.runs.response_store import Answer, Failure, Response
from tests.models.test_shotvl import (  # noqa: F401
    SMALL,
    answered,
    chat_on,
    chats_on,
    make_requests,
    mixed,
    shard_folder,
    stills_and_words,
)
from tests.support.engine_answers import transformers_answers
from tests.support.tiny_families.trainable import Trainable, make_trainable

SHOWN = SMALL._replace(still_min=4096, clip_min=4096)
SIZES = {"min_pixels": 4096, "max_pixels": 16_384, "video_max_pixels": 8192}


@pytest.fixture(scope="module", params=["qwen3_vl", "qwen3_5"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_trainable(cast(Trainable, request.param), tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return load_checkpoint(str(folder), device=torch.device("cpu"))


def texts(answers: list[Answer]) -> list[str]:
    return [answer.text for answer in answers if isinstance(answer, Response)]


def test_a_broken_medium_fails_alone_and_a_seed_draws_the_same_in_any_batch(
    checkpoint: Checkpoint,
    shard_folder: ShardFolder,  # noqa: F811
) -> None:
    items = mixed(shard_folder, 3)
    broken = chat_on(items[1], lambda: shard_folder.media(items[1].item_id)[:-800], max_new_tokens=4)
    for sampling in ({}, {"temperature": 1.0, "top_p": 0.9, "seed": 1}):
        chats = chats_on(shard_folder, items, max_new_tokens=4, **sampling)
        failed, *batched = answered(checkpoint, [broken._replace(generation=chats[0].generation), *chats], 50_000)
        assert isinstance(failed, Failure)
        assert texts(batched) == texts(answered(checkpoint, chats, 1))
        assert len(set(texts(batched))) > 1, "equal answers would prove nothing"


def test_blanked_media_have_the_tokens_of_the_original_and_one_answer(
    checkpoint: Checkpoint,
    shard_folder: ShardFolder,  # noqa: F811
) -> None:
    items = mixed(shard_folder, 3)
    same_question = [
        chat_on(items[0], partial(shard_folder.media, item.item_id), prompts.DIRECT, max_new_tokens=4)
        for item in items
        if item.media_kind is items[0].media_kind
    ]

    seen, unseen = (
        transformers_answers(checkpoint, SHOWN._replace(blank=blank), same_question) for blank in (False, True)
    )
    assert [one.input_tokens for one in seen] == [one.input_tokens for one in unseen]
    assert len({one.text for one in unseen}) <= len({one.input_tokens for one in unseen})


def test_chats_of_any_task_are_answered_once_and_stored(
    folder: Path,
    shard_folder: ShardFolder,  # noqa: F811
    make_requests: Any,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chats = stills_and_words(shard_folder)
    path = tmp_path / "clip.mp4"
    path.write_bytes(chats[-1][0]["content"][0]["url"])
    chats[-1][0]["content"][0]["url"] = str(path)
    chats[-1][0]["content"].reverse()  # the clip after the words: a token may span the seam to its first time
    model = ShotVL(str(folder), device="cpu", responses=str(tmp_path / "kept"), **SIZES)
    first = [result.text for result in model.generate_until(make_requests(model, chats))]
    assert len((tmp_path / "kept" / "rank-0.jsonl").read_text().splitlines()) == 4

    def must_not_run(*_given: Any) -> Any:
        raise AssertionError("the answer is stored")

    monkeypatch.setattr(Checkpoint, "answer", must_not_run)
    assert [result.text for result in model.generate_until(make_requests(model, chats))] == first


def test_a_thought_that_the_template_begins_is_part_of_the_response(
    folder: Path,
    shard_folder: ShardFolder,  # noqa: F811
    tmp_path: Path,
    make_requests: Any,  # noqa: F811
) -> None:
    """Otherwise a letter in a thought that is cut at the limit would be read as the answer."""
    thinking = tmp_path / "thinking"
    shutil.copytree(folder, thinking)
    (settings,) = (path for path in thinking.glob("*chat_template*"))
    template = settings.read_text()
    opened = "{% if enable_thinking is not defined or enable_thinking %}{{ '<think>\\n' }}{% endif %}"
    settings.write_text(template + "{% if add_generation_prompt %}" + opened + "{% endif %}")
    chats = stills_and_words(shard_folder)[:1]
    found = {}
    for asked in (None, False):
        model = ShotVL(
            str(thinking), device="cpu", responses=str(tmp_path / f"{asked}"), enable_thinking=asked, **SIZES
        )
        (found[asked],) = (result.text for result in model.generate_until(make_requests(model, chats)))
    assert found[None].startswith("<think>\n")
    assert not found[False].startswith("<think>")
    item = next(iter(shard_folder.items()))
    assert extract_strict(item, "<think>\nIt may be A.").letter is None
