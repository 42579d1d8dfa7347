"""Samples that lmms-eval itself stores with `--log_samples`: `DATE_samples_TASK.jsonl`, one file per task.

A line has the response as the model returned it in `resps`, which lmms-eval leaves out if it is the same as the
filtered one; the question's index is in our metric `shotbench_score`. The token limit and the batch size are only in
`DATE_results.json` next to the samples.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from lmms_eval_shotbench.prompts import DIRECT, PROMPT_STYLES
from lmms_eval_shotbench.questions.variants import VARIANTS
from lmms_eval_shotbench.runs.stored_response import SAMPLES, BadResponses, StoredResponse
from lmms_eval_shotbench.vocabulary import DIMENSIONS

logger = logging.getLogger(__name__)

# Text that `async_openai` stores if a server returns null, as after a thought that was cut at the token limit.
NULL_TEXT = 'Error: can only concatenate str (not "NoneType") to str'
NULL = "the model returned null instead of a text"

FILE = re.compile(r"(?P<date>.+)_samples_(?P<task>.+?)\.jsonl?(\.gz)?")


def _any_of(names: Iterable[str]) -> str:
    return "|".join(map(re.escape, names))


TASK = re.compile(  # names of `harness/task_files.py`
    rf"(?P<group>(?:refineshot|shotbench(?:_(?P<variant>{_any_of(one.name for one in VARIANTS)}))?)"
    rf"(?:_(?:{_any_of(style.name for style in PROMPT_STYLES if style is not DIRECT)}))?)"
    rf"_(?:{_any_of(dimension.slug for dimension in DIMENSIONS)})"
)


class SampleFile(NamedTuple):
    """The samples of one of our tasks."""

    path: Path
    date: str
    task: str
    group: str  # the task without its dimension
    variant: str  # "" for the original questions

    @classmethod
    def named(cls, path: Path) -> SampleFile | None:
        """Return the file with what its name states; None if it is not named like the samples of our tasks."""
        name = FILE.fullmatch(path.name)
        task = TASK.fullmatch(name["task"]) if name else None
        if not (name and task):
            return None
        variant = "refined" if task["group"].startswith("refineshot") else task["variant"] or ""
        return cls(path, name["date"], name["task"], task["group"], variant)


def sample_files(folder: Path) -> list[SampleFile]:
    """Return the newest samples of each of our tasks in a folder and its subfolders; those of others are ignored.

    Raises:
        BadResponses: There are none, or they are of several task groups or models.
    """
    found = [path for path in sorted(folder.rglob("*_samples_*")) if FILE.fullmatch(path.name)]
    ours = [file for path in found if (file := SampleFile.named(path))]
    if not ours:
        others = f" (those of {len(found)} other tasks are)" if found else ""
        raise BadResponses(
            f"{folder}: neither samples.jsonl nor lmms-eval's samples of our tasks are in this folder{others}; run "
            "lmms-eval with --log_samples and --output_path, or name a file of responses"
        )
    if len(ours) < len(found):
        logger.warning("%s: the samples of %d other tasks are ignored", folder, len(found) - len(ours))
    newest = {file.task: file for file in sorted(ours, key=lambda file: file.date)}
    for what, names in (
        ("task groups", {file.group for file in newest.values()}),
        ("models", {model for file in newest.values() if (model := Recorded.of(file.path).model)}),
    ):
        if len(names) > 1:
            raise BadResponses(
                f"{folder}: samples of several {what} ({', '.join(sorted(names))}); name a folder of one"
            )
    return list(newest.values())


def asked_variant(responses: Path) -> str | None:
    """Return the variant that lmms-eval's samples respond to, "" for the original questions; None for other files."""
    if responses.is_dir():
        return None if (responses / SAMPLES).is_file() else sample_files(responses)[0].variant
    file = SampleFile.named(responses)
    return file.variant if file else None


