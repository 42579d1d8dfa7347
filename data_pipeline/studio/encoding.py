"""Encode rendered frames, stills as JPEG and clips as H.264 in MP4. The same frames give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Picture: TypeAlias = npt.NDArray[np.uint8]

# mbtree reads uninitialised memory (seen with MALLOC_PERTURB_), which occasionally changes the bytes of a clip.
CODEC_OPTIONS = {"preset": "veryfast", "crf": "19", "x264-params": "mbtree=0"}


def encode_still(picture: Picture) -> bytes:
    """Encode a uint8 RGB image (height, width, 3) as JPEG."""
    return _saved(picture, "JPEG", quality=92)


def encode_lossless(picture: Picture) -> bytes:
    """Encode a uint8 RGB image (height, width, 3) as PNG."""
    return _saved(picture, "PNG")


def _saved(picture: Picture, kind: str, **settings: int) -> bytes:
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(picture).save(target, kind, **settings)
    return target.getvalue()


def encode_clip(pictures: Iterable[Picture], rate: int) -> bytes:
    """Encode uint8 RGB frames (height, width, 3) of equal size as MP4 at `rate` frames per second."""
    import av  # imported here: stills need no codecs

    target = io.BytesIO()
    with av.open(target, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream: Any = None
        for picture in pictures:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options=CODEC_OPTIONS)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.thread_count = 1  # the number of threads changes the bytes
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return target.getvalue()
