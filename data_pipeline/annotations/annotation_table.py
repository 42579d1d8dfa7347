"""Parse the annotation table of a user's own films: one `AnnotatedRange` per valid row.

Owns the validation of rows; the columns are documented in `docs/own_film.md` and named in `columns.py`. Files (CSV,
JSONL, Parquet) are read in `annotation_files.py`, cells in `row_cells.py`. An invalid cell never stops parsing: it
becomes a `Defect` that names line and column. An unknown label costs only itself; a row without any valid label is
dropped. Whether a time is inside the film is checked in `films/cut_plan.py`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from data_pipeline.annotations.aliases import NO_ALIASES, Aliases
from data_pipeline.annotations.annotation_files import BrokenLine, read_table
from data_pipeline.annotations.columns import TableRefused
from data_pipeline.annotations.label_cells import UnknownWord
from data_pipeline.annotations.row_cells import LONGEST_NAME, RowCells, film_id_of, labels_of, medium_path, times_of
from data_pipeline.annotations.row_times import SecondsClock, TimeColumn, TimeRole, is_in_seconds, shot_times
from data_pipeline.annotations.table_notes import table_notes, unknown_term_notes
from data_pipeline.annotations.time_notation import BadTime, TableTime
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.labelled_shot import dimensions_for
from data_pipeline.row_account import TableRow
from lmms_eval_shotbench.remote_path import Location
from lmms_eval_shotbench.vocabulary import MediaKind, slugs

FILM_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mxf", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".vob"),
    *(".wmv", ".asf", ".flv", ".ogv", ".3gp", ".y4m"),
)
STILL_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif"),
    *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),  # JPEG 2000
)


@dataclass(frozen=True)
class TableOptions:
    """How a table is read: columns that are left out, a team's own words for terms, and whose labels count."""

    ignored_columns: tuple[str, ...] = ()
    aliases: Aliases = NO_ALIASES
    only_sources: tuple[str, ...] = ()  # values of the columns SLUG_source; empty: all labels count


PLAIN = TableOptions()


@dataclass(frozen=True, slots=True)
class AnnotatedRange:
    """A valid row: labels in canonical spelling, for an image file or for a time, a range or all of a film."""

    line: int
    film_id: str
    media: str  # POSIX, relative to the films folder
    times: Mapping[TimeRole, tuple[TableTime, ...]]  # as written; without a role that has no cell
    labels: Mapping[str, str]
    shot_id: str  # unique in the table, of [a-z0-9._-]
    licence: str
    provenance: Mapping[str, str] = field(default_factory=dict)  # of the labels: SLUG_confidence, SLUG_kept, …

    @property
    def is_still_file(self) -> bool:
        """Whether the medium is an image file, by its suffix."""
        return PurePosixPath(self.media).suffix.lower() in STILL_SUFFIXES

    def labels_of(self, kind: MediaKind) -> dict[str, str]:
        """Return the labels, by dimension slug, of the dimensions that are asked about this kind of medium."""
        return {slug: label for slug, label in self.labels.items() if slug in slugs(dimensions_for(kind))}

    def provenance_of(self, kind: MediaKind) -> dict[str, str]:
        """Return the provenance of the labels of the dimensions that are asked about this kind of medium."""
        asked = slugs(dimensions_for(kind))
        return {name: given for name, given in self.provenance.items() if name.rpartition("_")[0] in asked}


def read_annotations(
    table: Location,
    films: Location,
    defects: list[Defect],
    options: TableOptions = PLAIN,
    listed: list[TableRow] | None = None,
) -> list[AnnotatedRange]:
    """Parse a table and return its valid rows; all defects are appended to `defects`, also those of valid rows.

    Every row is either returned or has exactly one defect with `loses_row` set.

    Args:
        listed: Receives all rows of the table, in its order.

    Raises:
        TableRefused: the table cannot be used at all.
    """
    parsed = read_table(table, options.ignored_columns)
    if options.only_sources and not any(key.endswith("_source") for key in parsed.columns.keys.values()):
        raise TableRefused(f"{table} has no column of sources such as {slugs()[0]}_source; leave out --only-source")
    valid: list[AnnotatedRange] = []
    lines_of_ids: dict[str, int] = {}
    unknown: list[UnknownWord] = []
    all_rows = [] if listed is None else listed
    for line, cells in parsed.rows:
        if isinstance(cells, BrokenLine):
            defects.append(Defect(DefectKind.BAD_ROW, line, "", "", str(cells), loses_row=True))
            all_rows.append(TableRow(line, "", "", "", 0))
            continue
        row = RowCells(line, cells, films, options.aliases, options.only_sources)
        annotated = _annotated(row, parsed.columns.times, lines_of_ids)
        defects += row.defects()
        unknown += row.unknown
        all_rows.append(_as_written(row, annotated))
        if annotated:
            lines_of_ids[annotated.shot_id] = line
            valid.append(annotated)
    defects += [*table_notes(parsed, table), *unknown_term_notes(unknown, table)]
    return valid


