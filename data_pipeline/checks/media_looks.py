"""How all media of a set look: descriptions found by many workers, of files in a folder or of media in shards.

Owns the units of work. What a description is, and when two are near, is in `duplicates.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from data_pipeline.checks.duplicates import picture_hash
from data_pipeline.labelled_shot import LabelledShot
from data_pipeline.shards.composition import in_order
from data_pipeline.workers import Workers, map_units
from lmms_eval_shotbench.media.stills import BrokenMedium
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.runs.audit import split_names
from lmms_eval_shotbench.vocabulary import MediaKind

MEDIA_A_UNIT = 32
FEW_UNITS = 8  # done here: workers take longer to start
Entry = TypeVar("Entry")


class _Files(NamedTuple):
    folder: Path
    media: list[tuple[MediaKind, str]]


class _Rows(NamedTuple):
    folder: Path
    split: str
    media: list[tuple[MediaKind, str]]  # kind, item id


class LookedAt(NamedTuple):
    """A question with the split it is in and how its medium looks; an empty look: the medium cannot be decoded."""

    split: str
    item: QAItem
    look: str


def look_at_shots(shots: Sequence[LabelledShot], folder: Path, workers: Workers) -> list[LabelledShot]:
    """The same shots, described; those that are already keep their description."""
    blank = [shot for shot in shots if not shot.perceptual_hash]
    units = [_Files(folder, [(shot.media_kind, shot.media_path) for shot in part]) for part in _parts(blank)]
    found = [look for looks in map_units(_look_at_files, units, _needed(workers, units)) for look in looks]
    looks = {shot.shot_id: look for shot, look in zip(blank, found, strict=True)}
    return [replace(shot, perceptual_hash=looks.get(shot.shot_id, shot.perceptual_hash)) for shot in shots]


def look_at_shards(folder: Path, workers: Workers) -> list[LookedAt]:
    """All questions of all splits of a shard folder, each medium described once."""
    rows = [(split, item) for split in shard_splits(folder) for item in ShardFolder(folder, split).items()]
    first = {(item.media_kind, item.medium): (split, item.item_id) for split, item in reversed(rows)}
    units = [
        _Rows(folder, split, [(kind, item_id) for (kind, _), (_, item_id) in part])
        for split in shard_splits(folder)
        for part in _parts([entry for entry in first.items() if entry[1][0] == split])
    ]
    found = map_units(_look_at_rows, units, _needed(workers, units))
    looks = {
        medium: look
        for unit, some in zip(units, found, strict=True)
        for medium, look in zip(unit.media, some, strict=True)
    }
    return [
        LookedAt(split, item, looks[item.media_kind, first[item.media_kind, item.medium][1]]) for split, item in rows
    ]


def shard_splits(folder: Path) -> list[str]:
    """Names of the splits of a shard folder, in their usual order."""
    return in_order(split_names(folder))


def _needed(workers: Workers, units: Sequence[object]) -> Workers:
    return workers if len(units) > FEW_UNITS else Workers()


def _look_at_files(unit: _Files) -> list[str]:
    return [_look(kind, (unit.folder / name).read_bytes()) for kind, name in unit.media]


def _look_at_rows(unit: _Rows) -> list[str]:
    shards = _opened(unit.folder, unit.split)
    return [_look(kind, shards.media(item_id)) for kind, item_id in unit.media]


@lru_cache(maxsize=4)  # a worker gets many units of one split, and must find its rows but once
def _opened(folder: Path, split: str) -> ShardFolder:
    return ShardFolder(folder, split)


def _look(kind: MediaKind, encoded: bytes) -> str:
    try:
        return picture_hash(kind, encoded)
    except BrokenMedium:
        return ""


def _parts(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    every = list(entries)
    for start in range(0, len(every), MEDIA_A_UNIT):
        yield every[start : start + MEDIA_A_UNIT]
