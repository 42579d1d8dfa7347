"""Stills that are image files in the films folder.

Owns their conversion: rotated by the EXIF orientation, bars cropped, scaled down if very large; a JPEG or PNG that
needs none of this keeps its bytes. Stills cut from films are in `cut_pieces.py`.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from data_pipeline.annotations.annotation_table import AnnotatedRange
from data_pipeline.checks.check_media import check_file_size, check_medium
from data_pipeline.films.cut_media import encoded_still, still_suffix
from data_pipeline.films.cut_pieces import keep_still
from data_pipeline.films.cut_result import Cutting
from data_pipeline.films.letterbox import Crop, outline
from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.vocabulary import MediaKind

if TYPE_CHECKING:
    from PIL.Image import Image

KEPT_FORMATS = {"JPEG": ".jpg", "PNG": ".png"}  # supported by every reader


def cut_still_file(path: Path, row: AnnotatedRange, cutting: Cutting) -> None:
    """Import an image file as a still."""
    from PIL import Image

    if flaw := check_file_size(path.stat().st_size):
        cutting.lose(row, flaw)
        return
    encoded = path.read_bytes()
    checked = check_medium(MediaKind.STILL, encoded)
    if checked.flaw:
        cutting.lose(row, checked.flaw)
        return
    for warning in checked.warnings:
        cutting.warn(row, warning)
    picture = _displayed(checked.upright or encoded, cutting)
    with Image.open(BytesIO(encoded)) as file:
        unchanged = picture.size == file.size and not checked.upright
        suffix = KEPT_FORMATS.get(file.format or "", "") if unchanged and file.mode == "RGB" else ""
    if not suffix:
        encoded, suffix = encoded_still(picture, cutting.settings), still_suffix(cutting.settings)
    keep_still(picture, row, None, encoded, suffix, cutting)


def _displayed(encoded: bytes, cutting: Cutting) -> Image:
    """The image with bars cropped and scaled down as the settings ask."""
    import numpy

    picture = open_still(encoded)
    bars: Crop | None = outline(numpy.asarray(picture.convert("L"))).picture() if cutting.settings.crop_bars else None
    if bars:
        picture = picture.crop((bars.left, bars.top, bars.left + bars.width, bars.top + bars.height))
    if longest := cutting.settings.still_longest_side:
        picture.thumbnail((longest, longest))
    return picture
