"""Several stored responses to the same questions: how often a model is right when it answers with some freedom.

Owns which runs may be counted together, and the tally. Reading responses is in `lmms_eval_shotbench/runs/responses.py`,
grading in `lmms_eval_shotbench/grading/grade.py`; what is made of the tally is in `difficulty.py`. Responses are graded
as they are read and none is kept.
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

_CHECKPOINT = ("pretrained", "model", "model_version", "model_id")  # model arguments that name one
_SAMPLING = re.compile(r"--gen_kwargs[ =](\S+)")
_SEED = re.compile(r"\bseed=\d+,?")


class PassRate(NamedTuple):
    """How often the model answered an item, and how often rightly."""

    samples: int = 0
    right: int = 0

    @property
    def share(self) -> float:
        """Right answers among all; 0 where there is none."""
        return self.right / self.samples if self.samples else 0.0


class SampledRun(NamedTuple):
    """One RUN: its file of responses, and what its folder says of how they came to be."""

    path: Path
    sha256: str
    made_by: Mapping[str, str]  # empty where nothing is said


class Tally(NamedTuple):
    """Pass rates by question index, and what the runs have in common."""

    rates: dict[int, PassRate]
    runs: tuple[SampledRun, ...]
    made_by: Mapping[str, str]


def tally(source: SourceSplit, paths: Sequence[Path]) -> Tally:
    """Count the right answers that the runs give to each question of `source`.

    A blank response and a failed request are no sample: they say nothing of the question.

    Raises:
        BadResponses: a run is unreadable, answers other questions, was counted already, or is of another model,
            prompt or way of sampling than the first.
    """
    runs = [_run(path) for path in paths]
    made_by = _common(runs)
    _check_questions(made_by, source, runs)
    items = _by_index(source)
    rates = dict.fromkeys(items, PassRate())
    for run in runs:
        for place, index, response in entries(run.path):
            if index not in items:
                raise BadResponses(f"{run.path}, {place}: no question {index} in split {source.split!r}; wrong run?")
            if has_response(response):
                samples, right = rates[index]
                rates[index] = PassRate(samples + 1, right + grade(items[index], response).correct)
    return Tally(rates, tuple(runs), made_by)


def _by_index(source: SourceSplit) -> dict[int, QAItem]:
    items = {item.source_index: item for item in source.items}
    if len(items) < len(source.items):
        raise BadResponses(f"{source.folder}: an index stands twice in split {source.split!r}; responses name it alone")
    return items


def _run(path: Path) -> SampledRun:
    file = path / SAMPLES if path.is_dir() else path
    if not file.is_file():
        raise BadResponses(f"{file}: no responses; give a folder of `shotbench eval` or a .jsonl of index and response")
    return SampledRun(file, file_sha256(file), _made_by(file.with_name(SCORES_FILES["strict"])))


def _made_by(scores: Path) -> dict[str, str]:
    """What decides how a model answers, as far as the scores beside the responses tell; seeds left out."""
    try:
        run: dict[str, Any] = json.loads(scores.read_text(encoding="utf-8"))["run"]
        passes = [parse_model_args(str(one["model_args"])) for one in run.get("passes", {}).values()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    passed_on = " ".join(map(str, run.get("passed_on", ())))
    known = {
        "model": run.get("model"),
        "checkpoint": "; ".join(sorted({given[name] for given in passes for name in _CHECKPOINT if name in given})),
        "prompt style": run.get("prompt_style"),
        "sampling": _SEED.sub("", ",".join(_SAMPLING.findall(passed_on))).rstrip(","),
        "split": run.get("split"),
        "questions": run.get("data_sha256"),
    }
    return {name: str(value) for name, value in known.items() if value is not None}


def _common(runs: Sequence[SampledRun]) -> dict[str, str]:
    """What the runs say of themselves, the same for all; raises where one says otherwise, or comes twice."""
    first_with: dict[str, SampledRun] = {}
    seen: dict[str, Path] = {}
    for run in runs:
        if run.sha256 in seen:
            raise BadResponses(f"{run.path} holds the same responses as {seen[run.sha256]}; sample with another seed")
        seen[run.sha256] = run.path
        for name, value in run.made_by.items():
            other = first_with.setdefault(name, run)
            if other.made_by[name] != value:
                raise BadResponses(
                    f"{run.path} and {other.path} cannot be counted together: {name} is {value!r} there and "
                    f"{other.made_by[name]!r} here"
                )
    return {name: run.made_by[name] for name, run in first_with.items()}


def _check_questions(made_by: Mapping[str, str], source: SourceSplit, runs: Sequence[SampledRun]) -> None:
    """Refuse runs that were asked other questions."""
    ours = {"split": source.split, "questions": source.sha256}
    for name, value in ours.items():
        if made_by.get(name, value) != value:
            raise BadResponses(
                f"{runs[0].path} was asked other questions: its {name} is {made_by[name]!r}, "
                f"that of {source.folder} is {value!r}"
            )
