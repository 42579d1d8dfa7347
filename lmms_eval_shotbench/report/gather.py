"""Read the runs of a report: their scores, responses and, if available, questions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.grading.added_tags import with_built_in
from lmms_eval_shotbench.grading.grade import Protocol
from lmms_eval_shotbench.grading.reasoning_tags import ReasoningTags
from lmms_eval_shotbench.qa_item import BadRow, QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.questions.shards import DatasetNotFound
from lmms_eval_shotbench.questions.variants import variant_named_in
from lmms_eval_shotbench.runs.cost import Prices, cost_json, with_prices
from lmms_eval_shotbench.runs.responses import SAMPLES, StoredSamples, read_several_samples
from lmms_eval_shotbench.runs.robust import variant_of
from lmms_eval_shotbench.runs.score import fingerprint, samples_of, score_samples
from lmms_eval_shotbench.runs.scores_json import scores_json
from lmms_eval_shotbench.runs.scores_schema import BadRun, check_scores
from lmms_eval_shotbench.runs.stored_runs import (
    StoredRun,
    answered_questions,
    is_run,
    load_scores,
    recorded_tags,
    run_of_scores,
    tags_of_record,
)

# Fields of scores.json that a report requires and earlier versions did not write
REQUIRED = ("prior", "confusion", "chance_corrected", "terms")
LONGEST_NAME = 80  # characters


@dataclass(frozen=True)
class ReportRun:
    """One run; parts that could not be read are empty."""

    name: str  # for display: short, without control characters
    stored: StoredRun  # graded strictly
    scores: Mapping[str, Any]  # scores.json, strict (docs/scores.md)
    official: Mapping[str, Any] | None  # the same under the official protocol
    samples: StoredSamples  # the responses as stored; empty if none were stored
    items: Sequence[QAItem] = ()  # its questions, in the order of `stored.items`
    data: str = ""  # source of the questions: a shard folder, Hub id or test.tsv
    split: str = "test"

    @property
    def variant(self) -> str:
        """Name of the variant; "" for the original questions."""
        variant = variant_named_in(self.stored.items[0].item_id)
        return variant.name if variant else ""

    @cached_property
    def responses(self) -> Sequence[Mapping[int, str]]:
        """Texts of the responses of each sample, by question index."""
        return [{index: response.text for index, response in sample.items()} for sample in self.samples]


def read_report_run(
    path: Path,
    data: str | None = None,
    split: str | None = None,
    tags: ReasoningTags = (),
    prices: Prices | None = None,
) -> ReportRun:
    """Read a run: a folder of `shotbench eval`, a file of `shotbench score --format json`, or responses to `data`.

    Without `data`, the questions named in the run's record are used if they exist locally. `tags` are tags of thoughts
    in addition to those of the run's record, for responses that are graded here. `prices` replace those of the scores.

    Raises:
        BadRun: Scores are invalid or of an earlier version, or the run's questions are not those of `data`.
        BadResponses, DatasetNotFound, BadRow: Responses or questions cannot be read.
    """
    if not is_run(path):
        if not data:
            raise BadRun(
                f"{path}: neither a folder with scores nor a .json file; give responses as QUESTIONS RESPONSES"
            )
        return _grade_responses(path, data, split or "test", tags, prices)
    scores, file = load_scores(path)
    run = run_of_scores(str(path), scores, file)
    items, name = _questions(run, data, split)
    samples = path / SAMPLES
    stored = read_several_samples(samples) if samples.is_file() else []
    tags = with_built_in(tags_of_record(run.how) + tags)
    official = _official(path, items, stored, tags)
    scores = _with_cost(_with_all_numbers(scores, file, items, stored, tags), stored, prices)
    return ReportRun(_display_name(path), run, scores, official, stored, items, name, _split(run, split))


def _with_all_numbers(
    scores: dict[str, Any],
    file: Path,
    items: Sequence[QAItem],
    stored: StoredSamples,
    tags: ReasoningTags,
) -> dict[str, Any]:
    """Return the scores, regraded if an earlier version wrote fewer numbers; raises `BadRun` if that is impossible."""
    missing = [name for name in REQUIRED if name not in scores]
    if not missing:
        check_scores(scores, file, "numbers")
        return scores
    if items and stored:
        return _graded(items, stored, "strict", tags, scores.get("run"))
    raise BadRun(
        f"{file}: has no {', '.join(missing)}: written by an earlier version. Give its questions with --data, or score "
        f"it again: shotbench score QUESTIONS {file.parent / SAMPLES} --format json --out {file}"
    )


def _with_cost(scores: dict[str, Any], stored: StoredSamples, prices: Prices | None) -> dict[str, Any]:
    """Return the scores with what is known about the cost, of responses of an earlier version from those."""
    cost = scores.get("cost") or cost_json(response for sample in stored for response in sample.values())
    return scores | ({"cost": with_prices(cost, prices) if prices else cost} if cost else {})


def _graded(
    items: Sequence[QAItem],
    stored: StoredSamples,
    protocol: Protocol,
    tags: ReasoningTags,
    run: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return scores.json of stored responses."""
    return scores_json(score_samples(items, samples_of(items, stored), protocol, tags=tags, run=run))


