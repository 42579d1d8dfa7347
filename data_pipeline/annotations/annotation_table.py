"""Parse the annotation table of a user's own films: one `AnnotatedRange` per valid row.

Owns the validation of cells and rows; the columns are documented in `docs/own_film.md` and named in `columns.py`. Files
(CSV, JSONL, Parquet) are read in `annotation_files.py`. An invalid cell never stops parsing: it becomes a `Defect` that
names line and column. An unknown label costs only itself; a row without any valid label is dropped. Whether a time is
inside the film is checked in `films/cut_plan.py`.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from data_pipeline.annotations.aliases import NO_ALIASES, Aliases
from data_pipeline.annotations.annotation_files import BrokenLine, read_table
from data_pipeline.annotations.columns import PROVENANCE
from data_pipeline.annotations.label_cells import UnknownWord, parse_label
from data_pipeline.annotations.row_times import SecondsClock, TimeColumn, TimeRole, is_in_seconds, shot_times
from data_pipeline.annotations.table_notes import table_notes, tally
from data_pipeline.annotations.time_notation import BadTime, TableTime, parse_time
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.labelled_shot import dimensions_for, label_text
from lmms_eval_shotbench.vocabulary import MediaKind, dimension_named, slugs

STILL_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif")
LONGEST_NAME = 200  # maximum bytes of a film or shot id; file systems allow 255 for a file name
KEPT = "kept"  # provenance after the name of a dimension: words of the cell that nothing is asked about


@dataclass(frozen=True)
class TableOptions:
    """How a table is read: columns that are left out, and a team's own words for terms."""

    ignored_columns: tuple[str, ...] = ()
    aliases: Aliases = NO_ALIASES


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


@dataclass
class _Row:
    """A row being validated: its cells and the defects found so far."""

    line: int
    cells: Mapping[str, str]
    films: Path
    aliases: Aliases
    provenance: dict[str, str] = field(default_factory=dict)
    unknown: list[UnknownWord] = field(default_factory=list)
    found: list[Defect] = field(default_factory=list)
    cause: int | None = None  # index of the defect that drops the row

    @property
    def fatal(self) -> bool:
        return self.cause is not None

    def add_defect(self, column: str, detail: str, kind: DefectKind = DefectKind.BAD_ROW, fatal: bool = True) -> None:
        text = f"column {column}: {detail}" if column else detail
        self.found.append(
            Defect(kind, self.line, self.cells.get("shot_id", ""), self.cells.get("media", ""), text, False)
        )
        if fatal and self.cause is None:
            self.cause = len(self.found) - 1

    def defects(self) -> list[Defect]:
        """The defects of the row; if it is dropped, exactly one of them has `loses_row` set."""
        return [replace(defect, loses_row=index == self.cause) for index, defect in enumerate(self.found)]


def read_annotations(
    table: Path, films: Path, defects: list[Defect], options: TableOptions = PLAIN
) -> list[AnnotatedRange]:
    """Parse a table and return its valid rows; all defects are appended to `defects`, also those of valid rows.

    Every row is either returned or has exactly one defect with `loses_row` set.

    Raises:
        TableRefused: the table cannot be used at all.
    """
    parsed = read_table(table, options.ignored_columns)
    valid: list[AnnotatedRange] = []
    lines_of_ids: dict[str, int] = {}
    unknown: list[UnknownWord] = []
    for line, cells in parsed.rows:
        if isinstance(cells, BrokenLine):
            defects.append(Defect(DefectKind.BAD_ROW, line, "", "", str(cells), loses_row=True))
            continue
        row = _Row(line, cells, films, options.aliases)
        annotated = _annotated(row, parsed.columns.times, lines_of_ids)
        defects += row.defects()
        unknown += row.unknown
        if annotated:
            lines_of_ids[annotated.shot_id] = line
            valid.append(annotated)
    defects += [*table_notes(parsed, table), *tally(unknown, table)]
    return valid


