"""What is true of shots in each dimension, as a table: what labels are scored against and confidence is calibrated on.

The studio writes such a table for its films (`truth.csv`); people write theirs with the columns film_id, media, start,
end and one for each dimension they annotated. Next to a dimension's column may stand SLUG_status (a `TruthStatus`) and
SLUG_possible (terms that are possible but not certain, separated by commas). Without a status, a cell with a label is
labelled, the word "none" means that the shot says nothing about the dimension, and an empty cell is not annotated. Of
lighting, where several terms are true at once, a label without a status says nothing about terms that do not contradict
it. The table of a shot sheet that people have corrected can be read too; its unsure cells are uncertain.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from lmms_eval_shotbench.labelling.deciding.contradictions import reason_against
from lmms_eval_shotbench.labelling.label_cell import Status
from lmms_eval_shotbench.labelling.vote import NO_TERM
from lmms_eval_shotbench.vocabulary import DIMENSIONS, SEVERAL_TERMS, Dimension, UnknownTerm, slugs

SHOT_COLUMNS = ("film_id", "media", "start", "end", "shot_id")
TRANSITION_COLUMNS = ("transition", "transition_start", "transition_end")
TRUTH_COLUMNS = (
    *SHOT_COLUMNS,
    *TRANSITION_COLUMNS,
    *(f"{slug}{part}" for slug in slugs() for part in ("", "_status", "_possible")),
)
_CLOCK = re.compile(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:\.\d+)?)")  # 83.5, 1:23.5 or 0:01:23.5


class BadTruth(ValueError):
    """A truth table cannot be read; the message names file, line and column."""


class TruthStatus(StrEnum):
    """What is known about one dimension of a shot."""

    LABELLED = "labelled"  # the terms of the label are certainly true
    NONE = "none"  # no term of the dimension is true
    UNCERTAIN = "uncertain"  # not annotated, or between two terms: excluded from scores


class Transition(StrEnum):
    """How a shot begins."""

    START = "start"  # it is the first of the film
    CUT = "cut"
    DISSOLVE = "dissolve"
    FADE = "fade"  # through black


@dataclass(frozen=True, slots=True)
class ShotTruth:
    """What is true in one dimension of a shot. `possible` has names of terms, none of them in the label."""

    status: TruthStatus
    label: str = ""  # terms that are certainly true, in the vocabulary's spelling; empty unless labelled
    possible: frozenset[str] = frozenset()  # terms that may be true too; if uncertain, the only ones that may be

    def terms(self, dimension: Dimension) -> frozenset[str]:
        """Names of the terms that are certainly true."""
        return frozenset(map(str, dimension.parse(self.label).terms)) if self.label else frozenset()

    def excludes(self, dimension: Dimension, term: str) -> bool:
        """Whether the term is certainly not true of the shot."""
        if self.status is TruthStatus.UNCERTAIN and not self.possible:
            return False
        return term not in self.possible | self.terms(dimension)


UNKNOWN = ShotTruth(TruthStatus.UNCERTAIN)
NOTHING = ShotTruth(TruthStatus.NONE)


@dataclass(frozen=True, slots=True)
class TruthRow:
    """One shot of a truth table. Times are seconds from the start of the file; None: a still file, or all of it."""

    film_id: str
    media: str  # POSIX path relative to the films folder
    start: float | None = None
    end: float | None = None
    shot_id: str = ""
    transition: Transition | None = None  # None: not stated
    transition_range: tuple[float, float] | None = None  # of a dissolve or fade; the shot starts at its middle
    truths: Mapping[str, ShotTruth] = field(default_factory=dict)  # by dimension slug

    def of(self, dimension: Dimension) -> ShotTruth:
        """What is true in a dimension; `UNKNOWN` if it is not annotated."""
        return self.truths.get(dimension.slug, UNKNOWN)

    def to_cells(self) -> dict[str, str]:
        """The shot as a row of the table; empty cells are left out."""
        start, end = self.transition_range or (None, None)
        times = {"start": self.start, "end": self.end, "transition_start": start, "transition_end": end}
        cells = {"film_id": self.film_id, "media": self.media, "shot_id": self.shot_id}
        cells |= {name: f"{seconds:.6f}" for name, seconds in times.items() if seconds is not None}
        cells |= {"transition": str(self.transition)} if self.transition else {}
        for dimension in DIMENSIONS:
            truth, slug = self.of(dimension), dimension.slug
            cells |= {slug: truth.label, f"{slug}_status": str(truth.status)}
            cells[f"{slug}_possible"] = ", ".join(term.name for term in dimension.terms if term.name in truth.possible)
        return {name: text for name, text in cells.items() if text}

    @classmethod
    def from_cells(cls, cells: Mapping[str, str]) -> TruthRow:
        """Parse a row of a table; a column that is missing or empty is not annotated.

        Raises:
            ValueError: a cell is wrong; the message names its column.
        """
        for name in ("film_id", "media"):
            if not cells.get(name):
                raise ValueError(f"column {name}: empty; it names the film of the shot")
        start, end, first, last = (_seconds(cells, name) for name in ("start", "end", *TRANSITION_COLUMNS[1:]))
        if (start is None) != (end is None) or (start is not None and end is not None and end <= start):
            raise ValueError("columns start and end: give both, the end after the start, or neither")
        transition = cells.get("transition", "")
        if transition and transition not in list(Transition):
            raise ValueError(f"column transition: {transition!r} is none of {', '.join(Transition)}")
        return cls(
            cells["film_id"],
            cells["media"],
            start,
            end,
            cells.get("shot_id", ""),
            Transition(transition) if transition else None,
            None if first is None or last is None else (first, last),
            {dimension.slug: _truth(cells, dimension) for dimension in DIMENSIONS},
        )


def read_truth(path: Path) -> list[TruthRow]:
    """Read a truth table (CSV, comma-separated, UTF-8), in its order.

    Raises:
        BadTruth: no such file, no such table, a column is missing, or a cell has an unknown term, status or time,
            or a shot has two lines.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadTruth(f"{path} cannot be read: {error.strerror}; name a truth table") from None
    except UnicodeDecodeError as error:
        raise BadTruth(f"{path} is not UTF-8: {error.reason}; save the truth table as CSV in UTF-8") from None
    table = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in ("film_id", "media") if name not in (table.fieldnames or ())]
    if missing or not set(slugs()) & set(table.fieldnames or ()):
        lacks = " and ".join(missing) or f"dimension ({', '.join(slugs())})"
        raise BadTruth(f"{path} has no column {lacks}; it must be CSV, separated by commas, with a line of names")
    rows = []
    lines: dict[tuple[str, float | None, float | None], int] = {}
    for cells in table:
        try:
            row = TruthRow.from_cells({name: (cell or "").strip() for name, cell in cells.items() if name})
        except ValueError as error:
            raise BadTruth(f"{path}, line {table.line_num}, {error}") from None
        first = lines.setdefault((row.media, row.start, row.end), table.line_num)
        if first != table.line_num:
            raise BadTruth(
                f"{path}, line {table.line_num}: the same shot of {row.media} as line {first}; write one line for each "
                "shot, with all its dimensions"
            )
        rows.append(row)
    return rows


