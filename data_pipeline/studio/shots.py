"""The studio's product: shots whose truth is known because the studio made it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from data_pipeline.studio.camera import Size
from data_pipeline.studio.moves import FRAME_RATE
from data_pipeline.studio.paint import picture
from data_pipeline.studio.staging import scene_number, staged, staged_terms
from data_pipeline.studio.take import Shot
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, MediaKind, Term

STILL_SIZE: Size = (640, 360)
CLIP_SIZE: Size = (320, 180)
# mbtree reads memory nobody wrote (seen with MALLOC_PERTURB_): with it the same frames give other bytes now and then.
CODEC_OPTIONS = {"preset": "superfast", "crf": "20", "x264-params": "mbtree=0"}


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
                yield _painted(dimension, term, seed, variant)


def _painted(dimension: Dimension, term: Term, seed: int, variant: int) -> PaintedShot:
    shot = staged(dimension, term, seed, variant)
    is_still = dimension.media_kind is MediaKind.STILL
    stem = re.sub(r"[^a-z0-9]+", "_", term.name.lower())
    return PaintedShot(
        dimension=dimension.slug,
        term=term.name,
        media_kind=dimension.media_kind,
        file_name=f"{dimension.slug}/{stem}-{variant}.{'jpg' if is_still else 'mp4'}",
        media=_jpeg(shot) if is_still else _mp4(_frames(shot)),
        film_id=f"studio-{seed}-{scene_number(dimension, variant)}",
    )


def _jpeg(shot: Shot) -> bytes:
    target = io.BytesIO()
    picture(shot.stage, shot.cameras[0], STILL_SIZE).save(target, "JPEG", quality=90)
    return target.getvalue()


def _frames(shot: Shot) -> Iterator[Image.Image]:
    last: tuple[object, Image.Image] | None = None
    for camera in shot.cameras:
        # A camera at rest sees the same picture again.
        frame = last[1] if last and last[0] == camera else picture(shot.stage, camera, CLIP_SIZE, fine=False)
        last = (camera, frame)
        yield frame


def _planes(frame: Image.Image) -> npt.NDArray[np.uint8]:
    """Luma over chroma, as yuv420p lies in memory. Its rounding is ours, whatever libav is installed."""
    luma, blue, red = frame.convert("YCbCr").split()
    levels = [16 + tone * 219 / 255 for tone in range(256)], [128 + (tone - 128) * 224 / 255 for tone in range(256)]
    luma = luma.point([round(level) for level in levels[0]])
    chroma = (plane.reduce(2).point([round(level) for level in levels[1]]) for plane in (blue, red))
    planes = [np.asarray(luma), *(np.asarray(plane).reshape(-1, frame.width) for plane in chroma)]
    return np.concatenate(planes)


def _mp4(frames: Iterable[Image.Image]) -> bytes:
    import av  # here, so that a reader of stills needs no codecs

    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options=CODEC_OPTIONS)
        stream.width, stream.height = CLIP_SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # more threads, other bytes
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_planes(frame), format="yuv420p")))
        container.mux(stream.encode(None))
    return target.getvalue()
