"""Read the questions of a shard folder, a Hub id or a release's `test.tsv`, without media.

The layout of a shard folder is defined in `shards.py`.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

from lmms_eval_shotbench.atomic_file import atomic_path
from lmms_eval_shotbench.qa_item import COLUMNS, RELEASE_COLUMNS, SHOTBENCH, BadRow, QAItem
from lmms_eval_shotbench.questions.shards import (
    DatasetNotFound,
    ShardFolder,
    file_sha256,
    locate_shards,
    shard_features,
)


def locate_questions(name: str | Path) -> Path:
    """Resolve a question TSV, folder or Hub id to a local file or shard folder; raise `DatasetNotFound`."""
    path = Path(name).expanduser()
    return path if path.is_file() else locate_shards(str(name))


class QuestionMedia(Protocol):
    """Files of questions, and their media by the id of the item: a `ShardFolder` or `MediaFiles`."""

    @property
    def paths(self) -> Sequence[Path]:
        """Parquet files with at least the columns of `QAItem`."""
        ...

    def media(self, item_id: str) -> bytes:
        """Encoded bytes of an item's medium; raises `KeyError` on an unknown id."""
        ...


@dataclass(frozen=True, eq=False)
class QuestionSet:
    """The questions of a split and their media."""

    path: Path  # a TSV, a shard folder, or the parquet file of questions about media files
    split: str
    items: list[QAItem]
    shards: QuestionMedia | None  # None for a TSV, which has no media


class MediaFiles:
    """Questions about media that are files: each is stored once, however many questions show it."""

    def __init__(self, questions: Path, items: Iterable[QAItem], folder: Path) -> None:
        """Find media by the `media_path` of the items, which are the rows of the parquet file `questions`."""
        self.paths = [questions]
        self._files = {item.item_id: folder / item.media_path for item in items}

    def media(self, item_id: str) -> bytes:
        """Content of an item's file; raises `KeyError` on an unknown id, `OSError` if it cannot be read."""
        return self._files[item_id].read_bytes()


def questions_about_files(items: Sequence[QAItem], folder: Path, questions: Path) -> QuestionSet:
    """Return questions about the files of a folder, and write them to the parquet file `questions`.

    Args:
        items: Each with a `source_index` of its own, and a `media_path` relative to `folder`.
        folder: Folder of the media.
        questions: Path of the parquet file; an existing one is replaced.
    """
    write_questions(questions, items)
    return QuestionSet(questions, "test", list(items), MediaFiles(questions, items, folder))


def open_questions(name: str | Path, split: str = "test") -> QuestionSet:
    """Open a shard folder, a Hub id or a `test.tsv` in the release's layout, and read the questions of a split.

    Raises:
        DatasetNotFound: the dataset does not exist, or has no questions or no such split.
        BadRow: a row is invalid, or an index occurs twice.
    """
    path = locate_questions(name)
    if path.is_file() and split != "test":
        raise DatasetNotFound(f"{path}: a TSV has no split {split!r}, only 'test'; ask it for that, or name shards")
    shards = None if path.is_file() else ShardFolder(path, split)
    items = list(shards.items() if shards else read_tsv(path))
    seen: set[int] = set()
    for item in items:
        if item.source_index in seen:
            raise BadRow(item.item_id, "index", item.source_index, "an index that occurs once")
        seen.add(item.source_index)
    return QuestionSet(path, split, items, shards)


def read_questions(name: str | Path, split: str = "test") -> list[QAItem]:
    """Read the questions of a split; raises the same errors as `open_questions`."""
    return open_questions(name, split).items


def read_tsv(path: Path, source: str = SHOTBENCH, licence: str = "") -> Iterator[QAItem]:
    """Yield the questions of a release's TSV.

    Raises:
        DatasetNotFound: during iteration, if the file has another format or no questions.
        BadRow: during iteration, at the first invalid line.
    """
    rows = tsv_rows(path)
    try:
        first = next(rows, None)
        if first is None:
            raise _no_questions(path, "no rows follow its first line")
        if absent := [name for name in RELEASE_COLUMNS if name not in first]:
            raise _no_questions(path, f"its first line names no column {', '.join(absent)}")
        for row in chain([first], rows):
            yield QAItem.from_release_row(row, source, licence)
    except (UnicodeDecodeError, csv.Error) as error:
        raise _no_questions(path, f"it is no tab-separated text in UTF-8 ({error})") from None


def _no_questions(path: Path, reason: str) -> DatasetNotFound:
    return DatasetNotFound(
        f"{path} holds no questions: {reason}; give a test.tsv in the release's layout (columns "
        f"{', '.join(RELEASE_COLUMNS)}), a shard folder or a Hub id"
    )


def tsv_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield a TSV's rows unchanged; missing cells are None, extra cells are stored under the key None."""
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as lines:
        yield from csv.DictReader(lines, delimiter="\t")


def questions_parquet(tsv: Path, folder: Path) -> Path:
    """Convert a TSV's questions to a parquet file in `folder`, named by content hash, and return its path."""
    path = folder / f"{file_sha256(tsv)}.parquet"
    if not path.exists():
        write_questions(path, read_tsv(tsv))
    return path


def write_questions(path: Path, items: Iterable[QAItem]) -> None:
    """Write questions to a parquet file with the columns of `QAItem`, without media."""
    import pyarrow
    import pyarrow.parquet as parquet

    schema = pyarrow.schema([field for field in shard_features().arrow_schema if field.name in COLUMNS])
    table = pyarrow.Table.from_pylist([item.to_row() for item in items], schema)
    with atomic_path(path) as draft:
        parquet.write_table(table, draft)
