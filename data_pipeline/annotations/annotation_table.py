"""Parse the annotation table of a user's own films: one `AnnotatedRange` per valid row.

Owns the columns, documented in `docs/own_film.md`, and the validation of their cells. Files (CSV, JSONL, Parquet) are
read in `annotation_files.py`. An invalid cell never stops parsing: it becomes a `Defect` that names line and column.
An unknown label costs only itself; a row without any valid label is dropped. Whether a time is inside the film is
checked in `films/cut_plan.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from data_pipeline.annotations.annotation_files import BrokenLine, table_rows
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.labelled_shot import dimensions_for, known_label
from lmms_eval_shotbench.vocabulary import MediaKind, UnknownTerm, dimension_named, slugs

TIMES = ("start", "end", "still")
STILL_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif")
LONGEST_NAME = 200  # maximum bytes of a film or shot id; file systems allow 255 for a file name
_CLOCK = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:\.\d+)?)")  # H:MM:SS.mmm or MM:SS.mmm
_SECONDS = re.compile(r"\d+(?:\.\d*)?|\.\d+")


@dataclass(frozen=True, slots=True)
class AnnotatedRange:
    """A valid row: labels in canonical spelling, for an image file or for a time, a range or all of a film.

    `start`, `end` and `still` are seconds in the film; None where the cell is empty.
    """

    line: int
    film_id: str
    media: str  # POSIX, relative to the films folder
    start: float | None
    end: float | None
    still: float | None
    labels: Mapping[str, str]
    shot_id: str  # unique in the table, of [a-z0-9._-]
    licence: str

    @property
    def is_still_file(self) -> bool:
        """Whether the medium is an image file, by its suffix."""
        return PurePosixPath(self.media).suffix.lower() in STILL_SUFFIXES

    def labels_of(self, kind: MediaKind) -> dict[str, str]:
        """Return the labels, by dimension slug, of the dimensions that are asked about this kind of medium."""
        return {slug: label for slug, label in self.labels.items() if slug in slugs(dimensions_for(kind))}


@dataclass
class _Row:
    """A row being validated: its cells and the defects found so far."""

    line: int
    cells: Mapping[str, str]
    films: Path
    found: list[Defect] = field(default_factory=list)
    fatal: bool = False

    def add_defect(self, column: str, detail: str, kind: DefectKind = DefectKind.BAD_ROW, fatal: bool = True) -> None:
        text = f"column {column}: {detail}" if column else detail
        self.found.append(
            Defect(kind, self.line, self.cells.get("shot_id", ""), self.cells.get("media", ""), text, False)
        )
        self.fatal |= fatal

    def defects(self) -> list[Defect]:
        """The defects of the row; if it is dropped, exactly one of them has `loses_row` set."""
        if not self.fatal:
            return self.found
        cause = next(index for index, defect in enumerate(self.found) if defect.kind is not DefectKind.UNKNOWN_LABEL)
        return [replace(defect, loses_row=index == cause) for index, defect in enumerate(self.found)]


def read_annotations(table: Path, films: Path, defects: list[Defect]) -> list[AnnotatedRange]:
    """Parse a table and return its valid rows; all defects are appended to `defects`, also those of valid rows.

    Raises:
        TableRefused: the table cannot be used at all.
    """
    valid: list[AnnotatedRange] = []
    lines_of_ids: dict[str, int] = {}
    for line, cells in table_rows(table):
        if isinstance(cells, BrokenLine):
            defects.append(Defect(DefectKind.BAD_ROW, line, "", "", str(cells), loses_row=True))
            continue
        row = _Row(line, cells, films)
        annotated = _annotated(row, lines_of_ids)
        defects.extend(row.defects())
        if annotated:
            lines_of_ids[annotated.shot_id] = line
            valid.append(annotated)
    return valid


def _annotated(row: _Row, lines_of_ids: Mapping[str, int]) -> AnnotatedRange | None:
    film_id, media = _film_id(row), _media(row)
    start, end, still = (_time(row, column) for column in TIMES)
    labels = _labels(row)
    if row.fatal:
        return None
    shot_id = plain_name(row.cells.get("shot_id", "")) or _made_id(film_id, media, start if still is None else still)
    annotated = AnnotatedRange(
        row.line, film_id, media, start, end, still, labels, shot_id, row.cells.get("licence", "")
    )
    _check_cells_together(row, annotated)
    if len(shot_id) > LONGEST_NAME:
        row.add_defect("shot_id", f"{len(shot_id)} letters, at most {LONGEST_NAME} make a file; give a shorter one")
    elif shot_id in lines_of_ids:
        advice = "" if row.cells.get("shot_id") else "; it shows the same moment: merge the rows, or give them ids"
        row.add_defect("shot_id", f"{shot_id} is the id of line {lines_of_ids[shot_id]} already{advice}")
    return None if row.fatal else annotated


def _film_id(row: _Row) -> str:
    film_id = row.cells.get("film_id", "")
    if not film_id:
        row.add_defect("film_id", "empty; splits are made by film")
    elif len(film_id.encode()) > LONGEST_NAME or not film_id.isprintable():
        row.add_defect("film_id", f"not one printable line of at most {LONGEST_NAME} bytes")
    return film_id


def _media(row: _Row) -> str:
    media = PurePosixPath(row.cells.get("media", "").replace("\\", "/"))
    if media == PurePosixPath():
        row.add_defect("media", "empty; name a file in the films folder")
    elif media.is_absolute() or ".." in media.parts or media.parts[0].endswith(":"):
        row.add_defect("media", "leads out of the films folder; give a path relative to it")
    else:
        try:
            if not (row.films / media).is_file():
                row.add_defect("media", f"no such file in {row.films}", DefectKind.MISSING_MEDIUM)
        except (OSError, ValueError) as error:  # the name is too long or contains a null byte
            row.add_defect("media", f"no name of a file: {error}")
    return str(media)


def _time(row: _Row, column: str) -> float | None:
    text = row.cells.get(column, "").replace(",", ".")
    if not text:
        return None
    if _SECONDS.fullmatch(text):
        return float(text)
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = clock.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
    row.add_defect(column, f"{text!r} is no time; write seconds (83.5) or H:MM:SS.mmm (0:01:23.500)")
    return None


def _labels(row: _Row) -> dict[str, str]:
    labels = {}
    for slug in slugs():
        if not (text := row.cells.get(slug, "")):
            continue
        try:
            labels[slug] = known_label(slug, text)
        except UnknownTerm as error:
            row.add_defect(slug, str(error), DefectKind.UNKNOWN_LABEL, fatal=False)
            continue
        if repeated := dimension_named(slug).parse(text).repeated_terms:
            row.add_defect(slug, f"{text!r} says {repeated[0]} twice", DefectKind.UNKNOWN_LABEL, fatal=False)
            del labels[slug]
    if not labels:
        row.add_defect("", "no label that can be used; a row needs at least one")
    return labels


def _check_cells_together(row: _Row, annotated: AnnotatedRange) -> None:
    """Check that times, medium and labels are consistent with each other."""
    start, end, still = annotated.start, annotated.end, annotated.still
    if annotated.is_still_file and (start, end, still) != (None, None, None):
        row.add_defect("start", "a still has no times; leave start, end and still empty")
    elif annotated.is_still_file and annotated.labels_of(MediaKind.CLIP):
        row.add_defect("media", "a still cannot show " + ", ".join(slugs(dimensions_for(MediaKind.CLIP))))
    elif end is not None and start is None:
        row.add_defect("start", "empty, but end is given; for the beginning of the film write 0")
    elif start is not None and end is not None and end <= start:
        row.add_defect("end", f"{end:g} s is not after start, {start:g} s")
    elif still is not None and not (start or 0.0) <= still <= (float("inf") if end is None else end):
        row.add_defect("still", f"{still:g} s is not between start and end")


def plain_name(text: str) -> str:
    """Return a file name of [a-z0-9._-] without leading dots; names that are not ASCII get the suffix of a hash."""
    name = re.sub(r"[^a-z0-9._-]+", "-", text.casefold()).strip("-.")
    suffix = "" if text.isascii() else hashlib.sha256(text.encode()).hexdigest()[:8]
    return "-".join(filter(None, (name, suffix)))


def _made_id(film_id: str, media: str, start: float | None) -> str:
    """Return a shot id made of film, medium and time in seconds; it does not depend on the row's position."""
    film, medium = plain_name(film_id), plain_name(PurePosixPath(media).with_suffix("").as_posix())
    name = film if film == medium else "-".join(filter(None, (film, medium)))
    return name if start is None else f"{name}-{round(start * 1000):08d}"