def _as_written(row: RowCells, annotated: AnnotatedRange | None) -> TableRow:
    film_id, media, shot_id = (row.cells.get(name, "") for name in ("film_id", "media", "shot_id"))
    labels = sum(bool(row.cells.get(slug)) for slug in slugs())
    return TableRow(row.line, film_id, media, annotated.shot_id if annotated else shot_id, labels)


def _annotated(
    row: RowCells, time_columns: Sequence[TimeColumn], lines_of_ids: Mapping[str, int]
) -> AnnotatedRange | None:
    film_id, media = film_id_of(row), medium_path(row)
    times = times_of(row, time_columns)
    labels = labels_of(row)
    if row.fatal:
        return None
    moments = times.get(TimeRole.STILL) or times.get(TimeRole.START)
    shot_id = plain_name(row.cells.get("shot_id", "")) or _made_id(film_id, media, moments[0] if moments else None)
    annotated = AnnotatedRange(
        row.line, film_id, media, times, labels, shot_id, row.cells.get("licence", ""), row.provenance
    )
    _check_cells_together(row, annotated)
    if len(shot_id) > LONGEST_NAME:
        row.add_defect("shot_id", f"{len(shot_id)} letters, at most {LONGEST_NAME} make a file; give a shorter one")
    elif shot_id in lines_of_ids:
        advice = "" if row.cells.get("shot_id") else "; it shows the same moment: merge the rows, or give them ids"
        row.add_defect("shot_id", f"{shot_id} is the id of line {lines_of_ids[shot_id]} already{advice}")
    return None if row.fatal else annotated


def _check_cells_together(row: RowCells, annotated: AnnotatedRange) -> None:
    """Check that times, medium and labels are consistent with each other."""
    times = annotated.times
    if annotated.is_still_file and times:
        row.add_defect(next(iter(times.values()))[0].column, "a still has no times; leave the columns of times empty")
    elif annotated.is_still_file and annotated.labels_of(MediaKind.CLIP):
        row.add_defect(
            "media", "a still cannot show " + ", ".join(slugs(dimensions_for(MediaKind.CLIP))) + "; leave it empty"
        )
    elif TimeRole.START not in times and (TimeRole.END in times or TimeRole.DURATION in times):
        given = (times.get(TimeRole.END) or times[TimeRole.DURATION])[0].column
        row.add_defect("start", f"empty, but {given} is given; for the beginning of the film write 0")
    elif is_in_seconds(times):
        try:
            shot_times(times, SecondsClock())
        except BadTime as error:
            row.add_defect(error.column, error.detail)


def plain_name(text: str) -> str:
    """Return a file name of [a-z0-9._-] without leading dots; empty only for an empty text.

    Names that are not ASCII, or have no such letter at all, get the suffix of a hash.
    """
    name = re.sub(r"[^a-z0-9._-]+", "-", text.casefold()).strip("-.")
    suffix = "" if text.isascii() and (name or not text) else hashlib.sha256(text.encode()).hexdigest()[:8]
    return "-".join(filter(None, (name, suffix)))


def plain_stem(path: str) -> str:
    """Return the plain name of a path without its suffix."""
    # Not `with_suffix`, which raises for a name such as ..mp4 from Python 3.13 on.
    return plain_name(os.path.splitext(path)[0])  # noqa: PTH122


def _made_id(film_id: str, media: str, time: TableTime | None) -> str:
    """Return a shot id made of film, medium and time as given; it does not depend on the row's position."""
    film, medium = plain_name(film_id), plain_stem(media)
    name = film if film == medium else "-".join(filter(None, (film, medium)))
    if time is None:
        return name
    return f"{name}-{plain_name(time.text) if time.seconds is None else f'{round(time.seconds * 1000):08d}'}"
