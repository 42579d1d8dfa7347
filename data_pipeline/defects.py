"""Defects: the single record of every dropped row and every warning, from any stage of the pipeline.

Owns `DefectKind`, the closed set of reasons, and `Defect`, one line of a shard folder's `defects.jsonl`. No stage drops
anything without recording a defect, except open-ended questions of ShotQA, which are only counted. The checks
themselves are in the stages: media in `check_media.py`, release rows in `release_questions.py` and
`shotqa_questions.py`, shots in `films/`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import NamedTuple

FIRST_LOSSES = 3  # dropped rows listed in a message
FIRST_MEDIA = 5  # media of one kind of warning named in a message and in the manifest


class DefectKind(StrEnum):
    """Reason for a defect. Most of the last two groups are warnings; see `Defect.loses_row`."""

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
    NOT_ASKED = "words that nothing is asked about"
    OTHER_SOURCE = "label of another source"
    UNMAPPED_CLASS = "class that corresponds to no term"
    OTHER_ANNOTATOR = "label that is not by a person"
    CONTRADICTORY_LABELS = "labels that exclude each other"
    NO_LABEL = "shot without a label"
    NOT_LABELLED = "not labelled yet"
    UNREAD_ANNOTATION = "annotation that is not read"
    UNREAD_COLUMN = "column that is not read"
    COMMENTED_ROW = "row that is commented out"
    TOO_FEW_DISTRACTORS = "too few distractors"

    UNREADABLE_FILM = "unreadable film"
    HIGH_DYNAMIC_RANGE = "high dynamic range"
    OUTSIDE_FILM = "time outside the film"
    ACROSS_CUT = "across a cut"
    NO_CUT = "change that is no cut"
    TOO_SHORT = "too short"
    TOO_SMALL = "too small"
    TOO_DARK = "too dark"
    TOO_BLURRED = "too blurred"
    NEARLY_STATIC = "nearly static"
    UNAESTHETIC = "unaesthetic"
    UNSAFE = "unsafe"
    DUPLICATE_PICTURE = "duplicate picture"
    SIMILAR_FILM_IDS = "film ids of similar spelling"
    LOOK_ALIKE_FILMS = "films that look alike"
    IN_THE_BENCHMARK = "in the benchmark"
    IN_ANOTHER_SET = "in another set"
    SURPLUS = "surplus to the balance"

    CHAIN_FAILED = "no reasoning chain"
    CHAIN_CONTRADICTS = "reasoning chain contradicts the answer"
    TOO_EASY = "too easy"
    TOO_HARD = "too hard"
    NOT_SAMPLED = "too few sampled responses"

    REPEATED_TERM = "repeated term"
    UNKNOWN_TERM = "unknown term"
    ANSWER_NOT_TAGGED = "answer that is not among the tags of the shot"
    OPTION_TAGGED = "wrong option that is among the tags of the shot"
    SAME_OPTIONS = "options that say the same"
    DUPLICATE_MEMBER = "duplicate tar member"
    TONE_MAPPED = "high dynamic range was mapped to standard"
    DEINTERLACED = "interlaced film was deinterlaced"
    UNMARKED_FIELDS = "interlaced film without marked frames"
    LATE_PICTURE = "picture that begins after the file"
    GUESSED_TONES = "range of tones was guessed"
    UNKNOWN_TRANSFER = "transfer characteristics are unknown"

    STORED_UPRIGHT = "still stored upright"
    UNREADABLE_EXIF = "unreadable EXIF"
    EXIF_ORIENTATION = "EXIF orientation"
    HIDDEN_FRAMES = "hidden frames"
    ONE_FRAME = "clip of one frame"
    ROTATED_CLIP = "rotated clip"
    INTERLACED_CLIP = "interlaced clip"
    UNMAPPED_TONES = "tones that the evaluation does not map"
    EXTREME_ASPECT_RATIO = "extreme aspect ratio"


MEDIA_WARNINGS = (  # other backends refuse the medium or show it differently; see `checks/media_warnings.py`
    DefectKind.STORED_UPRIGHT,
    DefectKind.UNREADABLE_EXIF,
    DefectKind.EXIF_ORIENTATION,
    DefectKind.HIDDEN_FRAMES,
    DefectKind.ONE_FRAME,
    DefectKind.ROTATED_CLIP,
    DefectKind.INTERLACED_CLIP,
    DefectKind.UNMAPPED_TONES,
    DefectKind.UNKNOWN_TRANSFER,
    DefectKind.EXTREME_ASPECT_RATIO,
)


@dataclass(frozen=True, slots=True)
class Defect:
    """One defect of one row; `loses_row` is False if it is only a warning.

    `line` is the line or row number in the source from 1 (the header of a CSV is line 1), or 0 if there is none.
    """

    kind: DefectKind
    line: int
    index: str
    path: str
    detail: str
    loses_row: bool

    def to_row(self) -> dict[str, str | int | bool]:
        """The record as stored in `defects.jsonl`."""
        return {**asdict(self), "kind": str(self.kind)}

    def __str__(self) -> str:
        return f"line {self.line}, index {self.index}, {self.path}: {self.kind} ({self.detail})"


def require_balance(read: int, written: int, lost: int) -> None:
    """Raise `RuntimeError` unless every row that was read is either written or lost with a defect."""
    if read != written + lost:
        raise RuntimeError(
            f"{read:,} rows were read, {written:,} written and {lost:,} lost, which does not add up: this is a bug, "
            "please report it"
        )


def loss_summary(defects: Sequence[Defect]) -> str:
    """One line on the dropped rows: their number for each reason, and the first few."""
    lost = [defect for defect in defects if defect.loses_row]
    counts = ", ".join(f"{kind}: {count:,}" for kind, count in Counter(defect.kind for defect in lost).most_common())
    first = "; ".join(str(defect) for defect in lost[:FIRST_LOSSES])
    return f"{counts}; the first of them: {first}" if lost else "none was lost, there was none"


def media_warnings_by_kind(defects: Sequence[Defect]) -> dict[DefectKind, list[Defect]]:
    """Warnings about media that are kept, by their kind; each has one defect, at its first question."""
    kept = [defect for defect in defects if not defect.loses_row]
    by_kind = {kind: [defect for defect in kept if defect.kind is kind] for kind in MEDIA_WARNINGS}
    return {kind: warnings for kind, warnings in by_kind.items() if warnings}


class Flaw(NamedTuple):
    """Reason why a medium cannot be used, or a warning about it."""

    kind: DefectKind
    detail: str
