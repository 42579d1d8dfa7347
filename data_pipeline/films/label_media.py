"""The media of films that are labelled, in LABELS/media/FILM, film by film and resumable.

Owns the unit of work, a film or still file, and its folder: media, and `cutting.json` with the facts, the shots and a
fingerprint of what they depend on. It is written atomically; a folder whose fingerprint matches is not cut again.
Cutting is in `cut_shots.py`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data_pipeline.annotations.annotation_table import AnnotatedRange
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.cut_shots import CutShots, cut_shots
from data_pipeline.films.cut_still_file import displayed, prepared_still, still_bytes
from data_pipeline.films.film_facts import content_digest
from data_pipeline.films.film_sources import FilmSource
from data_pipeline.films.frame_progress import CountedFilm, FrameCount, frame_progress
from data_pipeline.films.quality import check_still
from data_pipeline.medium_guard import MediumGuard
from data_pipeline.shards.atomic_folder import atomic_folder, restore_replaced
from data_pipeline.shards.full_disk import disk_full_reported
from data_pipeline.workers import WORKER_DIED, Workers, map_units
from lmms_eval_shotbench.labelling.shot import FilmFacts, FilmShot
from lmms_eval_shotbench.labelling.shot_sheet import MEDIA

CUTTING = "cutting.json"
# Of `CutSettings`: models are shown at most 360 x 640 pixels of a clip, and media of an hour of film fit any disk.
LABEL_DEFAULTS: Mapping[str, Any] = {"clip_longest_side": 640}
RAY_WORTH_BYTES = 50_000_000  # of films to cut; fewer are cut sooner than Ray has started
SHOT_VERSION = 1  # increment it when the same film gives other media; finished films are then cut again


@dataclass(frozen=True)
class LabelUnit:
    """The unit of work: a film or still file.

    `listed` are the times of its shots, None if its cuts are to be detected; `limit` is the maximum number of shots, 0
    for all; `clips` is whether shots get a clip.
    """

    source: FilmSource
    out: Path  # folder of the labels
    settings: CutSettings
    listed: tuple[AnnotatedRange, ...] | None = None
    limit: int = 0
    clips: bool = True

    @property
    def media_path(self) -> str:
        """Folder of the media, relative to that of the labels."""
        return f"{MEDIA}/{self.source.film_id}"

    @property
    def counted(self) -> CountedFilm:
        """Its file, and the file with the number of frames decoded so far."""
        count = self.out / MEDIA / f".{self.source.film_id}.frames"
        return CountedFilm(count, () if self.source.is_still else (self.source.path,))

    def fingerprint(self) -> str:
        """Hash of everything its folder depends on; a replaced file differs in size or modification time."""
        stat = self.source.path.stat()
        inputs = {
            "version": SHOT_VERSION,
            "file": [self.source.film_id, self.source.media, stat.st_size, stat.st_mtime_ns],
            "settings": asdict(self.settings),
            "listed": None if self.listed is None else [asdict(row) for row in self.listed],
            "limit": self.limit,
            **({} if self.clips else {"clips": False}),
        }
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def cut_or_load(unit: LabelUnit) -> CutShots:
    """Cut the shots of a film, or load those of an earlier run; whatever it raises costs only this film."""
    flaws: list[Flaw] = []
    with MediumGuard(flaws.append, "cutting the film", DefectKind.UNREADABLE_FILM):
        out, fingerprint = unit.out / unit.media_path, unit.fingerprint()
        if finished := _finished(unit, fingerprint):
            return finished
        out.parent.mkdir(parents=True, exist_ok=True)
        restore_replaced(out)
        with disk_full_reported(out), atomic_folder(out, overwrite=True) as draft:
            shutil.rmtree(draft.folder)  # of an interrupted run: a film is cut again from its start
            draft.folder.mkdir()
            cut = _cut(unit, draft.folder)
            cut = cut._replace(facts=replace(cut.facts, content=content_digest(unit.source.path)))
            stored = {
                "fingerprint": fingerprint if cut.shots else "",  # without shots, the next run tries again
                "facts": cut.facts.to_row(),
                "shots": [asdict(shot) for shot in cut.shots],
            }
            (draft.folder / CUTTING).write_text(json.dumps(stored) + "\n")
        return cut
    return _lost(unit, flaws[0].detail)


def cut_units(units: Sequence[LabelUnit], workers: Workers) -> list[CutShots]:
    """Cut the shots of all films, or load those that an earlier run has cut; in the order of the films.

    Args:
        units: The films; their folders are absolute paths, since workers may have another working directory.
        workers: What is used if more than one film is waiting, and they are large enough to be worth its start.
    """
    waiting = [unit.source.path.stat().st_size for unit in units if not is_cut(unit)]
    worth_it = len(waiting) > 1 and (sum(waiting) >= RAY_WORTH_BYTES or workers.address)
    cut = []
    with frame_progress("films cut", [unit.counted for unit in units]) as progress:
        for result in map_units(cut_or_load, units, workers if worth_it else Workers(), worker_died):
            progress.finished(result.decoded)
            cut.append(result)
    return cut


def is_cut(unit: LabelUnit) -> bool:
    """Whether the media of a film are complete."""
    try:
        return _finished(unit, unit.fingerprint()) is not None
    except OSError:  # recorded when the film is cut
        return False


def worker_died(unit: LabelUnit) -> CutShots:
    """The result for a film on which every worker died; not stored, so that the next run tries again."""
    return _lost(unit, WORKER_DIED)


def _lost(unit: LabelUnit, defect: str) -> CutShots:
    return CutShots(replace(unit.source.facts, defects=(defect,)), [])


def _finished(unit: LabelUnit, fingerprint: str) -> CutShots | None:
    """The stored result, or None if there is none or it depends on something else."""
    try:
        stored = json.loads((unit.out / unit.media_path / CUTTING).read_text())
    except FileNotFoundError:
        return None
    if stored["fingerprint"] != fingerprint:
        return None
    facts = replace(FilmFacts.from_row(stored["facts"]), path=str(unit.source.path))
    if not facts.content:  # an earlier version cut the film
        facts = replace(facts, content=content_digest(unit.source.path))
    return CutShots(facts, [FilmShot(**row) for row in stored["shots"]])


def _cut(unit: LabelUnit, folder: Path) -> CutShots:
    if not unit.source.is_still:
        with closing(FrameCount(unit.counted.count_file)) as count:
            return cut_shots(
                unit.source,
                folder,
                unit.media_path,
                unit.settings,
                unit.listed,
                unit.limit,
                clips=unit.clips,
                count=count,
            )
    flaws: list[Flaw] = []
    with MediumGuard(flaws.append, "importing the still"):
        return _cut_still(unit, folder)
    return _lost(unit, flaws[0].detail)


def _cut_still(unit: LabelUnit, folder: Path) -> CutShots:
    """A still file as a shot without a clip."""
    source, settings = unit.source, unit.settings
    prepared = prepared_still(source.path, settings)
    if isinstance(prepared, Flaw):
        return _lost(unit, prepared.detail)
    picture = displayed(prepared.picture, settings)
    encoded, suffix = still_bytes(source.path, prepared, picture, settings)
    flaw = check_still(picture, settings)
    (folder / f"{source.film_id}{suffix}").write_bytes(encoded)
    remark = f"{flaw.kind}: {flaw.detail}" if flaw else ""
    shot = FilmShot(source.film_id, source.film_id, 1, f"{unit.media_path}/{source.film_id}{suffix}", remark=remark)
    width, height = prepared.picture.size
    defects = tuple(f"{warning.kind}: {warning.detail}" for warning in prepared.warnings)
    return CutShots(replace(source.facts, frames=1, width=width, height=height, defects=defects), [shot])
