"""Grey stills of more than 8 bits, scaled to 8 bits.

Owns which value is white. Where the file tells the number of bits, it is the largest value of that many bits. Many
cameras and scanners store 10, 12 or 14 bits in 16 without scaling them, which no file declares: a picture whose
values all fit in so few bits is taken as such, with a warning. Values of 32 bits and floating-point values have no
usual range: what is used is stretched, with a warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data_pipeline.high_dynamic_range import png_chunk

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image

UNSCALED_BITS = (8, 10, 12, 14)  # of sensors, stored in 16
BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262  # tags of TIFF
WHITE_IS_ZERO = 0  # value of the latter


def grey_in_8_bits(still: Any, encoded: bytes) -> tuple[Image, str]:
    """A grey `PIL.Image.Image` of a deep mode with 8 bits, and how its range was guessed, if it was."""
    import numpy
    from PIL import Image

    values = numpy.asarray(still)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        largest, guess = _white_of_16_bits(still, encoded, int(values.min()), int(values.max()))
        levels = _scaled(numpy.arange(1 << 16), 0, largest)[values]
    else:
        finite = values[numpy.isfinite(values)]
        black, white = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        guess = f"values from {black:g} to {white:g} were stretched to black and white"
        levels = _scaled(values, black, white)
    tags = getattr(still, "tag_v2", {})
    return Image.fromarray(255 - levels if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else levels), guess


def _white_of_16_bits(still: Any, encoded: bytes, lowest: int, highest: int) -> tuple[int, str]:
    """Value of white, and how it was guessed, if it was."""
    bits = getattr(still, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))[0]
    is_known = bits != 16 or (still.format == "PNG" and png_chunk(encoded, b"sBIT"))
    used = next((fewer for fewer in UNSCALED_BITS if highest < 1 << fewer), bits)
    if is_known or used == bits:
        return (1 << bits) - 1, ""
    return (1 << used) - 1, f"values from {lowest} to {highest} of 16 bits were taken as {used} bits"


def _scaled(values: numpy.ndarray, black: float, white: float) -> numpy.ndarray:
    """Values as uint8, from 0 (black) to 255 (white); what is no number is black."""
    import numpy

    share = (values - numpy.float32(black)) / numpy.float32(max(white - black, numpy.finfo("float32").tiny))
    levels: numpy.ndarray = (numpy.nan_to_num(share, nan=0, posinf=1, neginf=0).clip(0, 1) * 255 + 0.5).astype("uint8")
    return levels
