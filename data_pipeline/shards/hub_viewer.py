"""Whether the Hub's dataset viewer can show a shard folder, checked before it is pushed.

Reads the folder as the viewer does (huggingface/dataset-viewer at commit f62009e): configs and splits of the card,
column types in the metadata of each Parquet file, then the first page of each split. A still is saved as JPEG or else
as PNG, the bytes of a clip are served as a file with the suffix of its path. Rows behind the first page are only
counted, and measured by row group.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from data_pipeline.shards.dataset_card import CARD
from data_pipeline.shards.eval_yaml import EVAL_YAML, BadEvalYaml, check_eval_yaml
from data_pipeline.shards.finished_files import DATA
from lmms_eval_shotbench.questions.shards import shard_features

if TYPE_CHECKING:
    import datasets

BATCH_ROWS = 8  # read at once, since they may be large clips
PAGE_ROWS = 100  # MAX_NUM_ROWS_PER_PAGE in libs/libcommon/src/libcommon/constants.py
READ_BYTES = 300_000_000  # ROWS_INDEX_MAX_ARROW_DATA_IN_MEMORY in libs/libcommon/src/libcommon/config.py
STILL_FORMATS = ("JPEG", "PNG")  # in the order that the viewer tries
DEFAULT = "default"


class NotViewable(ValueError):
    """The viewer cannot show the shards; the message says which file, and why."""


def check_viewable(shards: Path) -> None:
    """Raise `NotViewable` at the first thing that the viewer, or the Hub's validation of `eval.yaml`, would refuse."""
    from huggingface_hub import DatasetCard

    header = DatasetCard.load(shards / CARD).data.to_dict()
    configs = _configs(header)
    for config, splits in configs.items():
        for split, pattern in splits.items():
            _check_split(shards, config, split, pattern)
    _check_all_declared(shards, list(configs.get(DEFAULT, {}).values()))
    _check_dataset_info(shards, header.get("dataset_info"), configs.get(DEFAULT, {}))
    if (shards / EVAL_YAML).is_file():
        try:
            check_eval_yaml((shards / EVAL_YAML).read_text(encoding="utf-8"), configs)
        except BadEvalYaml as error:
            raise NotViewable(str(error)) from None


def _configs(header: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Patterns of the data files by config and split, as the card declares them."""
    try:
        return {
            config["config_name"]: {file["split"]: file["path"] for file in config["data_files"]}
            for config in header["configs"]
        }
    except (LookupError, TypeError):
        raise NotViewable(f"{CARD} declares no configs with data_files by split") from None


def _check_split(shards: Path, config: str, split: str, pattern: str) -> None:
    """Check types and row groups of all files of a split, and the cells of its first page."""
    import pyarrow.parquet as parquet

    paths = sorted(shards.glob(pattern))
    if not paths:
        raise NotViewable(f"{CARD} declares the split {split!r} of {config!r}, and no file is named {pattern}")
    files = [parquet.ParquetFile(path) for path in paths]
    features = _features(files[0], paths[0])
    expected = shard_features() if config == DEFAULT else features
    for path, file in zip(paths, files, strict=True):
        _check_features(path, _features(file, path), expected)
        _check_row_groups(path, file.metadata)
    for number, row in enumerate(_first_rows(files)):
        _check_cells(f"row {number} of the split {split!r} of {config!r}", row, expected)


def _features(file: Any, path: Path) -> datasets.Features:
    import datasets

    try:
        return datasets.Features.from_arrow_schema(file.schema_arrow)
    except (ValueError, TypeError, KeyError) as error:
        raise NotViewable(f"{path}: the column types in its metadata cannot be read ({error})") from None


def _check_features(path: Path, found: datasets.Features, expected: datasets.Features) -> None:
    for name in {**expected, **found}:
        if found.get(name) != expected.get(name):
            types = f"{expected.get(name, 'absent')}, but is {found.get(name, 'absent')}"
            raise NotViewable(f"{path}: the column {name!r} should be {types}; write the shards again")


def _check_row_groups(path: Path, metadata: Any) -> None:
    """The viewer reads a row group at once; with a page index it could read less, which shards never need."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        size = sum(group.column(column).total_compressed_size for column in range(group.num_columns))
        if size > READ_BYTES:
            raise NotViewable(
                f"{path}: row group {number} has {size:,} bytes, and the viewer reads at most {READ_BYTES:,} at once; "
                "write the shards again, or shorten a medium of this size"
            )


def _first_rows(files: Sequence[Any]) -> Iterator[dict[str, Any]]:
    left = PAGE_ROWS
    for file in files:
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            rows = batch.slice(0, left).to_pylist()
            yield from rows
            left -= len(rows)
            if not left:
                return


def _check_cells(where: str, row: Mapping[str, Any], features: datasets.Features) -> None:
    import datasets

    for name, feature in features.items():
        if row[name] is None:
            continue
        if isinstance(feature, datasets.Image):
            _check_still(f"{where}: {row[name]['path']}", row[name]["bytes"])
        elif isinstance(feature, datasets.Video) and not PurePosixPath(row[name]["path"] or "").suffix:
            raise NotViewable(
                f"{where}: the clip {row[name]['path']!r} has no suffix, by which a browser knows its format"
            )


def _check_still(where: str, encoded: bytes) -> None:
    from lmms_eval_shotbench.media.stills import BrokenMedium, opened_still

    try:
        with opened_still(encoded) as picture:
            picture.load()
            for form in STILL_FORMATS:
                try:
                    picture.save(io.BytesIO(), form)
                except OSError as error:  # of a mode that the format does not have
                    reason = error
                else:
                    return
    except BrokenMedium as error:
        raise NotViewable(f"{where} cannot be opened: {error}") from None
    raise NotViewable(f"{where} can be shown neither as JPEG nor as PNG ({reason}); convert the still")


def _check_all_declared(shards: Path, patterns: Sequence[str]) -> None:
    import pyarrow.parquet as parquet

    declared = {path for pattern in patterns for path in shards.glob(pattern)}
    for path in sorted((shards / DATA).glob("*.parquet")):
        if path not in declared and parquet.read_metadata(path).num_rows:
            raise NotViewable(f"{CARD} declares no split with {path.relative_to(shards)}; write the shards again")


def _check_dataset_info(shards: Path, info: Any, splits: Mapping[str, str]) -> None:
    """The counts of rows in the card; `load_dataset` refuses a data set that has others."""
    import pyarrow.parquet as parquet

    try:
        counts = {split["name"]: split["num_examples"] for split in info["splits"]}
    except (LookupError, TypeError):
        raise NotViewable(f"{CARD} has no dataset_info with the rows of each split; write the shards again") from None
    rows = {name: sum(parquet.read_metadata(path).num_rows for path in shards.glob(splits[name])) for name in splits}
    if counts != rows:
        raise NotViewable(f"{CARD} counts the rows of the splits as {counts}, and the files have {rows}")
