"""Reader of stored runs: the items of a run and the answer to each.

Two formats are read: the scores of a run (the folder of `shotbench eval`, or one file of `shotbench score --format
json`), and a pair of questions and responses, which is graded on reading.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from lmms_eval_shotbench.grading.added_tags import parse_reasoning_tags, with_built_in
from lmms_eval_shotbench.grading.grade import Protocol
from lmms_eval_shotbench.grading.reasoning_tags import ReasoningTags
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.questions.variants import variant_in_use
from lmms_eval_shotbench.runs.lmms_eval_samples import asked_variant
from lmms_eval_shotbench.runs.response_files import holds_responses
from lmms_eval_shotbench.runs.responses import SAMPLES, StoredSamples, check_indices, read_several_samples
from lmms_eval_shotbench.runs.score import EXTRACTOR, JUDGE, SCORES_FILES, samples_of, score_samples
from lmms_eval_shotbench.runs.scores_json import scores_json
from lmms_eval_shotbench.runs.scores_schema import BadRun, check_scores


@dataclass(frozen=True, slots=True)
class AnsweredItem:
    """One question of a run with the answered letter; the fields are those of `items[]` in docs/scores.md."""

    index: int
    item_id: str
    dimension: str  # slug
    medium: str
    answer: str
    letter: str | None  # None: undecided
    correct: bool
    asked: str  # fingerprint of the question
    letters: tuple[str | None, ...] = ()  # of several samples, whose majority vote `letter` is; empty for one

    @property
    def share(self) -> bool | Fraction:
        """Whether the answer is correct; of several samples, the share of correct ones."""
        return Fraction(self.letters.count(self.answer), len(self.letters)) if self.letters else self.correct

    @property
    def decided(self) -> bool:
        """Whether the answer is decided, or all samples are."""
        return None not in (self.letters or (self.letter,))


@dataclass(frozen=True)
class StoredRun:
    """One run under one protocol. `how` is `run` of docs/scores.md, empty if only responses were stored."""

    name: str
    protocol: Protocol
    items: Sequence[AnsweredItem]
    how: Mapping[str, Any] = field(default_factory=dict)
    unanswered: Sequence[int] = ()  # indices of items without any response, which count as wrong
    judged: Sequence[int] = ()  # indices of items whose letter was assigned by a judge
    extracted: Sequence[int] = ()  # indices of items whose letter was assigned by the extractor
    refused: int = 0  # number of refusals; 0 also if an earlier version wrote the scores, which did not count them
    samples: int = 1  # number of responses to each item

    @property
    def responses(self) -> int:
        """Number of responses asked for, of all samples."""
        return self.samples * len(self.items)

    @property
    def by_index(self) -> dict[int, AnsweredItem]:
        """Items by index; the same question has the same index in all runs."""
        return {item.index: item for item in self.items}


def is_run(path: Path) -> bool:
    """Whether `path` can be read by `read_run`: a run's folder, or a `.json` file that is not one of responses."""
    if path.is_dir():
        return any((path / name).is_file() for name in (SAMPLES, *SCORES_FILES.values()))
    return path.suffix == ".json" and not holds_responses(path)


def read_run(path: Path, protocol: Protocol = "strict") -> StoredRun:
    """Read the scores of a run's folder, or of one file of scores.

    Raises:
        BadRun: The scores are absent, broken, of another protocol or of a version that stored fewer fields.
    """
    return run_of_scores(str(path), *load_scores(path, protocol))


def load_scores(path: Path, protocol: Protocol = "strict") -> tuple[dict[str, Any], Path]:
    """Return the contents of scores.json (docs/scores.md) of a run's folder or one file, and the file's path.

    Raises:
        BadRun: The scores are absent, broken or of another protocol.
    """
    file = path / SCORES_FILES[protocol] if path.is_dir() else path
    scores = _load(file)
    if scores["protocol"] != protocol:
        raise BadRun(f"{file}: graded by the protocol {scores['protocol']}, not {protocol}; give --protocol")
    return scores, file


def score_pair(
    questions: str | Path,
    responses: Path,
    protocol: Protocol = "strict",
    split: str = "test",
    tags: ReasoningTags = (),
) -> StoredRun:
    """Grade stored responses in any format of `shotbench score`; a question without a row was not asked.

    `tags` are tags of thoughts in addition to the built-in ones and to those recorded with the responses.

    Raises:
        DatasetNotFound, BadRow: The questions cannot be read.
        BadResponses: The responses cannot be read, or answer other questions.
    """
    asked, stored = answered_questions(questions, responses, split)
    scored = score_samples(
        asked, samples_of(asked, stored), protocol, tags=with_built_in(recorded_tags(responses) + tags)
    )
    return run_of_scores(str(responses), scores_json(scored), responses)


