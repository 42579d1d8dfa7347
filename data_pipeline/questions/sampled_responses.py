"""Pass rates: how often a model answers a question correctly over several stored, sampled responses.

Owns the counts, and the check that runs are comparable: same questions, model, prompt and sampling settings. Reading
responses is in `lmms_eval_shotbench/runs/responses.py`, grading in `lmms_eval_shotbench/grading/grade.py`; the counts
are used in `difficulty.py`. Responses are graded while they are read and not kept in memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_pipeline.questions.source_split import SourceSplit
from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.grading.strict import has_response
from lmms_eval_shotbench.model_args import parse_model_args
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import file_sha256
from lmms_eval_shotbench.runs.responses import SAMPLES, BadResponses, entries
from lmms_eval_shotbench.runs.score import SCORES_FILES

_CHECKPOINT = ("pretrained", "model", "model_version", "model_id")  # model arguments that name a checkpoint
_SAMPLING = re.compile(r"--gen_kwargs[ =](\S+)")
_SEED = re.compile(r"\bseed=\d+,?")


class PassRate(NamedTuple):
    """Number of responses to an item, and how many are correct."""

    samples: int = 0
    right: int = 0

    @property
    def share(self) -> float:
        """Share of correct responses, from 0 to 1; 0 without responses."""
        return self.right / self.samples if self.samples else 0.0


class SampledRun(NamedTuple):
    """One RUN: its response file, and the model and sampling settings recorded in its folder."""

    path: Path
    sha256: str
    settings: Mapping[str, str]  # empty if nothing is recorded


class Tally(NamedTuple):
    """Pass rates by question index, and the settings that the runs have in common."""

    rates: dict[int, PassRate]
    runs: tuple[SampledRun, ...]
    settings: Mapping[str, str]


def count_correct(source: SourceSplit, paths: Sequence[Path]) -> Tally:
    """Count the correct responses of the runs to each question of `source`.

    Blank responses and failed requests are not counted as samples.

    Raises:
        BadResponses: a run is unreadable, answers other questions, is a duplicate, or differs from the first in
            model, prompt or sampling.
    """
    runs = [_sampled_run(path) for path in paths]
    settings = _shared_settings(runs)
    _check_questions(settings, source, runs)
    items = _by_index(source)
    rates = dict.fromkeys(items, PassRate())
    for run in runs:
        for one in entries(run.path):
            index, text = one.index, one.response.text
            if index not in items:
                raise BadResponses(
                    f"{run.path}, {one.position}: no question {index} in split {source.split!r}; wrong run?"
                )
            if has_response(text) and text.strip():
                samples, right = rates[index]
                rates[index] = PassRate(samples + 1, right + grade(items[index], text).correct)
    return Tally(rates, tuple(runs), settings)


def _by_index(source: SourceSplit) -> dict[int, QAItem]:
    items = {item.source_index: item for item in source.items}
    if len(items) < len(source.items):
        raise BadResponses(
            f"{source.folder}: an index occurs twice in split {source.split!r}, responses are matched by index"
        )
    return items


def _sampled_run(path: Path) -> SampledRun:
    file = path / SAMPLES if path.is_dir() else path
    if not file.is_file():
        raise BadResponses(f"{file}: no responses; give a folder of `shotbench eval` or a .jsonl of index and response")
    return SampledRun(file, file_sha256(file), _recorded_settings(file.with_name(SCORES_FILES["strict"])))


def _recorded_settings(scores: Path) -> dict[str, str]:
    """Model, prompt and sampling settings recorded in the scores next to the responses, without seeds."""
    try:
        run: dict[str, Any] = json.loads(scores.read_text(encoding="utf-8"))["run"]
        passes = [parse_model_args(str(one["model_args"])) for one in run.get("passes", {}).values()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    passed_on = " ".join(map(str, run.get("passed_on", ())))
    at = [f"temperature={run['temperature']}"] if run.get("temperature") is not None else []
    known = {
        "model": run.get("model"),
        "checkpoint": "; ".join(sorted({given[name] for given in passes for name in _CHECKPOINT if name in given})),
        "prompt style": run.get("prompt_style"),
        "sampling": ",".join(filter(None, [_SEED.sub("", ",".join(_SAMPLING.findall(passed_on))).rstrip(","), *at])),
        "split": run.get("split"),
        "questions": run.get("data_sha256"),
    }
    return {name: str(value) for name, value in known.items() if value is not None}


def _shared_settings(runs: Sequence[SampledRun]) -> dict[str, str]:
    """Return the settings shared by all runs; raises `BadResponses` if two differ or a run occurs twice."""
    first_with: dict[str, SampledRun] = {}
    seen: dict[str, Path] = {}
    for run in runs:
        if run.sha256 in seen:
            raise BadResponses(f"{run.path} holds the same responses as {seen[run.sha256]}; sample with another seed")
        seen[run.sha256] = run.path
        for name, value in run.settings.items():
            other = first_with.setdefault(name, run)
            if other.settings[name] != value:
                raise BadResponses(
                    f"{run.path} and {other.path} cannot be counted together: {name} is {value!r} there and "
                    f"{other.settings[name]!r} here"
                )
    return {name: run.settings[name] for name, run in first_with.items()}


def _check_questions(settings: Mapping[str, str], source: SourceSplit, runs: Sequence[SampledRun]) -> None:
    """Raise `BadResponses` if the runs answered other questions than those of `source`."""
    expected = {"split": source.split, "questions": source.sha256}
    for name, value in expected.items():
        if settings.get(name, value) != value:
            raise BadResponses(
                f"{runs[0].path} was asked other questions: its {name} is {settings[name]!r}, "
                f"that of {source.folder} is {value!r}"
            )
