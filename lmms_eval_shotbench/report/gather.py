"""What a report is made of: runs with their scores, responses and, where they can be read, questions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.qa_item import BadRow, QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.questions.shards import DatasetNotFound
from lmms_eval_shotbench.questions.variants import variant_named_in
from lmms_eval_shotbench.runs.responses import SAMPLES, read_responses
from lmms_eval_shotbench.runs.robust import variant_of
from lmms_eval_shotbench.runs.score import fingerprint, score_responses, scores_json
from lmms_eval_shotbench.runs.scores_schema import BadRun, check_scores
from lmms_eval_shotbench.runs.stored_runs import StoredRun, answered_questions, is_run, load_scores, run_of_scores

NEEDED = ("prior", "confusion", "chance_corrected", "terms")  # of scores.json, beyond what any reader of runs needs
LONGEST_NAME = 80  # characters


@dataclass(frozen=True)
class ReportRun:
    """One run. What could not be read is empty."""

    name: str  # to be shown: short, without control characters
    stored: StoredRun  # graded strictly
    scores: Mapping[str, Any]  # scores.json, strict (docs/scores.md)
    official: Mapping[str, Any] | None  # the same by the official protocol
    responses: Mapping[int, str]  # by index, as the model gave them
    items: Sequence[QAItem] = ()  # the questions asked, in the order of `stored.items`
    data: str = ""  # where these were read: a shard folder, Hub id or test.tsv
    split: str = "test"

    @property
    def variant(self) -> str:
        """The variant asked; "" for the questions as they are."""
        variant = variant_named_in(self.stored.items[0].item_id)
        return variant.name if variant else ""


def read_report_run(path: Path, data: str | None = None, split: str | None = None) -> ReportRun:
    """Read a folder of `shotbench eval`, a file of `shotbench score --format json`, or responses to `data`.

    Without `data` the questions are those of the run's record, where they lie on this machine.

    Raises:
        BadRun: scores are broken, of an earlier version, or of other questions than `data`.
        BadResponses, DatasetNotFound, BadRow: responses or questions cannot be read.
    """
    if not is_run(path):
        if not data:
            raise BadRun(f"{path}: no folder with scores and no .json; responses need their questions with them")
        return _graded_now(path, data, split or "test")
    scores, file = load_scores(path)
    run = run_of_scores(str(path), scores, file)
    items, name = _questions(run, data, split)
    samples = path / SAMPLES
    responses = read_responses(samples) if samples.is_file() else {}
    official = _official(path, items, responses)
    scores = _with_all_numbers(scores, file, items, responses)
    return ReportRun(_shown_name(path), run, scores, official, responses, items, name, _split(run, split))


def _with_all_numbers(
    scores: dict[str, Any], file: Path, items: Sequence[QAItem], responses: Mapping[int, str]
) -> dict[str, Any]:
    """The scores, graded anew where an earlier version wrote fewer numbers; raises `BadRun` where that cannot be."""
    missing = [name for name in NEEDED if name not in scores]
    if not missing:
        check_scores(scores, file, "numbers")
        return scores
    if items and responses:
        return scores_json(score_responses(items, _texts(items, responses), run=scores.get("run")))
    raise BadRun(
        f"{file}: has no {', '.join(missing)}: written by an earlier version. Give its questions with --data, or score "
        f"it again: shotbench score QUESTIONS {file.parent / SAMPLES} --format json --out {file}"
    )


def _texts(items: Sequence[QAItem], responses: Mapping[int, str]) -> list[str]:
    return [responses.get(item.source_index, "") for item in items]


def _graded_now(path: Path, data: str, split: str) -> ReportRun:
    """Responses without scores. A question without a response was not asked, as in `score_pair`."""
    items, responses = answered_questions(data, path, split)
    texts = _texts(items, responses)
    scores = scores_json(score_responses(items, texts))
    official = scores_json(score_responses(items, texts, "official"))
    run = run_of_scores(str(path), scores, path)
    return ReportRun(_shown_name(path), run, scores, official, responses, items, data, split)


def _official(path: Path, items: Sequence[QAItem], responses: Mapping[int, str]) -> Mapping[str, Any] | None:
    """The official protocol's scores: those in the run's folder, or graded now."""
    try:
        scores, file = load_scores(path, "official")
        run_of_scores(str(path), scores, file)
        check_scores(scores, file, "numbers")
        return scores
    except BadRun:
        if not (items and responses):
            return None
    return scores_json(score_responses(items, _texts(items, responses), "official"))


def _split(run: StoredRun, given: str | None) -> str:
    return str(given or run.how.get("split") or "test")


def _questions(run: StoredRun, data: str | None, split: str | None) -> tuple[list[QAItem], str]:
    """The questions of a run, in its order, and where they were read; none where it names none that lie here."""
    name = data or str(run.how.get("data") or "")
    if not data and not (name and Path(name).expanduser().exists()):
        return [], ""  # a Hub id is not fetched unasked: it may be many gigabytes
    try:
        questions = read_questions(name, _split(run, split))
        return _as_asked(run, questions, name), name
    except (BadRun, BadRow, DatasetNotFound):
        if data:
            raise
        return [], ""


def _as_asked(run: StoredRun, questions: Sequence[QAItem], name: str) -> list[QAItem]:
    """The run's questions of these, in its order; raises `BadRun` where they are others."""
    asked = variant_of(run).of(questions) if variant_named_in(run.items[0].item_id) else questions
    by_index = {item.source_index: item for item in asked}
    found = [by_index[one.index] for one in run.items if one.index in by_index]
    if [fingerprint(item) for item in found] != [one.asked for one in run.items]:
        raise BadRun(f"{run.name} was asked other questions than those of {name}; give its own with --data")
    return found


def _shown_name(path: Path) -> str:
    """The folder's or file's name; of a file of scores in a folder of its own, the folder's."""
    stem = re.sub(r"(\.(jsonl?|gz|tsv|xlsx|official))+$", "", path.name)
    resolved = path.absolute()
    return shown(resolved.parent.name if stem == "scores" else stem) or shown(resolved.name) or "run"


def shown(text: str, most: int = LONGEST_NAME) -> str:
    """Text of others as one short line: no control characters, no marks that turn its direction, no broken ones."""
    plain = "".join(" " if sign.isspace() else sign for sign in text if sign.isspace() or not _hidden(sign))
    line = " ".join(plain.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _hidden(sign: str) -> bool:
    return unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Cn")


def told_apart(runs: Sequence[ReportRun]) -> list[ReportRun]:
    """The runs with names that stand once: what is called alike gets its folder's name before it, or a number."""
    names = [run.name for run in runs]
    parents = [f"{shown(Path(run.stored.name).absolute().parent.name)}/{run.name}" for run in runs]
    names = [parent if names.count(name) > 1 else name for name, parent in zip(names, parents, strict=True)]
    numbered = [f"{name} ({names[:place].count(name) + 1})" for place, name in enumerate(names)]
    names = [number if names.count(name) > 1 else name for name, number in zip(names, numbered, strict=True)]
    return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]
