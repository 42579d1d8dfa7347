"""Write questions and their media as a shard folder (`lmms_eval_shotbench/questions/shards.py`), whole or not at all.

Owns the flow, and what at OUT may be replaced. What the items and media are is the caller's affair; they
are taken one at a time and never held beyond a row group. A run that was killed goes on where its last finished file
ends, if it is called again with the same source and settings; the result is the same to the byte.

The parquet files are in `split_writer.py`, which of them are finished in `finished_files.py`, the unfinished folder and
its swap into place in `whole_folder.py`, the lock in `folder_lock.py`, a full disk in `full_disk.py`, the card in
`dataset_card.py`, the list of checksums in `manifest.py`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from data_pipeline.defects import Defect, losses
from data_pipeline.shards import split_writer
from data_pipeline.shards.composition import Composition, Counts, in_order
from data_pipeline.shards.dataset_card import CARD, DEFECTS, About, write_card, write_defects
from data_pipeline.shards.finished_files import DATA, FinishedFiles
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.full_disk import disk_full_reported, require_room
from data_pipeline.shards.manifest import check_place, write_manifest
from data_pipeline.shards.split_writer import SplitWriter
from data_pipeline.shards.whole_folder import Draft, WriteRefused, put_back, set_aside, whole_folder
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import FORMAT_VERSION, MANIFEST

SPLIT_NAME = re.compile(r"\w+")
NO_EXTRA: Mapping[str, str | bytes] = MappingProxyType({})


class ShardRow(NamedTuple):
    """A question, the split it belongs to, and how to get its medium's encoded bytes."""

    split: str
    item: QAItem
    read: Callable[[], bytes]  # called at most once and at once; not at all where an earlier run has written the row

    @classmethod
    def of(cls, split: str, item: QAItem, medium: bytes) -> ShardRow:
        """A row whose medium is in memory already."""
        return cls(split, item, lambda: medium)


class NothingLeft(WriteRefused):
    """Not one row has come; the message says why."""


class WrittenShards(NamedTuple):
    """Outcome of `write_shards`."""

    folder: Path
    counts: Counts
    already_complete: bool


def write_shards(
    rows: Iterable[ShardRow],
    out: Path,
    about: About,
    *,
    splits: Sequence[str],
    overwrite: bool = False,
    defects: Sequence[Defect] = (),
    extra: Mapping[str, str | bytes] = NO_EXTRA,
    expected_bytes: int = 0,
) -> WrittenShards:
    """Write every split's questions and media to `out`.

    Args:
        rows: Rows of all splits, mixed as they come; their order within a split is kept. Read once.
        about: Its fingerprint must change with everything that decides which rows come: source, settings, seed.
        splits: The names of all splits, those without rows as well.
        overwrite: Replace other shards at `out`, once the new ones are complete.
        defects: What was found wrong; looked at after the last row, so the rows' source may still add to it.
        extra: Further small files by name. Looked at after the last row, too.
        expected_bytes: Media in all, where the caller knows: then a disk that is too small is told beforehand.

    Raises:
        NothingLeft: there is no row. Nothing stays.
        WriteRefused: something else is at `out`, or another process writes there. Nothing stays.
        DiskFull: no room. Shards that were at `out` are untouched; the next call with the same fingerprint goes on.
    """
    out, splits = Path(os.path.realpath(out.expanduser())), in_order(splits)
    if bad := [split for split in splits if not SPLIT_NAME.fullmatch(split)]:
        raise ValueError(f"{bad[0]!r} is no name for a split; use letters, digits and _")
    if not overwrite and not set_aside(out).exists() and (finished := finished_manifest(out, about.fingerprint)):
        return WrittenShards(out, finished["counts"], already_complete=True)
    if not out.name or (out.exists() and not out.is_dir()):
        raise WriteRefused(f"{out} is no folder; choose another --out")
    with only_writer(out):
        put_back(out)
        if (finished := finished_manifest(out, about.fingerprint)) and not overwrite:
            return WrittenShards(out, finished["counts"], already_complete=True)
        check_place(out, overwrite)
        with whole_folder(out, overwrite) as draft, _finished_files(out, draft, about, splits) as files:
            to_come = expected_bytes - sum(file.media_bytes for file in files.files)
            require_room(out, to_come)
            composition = _Writing(out, draft.folder, splits, files, to_come).take(rows)
            if not any(composition.counts.values()):
                raise NothingLeft(f"no question is left to write to {out} ({losses(defects)})")
            _ = composition.given_away  # looked for while the last files come to the disk
            with disk_full_reported(out):
                data = files.give_final_names()
                write_defects(draft.folder, defects)
                for name, content in extra.items():
                    _write_extra(draft.folder, name, content)
                write_card(draft.folder, composition, about, defects)
                write_manifest(draft.folder, composition.counts, about.fingerprint, data)
    return WrittenShards(out, composition.counts, already_complete=False)


def finished_manifest(out: Path, fingerprint: str) -> dict[str, Any] | None:
    """The manifest at `out`, if these are complete shards of this source: same version, every file of its size."""
    try:
        manifest: dict[str, Any] = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        same = (manifest["format_version"], manifest["source_fingerprint"]) == (FORMAT_VERSION, fingerprint)
        whole = same and all((out / name).stat().st_size == file["bytes"] for name, file in manifest["files"].items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return manifest if whole else None


def _finished_files(out: Path, draft: Draft, about: About, splits: Sequence[str]) -> FinishedFiles:
    """What an interrupted run has finished, if it had this key in common with the present one."""
    sizes = [split_writer.ROW_GROUP_ROWS, split_writer.ROW_GROUP_BYTES, split_writer.FILE_BYTES]
    fingerprint = about.fingerprint
    key = {"format_version": FORMAT_VERSION, "source_fingerprint": fingerprint, "splits": splits, "sizes": sizes}
    with disk_full_reported(out):
        return FinishedFiles(draft, key)


class _Writing:
    """Rows on their way into the files of their splits."""

    def __init__(self, out: Path, folder: Path, splits: Sequence[str], files: FinishedFiles, to_come: int) -> None:
        self._out, self._to_come, self._composition = out, to_come, Composition(splits)
        self._writers = {split: SplitWriter(folder / DATA, split, files) for split in splits}

    def take(self, rows: Iterable[ShardRow]) -> Composition:
        """Write all rows but those that lie in finished files; returns what they were."""
        try:
            for row in rows:
                if row.split not in self._writers:
                    raise ValueError(f"{row.item.item_id} is of split {row.split!r}, not of {', '.join(self._writers)}")
                self._composition.add(row.split, row.item)
                if not self._writers[row.split].skips(row.item):
                    self._add(row)
            with self._full_disk_told():
                for writer in self._writers.values():
                    writer.close()
        finally:
            for writer in self._writers.values():
                writer.discard()
        return self._composition

    def _add(self, row: ShardRow) -> None:
        medium = row.read()
        with self._full_disk_told():
            self._writers[row.split].add(row.item, medium)

    def _full_disk_told(self) -> AbstractContextManager[None]:
        return disk_full_reported(self._out, self._to_write, self._given_up)

    def _to_write(self) -> int:
        writers = self._writers.values()
        written = sum(writer.finished_bytes for writer in writers)
        return max(self._to_come - written, sum(writer.open_bytes for writer in writers))

    def _given_up(self) -> int:
        return sum(writer.bytes_on_disk for writer in self._writers.values())


def _write_extra(folder: Path, name: str, content: str | bytes) -> None:
    if Path(name).name != name or name in (CARD, DEFECTS, MANIFEST, DATA):
        raise ValueError(f"{name!r} cannot be the name of a further file in a shard folder")
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
