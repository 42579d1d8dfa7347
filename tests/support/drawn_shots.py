"""Labelled shots for tests of the later stages: tiny pictures drawn from a number, with given or cyclic labels."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Mapping
from pathlib import Path

from data_pipeline.labelled_shot import LabelledShot
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, DIMENSIONS, MediaKind


def draw(number: int, size: tuple[int, int] = (96, 54), quality: int = 90) -> bytes:
    """A JPEG of coarse coloured patches, different for each number."""
    from PIL import Image

    patches = Image.frombytes("RGB", (8, 6), random.Random(number).randbytes(8 * 6 * 3))
    encoded = io.BytesIO()
    patches.resize(size, Image.Resampling.BICUBIC).save(encoded, "JPEG", quality=quality)
    return encoded.getvalue()


def shot(number: int, labels: Mapping[str, str], film: str = "", **facts: object) -> LabelledShot:
    """A shot without a media file; by default, ten consecutive numbers share a film."""
    kind = MediaKind.CLIP if CAMERA_MOVEMENT.slug in labels else MediaKind.STILL
    fields: dict[str, object] = {"source": "drawn", "media_sha256": f"{number:064x}"} | facts
    path = f"{number:04d}.jpg"
    return LabelledShot(f"s{number:04d}", film or f"film{number // 10}", kind, path, labels=labels, **fields)  # type: ignore[arg-type]


def drawn_film(folder: Path, film: int, shots: int = 12) -> list[LabelledShot]:
    """Stills of one film, written to `folder`; the terms of every still dimension are assigned cyclically."""
    drawn = []
    for number in range(film * 1000, film * 1000 + shots):
        encoded = draw(number)
        (folder / f"{number:04d}.jpg").write_bytes(encoded)
        labels = {
            dimension.slug: str(dimension.terms[(number + film) % len(dimension.terms)])
            for dimension in DIMENSIONS
            if dimension.media_kind is MediaKind.STILL
        }
        sha256 = hashlib.sha256(encoded).hexdigest()
        drawn.append(shot(number, labels, f"film{film}", media_sha256=sha256, licence="cc0-1.0"))
    return drawn
