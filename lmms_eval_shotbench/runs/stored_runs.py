"""Runs as they are stored: which items were asked, and what was answered to each.

Two forms are read: the scores of a run (the folder that `shotbench eval` writes, or one file of `shotbench score
--format json`), and a pair of questions and responses, which is graded now. What is done with runs is elsewhere:
`compare.py` sets two beside each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lmms_eval_shotbench.grading.grade import Protocol
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.runs.responses import SAMPLES, match_responses, read_responses
from lmms_eval_shotbench.runs.score import SCORES_FILES, score_responses, scores_json
from lmms_eval_shotbench.runs.scores_schema import BadRun, check_scores


@dataclass(frozen=True, slots=True)
class AnsweredItem:
    """One question of a run with the letter answered to it; the fields are those of `items[]` in docs/scores.md."""

    index: int
    item_id: str
    dimension: str  # slug
    medium: str
    answer: str
    letter: str | None  # None: undecided
    correct: bool
    asked: str  # fingerprint of the question


@dataclass(frozen=True)
class StoredRun:
    """One run under one protocol. `how` is `run` of docs/scores.md, empty where only responses were kept."""

    name: str
    protocol: Protocol
    items: Sequence[AnsweredItem]
    how: Mapping[str, Any] = field(default_factory=dict)
    unanswered: Sequence[int] = ()  # indices of items without any response: they count as wrong
    judged: Sequence[int] = ()  # indices of items whose letter a judge named

    @property
    def by_index(self) -> dict[int, AnsweredItem]:
        """The items by their index, in which two runs of the same questions agree."""
        return {item.index: item for item in self.items}


def is_run(path: Path) -> bool:
    """Whether `path` is what `read_run` reads: a run's folder, or a `.json` file."""
    if path.is_dir():
        return any((path / name).is_file() for name in (SAMPLES, *SCORES_FILES.values()))
    return path.suffix == ".json"


def read_run(path: Path, protocol: Protocol = "strict") -> StoredRun:
    """Read the scores of a run's folder, or of one file of scores.

    Raises:
        BadRun: there are no such scores, they are broken, of another protocol or of a version that kept less.
    """
    return run_of_scores(str(path), *load_scores(path, protocol))


def load_scores(path: Path, protocol: Protocol = "strict") -> tuple[dict[str, Any], Path]:
    """All that scores.json holds (docs/scores.md), of a run's folder or one file, and the file it stands in.

    Raises:
        BadRun: there are no such scores, they are broken or of another protocol.
    """
    file = path / SCORES_FILES[protocol] if path.is_dir() else path
    scores = _load(file)
    if scores["protocol"] != protocol:
        raise BadRun(f"{file}: graded by the protocol {scores['protocol']}, not {protocol}; say --protocol")
    return scores, file


def score_pair(questions: str | Path, responses: Path, protocol: Protocol = "strict", split: str = "test") -> StoredRun:
    """Grade stored responses, given as `shotbench score` takes them. A question without a row there was not asked.

    Raises:
        DatasetNotFound, BadRow: the questions cannot be read.
        BadResponses: the responses cannot be read, or answer other questions.
    """
    asked, said = answered_questions(questions, responses, split)
    scored = score_responses(asked, [said[item.source_index] for item in asked], protocol)
    return run_of_scores(str(responses), scores_json(scored), responses)


def answered_questions(
    questions: str | Path, responses: Path, split: str = "test"
) -> tuple[list[QAItem], dict[int, str]]:
    """The questions that have a row among stored responses, in order, and the responses by index.

    Raises:
        DatasetNotFound, BadRow: the questions cannot be read.
        BadResponses: the responses cannot be read, or answer other questions.
    """
    said = read_responses(responses)
    items = read_questions(questions, split)
    match_responses(items, said, responses)
    return [item for item in items if item.source_index in said], said


class Side(NamedTuple):
    """Where one side of a comparison is stored: a run, or questions and responses."""

    questions: str  # "" for a run
    path: Path

    def read(self, protocol: Protocol = "strict", split: str = "test") -> StoredRun:
        """The run; raises what `read_run` and `score_pair` raise."""
        return (
            score_pair(self.questions, self.path, protocol, split) if self.questions else read_run(self.path, protocol)
        )


def sides(arguments: Sequence[str]) -> list[Side]:
    """Sort arguments, from left to right, into sides: runs, or pairs of QUESTIONS RESPONSES.

    A last argument alone is responses to the questions before it. Raises `BadRun` where it cannot be.
    """
    found: list[Side] = []
    rest = list(arguments)
    while rest:
        first = rest.pop(0)
        if is_run(Path(first)):
            found.append(Side("", Path(first)))
        elif rest:
            found.append(Side(first, Path(rest.pop(0))))
        elif found and found[-1].questions:
            found.append(Side(found[-1].questions, Path(first)))
        else:
            raise BadRun(
                f"{first}: no folder with scores and no .json; responses are given as two, QUESTIONS RESPONSES"
            )
    return found


def two_sides(arguments: Sequence[str]) -> tuple[Side, Side]:
    """The `sides` of a comparison; raises `BadRun` where these are not two."""
    found = sides(arguments)
    if len(found) != 2:
        read = "; ".join(" ".join(filter(None, (side.questions, str(side.path)))) for side in found)
        raise BadRun(f"two sides are compared; these are {len(found)}: {read}")
    return found[0], found[1]


def _load(file: Path) -> dict[str, Any]:
    try:
        scores: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadRun(f"{file}: no such file; `shotbench eval` writes it when it is done") from None
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise BadRun(
            f"{file}: no JSON ({error}); a run is a folder of `shotbench eval` or a file of `shotbench score "
            "--format json`; `compare` and `report` take responses too, as two: QUESTIONS RESPONSES"
        ) from None
    check_scores(scores, file, "answers")
    return scores


def run_of_scores(name: str, scores: Mapping[str, Any], file: Path) -> StoredRun:
    """The run of scores that fit the schema; raises `BadRun`, which names `file`, where an index is not unique."""
    rows, fields = scores["items"], AnsweredItem.__dataclass_fields__
    items = [AnsweredItem(**{name: row[name] for name in fields}) for row in rows]
    if len({item.index for item in items}) < len(items):
        raise BadRun(f"{file}: an index stands there twice; its questions must be told apart by index")
    judged = [row["index"] for row in rows if row.get("how") == "judge"]
    return StoredRun(name, scores["protocol"], items, scores.get("run") or {}, scores.get("unanswered", ()), judged)
