"""Shards of a few questions on small stills and clips, written in a second; each question has a text of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from data_pipeline.shards.dataset_card import CardText
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, DIMENSIONS, MediaKind
from tests.support.releases import clip, still

ABOUT = CardText("Small", "small-1", "A test.", "Nowhere.", "By hand.", "apache-2.0", ("film",))
CLIP_FRAMES = 12


def small_still(number: int) -> bytes:
    """A still of noise that no other number has."""
    return still(number, "PNG", (64, 64))


def write_small_shards(
    folder: Path,
    numbers: Mapping[str, int],
    encoded_still: Callable[[int], bytes] = small_still,
) -> Path:
    """Write shards with these numbers of questions, by dimension; camera movement has clips."""
    dimensions = {dimension.slug: dimension for dimension in DIMENSIONS}
    slugs = [slug for slug, count in numbers.items() for _ in range(count)]
    encoded_clip = clip(CLIP_FRAMES) if CAMERA_MOVEMENT.slug in numbers else b""
    rows = []
    for index, slug in enumerate(slugs):
        on_clip = slug == CAMERA_MOVEMENT.slug
        kind, path = (MediaKind.CLIP, f"video/{index}.mp4") if on_clip else (MediaKind.STILL, f"image/{index}.png")
        options = tuple(term.name for term in dimensions[slug].terms[:4])
        question = f"{dimensions[slug].question} (Number {index}.)"
        item = QAItem(f"q-{index}", slug, question, options, "ABCD"[index % 4], kind, path)
        item = replace(item, source="small", source_index=index, film_id=f"tt{index}")
        rows.append(PendingRow.of("test", item, encoded_clip if on_clip else encoded_still(index)))
    write_shards(rows, folder, ABOUT, splits=["test"])
    return folder
