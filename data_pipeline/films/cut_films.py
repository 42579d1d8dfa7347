"""A folder of films, trailers and stills plus an annotation table becomes `LabelledShot`s and their media.

Owns the loop over films and its resumption. The unit of work is a film with all its rows: it yields a folder
`films/NAME` below the work folder, with media, `shots.jsonl` and `defects.jsonl`, written atomically. A folder whose
fingerprint (files, rows, settings) still matches is not cut again, so an interrupted run resumes. In a remote work
folder it is one object, see `film_archive.py`, which concurrent runs may overwrite with the same. Shots come in the
order of the table. One film file is cut in `cut_film.py`; the table is parsed in `annotations/annotation_table.py`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from data_pipeline.annotations.annotation_table import (
    PLAIN,
    AnnotatedRange,
    TableOptions,
    plain_name,
    read_annotations,
)
from data_pipeline.defects import Defect, DefectKind, Flaw
from data_pipeline.films.cut_film import cut_film_file
from data_pipeline.films.cut_result import Cutting, drop_duplicate_shots
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.cut_still_file import cut_still_file
from data_pipeline.films.detectors import check_detector
from data_pipeline.films.film_archive import SUFFIX, ArchiveEntry, FilmArchives, archive_entries, write_archive
from data_pipeline.films.film_frames import thinned
from data_pipeline.films.frame_progress import CountedFilm, FrameCount, frame_progress
from data_pipeline.films.media_ids import check_one_id_per_medium
from data_pipeline.films.picture_plugins import check_plugins
from data_pipeline.labelled_shot import LabelledShot
from data_pipeline.medium_guard import MediumGuard
from data_pipeline.row_account import TableRow
from data_pipeline.shards.atomic_folder import atomic_folder, restore_replaced
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.full_disk import disk_full_reported
from data_pipeline.workers import WORKER_DIED, Workers, map_units
from lmms_eval_shotbench.remote_path import Location, RemotePath

FILMS = "films"  # folder below the work folder
FINGERPRINT, SHOTS, DEFECTS = "fingerprint.txt", "shots.jsonl", "defects.jsonl"
FRAMES = "frames.json"
RECORDS = (SHOTS, DEFECTS, FRAMES, FINGERPRINT)
CUTTING_VERSION = 5  # increment it when the same rows give different media; finished films are then cut again


@dataclass(frozen=True)
class FilmUnit:
    """The unit of work: one film with its rows, the films folder and the work folder."""

    film_id: str
    rows: tuple[AnnotatedRange, ...]
    films: Location
    work: Location
    settings: CutSettings

    @property
    def folder(self) -> str:
        """Media folder relative to the work folder; a hash is appended if the film id is not a valid folder name."""
        name = plain_name(self.film_id)
        suffix = "" if name == self.film_id else "-" + hashlib.sha256(self.film_id.encode()).hexdigest()[:8]
        return f"{FILMS}/{name}{suffix}"

    @property
    def counted(self) -> CountedFilm:
        """Its film files, and the file with the number of frames decoded so far; in remote storage there is none."""
        out = self.work / self.folder
        media = dict.fromkeys(row.media for row in self.rows if not row.is_still_file)
        count_file = out.with_name(f".{out.name}.frames") if isinstance(out, Path) else None
        return CountedFilm(count_file, [self.films / one for one in media])

    def fingerprint(self) -> str:
        """Hash of everything its folder depends on; a replaced film differs in size or modification time."""
        files = {row.media: (self.films / row.media).stat() for row in self.rows}
        inputs = {
            "version": CUTTING_VERSION,
            "files": {name: [stat.st_size, stat.st_mtime_ns] for name, stat in sorted(files.items())},
            "rows": [asdict(row) for row in self.rows],
            "settings": asdict(self.settings),
        }
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


class CutFilm(NamedTuple):
    """Result for one film: shots, defects, hashes of frames spread over it, and the number of frames decoded now."""

    shots: list[LabelledShot]
    defects: list[Defect]
    frames: list[str]
    decoded: int = 0
    stored: Mapping[str, ArchiveEntry] | None = None  # where its media are, if they are in an archive


def cut_films(
    table: Location,
    films: Location,
    work: Location,
    settings: CutSettings,
    workers: Workers,
    defects: list[Defect],
    options: TableOptions = PLAIN,
    *,
    frames: dict[str, list[str]] | None = None,
    listed: list[TableRow] | None = None,
    trust_ids: bool = False,
    archives: FilmArchives | None = None,
) -> Iterator[LabelledShot]:
    """Cut all shots of an annotation table; `media_path` is relative to `work`.

    Args:
        frames: Receives the perceptual hashes of frames spread over each film, by film id.
        listed: Receives all rows of the table.
        trust_ids: Accept a file that is listed under several film ids.
        archives: Receives where the media are, if `work` is remote.

    Raises:
        TableRefused: the table cannot be used at all, or a file has several film ids.
        PluginUnusable: a model named in the settings cannot be loaded.
        FileNotFoundError: the films folder does not exist.
        WriteRefused: another process writes to this work folder.
    """
    if not films.is_dir():
        raise FileNotFoundError(f"the films folder {films} does not exist")
    check_plugins(settings)
    check_detector(settings)
    rows = read_annotations(table, films, defects, options, listed)
    if not trust_ids:
        check_one_id_per_medium(rows, films)
    units = units_of(rows, films.resolve(), work.resolve(), settings)  # workers may have another working directory
    done: dict[int, list[LabelledShot]] = {}
    lines = iter([row.line for row in rows])
    line = next(lines, None)
    with _only_writer(work), frame_progress("films", [unit.counted for unit in units]) as progress:
        for unit, result in zip(units, map_units(cut_film, units, workers, worker_died), strict=True):
            progress.finished(result.decoded)
            defects.extend(result.defects)
            if frames is not None:
                frames[unit.film_id] = result.frames
            if archives is not None and result.stored:
                archives.add(unit.folder, result.stored)
            done |= {row.line: [] for row in unit.rows}
            for shot in result.shots:
                done[shot.line].append(shot)
            while line in done:
                yield from done.pop(line)
                line = next(lines, None)


def _only_writer(work: Location) -> AbstractContextManager[None]:
    """The lock of a work folder; remote storage has none."""
    return only_writer(work / FILMS) if isinstance(work, Path) else nullcontext()


def cut_film(unit: FilmUnit) -> CutFilm:
    """Cut one film, or load the result of an earlier run; whatever it raises loses its rows only."""
    flaws: list[Flaw] = []
    with MediumGuard(flaws.append, "cutting the film", DefectKind.UNREADABLE_FILM):
        return _cut_or_load(unit)
    return _all_lost(unit, flaws[0])


def _all_lost(unit: FilmUnit, flaw: Flaw) -> CutFilm:
    """All rows of a film as defects; not stored, so that the next run tries again."""
    lost = [Defect(flaw.kind, row.line, row.shot_id, row.media, flaw.detail, True) for row in unit.rows]
    return CutFilm([], lost, [])


def worker_died(unit: FilmUnit) -> CutFilm:
    """The result for a film on which every worker died."""
    return _all_lost(unit, Flaw(DefectKind.UNREADABLE_FILM, WORKER_DIED))


def _cut_or_load(unit: FilmUnit) -> CutFilm:
    fingerprint = unit.fingerprint()
    if isinstance(unit.work, RemotePath):
        return _cut_or_load_archive(unit, unit.work / f"{unit.folder}{SUFFIX}", fingerprint)
    out = unit.work / unit.folder
    if finished := _finished(out, fingerprint):
        return finished
    out.parent.mkdir(parents=True, exist_ok=True)
    restore_replaced(out)
    with disk_full_reported(out), atomic_folder(out, overwrite=True) as draft:
        folder = _emptied(draft.folder)
        return _cut_recorded(unit, folder, fingerprint)


def _cut_or_load_archive(unit: FilmUnit, target: RemotePath, fingerprint: str) -> CutFilm:
    try:
        with target.open("rb") as file, zipfile.ZipFile(file) as archive:
            if finished := _finished(zipfile.Path(archive), fingerprint):
                return finished._replace(stored=archive_entries(archive, RECORDS))
    except (FileNotFoundError, zipfile.BadZipFile):
        pass
    with tempfile.TemporaryDirectory(prefix="shotbench-cut-") as name, disk_full_reported(Path(name)):
        cut = _cut_recorded(unit, Path(name), fingerprint)
        return cut._replace(stored=write_archive(Path(name), target, RECORDS))


def _cut_recorded(unit: FilmUnit, folder: Path, fingerprint: str) -> CutFilm:
    """Cut a film into a folder, with the records by which `_finished` recognizes and loads it."""
    cut = _cut_media(unit, folder)
    (folder / SHOTS).write_text(_json_lines(shot.to_row() for shot in cut.shots))
    (folder / DEFECTS).write_text(_json_lines(defect.to_row() for defect in cut.defects))
    (folder / FRAMES).write_text(json.dumps(cut.frames))
    (folder / FINGERPRINT).write_text(fingerprint)
    return cut


def units_of(rows: Sequence[AnnotatedRange], films: Location, work: Location, settings: CutSettings) -> list[FilmUnit]:
    """One unit per film, in the order in which films appear in the table."""
    by_film: dict[str, list[AnnotatedRange]] = {}
    for row in rows:
        by_film.setdefault(row.film_id, []).append(row)
    return [FilmUnit(film_id, tuple(own), films, work, settings) for film_id, own in by_film.items()]


def _cut_media(unit: FilmUnit, folder: Path) -> CutFilm:
    """Cut all files of a film, one after the other, into a folder."""
    cutting = Cutting(folder, unit.folder, unit.settings, FrameCount(unit.counted.count_file))
    with closing(cutting.count):
        for media, rows in rows_by_medium(unit.rows).items():
            if rows[0].is_still_file:
                for row in rows:
                    with MediumGuard(partial(cutting.lose, row), "importing the still"):
                        cut_still_file(unit.films / media, row, cutting)
            else:
                cut_film_file(unit.films / media, rows, cutting)
    drop_duplicate_shots(cutting)
    kept = {Path(shot.media_path).name for shot in cutting.shots}
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink()
    defects = sorted(cutting.defects, key=lambda defect: defect.line)
    return CutFilm(cutting.shots, defects, thinned(cutting.frames), cutting.count.frames)


def rows_by_medium(rows: Sequence[AnnotatedRange]) -> dict[str, list[AnnotatedRange]]:
    """The rows of a film by the file that they are about."""
    by_file: dict[str, list[AnnotatedRange]] = {}
    for row in rows:
        by_file.setdefault(row.media, []).append(row)
    return by_file


def _finished(out: Path | zipfile.Path, fingerprint: str) -> CutFilm | None:
    """The result stored at `out`, or None if it is missing or has another fingerprint."""
    try:
        if (out / FINGERPRINT).read_text() != fingerprint:
            return None
    except FileNotFoundError:
        return None
    shots = [json.loads(line) for line in (out / SHOTS).read_text().splitlines()]
    defects = [json.loads(line) for line in (out / DEFECTS).read_text().splitlines()]
    return CutFilm(
        [LabelledShot.from_row(entry) for entry in shots],
        [Defect(**{**entry, "kind": DefectKind(entry["kind"])}) for entry in defects],
        json.loads((out / FRAMES).read_text()),
    )


def _emptied(folder: Path) -> Path:
    """Empty the draft of an interrupted run: a partly cut film is not resumed, but cut again from the start."""
    shutil.rmtree(folder)
    folder.mkdir()
    return folder


def _json_lines(rows: Iterable[Mapping[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
