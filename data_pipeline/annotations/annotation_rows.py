"""Annotations of tools become rows: one row for each range of a medium, with the labels that hold in it.

Owns which annotations belong to one row, and how labels of one dimension are joined. Annotations of the same range are
one row. If the shots of a film are listed, by a scene list, the clips of a timeline or a tier that the map calls shots,
they are its rows: an annotation belongs to all shots of which it covers half or more or, if there is none, to the shot
that it overlaps most. Terms that one annotator gives to one range are true at once, unless they are of one facet; a
movement after another in a shot is a next step. Labels that contradict each other are left out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from itertools import accumulate, combinations, pairwise
from typing import NamedTuple

from data_pipeline.annotations.label_map import AnnotationMeaning
from data_pipeline.annotations.tools.tool_annotation import Span, ToolAnnotation
from data_pipeline.labelled_shot import label_text
from lmms_eval_shotbench.runs.formatting import first_few
from lmms_eval_shotbench.vocabulary import Dimension, Label, MediaKind

HALF = Fraction(1, 2)
FEW = 4  # labels named in a message


class TimeUnit(StrEnum):
    """What the ends of an extent count."""

    FRAMES = "frames"
    SECONDS = "seconds"
    TIMECODE = "timecode"
    NONE = "all of the medium"


class Extent(NamedTuple):
    """A half-open range of a medium, in frames if its film is known; `end` is None for a moment."""

    clock: TimeUnit
    start: Fraction = Fraction(0)
    end: Fraction | None = None
    written: tuple[str, str] = ("", "")  # timecode, which is not counted without a film

    def part_of(self, whole: Extent) -> Fraction:
        """Length of what it has in common with another extent; for a moment in it, the smallest positive length."""
        if self.clock is not whole.clock or whole.end is None:
            return Fraction(int(self == whole))
        if self.end is None:
            return Fraction(whole.start <= self.start < whole.end, 1_000_000)
        return max(min(self.end, whole.end) - max(self.start, whole.start), Fraction(0))


def extent_of(span: Span | None) -> Extent:
    """The extent of a range in a film that is not known."""
    if span is None:
        return Extent(TimeUnit.NONE)
    if span.frames:
        return Extent(TimeUnit.FRAMES, Fraction(span.frames[0]), Fraction(span.frames[1]))
    if span.seconds:
        return Extent(TimeUnit.SECONDS, *span.seconds)
    return Extent(TimeUnit.TIMECODE, written=span.timecode or ("", ""))


class Placed(NamedTuple):
    """An annotation with what it says, and where it is."""

    annotation: ToolAnnotation
    file: str  # name of its file
    meaning: AnnotationMeaning
    extent: Extent

    @property
    def annotator(self) -> tuple[str, str]:
        """Who made it: in one file, those whom it names."""
        return self.file, self.annotation.annotator


class Lost(NamedTuple):
    """A label that is in no row, and why."""

    placed: Placed
    reason: str


@dataclass
class AnnotationRow:
    """A range with its labels by dimension slug; `span` is its range as the tool writes it."""

    extent: Extent
    span: Span | None
    placed: list[Placed] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)


class Merged(NamedTuple):
    """The rows of a medium in the order of time, the labels that are in none, and the indices of what is in rows."""

    rows: list[AnnotationRow]
    lost: list[Lost]
    used: set[int]


def merge_annotations(placed: Sequence[Placed]) -> Merged:
    """Merge the annotations of one medium, which have labels or are shots."""
    rows: dict[Extent, AnnotationRow] = {}
    clocks = {one.extent.clock for one in placed if one.meaning.is_shot} - {TimeUnit.NONE}
    lost: list[Lost] = []
    for one in placed:
        if one.meaning.is_shot or not clocks or one.extent.clock is TimeUnit.NONE:
            rows.setdefault(one.extent, AnnotationRow(one.extent, one.annotation.span))
    shots = _Shots(rows.values())
    for one in placed:
        own = [rows[one.extent]] if one.extent in rows else shots.of(one.extent)
        if not own:
            of_shots = " and ".join(sorted(clocks))
            other = f"it counts {one.extent.clock}, the shots {of_shots}: give --films FOLDER with the film"
            lost.append(Lost(one, "it is in no shot" if one.extent.clock in clocks else other))
        for row in own:
            row.placed.append(one)
    for row in rows.values():
        _join_labels(row, lost)
    found = [row for row in rows.values() if row.labels or any(one.meaning.is_shot for one in row.placed)]
    found.sort(key=lambda row: (row.extent.clock, row.extent.start, row.extent.end or 0, row.extent.written))
    in_rows = {id(one) for row in found for one in row.placed if one.meaning.is_shot or _is_used(one, row)}
    return Merged(found, lost, {index for index, one in enumerate(placed) if id(one) in in_rows})


def _is_used(one: Placed, row: AnnotationRow) -> bool:
    return any(dimension.slug in row.labels for dimension, _ in one.meaning.labels)


class _Shots:
    """The rows that are ranges, found by time."""

    def __init__(self, rows: Iterable[AnnotationRow]) -> None:
        self._rows = sorted((row for row in rows if row.extent.end is not None), key=lambda row: row.extent[:3])
        self._keys = [(row.extent.clock, row.extent.start) for row in self._rows]
        # The latest end so far, by which bisection also works where shots overlap.
        ends = ((row.extent.clock, row.extent.end or Fraction(0)) for row in self._rows)
        self._ends = list(accumulate(ends, max))

    def of(self, extent: Extent) -> list[AnnotationRow]:
        """The shots of which an extent covers half or more, otherwise the one that it overlaps most."""
        last = bisect_right(self._keys, (extent.clock, extent.start if extent.end is None else extent.end))
        near = self._rows[bisect_right(self._ends, (extent.clock, extent.start)) : last]
        common = [(extent.part_of(row.extent), row) for row in near]
        covered = [row for part, row in common if part >= HALF * ((row.extent.end or 0) - row.extent.start)]
        most = max(common, key=lambda one: one[0], default=None)
        return covered or ([most[1]] if most and most[0] > 0 else [])


def _join_labels(row: AnnotationRow, lost: list[Lost]) -> None:
    """Set the labels of a row by its annotations."""
    given: dict[Dimension, list[tuple[Placed, Label]]] = {}
    for one in row.placed:
        for dimension, label in one.meaning.labels:
            given.setdefault(dimension, []).append((one, label))
    for dimension, labels in given.items():
        joined = _joined(dimension, labels)
        if isinstance(joined, Label):
            row.labels[dimension.slug] = label_text(joined)
        else:
            lost += [Lost(one, joined) for one, _ in labels]


def _joined(dimension: Dimension, given: Sequence[tuple[Placed, Label]]) -> Label | str:
    """One label of all that are given for a dimension of a row, or why there is none."""
    by_annotator: dict[tuple[str, str], list[tuple[Placed, Label]]] = {}
    for one, label in given:
        by_annotator.setdefault(one.annotator, []).append((one, label))
    joined = [_of_one_annotator(dimension, labels) for labels in by_annotator.values()]
    if failed := next((one for one in joined if isinstance(one, str)), None):
        return failed
    found = {dimension.canonical(one) for one in joined if isinstance(one, Label)}
    if len(found) > 1:
        texts = sorted(label_text(label) for label in found)
        return f"annotators disagree about {dimension.slug}: {first_few(texts, FEW)}"
    return found.pop()


def _of_one_annotator(dimension: Dimension, given: Sequence[tuple[Placed, Label]]) -> Label | str:
    labels = list(dict.fromkeys(dimension.canonical(label) for _, label in given))
    if len(labels) == 1:
        return labels[0]
    extents = sorted({(one.extent.start, one.extent.end or one.extent.start) for one, _ in given})
    texts = first_few([label_text(label) for label in labels], FEW)
    if any(len(label.steps) > 1 for label in labels):
        return f"{dimension.slug} is {texts} in one range, of which one has several steps"
    if len(extents) == 1:
        return _at_once(labels)
    if dimension.media_kind is MediaKind.STILL:
        return f"{dimension.slug} changes within the shot: {texts}"
    if any(end > start for (_, end), (start, _) in pairwise(extents)):
        return f"{dimension.slug} is {texts}, in ranges of the shot that overlap in part"
    steps: dict[Fraction, list[Label]] = {}
    for one, label in sorted(given, key=lambda pair: pair[0].extent.start):
        steps.setdefault(one.extent.start, []).append(label)
    joined = [_at_once(labels) for labels in steps.values()]
    if failed := next((one for one in joined if isinstance(one, str)), None):
        return failed
    return dimension.canonical(Label(tuple(one.steps[0] for one in joined if isinstance(one, Label))))


def _at_once(labels: Sequence[Label]) -> Label | str:
    """The terms of several labels of one step, unless two of them exclude each other."""
    terms = list(dict.fromkeys(term for label in labels for term in label.steps[0]))
    for one, other in combinations(terms, 2):
        if one.facet == other.facet:
            return f"{one} and {other} exclude each other: both say what the {one.facet} is"
    return Label((tuple(terms),))
