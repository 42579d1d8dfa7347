"""The studio's product: shots whose truth is known because the studio made it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from data_pipeline.studio.camera import Camera, Size
from data_pipeline.studio.moves import FRAME_RATE
from data_pipeline.studio.paint import Stage, picture
from data_pipeline.studio.staging import scene_number, staged, staged_terms
from data_pipeline.studio.take import Shot
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, MediaKind, Term

STILL_SIZE: Size = (640, 360)
CLIP_SIZE: Size = (320, 180)
# mbtree reads memory nobody wrote (seen with MALLOC_PERTURB_): with it the same frames give other bytes now and then.
CODEC_OPTIONS = {"preset": "superfast", "crf": "20", "x264-params": "mbtree=0"}
LUMA_LEVELS = [round(16 + tone * 219 / 255) for tone in range(256)]
CHROMA_LEVELS = [round(128 + (tone - 128) * 224 / 255) for tone in range(256)]
FRAMES_KEPT = 256  # 22 MB; a move and its reverse share their frames, and a camera at rest has one


@dataclass(frozen=True)
class PaintedShot:
    """One still or clip with its ground truth. Shots with one `film_id` were painted on one stage, with one cast."""

    dimension: str
    term: str
    media_kind: MediaKind
    file_name: str
    media: bytes
    film_id: str


def painted_shots(seed: int = 0, per_term: int = 2) -> Iterator[PaintedShot]:
    """Paint so many shots of every term the studio can stage; the same seed gives the same bytes."""
    for dimension in DIMENSIONS:
        for term in staged_terms(dimension):
            for variant in range(per_term):
                yield painted_shot(dimension, term, seed, variant)


def painted_shot(dimension: Dimension, term: Term, seed: int = 0, variant: int = 0) -> PaintedShot:
    """Paint one shot of a term; other variants are staged in other scenes."""
    shot = staged(dimension, term, seed, variant)
    is_still = dimension.media_kind is MediaKind.STILL
    stem = re.sub(r"[^a-z0-9]+", "_", term.name.lower())
    return PaintedShot(
        dimension=dimension.slug,
        term=term.name,
        media_kind=dimension.media_kind,
        file_name=f"{dimension.slug}/{stem}-{variant}.{'jpg' if is_still else 'mp4'}",
        media=encode_still(shot) if is_still else encode_clip(shot),
        film_id=f"studio-{seed}-{scene_number(dimension, variant)}",
    )


def encode_still(shot: Shot) -> bytes:
    """What the shot's first camera sees, as JPEG."""
    target = io.BytesIO()
    picture(shot.stage, shot.cameras[0], STILL_SIZE).save(target, "JPEG", quality=90)
    return target.getvalue()


@lru_cache(maxsize=FRAMES_KEPT)
def _frame(stage: Stage, camera: Camera) -> npt.NDArray[np.uint8]:
    """A frame's luma over its chroma, as yuv420p lies in memory. Its rounding is ours, whatever libav is installed."""
    luma, blue, red = picture(stage, camera, CLIP_SIZE, fine=False).convert("YCbCr").split()
    chroma = (plane.reduce(2).point(CHROMA_LEVELS) for plane in (blue, red))
    planes = [np.asarray(luma.point(LUMA_LEVELS)), *(np.asarray(plane).reshape(-1, CLIP_SIZE[0]) for plane in chroma)]
    return np.concatenate(planes)


def encode_clip(shot: Shot) -> bytes:
    """What the shot's cameras see one after the other, as H.264 in MP4."""
    import av  # here, so that a reader of stills needs no codecs

    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options=CODEC_OPTIONS)
        stream.width, stream.height = CLIP_SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # more threads, other bytes
        for camera in shot.cameras:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_frame(shot.stage, camera), format="yuv420p")))
        container.mux(stream.encode(None))
    return target.getvalue()
