"""Shard folders: questions with their media embedded, as plain Hugging Face datasets.

    SHARDS/
      README.md                         dataset card; its YAML lists the splits and column types
      data/test-00000-of-00003.parquet  columns of `QAItem` plus `image` or `video` ({bytes, path}; the other is null)
      manifest.json                     written last; a folder without it is incomplete

Defines the layout and reads it; `data_pipeline` writes it. Questions are read without touching the media columns. A
medium is read by the id of its item, one small row group at a time, so memory stays bounded for any access order.
Media are decoded elsewhere: see `media/stills.py`.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from lmms_eval_shotbench.atomic_file import atomic_path, write_atomic
from lmms_eval_shotbench.environment import DATA_VARIABLE, cache_folder
from lmms_eval_shotbench.error_text import first_line
from lmms_eval_shotbench.file_lock import held_lock
from lmms_eval_shotbench.progress import with_progress
from lmms_eval_shotbench.qa_item import COLUMNS, QAItem
from lmms_eval_shotbench.remote_path import Location, RemotePath, location
from lmms_eval_shotbench.vocabulary import MediaKind

if TYPE_CHECKING:
    import datasets

MEDIA_COLUMNS: dict[MediaKind, str] = {MediaKind.STILL: "image", MediaKind.CLIP: "video"}
MANIFEST = "manifest.json"
FORMAT_VERSION = 3  # of a shard folder; 2 added the column `reasoning`, 3 BLAKE3 checksums in the manifest
ROW_GROUP_CACHE_SIZE = 4  # row groups of media in the LRU cache, a few MB each


class DatasetNotFound(FileNotFoundError):
    """There are no questions at the given location; the message states how to obtain them."""


def shard_features() -> datasets.Features:
    """Column types of a shard, as the Hub viewer and `datasets.load_dataset` need them."""
    import datasets

    text = datasets.Value("string")
    typed: dict[str, Any] = dict.fromkeys(COLUMNS, text)
    typed["options"] = datasets.List(text)
    typed["source_index"] = datasets.Value("int64")
    typed["start_seconds"] = typed["end_seconds"] = datasets.Value("float64")
    return datasets.Features(typed | {"image": datasets.Image(), "video": datasets.Video()})


def locate_shards(name: str) -> Path:
    """Resolve a folder, an address or a Hub id to a local, complete shard folder.

    Raises:
        DatasetNotFound: there are no shards, or none that this version reads; the message has the next step.
        StorageFailed: the address cannot be read.
    """
    given = location(name)
    folder = _copy_from(given) if isinstance(given, RemotePath) else given.expanduser()
    if not folder.is_dir():
        folder = _download_shards(name)
    if not (folder / MANIFEST).is_file() or not list((folder / "data").glob("*.parquet")):
        raise DatasetNotFound(
            f"{name} holds no shards (no {MANIFEST} beside data/*.parquet). If it is the official release, import it "
            f"once: shotbench data import-shotbench {name} --out SHARDS"
        )
    _require_our_format(folder)
    return folder


def _copy_from(address: RemotePath) -> Path:
    """Copy shards to the cache, or find the copy; files that an interrupted run copied are kept.

    Media are read in any order and many times, for which object stores are too slow. Of several processes, such as the
    ranks of a node, one copies and the others wait.
    """
    try:
        manifest = (address / MANIFEST).read_bytes()
        files = {name: int(file["bytes"]) for name, file in json.loads(manifest)["files"].items()}
    except (FileNotFoundError, ValueError, LookupError, TypeError) as error:
        raise DatasetNotFound(f"{address} holds no complete shards: {error}") from None
    folder = cache_folder("shards") / hashlib.sha256(manifest).hexdigest()[:16]
    for name in files:
        if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
            raise DatasetNotFound(f"{address / MANIFEST} lists {name!r}, which is not in the folder; write them again")
    with held_lock(folder.with_name(f".{folder.name}.lock")):
        if missing := [name for name, size in sorted(files.items()) if not _has_size(folder / name, size)]:
            for name in with_progress(missing, "copy", len(missing), "file"):
                with atomic_path(folder / name) as draft:
                    (address / name).download(draft)
                    if not _has_size(draft, files[name]):
                        raise DatasetNotFound(
                            f"{address / name} has {draft.stat().st_size} bytes instead of {files[name]}: the shards "
                            "were replaced or are damaged; run the same command again, or write them again"
                        )
        write_atomic(folder / MANIFEST, manifest)
    return folder


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _require_our_format(folder: Path) -> None:
    """Raise `DatasetNotFound` if the shards have another format version."""
    try:
        version = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["format_version"]
    except (ValueError, LookupError, TypeError):
        version = "unknown"
    if version == FORMAT_VERSION:
        return
    step = "install a newer lmms-eval-shotbench"
    if not isinstance(version, int) or version < FORMAT_VERSION:
        step = "write them again from their source, by the command that their README.md names, with --overwrite"
    raise DatasetNotFound(f"{folder} holds shards of format {version}, this version reads {FORMAT_VERSION}: {step}")


def _download_shards(name: str) -> Path:
    try:
        return hub_snapshot(name, ["README.md", MANIFEST, "data/*.parquet"])
    except DatasetNotFound as error:
        raise DatasetNotFound(
            f"no questions at {name!r}: {error}. Give a shard folder or Hub id with --data or ${DATA_VARIABLE}; "
            "`shotbench data studio --out SHARDS --films 2` shoots a small set at once"
        ) from None


def hub_snapshot(name: str, patterns: list[str]) -> Path:
    """Download files of a Hub dataset, or use the local cache; raise `DatasetNotFound` with the Hub's reason."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(name, repo_type="dataset", allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise DatasetNotFound(f"it is no local folder, and the Hub reports: {first_line(error)}") from None