def truth_table(rows: Iterable[TruthRow]) -> str:
    """The rows as CSV, which `read_truth` reads."""
    text = io.StringIO()
    writer = csv.DictWriter(text, TRUTH_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.to_cells() for row in rows)
    return text.getvalue()


def _seconds(cells: Mapping[str, str], name: str) -> float | None:
    text = cells.get(name, "")
    if not text:
        return None
    match = _CLOCK.fullmatch(text)
    if not match:
        raise ValueError(f"column {name}: {text!r} is no time; write seconds (83.5) or a clock time (0:01:23.5)")
    hours, minutes, seconds = match.groups()
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(seconds)


def _truth(cells: Mapping[str, str], dimension: Dimension) -> ShotTruth:
    slug = dimension.slug
    text, status, possible = (cells.get(f"{slug}{part}", "") for part in ("", "_status", "_possible"))
    if text.casefold() == NO_TERM:
        text, status = "", status or TruthStatus.NONE
    beside = dimension in SEVERAL_TERMS and not status and not possible  # other terms were not judged
    status = status or (TruthStatus.LABELLED if text else TruthStatus.UNCERTAIN)
    status = TruthStatus.UNCERTAIN if status == Status.UNSURE else status
    if status not in list(TruthStatus):
        raise ValueError(f"column {slug}_status: {status!r} is none of {', '.join(TruthStatus)}")
    if bool(text) != (status == TruthStatus.LABELLED):
        raise ValueError(f"column {slug}: {text!r} does not fit its status {status}; only labelled cells have a label")
    try:
        label = dimension.canonical(dimension.parse(text)) if text else None
        others = dimension.parse(possible).terms - (label.terms if label else frozenset()) if possible else frozenset()
    except UnknownTerm as error:
        raise ValueError(f"column {slug}: {error}; or `{NO_TERM}` if it has none") from None
    if label and beside:
        against = [(dimension, term) for term in label.terms]
        others = frozenset(
            term
            for term in dimension.terms
            if term not in label.terms and not any(reason_against(one, (dimension, term)) for one in against)
        )
    return ShotTruth(TruthStatus(status), str(label or ""), frozenset(term.name for term in others))
