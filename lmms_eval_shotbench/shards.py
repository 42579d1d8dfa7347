"""Shard folders: questions with their media embedded, as plain Hugging Face datasets.

    SHARDS/
      README.md                         dataset card; its YAML lists the splits and column types
      data/test-00000-of-00003.parquet  columns of `QAItem` plus `image` or `video` ({bytes, path}; the other is null)
      manifest.json                     written last: without it the folder is not complete

Owns the layout and how it is read; `data_pipeline` writes it. Questions are read without touching the media columns.
A medium is read by the id of its item, one small row group at a time, so memory stays bounded whatever the order.
Nothing here decodes: see `media.py`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lmms_eval_shotbench.qa_item import COLUMNS, RELEASE_COLUMNS, BadRow, QAItem
from lmms_eval_shotbench.vocabulary import MediaKind, View

if TYPE_CHECKING:
    import datasets

DATA_VARIABLE = "SHOTBENCH_DATA"  # where the lmms-eval tasks find their questions: a folder, a TSV or a Hub id
SPLIT_VARIABLE = "SHOTBENCH_SPLIT"  # which split they ask; "test" unless given
DEFAULT_DATASET = "Vchitect/ShotBench"  # the official release; it must be imported once, its tars are no shards
MEDIA_COLUMNS: dict[MediaKind, str] = {MediaKind.STILL: "image", MediaKind.CLIP: "video"}
MANIFEST = "manifest.json"
FORMAT_VERSION = 3  # of a shard folder; 2 added the column `reasoning`, 3 lists files by BLAKE3
ROW_GROUPS_KEPT = 4  # media of the last row groups read, a few MB each


class DatasetNotFound(FileNotFoundError):
    """No questions where the user pointed; the message says how to get them."""


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
    """Turn a folder or Hub id into a local, complete shard folder; raise `DatasetNotFound` with the next step."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _download(name)
    if not (folder / MANIFEST).is_file() or not list((folder / "data").glob("*.parquet")):
        raise DatasetNotFound(
            f"{name} holds no shards (no {MANIFEST} beside data/*.parquet). If it is the official release, import it "
            f"once: shotbench data import-shotbench {name} --out SHARDS"
        )
    _require_our_format(folder)
    return folder


def _require_our_format(folder: Path) -> None:
    """Raise `DatasetNotFound` if the shards are of a version with other columns."""
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


def locate_questions(name: str | Path) -> Path:
    """Turn a question TSV, folder or Hub id into a local file or shard folder; raise `DatasetNotFound`."""
    path = Path(name).expanduser()
    return path if path.is_file() else locate_shards(str(name))


def _download(name: str) -> Path:
    try:
        return hub_snapshot(name, ["README.md", MANIFEST, "data/*.parquet"])
    except DatasetNotFound as error:
        raise DatasetNotFound(
            f"no questions at {name!r}: {error}. Give a shard folder or Hub id with --data or ${DATA_VARIABLE}; "
            "`shotbench data studio --out SHARDS --films 2` shoots a small set at once"
        ) from None


def hub_snapshot(name: str, patterns: list[str]) -> Path:
    """Fetch files of a Hub dataset, or find them in the local cache; raise `DatasetNotFound` with the Hub's reason."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(name, repo_type="dataset", allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DatasetNotFound(f"it is no folder here, and the Hub says: {reason}") from None


def read_questions(name: str | Path, split: str = "test") -> list[QAItem]:
    """Read a split's questions of a shard folder or Hub id, or of a `test.tsv` in the release's layout, without media.

    Raises:
        DatasetNotFound: nothing there, or a file that holds no questions or not this split.
        BadRow: a row is broken, or an index stands twice.
    """
    path = locate_questions(name)
    if path.is_file() and split != "test":
        raise DatasetNotFound(f"{path}: a TSV has no split {split!r}, only 'test'; ask it for that, or name shards")
    items = list(read_tsv(path) if path.is_file() else ShardFolder(path, split).items())
    seen: set[int] = set()
    for item in items:
        if item.source_index in seen:
            raise BadRow(item.item_id, "index", item.source_index, "an index that stands once")
        seen.add(item.source_index)
    return items


def read_tsv(path: Path, source: str = "shotbench", licence: str = "") -> Iterator[QAItem]:
    """Yield the questions of a release's TSV.

    Raises:
        DatasetNotFound: while iterating, the file is another one, or holds no questions.
        BadRow: at the first broken line.
    """
    rows = tsv_rows(path)
    try:
        first = next(rows, None)
        if first is None:
            raise _no_questions(path, "nothing stands below its first line")
        if absent := [name for name in RELEASE_COLUMNS if name not in first]:
            raise _no_questions(path, f"its first line names no column {', '.join(absent)}")
        for row in chain([first], rows):
            yield QAItem.from_release_row(row, source, licence)
    except (UnicodeDecodeError, csv.Error) as error:
        raise _no_questions(path, f"it is no tab-separated text in UTF-8 ({error})") from None


def _no_questions(path: Path, why: str) -> DatasetNotFound:
    return DatasetNotFound(
        f"{path} holds no questions: {why}; give a test.tsv in the release's layout (columns "
        f"{', '.join(RELEASE_COLUMNS)}), a shard folder or a Hub id"
    )


def tsv_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield a TSV's rows as they stand; too few cells leave None in a column, too many stand under None."""
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as lines:
        yield from csv.DictReader(lines, delimiter="\t")


