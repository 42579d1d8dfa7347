"""Is this a medium at all? Judges the first bytes of a still or clip, for whoever trusts the rest.

Owns the magic numbers of the formats that `check_media.py` would decode. Nothing is decoded here: a cut file passes.
"""

from __future__ import annotations

import re

from data_pipeline.checks.check_media import judge_size
from data_pipeline.defects import DefectKind, Flaw
from lmms_eval_shotbench.vocabulary import MediaKind

STARTS = {
    MediaKind.STILL: re.compile(
        rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|....ftyp(?:avif|avis|mif1)|II\*\0|MM\0\*|BM|GIF8[79]a", re.DOTALL
    ),
    MediaKind.CLIP: re.compile(
        rb"....(?:ftyp|moov|mdat|free|skip|wide)|\x1aE\xdf\xa3|RIFF....AVI |FLV\x01|G.{187}G|\0\0\x01[\xba\xb3]|OggS",
        re.DOTALL,
    ),
}


def trust_medium(kind: MediaKind, encoded: bytes) -> Flaw | None:
    """Return what is wrong with a medium's size or first bytes, None if nothing is."""
    if flaw := judge_size(len(encoded)):
        return flaw
    return None if STARTS[kind].match(encoded) else Flaw(DefectKind.UNDECODABLE_MEDIUM, f"not the start of any {kind}")
