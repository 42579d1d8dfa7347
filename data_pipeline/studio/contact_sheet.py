"""A contact sheet: stills in a grid with their terms as captions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from data_pipeline.studio.film_style import film_style
from data_pipeline.studio.stills import STILL_RECIPES, staged_still, still_terms

CAPTION = 15  # pixels
COLUMNS = 7
PAPER, INK = (18, 18, 20), (228, 222, 205)
Picture: TypeAlias = npt.NDArray[np.uint8]


def stills_sheet(seed: int = 0, per_term: int = 1, width: int = 200) -> bytes:
    """Return stills of every term, each from a different film, as JPEG."""
    pictures: list[Picture] = []
    captions: list[str] = []
    for dimension in STILL_RECIPES:
        for term in still_terms(dimension):
            for number in range(per_term):
                shot = staged_still(film_style(seed, len(pictures)), dimension, term, number)
                pictures.append(shot.frames[0].rgb)
                captions.append(f"{dimension.paper_name.removeprefix('Shot ')}: {term.name}")
    return encode_sheet(pictures, captions, width)


def encode_sheet(
    pictures: Sequence[Picture], captions: Sequence[str], width: int = 200, columns: int = COLUMNS
) -> bytes:
    """Arrange uint8 RGB images (h, w, 3) with captions in a grid, as JPEG."""
    from PIL import Image, ImageDraw, ImageFont

    height = width * 9 // 16
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + 4) + 4, rows * (height + CAPTION + 4) + 4), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, upper = 4 + number % columns * (width + 4), 4 + number // columns * (height + CAPTION + 4)
        small = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(small, (left, upper))
        draw.text((left + 2, upper + height + 1), caption, fill=INK, font=font)
    target = io.BytesIO()
    sheet.save(target, "JPEG", quality=84)
    return target.getvalue()


def write_contact_sheet(path: Path, seed: int = 0, per_term: int = 1) -> None:
    """Write the sheet of stills to a file."""
    path.write_bytes(stills_sheet(seed, per_term))
