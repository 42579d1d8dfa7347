"""Training rows made of given media through real shards, and verl's datasets over them."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy
from PIL import Image

from data_pipeline.shards.dataset_card import CardText
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE, MediaKind
from verl_recipes.training_rows import Purpose, write_training_rows

ABOUT = CardText("Small", "print-1", "A test.", "Nowhere.", "By hand.", "apache-2.0")
Medium = tuple[MediaKind, bytes]


def noisy_still(width: int, height: int, mode: str = "RGB", encoding: Literal["JPEG", "PNG"] = "PNG") -> bytes:
    """An encoded picture of random pixels, so that any change of a pixel shows."""
    pixels = numpy.random.default_rng(width).integers(0, 256, (height, width, len(mode)), dtype="uint8")
    encoded = io.BytesIO()
    Image.fromarray(pixels, mode).save(encoded, encoding)
    return encoded.getvalue()


def film_rows(folder: Path, purpose: Purpose, media: list[Medium]) -> Path:
    """A parquet file with one row per medium, in order."""
    rows = [_shard_row(purpose, number, *medium) for number, medium in enumerate(media)]
    write_shards(rows, folder / "shards", ABOUT, splits=(purpose,))
    return write_training_rows(str(folder / "shards"), purpose, folder / "rows", purpose)


def _shard_row(split: str, number: int, kind: MediaKind, encoded: bytes) -> PendingRow:
    dimension = CAMERA_MOVEMENT if kind is MediaKind.CLIP else SHOT_SIZE
    options = tuple(term.name for term in dimension.terms[:4])
    item = QAItem(
        f"q-{number}", dimension.slug, dimension.question, options, "B", kind, f"m/{number}",
        source="small", source_index=number, film_id=f"film-{number}",
    )  # fmt: skip
    return PendingRow.of(split, replace(item, media_sha256=f"{split}{number}"), encoded)


def film_lessons(rows: Path, processor: Any) -> Any:
    """verl's SFT dataset as the recipes configure it."""
    from omegaconf import OmegaConf

    from verl_recipes.inside_verl.film_dataset import FilmLessons

    settings = OmegaConf.create({"pad_mode": "no_padding", "max_length": 100_000, "truncation": "error"})
    return FilmLessons(str(rows), processor.tokenizer, settings, processor)


def film_prompts(rows: Path, processor: Any) -> Any:
    """verl's GRPO dataset as the recipes configure it."""
    from omegaconf import OmegaConf

    from verl_recipes.inside_verl.film_dataset import FilmPrompts

    settings = OmegaConf.create({"filter_overlong_prompts": False, "cache_dir": str(rows.parent / "cache")})
    return FilmPrompts(str(rows), processor.tokenizer, settings, processor)


def media_in_the_agent_loop(messages: list[dict[str, Any]], processor: Any) -> dict[str, Any]:
    """Images and videos of a prompt, as verl's agent loop reads them."""
    from verl_recipes.inside_verl.film_dataset import FilmPrompts

    side = processor.image_processor.patch_size
    images, videos, _sounds = asyncio.run(FilmPrompts.process_multi_modal_info(messages, side, {}))
    return {"images": images, "videos": videos}