class Recorded(NamedTuple):
    """What lmms-eval recorded of a run; empty if there are no results next to the samples."""

    model: str = ""
    batched: bool = True  # whether the token counts may be those of padded batches; assumed if it is unknown
    token_limits: Mapping[str, int] = {}  # by task

    @classmethod
    def of(cls, samples: Path) -> Recorded:
        """Return the record in the results next to a file of samples."""
        name = FILE.fullmatch(samples.name)
        return _recorded(samples.with_name(f"{name['date']}_results.json")) if name else cls()


@lru_cache(maxsize=64)
def _recorded(results: Path) -> Recorded:
    try:
        record = json.loads(results.read_text(encoding="utf-8"))
        limits = {
            task: int(config["generation_kwargs"]["max_new_tokens"])
            for task, config in record["configs"].items()
            if "max_new_tokens" in (config.get("generation_kwargs") or {})
        }
        model = " ".join(filter(None, (record["config"]["model"], record.get("model_name"))))
        return Recorded(model, str(record["config"].get("batch_size") or 1) != "1", limits)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return Recorded()


def is_sample(row: Mapping[str, Any]) -> bool:
    """Whether a line is one of lmms-eval's samples."""
    return "filtered_resps" in row or "resps" in row


def question_index(where: str, sample: Mapping[str, Any]) -> Any:
    """Return the index of the question of a sample, as it is stored.

    Raises:
        BadResponses: The sample is not of one of our tasks.
    """
    score = sample.get("shotbench_score")
    if not isinstance(score, Mapping):
        raise BadResponses(
            f"{where}: a sample of lmms-eval or lm-eval without shotbench_score, which lmms-eval stores for our tasks; "
            "write its index and response to a file of responses"
        )
    return score.get("index")


def logged_response(sample: Mapping[str, Any], path: Path) -> StoredResponse:
    """Return the response of a line of `path`, with what is known about its generation."""
    recorded, name = Recorded.of(path), FILE.fullmatch(path.name)
    return stored_response(sample, recorded.batched, recorded.token_limits.get(name["task"] if name else ""))


def stored_response(sample: Mapping[str, Any], batched: bool, limit: int | None = None) -> StoredResponse:
    """Return the response of one of lmms-eval's samples, with the backend's stop reason.

    Few backends report a stop reason, but most report a number of tokens, which equals the limit if the response was
    cut. The number is not used where it may not be the response's own: models of transformers pad the responses of a
    batch to one length (they report no prompt tokens), and servers that report no usage are credited with the number of
    words (and with 0 prompt tokens).

    Args:
        sample: The sample, as lmms-eval returns it or as it stores it.
        batched: Whether the model may have answered several requests at once.
        limit: Token limit, if the sample has no arguments that state it, which lmms-eval does not store.
    """
    text = _first(sample["resps"] if "resps" in sample else sample["filtered_resps"])
    counts = _first(sample.get("token_counts")) or {}
    reason, tokens, prompt = counts.get("finish_reason") or "", counts.get("output_tokens"), counts.get("input_tokens")
    by_us = "seconds" in counts  # logged by `shotbench eval` or a model of ours, which log no doubtful counts
    own = by_us or (prompt > 0 if prompt is not None else not batched)
    for one in sample.get("arguments", ()):
        if isinstance(one, dict) and "max_new_tokens" in one:
            limit = one["max_new_tokens"]
            break
    if not reason and tokens and limit and own and not by_us:
        reason = "length" if tokens >= int(limit) else "stop"
    known = {
        "finish_reason": reason,
        "input_tokens": prompt if own else None,
        "output_tokens": tokens if own else None,
        **{name: counts[name] for name in ("seconds", "wall_seconds", "tokens_counted") if name in counts},
    }
    if text in (None, NULL_TEXT):
        return StoredResponse.absent(NULL, **known)
    return StoredResponse.of_text(str(text), **known)


def _first(nested: Any) -> Any:
    """Return the first entry; lmms-eval nests responses by request and repeat."""
    while isinstance(nested, (list, tuple)):
        nested = nested[0] if nested else None
    return nested
