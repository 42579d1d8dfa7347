"""Perceptual hashes of all media of a set, computed in parallel: files in a folder, or media in shards with warnings.

Owns the units of work. The hash and its distance are defined in `duplicates.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from data_pipeline.checks.check_media import media_warnings
from data_pipeline.checks.duplicates import picture_hash
from data_pipeline.defects import Flaw
from data_pipeline.labelled_shot import LabelledShot
from data_pipeline.shards.composition import in_card_order
from data_pipeline.workers import Workers, map_units
from lmms_eval_shotbench.media.stills import BrokenMedium
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.runs.audit import split_names
from lmms_eval_shotbench.vocabulary import MediaKind

MEDIA_PER_UNIT = 32
FEW_UNITS = 8  # so few are hashed in the calling process, since workers would take longer to start
Entry = TypeVar("Entry")


class _Files(NamedTuple):
    folder: Path
    media: list[tuple[MediaKind, str]]


class _Rows(NamedTuple):
    folder: Path
    split: str
    media: list[tuple[MediaKind, str]]  # kind, item id


class HashedItem(NamedTuple):
    """A question, its split and the perceptual hash of its medium; empty if the medium cannot be decoded."""

    split: str
    item: QAItem
    media_hash: str
    warnings: tuple[Flaw, ...] = ()  # about the medium


def hash_shots(shots: Sequence[LabelledShot], folder: Path, workers: Workers) -> list[LabelledShot]:
    """The same shots with `perceptual_hash` set; existing hashes are kept."""
    missing = [shot for shot in shots if not shot.perceptual_hash]
    units = [_Files(folder, [(shot.media_kind, shot.media_path) for shot in part]) for part in _units_of_work(missing)]
    results = [value for unit in map_units(_hash_files, units, _needed(workers, units)) for value in unit]
    hashes = {shot.shot_id: value for shot, value in zip(missing, results, strict=True)}
    return [replace(shot, perceptual_hash=hashes.get(shot.shot_id, shot.perceptual_hash)) for shot in shots]


def hash_shards(folder: Path, workers: Workers) -> list[HashedItem]:
    """All questions of all splits of a shard folder; each medium is hashed once."""
    rows = [(split, item) for split in shard_splits(folder) for item in ShardFolder(folder, split).items()]
    first = {(item.media_kind, item.medium): (split, item.item_id) for split, item in reversed(rows)}
    units = [
        _Rows(folder, split, [(kind, item_id) for (kind, _), (_, item_id) in part])
        for split in shard_splits(folder)
        for part in _units_of_work([entry for entry in first.items() if entry[1][0] == split])
    ]
    results = map_units(_hash_rows, units, _needed(workers, units))
    hashes = {
        medium: value
        for unit, values in zip(units, results, strict=True)
        for medium, value in zip(unit.media, values, strict=True)
    }
    return [
        HashedItem(split, item, *hashes[item.media_kind, first[item.media_kind, item.medium][1]])
        for split, item in rows
    ]


def shard_splits(folder: Path) -> list[str]:
    """Names of the splits of a shard folder, in the order of the dataset card."""
    return in_card_order(split_names(folder))


def _needed(workers: Workers, units: Sequence[object]) -> Workers:
    return workers if len(units) > FEW_UNITS else Workers()


def _hash_files(unit: _Files) -> list[str]:
    return [_hash(kind, (unit.folder / name).read_bytes()) for kind, name in unit.media]


def _hash_rows(unit: _Rows) -> list[tuple[str, tuple[Flaw, ...]]]:
    shards = _cached_shard_folder(unit.folder, unit.split)
    media = ((kind, shards.media(item_id)) for kind, item_id in unit.media)
    return [(_hash(kind, encoded), media_warnings(kind, encoded)) for kind, encoded in media]


@lru_cache(maxsize=4)  # a worker gets many units of one split, whose rows are indexed only once
def _cached_shard_folder(folder: Path, split: str) -> ShardFolder:
    return ShardFolder(folder, split)


def _hash(kind: MediaKind, encoded: bytes) -> str:
    """The perceptual hash, or an empty string if the medium is broken."""
    try:
        return picture_hash(kind, encoded)
    except BrokenMedium:
        return ""


def _units_of_work(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    listed = list(entries)
    for start in range(0, len(listed), MEDIA_PER_UNIT):
        yield listed[start : start + MEDIA_PER_UNIT]