def _grade_responses(path: Path, data: str, split: str, tags: ReasoningTags, prices: Prices | None = None) -> ReportRun:
    """Grade a file of responses; a question without a response is excluded, as in `score_pair`."""
    items, stored = answered_questions(data, path, split)
    tags = with_built_in(recorded_tags(path) + tags)
    scores, official = _graded(items, stored, "strict", tags), _graded(items, stored, "official", tags)
    run, scores = run_of_scores(str(path), scores, path), _with_cost(scores, stored, prices)
    return ReportRun(_display_name(path), run, scores, official, stored, items, data, split)


def _official(
    path: Path, items: Sequence[QAItem], stored: StoredSamples, tags: ReasoningTags
) -> Mapping[str, Any] | None:
    """Return the official protocol's scores from the run's folder, or graded here; None if neither is possible."""
    try:
        scores, file = load_scores(path, "official")
        run_of_scores(str(path), scores, file)
        check_scores(scores, file, "numbers")
        return scores
    except BadRun:
        if not (items and stored):
            return None
    return _graded(items, stored, "official", tags)


def _split(run: StoredRun, given: str | None) -> str:
    return str(given or run.how.get("split") or "test")


def _questions(run: StoredRun, data: str | None, split: str | None) -> tuple[list[QAItem], str]:
    """Return the questions of a run, in its order, and their source.

    Without `data` both are empty if the recorded questions do not exist locally, are invalid or not those of the run.
    """
    name = data or str(run.how.get("data") or "")
    if not data and not (name and Path(name).expanduser().exists()):
        return [], ""  # a Hub id is not downloaded without --data: it may be many gigabytes
    try:
        questions = read_questions(name, _split(run, split))
        return _in_run_order(run, questions, name), name
    except (BadRun, BadRow, DatasetNotFound):
        if data:
            raise
        return [], ""


def _in_run_order(run: StoredRun, questions: Sequence[QAItem], name: str) -> list[QAItem]:
    """Return the run's questions in its order; raises `BadRun` if they differ from those given."""
    asked = variant_of(run).of(questions) if variant_named_in(run.items[0].item_id) else questions
    by_index = {item.source_index: item for item in asked}
    found = [by_index[one.index] for one in run.items if one.index in by_index]
    if [fingerprint(item) for item in found] != [one.asked for one in run.items]:
        raise BadRun(f"{run.name} has other questions than those of {name}; give its own with --data")
    return found


def _display_name(path: Path) -> str:
    """Return the name of the folder or file; for a file named scores, the name of its folder."""
    stem = re.sub(r"(\.(jsonl?|gz|csv|tsv|txt|xlsx|official))+$", "", path.name)
    resolved = path.absolute()
    return one_line(resolved.parent.name if stem == "scores" else stem) or one_line(resolved.name) or "run"


def one_line(text: str, most: int = LONGEST_NAME) -> str:
    """Sanitise external text to one line of at most `most` characters, without control or formatting characters."""
    plain = "".join(" " if char.isspace() else char for char in text if char.isspace() or not _hidden(char))
    line = " ".join(plain.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _hidden(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn")


def with_unique_names(runs: Sequence[ReportRun]) -> list[ReportRun]:
    """Return the runs with unique names: duplicates are prefixed with their folder's name, or numbered."""
    names = [run.name for run in runs]
    parents = [f"{one_line(Path(run.stored.name).absolute().parent.name)}/{run.name}" for run in runs]
    names = [parent if names.count(name) > 1 else name for name, parent in zip(names, parents, strict=True)]
    numbered = [f"{name} ({names[:index].count(name) + 1})" for index, name in enumerate(names)]
    names = [number if names.count(name) > 1 else name for name, number in zip(names, numbered, strict=True)]
    return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]
