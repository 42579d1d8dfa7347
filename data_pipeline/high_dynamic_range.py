"""Which pictures have a high dynamic range: the transfer characteristics of films, and those that stills declare.

Owns the values and where a still declares them: the cICP chunk of PNG, the colour box of AVIF, and the ICC profile of
any format. The base picture of a still with a gain map declares a standard range, and has it. Mapping to standard range
is in `films/tone_map.py`.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any, NamedTuple

from lmms_eval_shotbench.media.broken_medium import BrokenMedium
from lmms_eval_shotbench.media.clip_file import open_clip

PQ, HLG = 16, 18  # transfer characteristics (ITU-T H.273; FFmpeg's AVColorTransferCharacteristic)
UNSPECIFIED = 2  # transfer characteristics or primaries that a file leaves open
BT2020_PRIMARIES = 9
TAKEN_AS_STANDARD = "BT.2020 colours, perhaps of high dynamic range; taken as standard"
NAMES = {PQ: "PQ", HLG: "HLG"}
ICC_HEADER, ICC_TAG = 128, 12  # bytes before the number of tags, and of a tag in their table


class Colours(NamedTuple):
    """Colour primaries and transfer characteristics, as in ITU-T H.273."""

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED

    @property
    def are_high_dynamic_range(self) -> bool:
        """Whether they need tone mapping to standard dynamic range."""
        return self.transfer in NAMES

    @property
    def may_be_high_dynamic_range(self) -> bool:
        """Whether the primaries are those of high dynamic range, while the transfer is unknown."""
        return self.primaries == BT2020_PRIMARIES and self.transfer == UNSPECIFIED


def colours_of_still(still: Any, encoded: bytes) -> Colours:
    """What an opened still (`PIL.Image.Image`) declares; its encoded bytes are read where Pillow does not report it."""
    declared = Colours()
    if still.format == "PNG":
        declared = Colours(*png_chunk(encoded, b"cICP")[:2])
    elif still.format == "AVIF":
        declared = _avif_colours(encoded)
    if declared.are_high_dynamic_range or not (profile := still.info.get("icc_profile")):
        return declared
    by_profile = _icc_colours(profile)
    return by_profile if by_profile.are_high_dynamic_range else Colours(UNSPECIFIED, declared.transfer)


def png_chunk(encoded: bytes, name: bytes) -> bytes:
    """Content of the first chunk of this name before the pixels of a PNG; empty if there is none."""
    position = 8  # of a chunk: length, name, content, checksum
    while position < len(encoded) and (found := encoded[position + 4 : position + 8]) != b"IDAT":
        length = int.from_bytes(encoded[position : position + 4], "big")
        if found == name:
            return encoded[position + 8 : position + 8 + length]
        position += 12 + length
    return b""


def _avif_colours(encoded: bytes) -> Colours:
    try:
        with open_clip(encoded) as (_, stream):
            return Colours(stream.codec_context.color_primaries, stream.codec_context.color_trc)
    except BrokenMedium:  # FFmpeg opens less than Pillow
        return Colours()


def _icc_colours(profile: bytes) -> Colours:
    """Colours of an ICC profile by its tag `cicp` (since version 4.4), else by its description."""
    from PIL import ImageCms

    tags = (profile[start : start + ICC_TAG] for start in range(ICC_HEADER + 4, len(profile), ICC_TAG))
    count = int.from_bytes(profile[ICC_HEADER : ICC_HEADER + 4], "big")
    for _, tag in zip(range(count), tags, strict=False):
        if tag[:4] == b"cicp":
            start = int.from_bytes(tag[4:8], "big") + 8
            return Colours(*profile[start : start + 2])
    try:
        description = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return Colours()
    found = re.search(r"\b(HLG|B67)\b|\b(PQ|2084|2100)\b", description)
    return Colours(BT2020_PRIMARIES, HLG if found[1] else PQ) if found else Colours()
