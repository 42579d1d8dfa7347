"""Read types-of-film-shots: Parquet files with a still, its shot size and who labelled it.

Owns the choice of rows (those that people labelled, in the split test) and the stills in the files. The first release
has one split, train, without a column `annotator`, and only people's labels; in later ones, models labelled most rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from random import Random
from string import ascii_uppercase
from typing import Any

from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.releases.media_folder import MediaFolder
from data_pipeline.releases.published_sets.set_rows import LeftOut, SetQuestion, SetRows
from data_pipeline.releases.release_media import ImportRefused, ReleaseFile
from lmms_eval_shotbench.qa_item import BadRow
from lmms_eval_shotbench.vocabulary import MediaKind

HUMAN = "human"
ANNOTATOR = "annotator"


def read(folder: Path, media: MediaFolder, rows: SetRows) -> ParquetStills:
    """Read the rows of the split test, or of the first release; returns their stills."""
    stills = ParquetStills(_files(folder), media)
    for line, (path, row) in enumerate(stills.rows(), 1):
        item_id = f"{rows.published.source}-{line - 1:05d}"
        rows.take(line, item_id, path, partial(_question, rows, row, item_id, line - 1, path))
    return stills


def _files(folder: Path) -> list[Path]:
    import pyarrow.parquet as parquet

    for split in ("test", "train"):
        paths = sorted((folder / "data").glob(f"{split}-*.parquet")) or sorted(folder.glob(f"{split}-*.parquet"))
        if split == "train" and any(ANNOTATOR in parquet.read_schema(path).names for path in paths):
            break
        if paths:
            return paths
    raise ImportRefused(
        f"{folder} has no data/test-*.parquet; the split train holds labels by models. Download the split test as well"
    )


def _question(rows: SetRows, row: dict[str, Any], item_id: str, index: int, path: str) -> SetQuestion:
    annotator = row.get(ANNOTATOR, HUMAN)
    if annotator != HUMAN:
        raise LeftOut(DefectKind.OTHER_ANNOTATOR, f"labelled by {annotator!r}")
    if not isinstance(row["label"], str):
        raise BadRow(item_id, "label", row["label"], "the name of a class")
    group, dimension = rows.published.only_group
    right = rows.mapped_class(group, row["label"])
    options = [one.option for one in group.classes if one.term]
    Random(item_id).shuffle(options)
    answer = ascii_uppercase[options.index(right.option)]
    return SetQuestion(rows.item(item_id, index, dimension, dimension.question, options, answer, MediaKind.STILL, path))


class ParquetStills:
    """The stills of a column `image` of Parquet files; those stored as a path only are read from `media`."""

    def __init__(self, paths: Sequence[Path], media: MediaFolder) -> None:
        import pyarrow.parquet as parquet

        self._files = [parquet.ParquetFile(path) for path in paths]
        self._paths, self._media = paths, media
        self._located: dict[str, tuple[int, int, int]] = {}  # path -> file, row group, row
        self._loaded: tuple[tuple[int, int], list[dict[str, Any]]] = ((-1, -1), [])

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield a path for the still of each row, unique in the set, and the row without its image.

        Raises:
            ImportRefused: a column is missing.
        """
        for number, file in enumerate(self._files):
            names = file.schema_arrow.names
            if missing := [name for name in ("image", "label") if name not in names]:
                found = ", ".join(names)
                raise ImportRefused(f"{self._paths[number]} lacks the column {missing[0]}; its columns: {found}")
            class_names = _class_names(file.schema_arrow.metadata or {})
            columns = ["label", "image.path", *([ANNOTATOR] if ANNOTATOR in names else [])]
            for group in range(file.num_row_groups):
                for position, row in enumerate(file.read_row_group(group, columns=columns).to_pylist()):
                    base = PurePosixPath((row.pop("image") or {}).get("path") or "still").name
                    path = f"{len(self._located):05d}/{base}"
                    self._located[path] = number, group, position
                    if isinstance(row["label"], int) and 0 <= row["label"] < len(class_names):
                        row["label"] = class_names[row["label"]]
                    yield path, row

    def find(self, path: str, kind: MediaKind) -> ReleaseFile | Flaw:
        """Find the still of a row."""
        image = self._image(path)
        if image.get("bytes") is not None:
            number = self._located[path][0]
            return ReleaseFile(path, len(image["bytes"]), True, "", self._paths[number], None)
        if image.get("path"):
            return self._media.find(image["path"], kind)
        return Flaw(DefectKind.MISSING_MEDIUM, "the row has no image")

    def read(self, medium: ReleaseFile) -> bytes:
        """Read a still's bytes."""
        if medium.store not in self._paths:
            return self._media.read(medium)
        return bytes(self._image(medium.name)["bytes"])

    def _image(self, path: str) -> dict[str, Any]:
        number, group, position = self._located[path]
        if self._loaded[0] != (number, group):
            images = self._files[number].read_row_group(group, columns=["image"]).column("image").to_pylist()
            self._loaded = ((number, group), images)
        return self._loaded[1][position] or {}


def _class_names(metadata: dict[bytes, bytes]) -> list[str]:
    """Return the names of the ClassLabel `label` that `datasets` stores in the schema; empty if there are none."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return list(features["label"]["names"])
    except (LookupError, TypeError, ValueError):
        return []
