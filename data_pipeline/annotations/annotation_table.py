"""The annotation table of one's own film: CSV, JSONL or parquet in, one `AnnotatedRange` a row out.

Owns the columns and what may stand in them; `docs/own_film.md` describes them to people. How the files are opened is in
`annotation_files.py`. A bad cell never stops the reading: it becomes a `Defect` that names line and column. A label
that no term answers to costs this label; the row goes on with the others, if it has any. Whether a time lies in the
film is found out by `films/cut_film.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from data_pipeline.annotations.annotation_files import BrokenLine, table_rows
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.labelled_shot import asked_of, known_label
from lmms_eval_shotbench.vocabulary import MediaKind, UnknownTerm, dimension_named, slugs

TIMES = ("start", "end", "still")
STILL_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif")
LONGEST_NAME = 200  # bytes of a film or shot id; file systems end at 255
_CLOCK = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:\.\d+)?)")  # H:MM:SS.mmm or MM:SS.mmm
_SECONDS = re.compile(r"\d+(?:\.\d*)?|\.\d+")


@dataclass(frozen=True, slots=True)
class AnnotatedRange:
    """One row: what is right of a still, a film's moment, range or shot. Labels are in the vocabulary's words."""

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
        """Whether the medium is a picture, not a film."""
        return PurePosixPath(self.media).suffix.lower() in STILL_SUFFIXES

    def labels_of(self, kind: MediaKind) -> dict[str, str]:
        """The labels whose questions show this kind of medium."""
        return {slug: label for slug, label in self.labels.items() if slug in slugs(asked_of(kind))}


@dataclass
class _Row:
    """A row under examination: its cells and what was found wrong with them."""

    line: int
    cells: Mapping[str, str]
    films: Path
    found: list[Defect] = field(default_factory=list)
    fatal: bool = False

    def complain(self, column: str, detail: str, kind: DefectKind = DefectKind.BAD_ROW, fatal: bool = True) -> None:
        where = f"column {column}: {detail}" if column else detail
        self.found.append(
            Defect(kind, self.line, self.cells.get("shot_id", ""), self.cells.get("media", ""), where, False)
        )
        self.fatal |= fatal

    def verdict(self) -> list[Defect]:
        """Its defects; of a lost row exactly one says that it is lost."""
        if not self.fatal:
            return self.found
        cause = next(number for number, defect in enumerate(self.found) if defect.kind is not DefectKind.UNKNOWN_LABEL)
        return [replace(defect, loses_row=number == cause) for number, defect in enumerate(self.found)]


def read_annotations(table: Path, films: Path, defects: list[Defect]) -> list[AnnotatedRange]:
    """Read the rows of a table that can be used; the others are in `defects`.

    Raises:
        TableRefused: the table as a whole cannot be used.
    """
    good: list[AnnotatedRange] = []
    lines_of_ids: dict[str, int] = {}
    for line, cells in table_rows(table):
        if isinstance(cells, BrokenLine):
            defects.append(Defect(DefectKind.BAD_ROW, line, "", "", str(cells), loses_row=True))
            continue
        row = _Row(line, cells, films)
        annotated = _annotated(row, lines_of_ids)
        defects.extend(row.verdict())
        if annotated:
            lines_of_ids[annotated.shot_id] = line
            good.append(annotated)
    return good


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
    _judge_whole(row, annotated)
    if len(shot_id) > LONGEST_NAME:
        row.complain("shot_id", f"{len(shot_id)} letters, at most {LONGEST_NAME} make a file; give a shorter one")
    elif shot_id in lines_of_ids:
        advice = "" if row.cells.get("shot_id") else "; it shows the same moment: merge the rows, or give them ids"
        row.complain("shot_id", f"{shot_id} is the id of line {lines_of_ids[shot_id]} already{advice}")
    return None if row.fatal else annotated


def _film_id(row: _Row) -> str:
    film_id = row.cells.get("film_id", "")
    if not film_id:
        row.complain("film_id", "empty; splits are made by film")
    elif len(film_id.encode()) > LONGEST_NAME or not film_id.isprintable():
        row.complain("film_id", f"not one printable line of at most {LONGEST_NAME} bytes")
    return film_id


def _media(row: _Row) -> str:
    media = PurePosixPath(row.cells.get("media", "").replace("\\", "/"))
    if media == PurePosixPath():
        row.complain("media", "empty; name a file in the films folder")
    elif media.is_absolute() or ".." in media.parts or media.parts[0].endswith(":"):
        row.complain("media", "leads out of the films folder; give a path relative to it")
    else:
        try:
            if not (row.films / media).is_file():
                row.complain("media", f"no such file in {row.films}", DefectKind.MISSING_MEDIUM)
        except (OSError, ValueError) as error:  # a name too long, a zero byte
            row.complain("media", f"no name of a file: {error}")
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
    row.complain(column, f"{text!r} is no time; write seconds (83.5) or H:MM:SS.mmm (0:01:23.500)")
    return None


def _labels(row: _Row) -> dict[str, str]:
    labels = {}
    for slug in slugs():
        if not (text := row.cells.get(slug, "")):
            continue
        try:
            labels[slug] = known_label(slug, text)
        except UnknownTerm as error:
            row.complain(slug, str(error), DefectKind.UNKNOWN_LABEL, fatal=False)
            continue
        if repeated := dimension_named(slug).parse(text).repeated_terms:
            row.complain(slug, f"{text!r} says {repeated[0]} twice", DefectKind.UNKNOWN_LABEL, fatal=False)
            del labels[slug]
    if not labels:
        row.complain("", "no label that can be used; a row needs at least one")
    return labels


def _judge_whole(row: _Row, annotated: AnnotatedRange) -> None:
    """What single cells do not show."""
    start, end, still = annotated.start, annotated.end, annotated.still
    if annotated.is_still_file and (start, end, still) != (None, None, None):
        row.complain("start", "a still has no times; leave start, end and still empty")
    elif annotated.is_still_file and annotated.labels_of(MediaKind.CLIP):
        row.complain("media", "a still cannot show " + ", ".join(slugs(asked_of(MediaKind.CLIP))))
    elif end is not None and start is None:
        row.complain("start", "empty, but end is given; for the beginning of the film write 0")
    elif start is not None and end is not None and end <= start:
        row.complain("end", f"{end:g} s is not after start, {start:g} s")
    elif still is not None and not (start or 0.0) <= still <= (float("inf") if end is None else end):
        row.complain("still", f"{still:g} s is not between start and end")


def plain_name(text: str) -> str:
    """A name of [a-z0-9._-] that is no hidden file; letters of other alphabets leave a trace of their own."""
    name = re.sub(r"[^a-z0-9._-]+", "-", text.casefold()).strip("-.")
    trace = "" if text.isascii() else hashlib.sha256(text.encode()).hexdigest()[:8]
    return "-".join(filter(None, (name, trace)))


def _made_id(film_id: str, media: str, start: float | None) -> str:
    """An id that stays when rows are added or moved: film, medium and moment."""
    film, medium = plain_name(film_id), plain_name(PurePosixPath(media).with_suffix("").as_posix())
    name = film if film == medium else "-".join(filter(None, (film, medium)))
    return name if start is None else f"{name}-{round(start * 1000):08d}"
