"""Small rows for tests of writing shards: stills and clips with known bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from PIL import Image

from data_pipeline.shards.dataset_card import CardText
from data_pipeline.shards.row_writer import PendingRow
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import file_sha256
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE, MediaKind

ABOUT = CardText("Small", "print-1", "A test.", "Nowhere.", "By hand.", "apache-2.0", ("film",))


@cache
def picture(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40 + number % 7, 30), (number % 256, 20, 90)).save(stream, "PNG")
    return stream.getvalue()


def row(number: int, kind: MediaKind = MediaKind.STILL, split: str = "test") -> PendingRow:
    dimension = SHOT_SIZE if kind is MediaKind.STILL else CAMERA_MOVEMENT
    options = tuple(term.name for term in dimension.terms[:4])
    path = f"image/{number}.png" if kind is MediaKind.STILL else f"video/a b ({number}).mp4"
    media = picture(number) if kind is MediaKind.STILL else b"clip" * (number + 1)
    item = QAItem(f"t-{number}", dimension.slug, dimension.question, options, "ABCD"[number % 4], kind, path)
    item = replace(item, source="t", source_index=number, film_id="tt1", start_seconds=number / 2)
    return PendingRow.of(split, item, media)


def rows(count: int = 5, split: str = "test") -> list[PendingRow]:
    return [row(n, MediaKind.CLIP if n % 3 == 2 else MediaKind.STILL, split) for n in range(count)]


def failing(after: int, error: BaseException) -> Iterator[PendingRow]:
    yield from rows(after)
    raise error


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}
