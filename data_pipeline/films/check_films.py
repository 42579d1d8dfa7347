"""Check an annotation table against its films, without cutting: `shotbench data films --check`.

Owns the order: the table is parsed, then every medium that it lists is opened and the times of its rows are compared
with it. Only cutting shows whether a range crosses a cut and whether the picture is good enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_pipeline.annotations.annotation_table import PLAIN, AnnotatedRange, TableOptions, read_annotations
from data_pipeline.checks.same_films import similar_ids
from data_pipeline.defects import Defect, DefectKind, Flaw
from data_pipeline.films.cut_film import film_warnings, judge_colours
from data_pipeline.films.cut_films import FilmUnit, rows_by_medium, units_of, worker_died
from data_pipeline.films.cut_plan import frame_request_of
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.cut_still_file import prepared_still
from data_pipeline.films.film_probe import Film, probe_film
from data_pipeline.films.media_ids import check_one_id_per_medium
from data_pipeline.medium_guard import MediumGuard
from data_pipeline.row_account import TableRow
from data_pipeline.workers import Workers, map_units
from lmms_eval_shotbench.progress import progress_bar
from lmms_eval_shotbench.remote_path import Location, RemotePath

# Rows that their table or the request leaves out.
ON_PURPOSE = (DefectKind.NO_LABEL, DefectKind.NOT_LABELLED, DefectKind.OTHER_SOURCE)


class CheckedTable(NamedTuple):
    """How many rows a table has, and how many of them can be cut as far as known without cutting."""

    rows: int
    usable: int
    faulty: int  # of the others, those that are not left out on purpose

    @property
    def lost(self) -> int:
        """The other rows, each of which has a defect that loses it."""
        return self.rows - self.usable


def check_films(
    table: Location,
    films: Location,
    settings: CutSettings,
    workers: Workers,
    defects: list[Defect],
    options: TableOptions = PLAIN,
    *,
    listed: list[TableRow] | None = None,
    trust_ids: bool = False,
) -> CheckedTable:
    """Check all rows of a table; all defects are appended to `defects`.

    Args:
        listed: Receives all rows of the table.
        trust_ids: Accept a file that is listed under several film ids, and ids that differ only in spelling.

    Raises:
        TableRefused: the table cannot be used at all, or a file has several film ids.
        FileNotFoundError: the films folder does not exist.
    """
    if not films.is_dir():
        raise FileNotFoundError(f"the films folder {films} does not exist")
    films = films.listed() if isinstance(films, RemotePath) else films
    rows = read_annotations(table, films, defects, options, listed)
    units = units_of(rows, films.resolve(), Path(), settings)
    with progress_bar("films", len(units), "film") as progress:
        for found in map_units(check_film, units, workers, lambda unit: worker_died(unit).defects):
            progress.update()
            defects += found
    if not trust_ids:
        defects += [same.defect() for same in similar_ids(row.film_id for row in rows)]
        check_one_id_per_medium(rows, films)
    lost = {defect.line: defect.kind for defect in defects if defect.loses_row}
    faulty = sum(kind not in ON_PURPOSE for kind in lost.values())
    return CheckedTable(len({row.line for row in rows} | set(lost)), sum(row.line not in lost for row in rows), faulty)


def check_film(unit: FilmUnit) -> list[Defect]:
    """Defects of one film: one for each row that cannot be cut, and the warnings about the others."""
    found: list[Defect] = []
    for media, rows in rows_by_medium(unit.rows).items():
        path, is_still, failures = unit.films / media, rows[0].is_still_file, list[Flaw]()
        checked = CheckedRows([None] * len(rows))
        kind = DefectKind.UNDECODABLE_MEDIUM if is_still else DefectKind.UNREADABLE_FILM
        with MediumGuard(failures.append, "opening it", kind):
            checked = (_checked_still if is_still else _checked_film)(path, rows, unit.settings)
        flaws = [failures[0]] * len(rows) if failures else checked.flaws
        for row, flaw in zip(rows, flaws, strict=True):
            for defect in [flaw] if flaw else checked.warnings:
                found.append(Defect(defect.kind, row.line, row.shot_id, row.media, defect.detail, bool(flaw)))
    return found


class CheckedRows(NamedTuple):
    """The flaw of each row of a medium, or None, and the warnings about all rows without one."""

    flaws: list[Flaw | None]
    warnings: Sequence[Flaw] = ()


def _checked_still(path: Location, rows: Sequence[AnnotatedRange], settings: CutSettings) -> CheckedRows:
    prepared = prepared_still(path, settings)
    if isinstance(prepared, Flaw):
        return CheckedRows([prepared] * len(rows))
    return CheckedRows([None] * len(rows), prepared.warnings)


def _checked_film(path: Location, rows: Sequence[AnnotatedRange], settings: CutSettings) -> CheckedRows:
    film = probe_film(path)
    flaws = [judge_colours(film, settings) or _row_flaw(row, film, settings) for row in rows]
    return CheckedRows(flaws, film_warnings(film))


def _row_flaw(row: AnnotatedRange, film: Film, settings: CutSettings) -> Flaw | None:
    request = frame_request_of(row, film, settings)
    return request if isinstance(request, Flaw) else None
