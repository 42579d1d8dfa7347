"""Read the parquet files of a configuration into rows, and check their columns.

The required columns and types are those of verl 0.9's `RLHFDataset` and `MultiTurnSFTDataset`. The contents of rows are
checked in `row_contents.py`, the media in `media_files.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from lmms_eval_shotbench.error_text import first_line
from lmms_eval_shotbench.vocabulary import MediaKind
from verl_recipes.preflight.problem import Problem
from verl_recipes.training_rows import MARKS

if TYPE_CHECKING:
    from omegaconf import DictConfig

Part = Literal["train", "val"]
WRITE_ROWS = "Write the rows with shotbench train rows"


class RowMedium(NamedTuple):
    """A still or clip of a row; `shown` are its numeric settings (fps, min_pixels, …), sorted by name."""

    kind: MediaKind
    path: str
    shown: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A row as verl reads it."""

    location: str  # file name and row number, for messages
    part: Part
    chat: tuple[tuple[str, str], ...]  # (role, text with placeholders)
    media: tuple[RowMedium, ...]
    columns: dict[str, Any]  # all other columns


class RowColumns(NamedTuple):
    """Names of the columns, from the configuration."""

    chat: str
    stills: str
    clips: str
    reward: bool  # whether the rows are for GRPO

    @classmethod
    def of(cls, config: DictConfig, method: str) -> RowColumns:
        """Read the column names from a configuration."""
        data, reward = config.data, method == "grpo"
        chat = data.get("prompt_key", "prompt") if reward else data.get("messages_key", "messages")
        return cls(chat, data.get("image_key", "images"), data.get("video_key", "videos"), reward)


def named_files(config: DictConfig, part: Part) -> list[str]:
    """Paths of the files of one part (`train`, `val`); empty if the configuration has none."""
    files = config.data.get(f"{part}_files")
    if files is None or isinstance(files, str):
        return [files] if files else []
    return [str(file) for file in files]


def read_training_rows(config: DictConfig, method: str) -> tuple[list[TrainingRow], list[Problem]]:
    """All rows of the training and validation files, and problems of the files themselves."""
    columns, rows, problems = RowColumns.of(config, method), list[TrainingRow](), list[Problem]()
    parts: tuple[Part, ...] = ("train", "val")
    for part in parts:
        files = named_files(config, part)
        if not files and (part == "train" or method == "grpo"):
            problems.append(Problem("no file of rows is named", f"data.{part}_files", f"{WRITE_ROWS} and name them"))
        for file in files:
            found = list(_file_problems(file, columns))
            problems += found
            if not found:
                rows += _training_rows(Path(file).expanduser(), part, columns)
    return rows, problems


def _file_problems(file: str, columns: RowColumns) -> Iterator[Problem]:
    import pyarrow
    import pyarrow.parquet as parquet

    path = Path(file).expanduser()
    if not path.is_file():
        yield Problem("there is no such file", file, WRITE_ROWS)
        return
    try:
        schema, count = parquet.read_schema(path), parquet.ParquetFile(path).metadata.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        yield Problem(f"it cannot be read as parquet ({first_line(error)})", file, f"{WRITE_ROWS} again")
        return
    if not count:
        yield Problem("it has no rows", file, f"{WRITE_ROWS} of a split that has questions")
    for name, expected, is_valid in _expected_columns(columns):
        kind = schema.field(name).type if name in schema.names else None
        if kind is None and name in (columns.stills, columns.clips):
            continue  # text-only rows have no such column
        if kind is None or not is_valid(kind):
            found = f"is {kind}" if kind is not None else "is missing"
            yield Problem(f"column {name} {found}, verl expects {expected}", file, f"{WRITE_ROWS} again")


def _expected_columns(columns: RowColumns) -> Iterator[tuple[str, str, Any]]:
    """Name, type in words and a predicate of the Arrow type for each column."""
    from pyarrow import types

    def has(kind: Any, *fields: str) -> bool:
        return types.is_struct(kind) and all(kind.get_field_index(field) >= 0 for field in fields)

    yield (
        columns.chat,
        "a list of {role, content}",
        lambda kind: types.is_list(kind) and has(kind.value_type, "role", "content"),
    )
    yield columns.stills, "a list of {image}", lambda kind: types.is_list(kind)
    yield columns.clips, "a list of {video}", lambda kind: types.is_list(kind)
    if columns.reward:
        yield "data_source", "text", lambda kind: types.is_string(kind) or types.is_large_string(kind)
        yield "reward_model", "a struct with ground_truth", lambda kind: has(kind, "ground_truth")
        yield "extra_info", "a struct with item", lambda kind: has(kind, "item")


def _training_rows(path: Path, part: Part, columns: RowColumns) -> Iterator[TrainingRow]:
    import pyarrow.parquet as parquet

    number = 0
    for batch in parquet.ParquetFile(path).iter_batches():
        for row in batch.to_pylist():
            chat = tuple((turn["role"], turn["content"]) for turn in row.pop(columns.chat) or ())
            media = (*_row_media(row, columns.stills, MediaKind.STILL), *_row_media(row, columns.clips, MediaKind.CLIP))
            yield TrainingRow(f"{path.name} row {number}", part, chat, media, row)
            number += 1


def _row_media(row: dict[str, Any], column: str, kind: MediaKind) -> Iterator[RowMedium]:
    for medium in row.pop(column, None) or ():
        named = dict(medium) if isinstance(medium, dict) else {_key(kind): medium}
        path = named.pop(_key(kind), None)
        shown = tuple(sorted((name, value) for name, value in named.items() if isinstance(value, int | float)))
        yield RowMedium(kind, str(path or "").removeprefix("file://"), shown)


def _key(kind: MediaKind) -> str:
    return MARKS[kind].strip("<>")
