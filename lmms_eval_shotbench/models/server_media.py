"""Media in the messages of a server: the pixels that the vision tower gets in this package, encoded without loss.

Pictures are scaled here, and the server is asked to neither scale nor sample them again. vLLM gets a clip as a sequence
of pictures (its media type video/jpeg, which takes any format that Pillow opens) with the times of its frames; other
servers get a video file, which decoders of FFmpeg decode to the same pixels.
"""

from __future__ import annotations

import base64
import io
from fractions import Fraction
from typing import Any, NamedTuple

import numpy
import torch

from lmms_eval_shotbench.media.data_urls import data_url
from lmms_eval_shotbench.models.vllm_inputs import seconds_bounds
from lmms_eval_shotbench.qwen.input_rules import InputRules
from lmms_eval_shotbench.qwen.inputs import CHANNELS, Patches, PatchRule
from lmms_eval_shotbench.qwen.rope_positions import Grid, PositionRule
from lmms_eval_shotbench.vocabulary import MediaKind

WEBP_SIDE = 16383  # pixels, at most
TENTHS = 10  # a second; Qwen3-VL writes the times of frames in tenths
UNPROCESSED = {"do_resize": False, "do_sample_frames": False}  # for the processor of transformers in vLLM
LOSSLESS = {"qp": "0", "preset": "ultrafast"}  # of libx264rgb
MAX_TIMESCALE = 1_000_000  # of a video file


class EncodedMedium(NamedTuple):
    """A medium as a part of a message, and what the server is asked to do with it."""

    patches: Patches  # without pixel values
    part: dict[str, Any]
    request: dict[str, Any]  # further fields of the request


def encoded_medium(medium: Patches, rules: InputRules, for_vllm: bool) -> EncodedMedium:
    """Encode a medium for a server; `for_vllm` also sends what only vLLM takes."""
    pictures = pictures_of(medium, rules.patch_rule)
    bare = medium._replace(values=torch.empty(0))
    if medium.kind is MediaKind.STILL:
        (picture,) = pictures
        part = {"type": "image_url", "image_url": {"url": data_url(*encoded_picture(picture))}}
        return EncodedMedium(bare, part, {"mm_processor_kwargs": dict(UNPROCESSED)} if for_vllm else {})
    if not for_vllm:
        url = data_url("video/mp4", encoded_video(pictures, medium.grid.fps))
        return EncodedMedium(bare, {"type": "video_url", "video_url": {"url": url}}, {})
    frames = ",".join(base64.b64encode(encoded_picture(one)[1]).decode() for one in pictures)
    url = f"data:video/jpeg;base64,{frames}"
    return EncodedMedium(bare, {"type": "video_url", "video_url": {"url": url}}, clip_request(bare, rules))


def clip_request(clip: Patches, rules: InputRules) -> dict[str, Any]:
    """Return the fields of a request to vLLM that give the times of a clip's frames."""
    frames = rules.patch_rule.frames
    of_processor: dict[str, Any] = {}
    if rules.architecture.rule.tokens_per_second:
        # vLLM drops the times of the medium for Qwen2.5-VL; these are passed on to the processor of transformers.
        fps, indices = (
            frames / seconds_for_server(clip.grid, rules.architecture.rule),
            list(range(clip.grid.time * frames)),
        )
        of_processor = {"video_metadata": [{"fps": fps, "frames_indices": indices, "total_num_frames": len(indices)}]}
    else:
        # Only the tenths of the middle of each temporal patch matter: both of its frames get them.
        tenths = [round(round(one, 1) * TENTHS) for one in clip.seconds]
        fps, indices = float(TENTHS), [one for one in tenths for _ in range(frames)]
    loading = {
        "num_frames": -1,  # all
        "fps": fps,
        "frames_indices": indices,
        "total_num_frames": max(indices[-1] + 1, len(indices)),
        "do_sample_frames": False,
    }
    return {"media_io_kwargs": {"video": loading}, "mm_processor_kwargs": UNPROCESSED | of_processor}


def seconds_for_server(grid: Grid, rule: PositionRule) -> float:
    """Return seconds between temporal patches with which vLLM computes the time positions of `rope_positions.py`.

    vLLM rounds them to the dtype of the model, which is unknown here. If there are seconds that bfloat16 can hold and
    that give the right positions, those are returned; otherwise the middle of all that do in float32.
    """
    least, most = seconds_bounds(grid, rule)
    middle = (least + most) / 2
    short = Fraction(torch.tensor(float(middle), dtype=torch.bfloat16).item())
    return float(short if least <= short < most else middle)


def pictures_of(medium: Patches, rule: PatchRule) -> numpy.ndarray:
    """Return the pictures of which patches were cut: uint8 (frames, height, width, channels)."""
    down, across = (size // rule.merge for size in (medium.grid.height, medium.grid.width))
    cut = medium.values.view(medium.grid.time, down, across, rule.merge, rule.merge, CHANNELS, -1, rule.side, rule.side)
    height, width = (size * rule.side for size in (medium.grid.height, medium.grid.width))
    whole = cut.permute(0, 6, 1, 3, 7, 2, 4, 8, 5).reshape(-1, height, width, CHANNELS)
    return whole.numpy()  # type: ignore[no-any-return]


def encoded_picture(pixels: numpy.ndarray) -> tuple[str, bytes]:
    """Encode a picture (height, width, channels) as WebP without loss, in a quarter of the time of PNG.

    Returns:
        Media type and bytes; PNG if a side is too long for WebP.
    """
    from PIL import Image

    stream, picture = io.BytesIO(), Image.fromarray(pixels)
    if max(picture.size) > WEBP_SIDE:
        picture.save(stream, "PNG", compress_level=1)
        return "image/png", stream.getvalue()
    picture.save(stream, "WEBP", lossless=True, quality=0, method=0)
    return "image/webp", stream.getvalue()


def encoded_video(pictures: numpy.ndarray, fps: Fraction) -> bytes:
    """Encode pictures (frames, height, width, channels) as an MP4 file with H.264 in RGB, without loss."""
    import av

    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        rate = fps.limit_denominator(MAX_TIMESCALE // max(1, int(fps)))
        video: Any = container.add_stream("libx264rgb", rate=rate, options=LOSSLESS)
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt, video.thread_count = "rgb24", 1  # media are encoded in parallel
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
    return stream.getvalue()
