"""Write questions and their media as a shard folder (layout: `lmms_eval_shotbench/shards.py`), whole or not at all.

Owns the parquet files, bounded in rows and bytes, the manifest, and what at OUT may be replaced. What the items and
media are is the caller's affair; they are taken one at a time and never held beyond a row group. The card is in
`dataset_card.py`, the unfinished folder and its swap into place in `whole_folder.py`.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from data_pipeline.dataset_card import CARD, DEFECTS, About, Counts, write_card, write_defects
from data_pipeline.defects import Defect
from data_pipeline.whole_folder import WriteRefused, clear_abandoned, whole_folder
from lmms_eval_shotbench.qa_item import COLUMNS, QAItem
from lmms_eval_shotbench.shards import MANIFEST, MEDIA_COLUMNS, file_sha256, shard_features
from lmms_eval_shotbench.vocabulary import DIMENSIONS

if TYPE_CHECKING:
    import pyarrow.parquet as parquet

FORMAT_VERSION = 1
ROW_GROUP_ROWS = 64
ROW_GROUP_BYTES = 8_000_000  # of media; what a reader must take to get at one of them
FILE_BYTES = 400_000_000  # of media; the Hub shows and resumes files of this size well


class WrittenShards(NamedTuple):
    """Outcome of `write_shards`."""

    folder: Path
    counts: Counts
    already_complete: bool


def write_shards(
    splits: Mapping[str, Iterable[tuple[QAItem, bytes]]],
    out: Path,
    about: About,
    *,
    overwrite: bool = False,
    defects: Sequence[Defect] = (),
) -> WrittenShards:
    """Write every split's questions and media to `out`.

    Args:
        splits: For each split, its questions with their encoded media; read once, in order.
        overwrite: Replace other shards at `out`, once the new ones are complete.
        defects: What was found wrong; looked at after the last row, so the rows' source may still add to it.

    Raises:
        WriteRefused: something else is at `out`, or there is no row. Nothing is left behind.
    """
    out = Path(os.path.realpath(out.expanduser()))
    clear_abandoned(out)
    if (finished := finished_manifest(out, about.fingerprint)) and not overwrite:
        return WrittenShards(out, finished["counts"], already_complete=True)
    _check_place(out, overwrite)
    with whole_folder(out, overwrite) as folder:
        (folder / "data").mkdir()
        counts = {split: _write_split(folder / "data", split, rows) for split, rows in splits.items()}
        if not any(counts.values()):
            raise WriteRefused(f"no question is left to write to {out}; look at the defects of the source")
        write_defects(folder, defects)
        write_card(folder, counts, about, defects)
        _write_manifest(folder, counts, about.fingerprint)
    return WrittenShards(out, counts, already_complete=False)


def finished_manifest(out: Path, fingerprint: str) -> dict[str, Any] | None:
    """The manifest at `out`, if these are complete shards of this source: same version, every file of its size."""
    try:
        manifest: dict[str, Any] = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        same = (manifest["format_version"], manifest["source_fingerprint"]) == (FORMAT_VERSION, fingerprint)
        whole = same and all((out / name).stat().st_size == file["bytes"] for name, file in manifest["files"].items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return manifest if whole else None


def _check_place(out: Path, overwrite: bool) -> None:
    """Refuse a place that holds anything but shards: not even `overwrite` may delete what no import has written."""
    if not out.name or (out.exists() and not out.is_dir()):
        raise WriteRefused(f"{out} is no folder; choose another --out")
    if not out.exists() or not any(out.iterdir()):
        return
    strangers = sorted({path.name for path in out.iterdir()} - {CARD, DEFECTS, MANIFEST, "data"})
    strangers += sorted(path.name for path in (out / "data").glob("*") if path.suffix != ".parquet")
    if strangers:
        raise WriteRefused(f"{out} holds {strangers[0]!r}, which is no part of a shard folder; choose another --out")
    if not overwrite:
        raise WriteRefused(f"{out} holds shards of another source, or broken ones; choose another --out or --overwrite")


def _write_split(folder: Path, split: str, rows: Iterable[tuple[QAItem, bytes]]) -> dict[str, int]:
    """Write one split's files and return its rows by dimension."""
    counts: Counter[str] = Counter()
    writer = _SplitWriter(folder, split)
    try:
        for item, media in rows:
            writer.add(item, media)
            counts[item.dimension] += 1
    finally:
        writer.close()
    for number, path in enumerate(writer.paths):
        path.rename(folder / f"{split}-{number:05d}-of-{len(writer.paths):05d}.parquet")
    return {dimension.slug: counts[dimension.slug] for dimension in DIMENSIONS if counts[dimension.slug]}


class _SplitWriter:
    """Parquet files of one split. Media are left as they are: they are compressed already."""

    def __init__(self, folder: Path, split: str) -> None:
        self.paths: list[Path] = []
        self._folder, self._split, self._schema = folder, split, shard_features().arrow_schema
        self._file: parquet.ParquetWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self._group_bytes = self._file_bytes = 0

    def add(self, item: QAItem, media: bytes) -> None:
        """Take one row; write the row group it fills, and begin a new file where one is full."""
        self._rows.append(item.to_row() | {MEDIA_COLUMNS[item.media_kind]: {"bytes": media, "path": item.media_path}})
        self._group_bytes += len(media)
        if len(self._rows) >= ROW_GROUP_ROWS or self._group_bytes >= ROW_GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        """Write what is left; a split without rows still gets its file, so that it can be read as empty."""
        if self._rows or not self.paths:
            self._write_group()
        self._close_file()

    def _write_group(self) -> None:
        import pyarrow

        if self._file is None:
            self._file = self._open_file()
        table = pyarrow.Table.from_pylist(self._rows, schema=self._schema)
        self._file.write_table(table, row_group_size=ROW_GROUP_ROWS)
        self._file_bytes += self._group_bytes
        self._rows, self._group_bytes = [], 0
        if self._file_bytes >= FILE_BYTES:
            self._close_file()

    def _open_file(self) -> parquet.ParquetWriter:
        import pyarrow.parquet as parquet

        self.paths.append(self._folder / f"{self._split}-{len(self.paths):05d}.parquet")
        small = [*COLUMNS, "options.list.element"]
        return parquet.ParquetWriter(
            self.paths[-1],
            self._schema,
            compression=dict.fromkeys(small, "zstd"),  # columns that are not named stay uncompressed
            use_dictionary=small,
            write_statistics=list(COLUMNS),
        )

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._file_bytes = None, 0


def _write_manifest(folder: Path, counts: Counts, fingerprint: str) -> None:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {
        "format_version": FORMAT_VERSION,
        "source_fingerprint": fingerprint,
        "counts": counts,
        "files": {
            path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
            for path in paths
        },
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
