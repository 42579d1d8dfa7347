"""Parse the cells of one row of an annotation table; each invalid cell becomes a defect that names its column."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import PurePosixPath

from data_pipeline.annotations.aliases import Aliases
from data_pipeline.annotations.column_names import PROVENANCE
from data_pipeline.annotations.label_cells import UnknownWord, parse_label
from data_pipeline.annotations.row_times import TimeColumn, TimeRole
from data_pipeline.annotations.time_notation import BadTime, TableTime, parse_time
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.labelled_shot import label_text
from lmms_eval_shotbench.remote_path import Location
from lmms_eval_shotbench.vocabulary import dimension_named, slugs

LONGEST_NAME = 200  # maximum bytes of a film or shot id; file systems allow 255 for a file name
SIMILAR = 0.75  # difflib ratio of the names of a missing file and of one that may be meant
COMPARED_FILES = 1000  # maximum number of files in a folder that are compared with a missing one
KEPT = "kept"  # provenance after the name of a dimension: words of the cell that nothing is asked about


@dataclass
class RowCells:
    """A row being validated: its cells and the defects found so far."""

    line: int
    cells: Mapping[str, str]
    films: Location
    aliases: Aliases
    only_sources: tuple[str, ...] = ()  # of labels; empty: any
    provenance: dict[str, str] = field(default_factory=dict)
    unknown: list[UnknownWord] = field(default_factory=list)
    found: list[Defect] = field(default_factory=list)
    cause: int | None = None  # index of the defect that drops the row

    @property
    def fatal(self) -> bool:
        """Whether the row is dropped."""
        return self.cause is not None

    def add_defect(self, column: str, detail: str, kind: DefectKind = DefectKind.BAD_ROW, fatal: bool = True) -> None:
        """Record a defect of a cell, or of the row if there is no column."""
        text = f"column {column}: {detail}" if column else detail
        self.found.append(
            Defect(kind, self.line, self.cells.get("shot_id", ""), self.cells.get("media", ""), text, False)
        )
        if fatal and self.cause is None:
            self.cause = len(self.found) - 1

    def defects(self) -> list[Defect]:
        """The defects of the row; if it is dropped, exactly one of them has `loses_row` set."""
        return [replace(defect, loses_row=index == self.cause) for index, defect in enumerate(self.found)]


def film_id_of(row: RowCells) -> str:
    """The film of a row."""
    film_id = row.cells.get("film_id", "")
    if not film_id:
        row.add_defect("film_id", "empty; write the name of the film, by which splits are made")
    elif len(film_id.encode()) > LONGEST_NAME or not film_id.isprintable():
        row.add_defect("film_id", f"not one printable line of at most {LONGEST_NAME} bytes")
    return film_id


def medium_path(row: RowCells) -> str:
    """The path of the medium, relative to the films folder."""
    media = PurePosixPath(row.cells.get("media", "").replace("\\", "/"))
    if media == PurePosixPath():
        row.add_defect("media", "empty; name a file in the films folder")
    elif media.is_absolute() or ".." in media.parts or media.parts[0].endswith(":"):
        row.add_defect("media", "leads out of the films folder; give a path relative to it")
    else:
        try:
            if not (row.films / str(media)).is_file():
                row.add_defect("media", _missing(media, row.films), DefectKind.MISSING_MEDIUM)
        except (OSError, ValueError) as error:  # the name is too long or contains a null byte
            row.add_defect("media", f"no name of a file: {error}")
    return str(media)


def _missing(media: PurePosixPath, films: Location) -> str:
    """What is missing, and the file in its folder that has the most similar name."""
    by_case = _files_by_case((films / str(media)).parent)
    name = media.name.casefold()
    nearest = [name] if name in by_case else difflib.get_close_matches(name, by_case, 1, SIMILAR)
    hint = f"; is it {media.with_name(by_case[nearest[0]])}?" if nearest else ""
    return f"no such file in {films}{hint}"


@lru_cache(maxsize=16)
def _files_by_case(folder: Location) -> dict[str, str]:
    """The names of the files in a folder by their lower case; none if there are too many to compare."""
    names = [file.name for file in folder.iterdir() if file.is_file()] if folder.is_dir() else []
    return {name.casefold(): name for name in names} if len(names) <= COMPARED_FILES else {}


def times_of(row: RowCells, columns: Sequence[TimeColumn]) -> dict[TimeRole, tuple[TableTime, ...]]:
    """All forms of the times of a row, by what they give."""
    times: dict[TimeRole, tuple[TableTime, ...]] = {}
    for column in columns:
        if text := row.cells.get(column.key, ""):
            try:
                times[column.role] = (*times.get(column.role, ()), parse_time(column.name, column.unit, text))
            except BadTime as error:
                row.add_defect(error.column, error.detail)
    return times


def labels_of(row: RowCells) -> dict[str, str]:
    """The labels of a row in canonical spelling, by dimension; their provenance and unknown terms are added to it."""
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
        if row.only_sources and (source := row.cells.get(f"{slug}_source", "")) not in row.only_sources:
            row.add_defect(slug, f"{text} is by {source or 'no source'}", DefectKind.OTHER_SOURCE, fatal=False)
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
    if not labels and any(defect.kind is DefectKind.OTHER_SOURCE for defect in row.found) and not row.unknown:
        row.add_defect("", "all its labels are of other sources", DefectKind.OTHER_SOURCE)
    elif not labels and any(name.endswith(KEPT) for name in row.provenance) and not row.unknown:
        row.add_defect("", "all its words are kept, so that there is nothing to ask", DefectKind.NOT_ASKED)
    elif not labels and any(row.cells.get(f"{slug}_status") for slug in slugs()) and not row.unknown:
        row.add_defect("", "no dimension is labelled; correct it on the page of its labels", DefectKind.NO_LABEL)
    elif not any(row.cells.get(slug) for slug in slugs()):
        row.add_defect("", "its columns of labels are empty", DefectKind.NOT_LABELLED)
    elif not labels:
        row.add_defect("", "no label that can be used; a row needs at least one")
    return labels
