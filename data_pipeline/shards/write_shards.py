"""Write questions and their media atomically as a shard folder (`lmms_eval_shotbench/questions/shards.py`).

Owns the order of the steps and the check whether OUT already holds the requested shards. Calling `write_shards` again
after an interruption, with the same source and settings, resumes after the last finished file, and the result is
byte-identical.

Rows are read and distributed among the splits in `row_writer.py`, Parquet files are written in `split_writer.py`, and
finished files recorded in `finished_files.py`. The draft folder and its renaming are in `atomic_folder.py`, those in
remote storage in `remote_draft.py`, the lock in `folder_lock.py`, disk space in `full_disk.py`, the dataset card in
`dataset_card.py`, checksums and the check whether OUT may be replaced in `manifest.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from data_pipeline.defects import Defect, loss_summary
from data_pipeline.shards import split_writer
from data_pipeline.shards.atomic_folder import Draft, WriteRefused, atomic_folder, replaced_path, restore_replaced
from data_pipeline.shards.composition import Counts, in_card_order
from data_pipeline.shards.dataset_card import CARD, DEFECTS, CardText, write_card, write_defects
from data_pipeline.shards.finished_files import DATA, FinishedFiles, ShardFiles
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.full_disk import disk_full_reported, require_disk_space
from data_pipeline.shards.manifest import check_target, write_manifest
from data_pipeline.shards.remote_draft import remote_draft
from data_pipeline.shards.row_writer import PendingRow, RowWriter
from lmms_eval_shotbench.questions.shards import FORMAT_VERSION, MANIFEST
from lmms_eval_shotbench.remote_path import Location, RemotePath, resolved

SPLIT_NAME = re.compile(r"\w+")
NO_EXTRA: Mapping[str, str | bytes] = MappingProxyType({})


class NothingLeft(WriteRefused):
    """There are no rows to write; the message says why."""


class WrittenShards(NamedTuple):
    """Result of `write_shards`."""

    folder: Location
    counts: Counts
    already_complete: bool


def write_shards(
    rows: Iterable[PendingRow],
    out: Location,
    about: CardText,
    *,
    splits: Sequence[str],
    overwrite: bool = False,
    defects: list[Defect] | None = None,
    extra: Mapping[str, str | bytes] = NO_EXTRA,
    expected_bytes: int = 0,
    read_at_once: int = 1,
) -> WrittenShards:
    """Write the questions and media of all splits to `out`.

    Args:
        rows: Rows of all splits in any order; the order within a split is kept. Iterated once.
        about: Texts of the dataset card, and a fingerprint that must change with everything that determines the rows:
            source, settings, seed.
        splits: The names of all splits, including those without rows.
        overwrite: Replace existing shards at `out` once the new ones are complete.
        defects: Defects of the source. Read after the last row, so that iterating over `rows` may append to it; rows
            whose medium cannot be read are appended here.
        extra: Contents of additional small files by file name; also read after the last row.
        expected_bytes: Total bytes of media if known, to check the free disk space in advance.
        read_at_once: Number of media that are read at the same time; with more than 1, `rows` is iterated ahead of it.

    Raises:
        NothingLeft: there are no rows. Nothing is left behind.
        WriteRefused: `out` holds something else, or another process writes there. Nothing is left behind.
        PushRefused: a remote `out` holds something else, or other shards without `overwrite`.
        DiskFull: not enough disk space. Shards at `out` are untouched; the next call with the same fingerprint resumes.
    """
    out, splits = resolved(out), in_card_order(splits)
    defects = [] if defects is None else defects
    if bad := [split for split in splits if not SPLIT_NAME.fullmatch(split)]:
        raise ValueError(f"{bad[0]!r} is not a valid name for a split; use letters, digits and _")

    def write(draft: Path, files: ShardFiles) -> Counts:
        """Write everything into a draft; `files` has the data files that are finished already."""
        disk = out if isinstance(out, Path) else draft
        remaining = expected_bytes - sum(file.media_bytes for file in files.files)
        if isinstance(out, RemotePath):  # finished files leave the disk
            remaining = min(remaining, split_writer.FILE_BYTES * (len(splits) + 1))
        require_disk_space(disk, remaining)
        writers = RowWriter(disk, draft, splits, files, remaining, defects)
        composition = writers.write(rows, read_at_once)
        if not any(composition.counts.values()):
            raise NothingLeft(f"no question is left to write to {out} ({loss_summary(defects)})")
        _ = composition.audit_markdown  # computed while the last files are written in the background
        with disk_full_reported(disk):
            data = files.give_final_names()
            write_defects(draft, defects)
            for name, content in extra.items():
                _write_extra(draft, name, content)
            write_card(draft, composition, about, defects, data.values())
            write_manifest(draft, composition.counts, about.fingerprint, data, defects)
        return composition.counts

    if isinstance(out, RemotePath):
        if not overwrite and (finished := finished_manifest(out, about.fingerprint)):
            return WrittenShards(out, finished["counts"], already_complete=True)
        with remote_draft(out, overwrite, _key(about, splits)) as (folder, files):
            counts = write(folder, files)
        return WrittenShards(out, counts, already_complete=False)
    if not overwrite and not replaced_path(out).exists() and (finished := finished_manifest(out, about.fingerprint)):
        return WrittenShards(out, finished["counts"], already_complete=True)
    if not out.name or (out.exists() and not out.is_dir()):
        raise WriteRefused(f"{out} is not a folder; choose another --out")
    with only_writer(out):
        restore_replaced(out)
        if (finished := finished_manifest(out, about.fingerprint)) and not overwrite:
            return WrittenShards(out, finished["counts"], already_complete=True)
        check_target(out, overwrite)
        with atomic_folder(out, overwrite) as draft, _finished_files(out, draft, _key(about, splits)) as local_files:
            counts = write(draft.folder, local_files)
    return WrittenShards(out, counts, already_complete=False)


def finished_manifest(out: Location, fingerprint: str) -> dict[str, Any] | None:
    """Return the manifest at `out` if the shards there are complete and of this source, else None.

    Format version, fingerprint and file sizes are compared, not checksums.
    """
    try:
        manifest: dict[str, Any] = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        if (manifest["format_version"], manifest["source_fingerprint"]) != (FORMAT_VERSION, fingerprint):
            return None
        folder = out.listed() if isinstance(out, RemotePath) else out
        complete = all((folder / name).stat().st_size == file["bytes"] for name, file in manifest["files"].items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return manifest if complete else None


def _key(about: CardText, splits: Sequence[str]) -> dict[str, Any]:
    """What finished files depend on: format, source, splits and file sizes."""
    sizes = [split_writer.ROW_GROUP_ROWS, split_writer.ROW_GROUP_BYTES, split_writer.FILE_BYTES]
    return {
        "format_version": FORMAT_VERSION,
        "source_fingerprint": about.fingerprint,
        "splits": splits,
        "sizes": sizes,
    }


def _finished_files(out: Path, draft: Draft, key: Mapping[str, Any]) -> FinishedFiles:
    """Return the files that an interrupted run with the same key finished."""
    with disk_full_reported(out):
        return FinishedFiles(draft, key)


def _write_extra(folder: Path, name: str, content: str | bytes) -> None:
    if Path(name).name != name or name in (CARD, DEFECTS, MANIFEST, DATA):
        raise ValueError(f"{name!r} cannot be the name of an additional file in a shard folder")
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
