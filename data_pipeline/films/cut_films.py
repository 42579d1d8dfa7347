"""Own film in: a folder of films, trailers and stills plus an annotation table becomes `LabelledShot`s and their media.

Owns the flow over all films, and what makes it resumable. A film, with all its rows, is the unit of work: each gives a
folder `films/NAME` below the work folder, with its media, `shots.jsonl` and `defects.jsonl`, written whole or not at
all. A folder whose fingerprint (files, rows, settings) is still true is not cut again, so that a run that was killed
goes on where it was. Shots come in the order of the table. What happens to one film file is in `cut_film.py`, how
the table is read in `annotations/annotation_table.py`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from data_pipeline.annotations.annotation_table import AnnotatedRange, plain_name, read_annotations
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.films.cut_film import cut_film_file
from data_pipeline.films.cut_result import Cutting, drop_repeated
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.cut_still_file import cut_still_file
from data_pipeline.films.picture_plugins import check_plugins
from data_pipeline.labelled_shot import LabelledShot
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.full_disk import disk_full_reported
from data_pipeline.shards.whole_folder import put_back, whole_folder
from data_pipeline.workers import Workers, map_units

FILMS = "films"  # folder below the work folder
FINGERPRINT, SHOTS, DEFECTS = "fingerprint.txt", "shots.jsonl", "defects.jsonl"
CUTTING_VERSION = 1  # raise it when the same rows give other media; finished films are then cut again


@dataclass(frozen=True)
class FilmUnit:
    """The work on one film: its rows, where its files are, where its folder goes."""

    film_id: str
    rows: tuple[AnnotatedRange, ...]
    films: Path
    work: Path
    settings: CutSettings

    @property
    def folder(self) -> str:
        """Of its media, below the work folder; a film whose name cannot be a folder's gets a mark."""
        name = plain_name(self.film_id)
        mark = "" if name == self.film_id else "-" + hashlib.sha256(self.film_id.encode()).hexdigest()[:8]
        return f"{FILMS}/{name}{mark}"

    def fingerprint(self) -> str:
        """What its folder depends on; a film that was replaced differs in size or time."""
        files = {row.media: (self.films / row.media).stat() for row in self.rows}
        facts = {
            "version": CUTTING_VERSION,
            "files": {name: [stat.st_size, stat.st_mtime_ns] for name, stat in sorted(files.items())},
            "rows": [asdict(row) for row in self.rows],
            "settings": asdict(self.settings),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class CutFilm(NamedTuple):
    """What came of a film: shots with their lines in the table, and defects."""

    shots: list[tuple[int, LabelledShot]]
    defects: list[Defect]


def cut_films(
    table: Path, films: Path, work: Path, settings: CutSettings, workers: Workers, defects: list[Defect]
) -> Iterator[LabelledShot]:
    """Cut all shots of an annotation table; `media_path` is relative to `work`.

    Raises:
        TableRefused: the table as a whole cannot be used.
        PluginUnusable: a model that the settings ask for cannot be loaded.
        FileNotFoundError: there is no films folder.
        WriteRefused: another process cuts into this work folder.
    """
    from tqdm import tqdm

    if not films.is_dir():
        raise FileNotFoundError(f"there is no folder of films {films}")
    check_plugins(settings)
    rows = read_annotations(table, films, defects)
    units = _units(rows, films.resolve(), work.resolve(), settings)  # workers may stand elsewhere
    done: dict[int, list[LabelledShot]] = {}
    lines = iter([row.line for row in rows])
    line = next(lines, None)
    progress = tqdm(total=len(units), desc="films", unit="film", file=sys.stderr, disable=None)
    with progress, only_writer(work / FILMS):
        for unit, result in zip(units, map_units(cut_film, units, workers), strict=True):
            progress.update()
            defects.extend(result.defects)
            done |= {row.line: [] for row in unit.rows}
            for of_line, shot in result.shots:
                done[of_line].append(shot)
            while line in done:
                yield from done.pop(line)
                line = next(lines, None)


def cut_film(unit: FilmUnit) -> CutFilm:
    """Cut one film, or read what an earlier run has cut."""
    out, fingerprint = unit.work / unit.folder, unit.fingerprint()
    if finished := _finished(out, fingerprint):
        return finished
    out.parent.mkdir(parents=True, exist_ok=True)
    put_back(out)
    with disk_full_reported(out), whole_folder(out, overwrite=True) as draft:
        folder = _emptied(draft.folder)
        cut = _cut_media(unit, folder)
        (folder / SHOTS).write_text(_lines({"line": line, "shot": shot.to_row()} for line, shot in cut.shots))
        (folder / DEFECTS).write_text(_lines(defect.to_row() for defect in cut.defects))
        (folder / FINGERPRINT).write_text(fingerprint)
    return cut


def _units(rows: Sequence[AnnotatedRange], films: Path, work: Path, settings: CutSettings) -> list[FilmUnit]:
    """One a film, in the order in which films appear in the table."""
    of_film: dict[str, list[AnnotatedRange]] = {}
    for row in rows:
        of_film.setdefault(row.film_id, []).append(row)
    return [FilmUnit(film_id, tuple(own), films, work, settings) for film_id, own in of_film.items()]


def _cut_media(unit: FilmUnit, folder: Path) -> CutFilm:
    """Cut file after file of a film into a folder."""
    cutting = Cutting(folder, unit.folder, unit.settings)
    of_media: dict[str, list[AnnotatedRange]] = {}
    for row in unit.rows:
        of_media.setdefault(row.media, []).append(row)
    for media, rows in of_media.items():
        if rows[0].is_still_file:
            for row in rows:
                cut_still_file(unit.films / media, row, cutting)
        else:
            cut_film_file(unit.films / media, rows, cutting)
    drop_repeated(cutting)
    return CutFilm(cutting.shots, sorted(cutting.defects, key=lambda defect: defect.line))


def _finished(out: Path, fingerprint: str) -> CutFilm | None:
    """What lies at `out`, if it is what we would write."""
    try:
        if (out / FINGERPRINT).read_text() != fingerprint:
            return None
    except FileNotFoundError:
        return None
    shots = [json.loads(line) for line in (out / SHOTS).read_text().splitlines()]
    defects = [json.loads(line) for line in (out / DEFECTS).read_text().splitlines()]
    return CutFilm(
        [(entry["line"], LabelledShot.from_row(entry["shot"])) for entry in shots],
        [Defect(**{**entry, "kind": DefectKind(entry["kind"])}) for entry in defects],
    )


def _emptied(folder: Path) -> Path:
    """The folder without what a killed run left in it; of a film, nothing less than all is worth keeping."""
    shutil.rmtree(folder)
    folder.mkdir()
    return folder


def _lines(rows: Iterable[Mapping[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
