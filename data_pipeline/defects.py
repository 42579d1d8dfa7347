"""What is wrong with a piece of a source: the one record of every loss and doubt, from any step of the pipeline.

Owns `DefectKind`, the closed set of reasons, and `Defect`, the line that a shard folder's `defects.jsonl` holds. A step
never drops anything without one. Who finds what is in the steps: media in `check_media.py`, release rows in
`release_questions.py` and `shotqa_questions.py`, shots in the film steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import NamedTuple

FIRST_LOSSES = 3  # that are named in a message


class DefectKind(StrEnum):
    """What is wrong. The last group are warnings: the row is kept."""

    BAD_ROW = "bad row"
    DUPLICATE_INDEX = "duplicate index"
    MISSING_MEDIUM = "missing medium"
    AMBIGUOUS_MEDIUM = "ambiguous medium"
    NOT_A_REGULAR_FILE = "not a regular file"
    EMPTY_FILE = "empty file"
    UNDECODABLE_MEDIUM = "undecodable medium"
    TOO_LARGE = "too large"
    CLIP_WITHOUT_FRAMES = "clip without frames"

    OPEN_ENDED = "open-ended question"
    DUPLICATE_QUESTION = "duplicate question"
    NO_QUESTION = "file that no question asks about"
    UNKNOWN_LABEL = "label that names no term"
    TOO_FEW_DISTRACTORS = "too few distractors"

    UNREADABLE_FILM = "unreadable film"
    HIGH_DYNAMIC_RANGE = "high dynamic range"
    OUTSIDE_FILM = "time outside the film"
    ACROSS_CUT = "across a cut"
    TOO_SHORT = "too short"
    TOO_SMALL = "too small"
    TOO_DARK = "too dark"
    TOO_BLURRED = "too blurred"
    NEARLY_STATIC = "nearly static"
    UNAESTHETIC = "unaesthetic"
    UNSAFE = "unsafe"
    DUPLICATE_PICTURE = "duplicate picture"
    IN_THE_BENCHMARK = "in the benchmark"
    SURPLUS = "surplus to the balance"

    CHAIN_FAILED = "no reasoning chain"
    CHAIN_CONTRADICTS = "reasoning chain contradicts the answer"
    TOO_EASY = "too easy"
    TOO_HARD = "too hard"
    NOT_SAMPLED = "too few sampled responses"

    REPEATED_TERM = "repeated term"
    UNKNOWN_TERM = "unknown term"
    SAME_OPTIONS = "options that say the same"
    DUPLICATE_MEMBER = "duplicate tar member"
    TONE_MAPPED = "high dynamic range was mapped to standard"


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing wrong with one row; `line` counts from 1 (in a table the header is line 1), 0 where there is none."""

    kind: DefectKind
    line: int
    index: str
    path: str
    detail: str
    loses_row: bool

    def to_row(self) -> dict[str, str | int | bool]:
        """The record as it stands in `defects.jsonl`."""
        return {**asdict(self), "kind": str(self.kind)}

    def __str__(self) -> str:
        return f"line {self.line}, index {self.index}, {self.path}: {self.kind} ({self.detail})"


def losses(defects: Sequence[Defect]) -> str:
    """Lost rows in one line: how many for each reason, and the first few."""
    lost = [defect for defect in defects if defect.loses_row]
    counts = ", ".join(f"{kind}: {count:,}" for kind, count in Counter(defect.kind for defect in lost).most_common())
    first = "; ".join(str(defect) for defect in lost[:FIRST_LOSSES])
    return f"{counts}; the first of them: {first}" if lost else "none was lost, there was none"


class Flaw(NamedTuple):
    """Why a medium cannot be used."""

    kind: DefectKind
    detail: str
