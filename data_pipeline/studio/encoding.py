"""Encode what the studio filmed, stills as JPEG and clips as H.264 in MP4: the same frames, the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Picture: TypeAlias = npt.NDArray[np.uint8]

# mbtree reads memory nobody wrote (seen with MALLOC_PERTURB_): with it the same frames give other bytes now and then.
CODEC_OPTIONS = {"preset": "veryfast", "crf": "19", "x264-params": "mbtree=0"}


def encode_still(picture: Picture) -> bytes:
    """One picture, as JPEG."""
    return _saved(picture, "JPEG", quality=92)


def encode_lossless(picture: Picture) -> bytes:
    """One picture, as PNG."""
    return _saved(picture, "PNG")


def _saved(picture: Picture, kind: str, **settings: int) -> bytes:
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(picture).save(target, kind, **settings)
    return target.getvalue()


def encode_clip(pictures: Iterable[Picture], rate: int) -> bytes:
    """Pictures of one size, one after the other, so many a second."""
    import av  # here, so that who needs stills alone needs no codecs

    target = io.BytesIO()
    with av.open(target, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream: Any = None
        for picture in pictures:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options=CODEC_OPTIONS)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.thread_count = 1  # more threads, other bytes
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return target.getvalue()
