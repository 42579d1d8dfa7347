"""Stills that are image files in the films folder.

Owns their conversion: to 8-bit sRGB (`still_picture.py`), turned by the EXIF orientation, bars cropped, scaled down if
very large; a JPEG or PNG that needs none of this keeps its bytes. Stills cut from films are in `cut_pieces.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from data_pipeline.annotations.annotation_table import AnnotatedRange
from data_pipeline.checks.check_media import check_file_size, check_medium
from data_pipeline.checks.media_warnings import exif_orientation, turned
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.films.cut_media import encoded_still, still_suffix
from data_pipeline.films.cut_result import Cutting
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.letterbox import Crop, outline
from data_pipeline.films.picture_plugins import check_picture
from data_pipeline.films.quality import check_still, thumbnail
from data_pipeline.films.still_picture import standard_still
from lmms_eval_shotbench.media.stills import opened_still
from lmms_eval_shotbench.remote_path import Location
from lmms_eval_shotbench.vocabulary import MediaKind

if TYPE_CHECKING:
    from PIL.Image import Image

KEPT_FORMATS = {"JPEG": ".jpg", "PNG": ".png"}  # supported by every reader


class PreparedStill(NamedTuple):
    """An image file's picture, upright; the suffix under which its bytes can be kept, or none; warnings about it."""

    picture: Image
    suffix: str
    warnings: tuple[Flaw, ...]


def cut_still_file(path: Location, row: AnnotatedRange, cutting: Cutting) -> None:
    """Import an image file as a still."""
    prepared = prepared_still(path, cutting.settings)
    if isinstance(prepared, Flaw):
        cutting.lose(row, prepared)
        return
    for warning in prepared.warnings:
        cutting.warn(row, warning)
    picture = displayed(prepared.picture, cutting.settings)
    encoded, suffix = still_bytes(path, prepared, picture, cutting.settings)
    if flaw := check_still(picture, cutting.settings) or check_picture(picture, cutting.settings):
        cutting.lose(row, flaw)
        return
    small, still = thumbnail(picture), cutting.path(row, MediaKind.STILL, suffix)
    still.write_bytes(encoded)
    cutting.keep(row, MediaKind.STILL, still, None, None)
    cutting.thumbnails[cutting.shots[-1].shot_id] = small


def still_bytes(path: Location, prepared: PreparedStill, picture: Image, settings: CutSettings) -> tuple[bytes, str]:
    """The bytes of a still and their suffix: those of the file if they show the picture, else encoded ones."""
    if prepared.suffix and picture.size == prepared.picture.size:
        return path.read_bytes(), prepared.suffix
    return encoded_still(picture, settings), still_suffix(settings)


def prepared_still(path: Location, settings: CutSettings) -> PreparedStill | Flaw:
    """Check an image file and decode its picture; a `Flaw` if it cannot be used."""
    if flaw := check_file_size(path.stat().st_size):
        return flaw
    encoded = path.read_bytes()
    checked = check_medium(MediaKind.STILL, encoded)
    if checked.flaw:
        return checked.flaw
    with opened_still(encoded) as file:
        shown, was_rgb = standard_still(file, encoded, settings), file.mode == "RGB"
        if isinstance(shown, Flaw):
            return shown
        picture = turned(shown.picture, exif_orientation(file, encoded)) if checked.upright else shown.picture
    is_kept = was_rgb and not shown.changed and not checked.upright
    # Warnings about what the evaluation makes of the stored bytes do not apply: these bytes are not kept.
    warnings = [warning for warning in checked.warnings if warning.kind is not DefectKind.UNMAPPED_TONES]
    suffix = KEPT_FORMATS.get(file.format or "", "") if is_kept else ""
    return PreparedStill(picture, suffix, (*warnings, *shown.warnings))


def displayed(picture: Image, settings: CutSettings) -> Image:
    """The image with bars cropped and scaled down as the settings ask."""
    import numpy

    bars: Crop | None = outline(numpy.asarray(picture.convert("L"))).picture() if settings.crop_bars else None
    if bars:
        picture = picture.crop((bars.left, bars.top, bars.left + bars.width, bars.top + bars.height))
    if longest := settings.still_longest_side:
        picture = picture.copy() if picture.width > longest or picture.height > longest else picture
        picture.thumbnail((longest, longest))
    return picture
