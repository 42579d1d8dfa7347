"""Keep completions of a GRPO run: all responses of validations, and a sample of those that are trained on.

The sample are all responses to `trainer.completions.rollout_groups` questions of each step (0: none). Which questions
depends only on the step and their ids, so a step that a resumed run repeats keeps the same ones. Format and readers of
the files are in `lmms_eval_shotbench/runs/completions.py`; `dimension_trainer.py` fetches the responses and writes the
files, in the one process that controls the training, whatever the number of nodes.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.runs.completions import Completion
from verl_recipes.reward import item_of
from verl_recipes.training_rows import medium_name

FIELDS = ["data_source", "extra_fields", "extra_info", "reward_model", "responses", "rm_scores"]


def sampled(item_ids: Mapping[str, str], step: int, groups: int) -> list[str]:
    """Return the keys of all responses to `groups` questions of a step.

    Args:
        item_ids: Id of the question by key of the response.
        step: The step.
        groups: Number of questions.
    """

    def rank(item_id: str) -> str:
        return hashlib.sha256(f"{step} {item_id}".encode()).hexdigest()

    chosen = set(sorted(set(item_ids.values()), key=rank)[:groups])
    return [key for key, item_id in item_ids.items() if item_id in chosen]


def item_id_of(extra_info: Mapping[str, Any]) -> str:
    """Id of the question of a training row's column `extra_info`."""
    return str(json.loads(extra_info["item"])["item_id"])


def completions_from(
    step: int,
    keys: Sequence[str],
    fields: Mapping[str, Sequence[Any]],
    decode: Callable[[Any], str],
    stop_ids: Collection[int | None],
) -> Iterator[Completion]:
    """Yield the completions of a step, ordered by question.

    Args:
        step: The step.
        keys: Keys `<prompt>_<session>_<output>` of verl's agent loop.
        fields: `FIELDS` of the same rows; `responses` are tensors of token ids, the sum of `rm_scores` is the score.
        decode: Returns the text of token ids.
        stop_ids: Tokens that end a response; one that ends with another token was cut.
    """
    rows = [dict(zip(FIELDS, values, strict=True)) for values in zip(*(fields[name] for name in FIELDS), strict=True)]
    for key, row in sorted(zip(keys, rows, strict=True), key=lambda pair: _position(pair[0])):
        ground_truth = row["reward_model"]["ground_truth"]
        item = item_of(row["extra_info"], ground_truth)
        rewards = row["extra_fields"].get("reward_extra_info", {})
        ids = row["responses"].tolist()
        yield Completion(
            step=step,
            item_id=item.item_id,
            dimension=item.dimension,
            data_source=str(row["data_source"]),
            question=item.question,
            options=list(item.options),
            ground_truth=ground_truth,
            media_kind=str(item.media_kind),
            media_sha256=item.media_sha256,
            medium=medium_name(item),
            sample=_position(key)[1],
            response=decode(ids),
            tokens=len(ids),
            finished=bool(ids) and ids[-1] in stop_ids,
            rewards={name: float(value) for name, value in rewards.items() if isinstance(value, int | float)},
            score=float(row["rm_scores"].sum()),
        )


def _position(key: str) -> tuple[str, int, int]:
    prompt, session, output = key.rsplit("_", 2)
    return prompt, int(session), int(output)


class CompletionFile:
    """A file of completions of one attempt; like verl's log of metrics, it replaces an existing one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mode = "wb"

    def append(self, completions: Collection[Completion]) -> None:
        """Append completions; after an error such as a full disk, the file has none of them."""
        lines = b"".join(completion.to_line() for completion in completions)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open(self._mode, buffering=0) as stream:  # type: ignore[call-overload]
            size = stream.tell()
            self._mode = "ab"
            if stream.write(lines) != len(lines):
                stream.truncate(size)
                raise OSError(errno.ENOSPC, "the disk is full", str(self._path))
