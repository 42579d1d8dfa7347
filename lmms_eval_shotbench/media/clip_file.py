"""Open the file of a clip, and list the frames that it shows, without decoding more than the first.

Owns what counts as a frame: packets of VP8 and VP9 that only other frames refer to show nothing, and neither do frames
that an edit list removes nor leading frames that reference a missing earlier one. Imports count frames here as well, so
that a clip that they keep has the frames that `Clip` (in `clips.py`) looks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from lmms_eval_shotbench.media.broken_medium import BrokenMedium, TooLarge, WithoutFrames, failures_as_broken
from lmms_eval_shotbench.media.hidden_frames import shows_nothing
from lmms_eval_shotbench.media.stills import MAX_PICTURE_PIXELS

# FFmpeg demuxers that read a single file. Others may read playlists, whose URLs FFmpeg would open.
CLIP_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,mpegts,mpeg,ogg"
WITHOUT_FRAME_COUNT = ("matroska,webm", "flv", "mxf")  # formats whose headers give a duration, but no number of frames
MICROSECONDS = 1_000_000  # per second; unit of the container duration in FFmpeg (AV_TIME_BASE)
CUT_OFF_SECONDS = 0.25  # minimum missing duration of a truncated clip; intact clips lack at most a frame or two
_CODEC = re.compile(r"Video: (\w+)[^,]*?(?: \((\S+) / 0x[0-9A-Fa-f]+\))?,")  # in FFmpeg's description of a file
_FIELD_ORDER = re.compile(r"\b(?:top|bottom) (?:coded )?first\b")  # the same


class ClipFrames(NamedTuple):
    """The frames of a clip."""

    first: Any  # `av.VideoFrame`, the first one shown
    times: list[int | None]  # timestamps of the frames shown, in storage order
    hidden: int  # number of frames that an edit list removes, or that reference a missing one


@contextmanager
def open_clip(source: bytes | Path) -> Iterator[tuple[Any, Any]]:
    """Open a container and its video stream for single-threaded decoding; failures inside become `BrokenMedium`."""
    import av

    # Passed as `container_options`: `options` crash PyAV 15.1 if a stream appears after the header, as in FLV.
    options = {"format_whitelist": CLIP_FORMATS, "protocol_whitelist": ""}
    with (
        failures_as_broken("clip"),
        source.open("rb") if isinstance(source, Path) else BytesIO(source) as encoded,
        # Metadata that is not UTF-8 must not make a clip unreadable.
        av.open(encoded, metadata_errors="replace", container_options=options) as container,
    ):
        stream = container.streams.best("video")
        if stream is None:
            raise WithoutFrames("clip has no video stream")
        if stream.codec_context is None:
            raise BrokenMedium(f"clip cannot be decoded: {missing_decoder(container)}")
        check_frame_size(stream.width, stream.height)
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        yield container, stream


def check_frame_size(width: int, height: int) -> None:
    """Raise `TooLarge` if a frame of this size is not opened."""
    if width * height > MAX_PICTURE_PIXELS:
        raise TooLarge(f"clip of {width}x{height} pixels, at most {MAX_PICTURE_PIXELS:,} are opened")


def missing_decoder(container: Any) -> str:
    """Why the video of an opened container cannot be decoded, e.g. "no decoder for 'dav1'".

    PyAV gives no access to a stream without a decoder, but FFmpeg's description of the file names the codec, or its tag
    if it does not know the codec.
    """
    codec = _CODEC.search(_description(container))
    if codec is None:
        return "no decoder for its video stream"
    name, tag = codec.groups()
    return f"no decoder for {tag if name == 'none' and tag else name!r}"


def declares_fields(container: Any, stream: Any) -> bool:
    """Whether the container, or the header of its video, declares interlaced frames; PyAV gives no access to it."""
    lines = _description(container).splitlines()
    return any(f"Stream #0:{stream.index}" in line and _FIELD_ORDER.search(line) for line in lines)


def _description(container: Any) -> str:
    """FFmpeg's description of an opened file."""
    import av.logging

    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        return str(container.dumps_format())
    finally:
        av.logging.set_level(level)


def frame_rate(stream: Any) -> Fraction:
    """Frames per second of a clip's video stream, such as 24000/1001; see `exact_rate`."""
    rate = exact_rate(stream.average_rate or stream.guessed_rate or 0)
    if not rate:
        raise BrokenMedium("clip has no frame rate")
    return rate


def exact_rate(rate: Fraction | float) -> Fraction:
    """Restore the exact frame rate of a clip from its float, in which the libraries of training pass it on.

    Rates are fractions with a denominator of at most a million. A float64 of up to 4,000 frames per second is closest
    to the one that it was made from, so the result is the clip's `frame_rate` itself.
    """
    return Fraction(rate).limit_denominator(1_000_000)


def list_frames(container: Any, stream: Any) -> ClipFrames:
    """List the frames of an opened clip; decodes only the first.

    Raises:
        BrokenMedium: the clip is truncated, or has no frame that can be decoded.
    """
    first, packets, hidden, times, end = None, 0, 0, list[int | None](), 0.0
    for packet in container.demux():
        if packet.pts is not None and packet.time_base:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.is_corrupt:
            raise BrokenMedium("clip is cut off")
        if packet.stream is not stream:
            continue
        first = first or next(iter(packet.decode()), None)
        packets += packet.size > 0  # the last packet is empty and flushes the decoder
        if packet.size and packet.is_discard:
            hidden += 1
        elif packet.size and not shows_nothing(stream.codec_context.name, packet):
            times.append(packet.pts)
    if not packets:
        raise WithoutFrames("clip has no frame")
    if first is None:
        raise BrokenMedium("clip has no frame that can be decoded")
    check_frame_size(first.width, first.height)
    # A file truncated between two packets raises no error, but its header still gives the full length.
    no_count = container.format.name in WITHOUT_FRAME_COUNT
    if (no_count or packets < stream.frames) and end < (container.duration or 0) / MICROSECONDS - CUT_OFF_SECONDS:
        raise BrokenMedium(f"clip is cut off after {end:.2f} s")
    shown = [time for time in times if None in (first.pts, time) or time >= first.pts]  # type: ignore[operator]
    return ClipFrames(first, shown, hidden + len(times) - len(shown))