def questions_parquet(tsv: Path, folder: Path) -> Path:
    """Write a TSV's questions as parquet into `folder`, named by content; for readers that take no TSV of ours."""
    import pyarrow
    import pyarrow.parquet as parquet

    path = folder / f"{file_sha256(tsv)}.parquet"
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}")
        schema = pyarrow.schema([field for field in shard_features().arrow_schema if field.name in COLUMNS])
        parquet.write_table(pyarrow.Table.from_pylist([item.to_row() for item in read_tsv(tsv)], schema), draft)
        os.replace(draft, path)
    return path


class StoredMedium(NamedTuple):
    """A medium as it is stored: what it is, which bytes they are, how to read them when needed, how to show them."""

    kind: MediaKind
    sha256: str
    read: Callable[[], bytes]
    view: View = View.AS_FILMED

    @classmethod
    def of(cls, kind: MediaKind, sha256: str, read: Callable[[], bytes], view: View = View.AS_FILMED) -> StoredMedium:
        """A medium of the shards; where they name no checksum it is computed."""
        return cls(kind, sha256 or hashlib.sha256(read()).hexdigest(), read, view)

    @property
    def key(self) -> str:
        """What a model is shown: the bytes, and how."""
        return self.sha256 if self.view is View.AS_FILMED else f"{self.sha256} {self.view}"


class _Place(NamedTuple):
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
        paths = sorted((folder / "data").glob(f"{split}-*.parquet"))
        if not paths:
            raise DatasetNotFound(f"{folder} has no split {split!r}")
        self._files = [parquet.ParquetFile(path) for path in paths]
        self._lock = threading.Lock()
        self._places: dict[str, _Place] | None = None
        self._kept: OrderedDict[tuple[int, int, str], Any] = OrderedDict()

    def items(self) -> Iterator[QAItem]:
        """Yield the questions in order; media stay on disk."""
        for file in self._files:
            for batch in file.iter_batches(columns=list(COLUMNS)):
                yield from map(QAItem.from_row, batch.to_pylist())

    def media(self, item_id: str) -> bytes:
        """Encoded bytes (JPEG, PNG, MP4, …) of an item's medium; raises `KeyError` on an unknown id."""
        with self._lock:
            if self._places is None:
                self._places = self._find_places()
            place = self._places[item_id]
            return bytes(self._row_group(place)[place.row].as_buffer())

    def _find_places(self) -> dict[str, _Place]:
        places = {}
        for number, file in enumerate(self._files):
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=["item_id", "media_kind"])
                for row, (item_id, kind) in enumerate(zip(*(column.to_pylist() for column in table), strict=True)):
                    places[item_id] = _Place(number, group, row, MEDIA_COLUMNS[MediaKind(kind)])
        return places

    def _row_group(self, place: _Place) -> Any:
        key = (place.file, place.row_group, place.column)
        if key not in self._kept:
            column = self._files[place.file].read_row_group(place.row_group, columns=[f"{place.column}.bytes"])
            self._kept[key] = column[place.column].combine_chunks().field("bytes")
            if len(self._kept) > ROW_GROUPS_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def file_sha256(path: Path) -> str:
    """Checksum of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def dataset_in_use(given: str | None = None) -> str:
    """The dataset a command or task should use: what was given, else $SHOTBENCH_DATA, else the official release."""
    return given or os.environ.get(DATA_VARIABLE) or DEFAULT_DATASET


def split_in_use(given: str | None = None) -> str:
    """The split a command or task should use: what was given, else $SHOTBENCH_SPLIT, else test."""
    return given or os.environ.get(SPLIT_VARIABLE) or "test"