class _MediaLocation(NamedTuple):
    file: int
    row_group: int
    row: int
    column: str


class ShardFolder:
    """Random access to one split of a shard folder. Safe to share between threads."""

    def __init__(self, folder: Path, split: str = "test") -> None:
        import pyarrow.parquet as parquet

        self.folder = folder
        if (folder / MANIFEST).is_file():
            _require_our_format(folder)
        self.paths = sorted((folder / "data").glob(f"{split}-*.parquet"))
        if not self.paths:
            raise DatasetNotFound(f"{folder} has no split {split!r}")
        self._files = [parquet.ParquetFile(path) for path in self.paths]
        self._lock = threading.Lock()
        self._locations: dict[str, _MediaLocation] | None = None
        self._row_groups: OrderedDict[tuple[int, int, str], Any] = OrderedDict()  # LRU cache of media columns

    def items(self) -> Iterator[QAItem]:
        """Yield the questions in order, without reading media."""
        for file in self._files:
            for batch in file.iter_batches(columns=list(COLUMNS)):
                yield from map(QAItem.from_row, batch.to_pylist())

    def media(self, item_id: str) -> bytes:
        """Encoded bytes (JPEG, PNG, MP4, …) of an item's medium; raises `KeyError` on an unknown id."""
        with self._lock:
            if self._locations is None:
                self._locations = self._locate_media()
            location = self._locations[item_id]
            return bytes(self._row_group(location)[location.row].as_buffer())

    def _locate_media(self) -> dict[str, _MediaLocation]:
        locations = {}
        for number, file in enumerate(self._files):
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=["item_id", "media_kind"])
                for row, (item_id, kind) in enumerate(zip(*(column.to_pylist() for column in table), strict=True)):
                    locations[item_id] = _MediaLocation(number, group, row, MEDIA_COLUMNS[MediaKind(kind)])
        return locations

    def _row_group(self, location: _MediaLocation) -> Any:
        file, row_group, _, column = location
        key = (file, row_group, column)
        if key not in self._row_groups:
            table = self._files[file].read_row_group(row_group, columns=[f"{column}.bytes"])
            self._row_groups[key] = table[column].combine_chunks().field("bytes")
            if len(self._row_groups) > ROW_GROUP_CACHE_SIZE:
                self._row_groups.popitem(last=False)
        self._row_groups.move_to_end(key)
        return self._row_groups[key]


def file_sha256(path: Location) -> str:
    """SHA-256 of a file as a hex string, read in chunks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