def _annotated(row: _Row, time_columns: Sequence[TimeColumn], lines_of_ids: Mapping[str, int]) -> AnnotatedRange | None:
    film_id, media = _film_id(row), _media(row)
    times = _times(row, time_columns)
    labels = _labels(row)
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
                row.add_defect("media", _missing(row.films / media, row.films), DefectKind.MISSING_MEDIUM)
        except (OSError, ValueError) as error:  # the name is too long or contains a null byte
            row.add_defect("media", f"no name of a file: {error}")
    return str(media)


def _missing(path: Path, films: Path) -> str:
    """What is missing, and the file in its folder that has the most similar name."""
    names = [file.name for file in path.parent.iterdir() if file.is_file()] if path.parent.is_dir() else []
    by_case = {name.casefold(): name for name in names}
    nearest = difflib.get_close_matches(path.name.casefold(), by_case, 1)
    hint = f"; is it {(path.parent / by_case[nearest[0]]).relative_to(films).as_posix()}?" if nearest else ""
    return f"no such file in {films}{hint}"


def _times(row: _Row, columns: Sequence[TimeColumn]) -> dict[TimeRole, tuple[TableTime, ...]]:
    times: dict[TimeRole, tuple[TableTime, ...]] = {}
    for column in columns:
        if text := row.cells.get(column.key, ""):
            try:
                times[column.role] = (*times.get(column.role, ()), parse_time(column.name, column.unit, text))
            except BadTime as error:
                row.add_defect(error.column, error.detail)
    return times


def _labels(row: _Row) -> dict[str, str]:
    labels = {}
    for slug in slugs():
        if not (text := row.cells.get(slug, "")):
            continue
        try:
            label, kept = parse_label(dimension_named(slug), text, row.aliases)
        except UnknownWord as error:
            row.unknown.append(error)
            row.add_defect(slug, str(error), DefectKind.UNKNOWN_LABEL, fatal=False)
            continue
        provenance = {f"{slug}_{kind}": row.cells.get(f"{slug}_{kind}", "") for kind in PROVENANCE}
        row.provenance |= {name: given for name, given in provenance.items() if given}
        if kept:
            row.provenance[f"{slug}_{KEPT}"] = ", ".join(kept)
            row.add_defect(slug, f"{', '.join(kept)}: kept, nothing is asked", DefectKind.NOT_ASKED, fatal=False)
        if label and label.repeated_terms:
            detail = f"{text!r} says {label.repeated_terms[0]} twice; write it once"
            row.add_defect(slug, detail, DefectKind.UNKNOWN_LABEL, fatal=False)
        elif label:
            labels[slug] = label_text(label)
    if not labels and any(name.endswith(KEPT) for name in row.provenance) and not row.unknown:
        row.add_defect("", "all its words are kept, so that there is nothing to ask", DefectKind.NOT_ASKED)
    elif not labels:
        row.add_defect("", "no label that can be used; a row needs at least one")
    return labels


def _check_cells_together(row: _Row, annotated: AnnotatedRange) -> None:
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
    """Return a file name of [a-z0-9._-] without leading dots; names that are not ASCII get the suffix of a hash."""
    name = re.sub(r"[^a-z0-9._-]+", "-", text.casefold()).strip("-.")
    suffix = "" if text.isascii() else hashlib.sha256(text.encode()).hexdigest()[:8]
    return "-".join(filter(None, (name, suffix)))


def _made_id(film_id: str, media: str, time: TableTime | None) -> str:
    """Return a shot id made of film, medium and time as given; it does not depend on the row's position."""
    film, medium = plain_name(film_id), plain_name(PurePosixPath(media).with_suffix("").as_posix())
    name = film if film == medium else "-".join(filter(None, (film, medium)))
    if time is None:
        return name
    return f"{name}-{plain_name(time.text) if time.seconds is None else f'{round(time.seconds * 1000):08d}'}"