def recorded_tags(responses: Path) -> ReasoningTags:
    """Return the tags of thoughts that `shotbench eval` recorded for these responses; none for other files.

    Scores that are broken or of an earlier version are no error: the responses may be scored to replace them.
    """
    samples = responses / SAMPLES if responses.is_dir() else responses
    scores = samples.with_name(SCORES_FILES["strict"])
    if samples.name != SAMPLES or not scores.is_file():
        return ()
    try:
        return tags_of_record(json.loads(scores.read_text(encoding="utf-8"))["run"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return ()


def tags_of_record(run: Mapping[str, Any]) -> ReasoningTags:
    """Return the tags of thoughts in `run` of scores.json (docs/scores.md)."""
    return parse_reasoning_tags(json.dumps(run.get("reasoning_tags") or []))


def answered_questions(
    questions: str | Path, responses: Path, split: str = "test"
) -> tuple[list[QAItem], StoredSamples]:
    """Return the questions with a stored response, in order, and the responses by index, a mapping for each sample.

    If lmms-eval's own samples are of a variant's tasks, the questions are those of the variant.

    Raises:
        DatasetNotFound, BadRow: The questions cannot be read.
        BadResponses: The responses cannot be read, or answer other questions.
    """
    stored = read_several_samples(responses)
    answered = {index for sample in stored for index in sample}
    items, variant = read_questions(questions, split), asked_variant(responses)
    items = variant_in_use(variant).of(items) if variant else items
    check_indices(items, answered, responses)
    return [item for item in items if item.source_index in answered], stored


class RunSource(NamedTuple):
    """Location of one side of a comparison: a run, or questions and responses."""

    questions: str  # "" for a run
    path: Path

    def read(self, protocol: Protocol = "strict", split: str = "test", tags: ReasoningTags = ()) -> StoredRun:
        """Read the run, or grade the responses with further tags of thoughts; raises like the functions it calls."""
        if self.questions:
            return score_pair(self.questions, self.path, protocol, split, tags)
        return read_run(self.path, protocol)


def sides(arguments: Sequence[str]) -> list[RunSource]:
    """Parse arguments, from left to right, into runs or pairs of QUESTIONS RESPONSES.

    A last argument that is no run and has no partner is taken as responses to the questions before it.

    Raises:
        BadRun: There are no questions before it.
    """
    found: list[RunSource] = []
    rest = list(arguments)
    while rest:
        first = rest.pop(0)
        if is_run(Path(first)):
            found.append(RunSource("", Path(first)))
        elif rest:
            found.append(RunSource(first, Path(rest.pop(0))))
        elif found and found[-1].questions:
            found.append(RunSource(found[-1].questions, Path(first)))
        else:
            raise BadRun(
                f"{first}: neither a folder with scores nor a .json file; give responses as QUESTIONS RESPONSES"
            )
    return found


def two_sides(arguments: Sequence[str]) -> tuple[RunSource, RunSource]:
    """Return the two `sides` of a comparison; raises `BadRun` if there are not two."""
    found = sides(arguments)
    if len(found) != 2:
        read = "; ".join(" ".join(filter(None, (side.questions, str(side.path)))) for side in found)
        raise BadRun(f"two runs are compared, got {len(found)}: {read}")
    return found[0], found[1]


def _load(file: Path) -> dict[str, Any]:
    try:
        scores: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadRun(f"{file}: no such file; `shotbench eval` writes it when it finishes") from None
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise BadRun(
            f"{file}: invalid JSON ({error}); a run is a folder of `shotbench eval` or a file of `shotbench score "
            "--format json`; `compare` and `report` also take responses, as QUESTIONS RESPONSES"
        ) from None
    check_scores(scores, file, "answers")
    return scores


def run_of_scores(name: str, scores: Mapping[str, Any], file: Path) -> StoredRun:
    """Return the run of validated scores; raises `BadRun`, with `file` in the message, if an index is not unique."""
    rows, fields = scores["items"], [name for name in AnsweredItem.__dataclass_fields__ if name != "letters"]
    items = [
        AnsweredItem(**{name: row[name] for name in fields}, letters=tuple(row.get("letters", ()))) for row in rows
    ]
    if len({item.index for item in items}) < len(items):
        raise BadRun(f"{file}: an index occurs twice; each question must have a unique index")
    return StoredRun(
        name,
        scores["protocol"],
        items,
        scores.get("run") or {},
        scores.get("unanswered", ()),
        judged=[row["index"] for row in rows if row.get("how") == JUDGE],
        extracted=[row["index"] for row in rows if row.get("how", "").startswith(EXTRACTOR)],
        refused=scores.get("response_counts", {}).get("refused", 0),
        samples=scores.get("samples", {}).get("k", 1),
    )
