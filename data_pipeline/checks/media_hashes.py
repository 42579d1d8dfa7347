"""Perceptual hashes of all media of a set, computed in parallel: files in a folder, or media in shards with warnings.

Owns the units of work. The hash and its distance are defined in `duplicates.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from data_pipeline.checks.check_media import check_stored
from data_pipeline.checks.duplicates import picture_hash
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.labelled_shot import LabelledShot
from data_pipeline.medium_guard import MediumGuard
from data_pipeline.shards.composition import in_card_order
from data_pipeline.workers import WORKER_DIED, Workers, map_units, one_by_one
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.runs.audit import split_names
from lmms_eval_shotbench.vocabulary import MediaKind

MEDIA_PER_UNIT = 32
FEW_UNITS = 8  # so few are hashed in the calling process, since workers would take longer to start
Entry = TypeVar("Entry")
Result = TypeVar("Result")


class _File(NamedTuple):
    folder: Path
    kind: MediaKind
    name: str


class ShardMedium(NamedTuple):
    """A medium in a shard folder."""

    folder: Path
    split: str
    kind: MediaKind
    item_id: str  # of a question about it

    def encoded(self) -> bytes:
        """Read the bytes of the still or clip."""
        return _cached_shard_folder(self.folder, self.split).media(self.item_id)


class _Hashed(NamedTuple):
    media_hash: str
    warnings: tuple[Flaw, ...] = ()
    flaw: Flaw | None = None


class HashedItem(NamedTuple):
    """A question, its split and the perceptual hash of its medium; empty if the medium cannot be decoded."""

    split: str
    item: QAItem
    media_hash: str
    warnings: tuple[Flaw, ...] = ()  # about the medium
    flaw: Flaw | None = None  # why the evaluation or `datasets` cannot read the medium


def hash_shots(shots: Sequence[LabelledShot], folder: Path, workers: Workers) -> list[LabelledShot]:
    """The same shots with `perceptual_hash` set; existing hashes are kept."""
    missing = [shot for shot in shots if not shot.perceptual_hash]
    units = list(_units_of_work(_File(folder, shot.media_kind, shot.media_path) for shot in missing))
    needed = _needed(workers, units)
    results = map_units(_hash_files, units, needed, one_by_one(_hash_files, needed, _lost))
    values = [hashed.media_hash for unit in results for hashed in unit]
    hashes = {shot.shot_id: value for shot, value in zip(missing, values, strict=True)}
    return [replace(shot, perceptual_hash=hashes.get(shot.shot_id, shot.perceptual_hash)) for shot in shots]


def hash_shards(folder: Path, workers: Workers) -> list[HashedItem]:
    """All questions of all splits of a shard folder; each medium is hashed once."""
    return [HashedItem(split, item, *hashed) for split, item, hashed in map_media(folder, _hash_rows, _lost, workers)]


def map_media(
    folder: Path,
    work: Callable[[list[ShardMedium]], list[Result]],
    died: Callable[[ShardMedium], Result],
    workers: Workers,
) -> list[tuple[str, QAItem, Result]]:
    """Return all questions of all splits of a shard folder, each with its split and the result about its medium.

    Args:
        work: Work on a list of media, each of which occurs once in the folder; returns one result for each.
        died: Returns the result of a medium on which every worker died.
    """
    rows = [(split, item) for split in shard_splits(folder) for item in ShardFolder(folder, split).items()]
    first = {(item.media_kind, item.medium): (split, item.item_id) for split, item in reversed(rows)}
    wanted = {medium: ShardMedium(folder, split, medium[0], item_id) for medium, (split, item_id) in first.items()}
    units = [
        unit
        for split in shard_splits(folder)
        for unit in _units_of_work([row for row in wanted.values() if row.split == split])
    ]
    needed = _needed(workers, units)
    results = map_units(work, units, needed, one_by_one(work, needed, died))
    of_medium = {
        row: result
        for unit, values in zip(units, results, strict=True)
        for row, result in zip(unit, values, strict=True)
    }
    return [(split, item, of_medium[wanted[item.media_kind, item.medium]]) for split, item in rows]


def shard_splits(folder: Path) -> list[str]:
    """Names of the splits of a shard folder, in the order of the dataset card."""
    return in_card_order(split_names(folder))


def _needed(workers: Workers, units: Sequence[object]) -> Workers:
    return workers if len(units) > FEW_UNITS else Workers()


def _hash_files(unit: Sequence[_File]) -> list[_Hashed]:
    return [_hash_file(file) for file in unit]


def _hash_file(file: _File) -> _Hashed:
    flaws: list[Flaw] = []
    with MediumGuard(flaws.append, "hashing it"):
        return _Hashed(picture_hash(file.kind, (file.folder / file.name).read_bytes()))
    return _Hashed("", (), flaws[0])


def _hash_rows(unit: Sequence[ShardMedium]) -> list[_Hashed]:
    return [_hash_row(row) for row in unit]


def _hash_row(row: ShardMedium) -> _Hashed:
    flaws: list[Flaw] = []
    media_hash, warnings = "", tuple[Flaw, ...]()
    with MediumGuard(flaws.append, "reading it") as guard:
        encoded = row.encoded()
        guard.stage = "hashing it"
        media_hash = picture_hash(row.kind, encoded)
        guard.stage = "checking it"
        flaw, warnings, _ = check_stored(row.kind, encoded)
        flaws += [flaw] if flaw else []
    return _Hashed(media_hash, warnings, flaws[0] if flaws else None)


def _lost(medium: object) -> _Hashed:
    return _Hashed("", (), Flaw(DefectKind.UNDECODABLE_MEDIUM, WORKER_DIED))


@lru_cache(maxsize=4)  # a worker gets many units of one split, whose rows are indexed only once
def _cached_shard_folder(folder: Path, split: str) -> ShardFolder:
    return ShardFolder(folder, split)


def _units_of_work(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    listed = list(entries)
    for start in range(0, len(listed), MEDIA_PER_UNIT):
        yield listed[start : start + MEDIA_PER_UNIT]
