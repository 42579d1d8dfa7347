"""Stills of a picture without symmetry, stored with an EXIF orientation, and stills of several frames."""

from __future__ import annotations

import io
from typing import Any

import numpy
from PIL import Image

TURN = Image.Transpose
# Changes that an EXIF orientation undoes.
INVERSE = {
    2: TURN.FLIP_LEFT_RIGHT,
    3: TURN.ROTATE_180,
    4: TURN.FLIP_TOP_BOTTOM,
    5: TURN.TRANSPOSE,
    6: TURN.ROTATE_90,
    7: TURN.TRANSVERSE,
    8: TURN.ROTATE_270,
}
PICTURE = Image.fromarray(
    numpy.stack(numpy.broadcast_arrays(numpy.arange(0, 240, 5), numpy.arange(0, 160, 5)[:, None], 70), -1).astype("u1")
)  # 48 x 32


def saved(picture: Image.Image = PICTURE, form: str = "PNG", orientation: int = 1, **options: Any) -> bytes:
    """The picture as it is, in a file with this EXIF orientation."""
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    picture.save(stream, form, **({"exif": exif} if orientation != 1 else {}), **options)
    return stream.getvalue()


def rotated(orientation: int, form: str = "JPEG", picture: Image.Image = PICTURE, **options: Any) -> bytes:
    """A file that shows the picture only if its EXIF orientation is applied."""
    stored = picture.transpose(INVERSE[orientation]) if orientation in INVERSE else picture
    return saved(stored, form, orientation, **options)


def animated(form: str, frames: int = 3, orientation: int = 1) -> bytes:
    """A file whose first frame is the picture and whose other frames are of plain colours."""
    others = [Image.new("RGB", PICTURE.size, (80 * number, 20, 200)) for number in range(1, frames)]
    return saved(PICTURE, form, orientation, save_all=True, append_images=others)
