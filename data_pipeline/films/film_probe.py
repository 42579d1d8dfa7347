"""Probe a film and decode its frames by number: times, size, rotation, colours; sequentially, in bounded memory.

Owns the opening of films. All other modules identify frames by their index in presentation order; the time of a frame
is its presentation time, so that constant and variable frame rates are treated alike, counted from the start of the
container, as players show it. Times come from the packets: only the first frame is decoded. Decoding may start at a
keyframe in the middle and is still exact: every decoded frame must have the timestamp of its packet, else decoding
restarts at the first frame, and if timestamps still differ, the film is broken.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EINVAL
from fractions import Fraction
from typing import Any

from data_pipeline.high_dynamic_range import Colours
from lmms_eval_shotbench.media.broken_medium import BrokenMedium
from lmms_eval_shotbench.media.clip_file import (
    CLIP_FORMATS,
    CUT_OFF_SECONDS,
    MICROSECONDS,
    WITHOUT_FRAME_COUNT,
    declares_fields,
    missing_decoder,
)
from lmms_eval_shotbench.media.hidden_frames import shows_nothing
from lmms_eval_shotbench.media.orientation import Orientation, display_orientation
from lmms_eval_shotbench.media.stills import MAX_PICTURE_PIXELS
from lmms_eval_shotbench.remote_path import Location

FILM_FORMATS = f"{CLIP_FORMATS},mxf,asf"  # demuxers that read a single file and open no URLs
HALF_A_MILLISECOND = 0.00051  # tables and Matroska round times to milliseconds
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
PICTURE_BRANDS = ("heic", "heix", "heim", "heis", "mif1", "mif2", "miaf", "avif")  # FFmpeg shows a tile of some
DOLBY_VISION_TAGS = ("dvh1", "dvhe", "dva1", "dvav")  # profiles without a backward-compatible picture


class BrokenFilm(BrokenMedium):
    """A film that cannot be opened, is truncated or does not decode with the timestamps of its packets."""


@dataclass(frozen=True)
class Film:
    """One film; frame n is shown at `times[n]` and the last one ends at `end`, in ticks of `tick` seconds."""

    path: Location
    width: int  # pixels as stored, before it is turned upright
    height: int
    orientation: Orientation
    pixel_aspect: Fraction  # width of a pixel divided by its height
    tick: Fraction  # time base in seconds
    times: Sequence[int]  # presentation timestamp (PTS) of each frame
    end: int
    keyframes: Sequence[int]  # their presentation timestamps
    rate: Fraction  # average frames per second
    primaries: int  # FFmpeg's enum value, as are `transfer` and `matrix`
    transfer: int
    matrix: int
    full_range: bool
    codec_tag: str
    start_timecode: str = ""  # of the first frame, HH:MM:SS:FF, as cameras and editing systems store it; empty: none
    has_unmarked_fields: bool = False  # the file declares interlaced frames, but its first frame is not marked as one
    offset: Fraction = Fraction(0)  # seconds from the start of the container, often that of the sound, to frame 0
    nominal_rate: Fraction = Fraction(25)  # frames per second that FFmpeg guesses, by which PySceneDetect counts

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.times)

    @property
    def seconds(self) -> float:
        """Duration of the picture in seconds."""
        return self.time_of(self.frames) - self.time_of(0)

    @property
    def is_high_dynamic_range(self) -> bool:
        """Whether its colours need tone mapping to standard dynamic range."""
        return self.colours.are_high_dynamic_range

    @property
    def colours(self) -> Colours:
        """Its primaries and transfer characteristics."""
        return Colours(self.primaries, self.transfer)

    @property
    def is_dolby_vision(self) -> bool:
        """Whether it is a Dolby Vision profile that other decoders cannot display."""
        return self.codec_tag in DOLBY_VISION_TAGS

    def time_of(self, number: int) -> float:
        """Time at which a frame is shown, in seconds from the start of the container; the end for `frames`."""
        ticks = self.times[number] if number < self.frames else self.end
        return float((ticks - self.times[0]) * self.tick + self.offset)

    def first_frame_from(self, seconds: float) -> int:
        """Number of the first frame shown at this time or later."""
        return bisect_left(range(self.frames), seconds - HALF_A_MILLISECOND, key=self.time_of)

    def frame_at(self, seconds: float) -> int:
        """Number of the frame on the screen at this time."""
        return max(bisect_right(range(self.frames), seconds + HALF_A_MILLISECOND, key=self.time_of) - 1, 0)


def probe_film(path: Location) -> Film:
    """Read all packets of a film and decode its first frame.

    Raises:
        BrokenFilm: not a film, empty, without a video stream, truncated, or frames without timestamps.
    """
    with _open_film(path) as (container, stream):
        first, packets, cut_off = _read_packets(container, stream)
        shown = sorted({packet.pts for packet in packets if packet.pts >= first.pts and not packet.is_discard})
        if cut_off or not shown:
            raise BrokenFilm(f"cut off after {float(max(shown, default=0) * stream.time_base):.2f} s")
        rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        last = next(packet for packet in packets if packet.pts == shown[-1])
        context = stream.codec_context
        return Film(
            path,
            first.width,
            first.height,
            display_orientation(first),
            Fraction(stream.sample_aspect_ratio or 1),
            stream.time_base,
            shown,
            shown[-1] + (last.duration or round(1 / rate / stream.time_base)),
            sorted(packet.pts for packet in packets if packet.is_keyframe),
            rate,
            context.color_primaries,
            context.color_trc,
            context.colorspace,
            context.color_range == FULL_RANGE or "yuvj" in (context.pix_fmt or ""),
            str(context.codec_tag),
            _start_timecode(stream.metadata, container.metadata),
            declares_fields(container, stream) and not first.interlaced_frame,
            _offset(container, shown[0] * stream.time_base),
            Fraction(stream.guessed_rate or rate),
        )


def frames_in_header(path: Location) -> int:
    """Number of frames of a film by its header or, if that has none, by duration and rate; 0 if it is no film."""
    try:
        with _open_film(path) as (container, stream):
            seconds = Fraction(container.duration or 0, MICROSECONDS)
            return int(stream.frames or seconds * Fraction(stream.average_rate or 0))
    except (BrokenFilm, OSError):
        return 0


def _offset(container: Any, first: Fraction) -> Fraction:
    """Seconds from the start of the container to the first frame, whose time is given.

    What comes before time 0 is not presented, unless it is a picture: decoders discard it, as they do the first samples
    of AAC and Opus.
    """
    start = first if container.start_time is None else Fraction(container.start_time, MICROSECONDS)
    offset = first - max(start, min(first, Fraction(0)))
    return offset if offset > HALF_A_MILLISECOND else Fraction(0)  # FFmpeg rounds the start to microseconds


def _start_timecode(*metadata: Mapping[str, str]) -> str:
    """The timecode stored in the metadata, or an empty text; Matroska writes names in capitals."""
    found = (value for values in metadata for name, value in values.items() if name.lower() == "timecode")
    return next(found, "")


@dataclass(frozen=True, slots=True)
class _Packet:
    pts: int
    duration: int
    is_keyframe: bool
    is_discard: bool


def _read_packets(container: Any, stream: Any) -> tuple[Any, list[_Packet], bool]:
    """The first frame, all video packets, and whether the file ends before the duration in its header."""
    first, packets, count, end = None, [], 0, 0.0
    for packet in container.demux():
        if packet.pts is not None and packet.time_base:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.is_corrupt:
            raise BrokenFilm(f"cut off or damaged after {end:.2f} s")
        if packet.stream is not stream:
            continue
        first = first or next(iter(packet.decode()), None)
        count += packet.size > 0
        if not packet.size or (not packet.is_discard and shows_nothing(stream.codec_context.name, packet)):
            continue
        if packet.pts is None:
            raise BrokenFilm("frames without presentation times; remux it, e.g. ffmpeg -fflags +genpts -i FILM -c copy")
        packets.append(_Packet(packet.pts, packet.duration or 0, packet.is_keyframe, packet.is_discard))
    if first is None or first.pts is None:
        raise BrokenFilm("no frame that can be decoded")
    uncounted = container.format.name in WITHOUT_FRAME_COUNT
    length = ((container.start_time or 0) + (container.duration or 0)) / MICROSECONDS
    return first, packets, (uncounted or count < stream.frames) and end < length - CUT_OFF_SECONDS


def read_frames(film: Film, first: int, last: int) -> Generator[tuple[int, Any]]:
    """Decode frames first to last - 1; yields (number, `av.VideoFrame` as stored).

    Raises:
        BrokenFilm: a frame is missing or damaged (raised while iterating).
    """
    next_number = first
    before = bisect_right(film.keyframes, film.times[first]) - 1
    for keyframe in [film.keyframes[before], None] if before > 0 else [None]:
        for number, frame in _frames_from(film, keyframe, next_number, last):
            yield number, frame
            next_number = number + 1
        if next_number >= last:
            return
    raise BrokenFilm(f"the frame at {film.time_of(next_number):.3f} s cannot be decoded")


def sample_frames(film: Film, numbers: Sequence[int]) -> Iterator[Any]:
    """Decode single frames far apart, each from the keyframe before it; yields an `av.VideoFrame` for most numbers.

    Frames that no other depends on are skipped, so a frame may be a few frames later; damaged ones are left out.

    Raises:
        BrokenFilm: the film cannot be opened (raised while iterating).
    """
    import av

    with _open_film(film.path) as (container, stream):
        stream.codec_context.skip_frame = "NONREF"
        for number in numbers:
            before = bisect_right(film.keyframes, film.times[number]) - 1
            try:
                container.seek(film.keyframes[before] if before >= 0 else film.times[0], stream=stream)
                decoded = (frame for frame in container.decode(stream) if frame.pts is not None)
                frame = next((frame for frame in decoded if frame.pts >= film.times[number]), None)
            except (av.FFmpegError, EOFError):
                continue
            if frame is not None and (frame.width, frame.height) == (film.width, film.height):
                yield frame


def _frames_from(film: Film, keyframe: int | None, number: int, last: int) -> Iterator[tuple[int, Any]]:
    """Frames in order, up to the first whose timestamp differs from its packet's."""
    with _open_film(film.path) as (container, stream):
        if keyframe is not None:
            container.seek(keyframe, stream=stream)
        for frame in container.decode(stream):
            if frame.pts is None or frame.pts < film.times[number]:
                continue
            if frame.pts != film.times[number] or frame.is_corrupt:
                return
            if (frame.width, frame.height) != (film.width, film.height):
                raise BrokenFilm(f"its picture changes size at {film.time_of(number):.3f} s")
            yield number, frame
            number += 1
            if number == last:
                return


@contextmanager
def _open_film(path: Location) -> Iterator[tuple[Any, Any]]:
    """Open the container and its video stream; decoding is single-threaded, since films are cut in parallel."""
    import av

    options = {"format_whitelist": FILM_FORMATS, "protocol_whitelist": ""}
    if not path.stat().st_size:  # PyAV would report the system's "Invalid argument"
        raise BrokenFilm("an empty file")
    try:
        with path.open("rb") as encoded, av.open(encoded, metadata_errors="replace", container_options=options) as film:
            stream = film.streams.best("video")
            if stream is None:
                raise BrokenFilm("no video stream")
            if stream.disposition & av.stream.Disposition.attached_pic:
                raise BrokenFilm("no video stream, only the picture of a cover")
            if (brand := film.metadata.get("major_brand")) in PICTURE_BRANDS:
                raise BrokenFilm(f"a picture ({brand}), not a film; save it as JPEG or PNG")
            if stream.codec_context is None:
                raise BrokenFilm(f"cannot be decoded: {missing_decoder(film)}")
            if stream.width * stream.height > MAX_PICTURE_PIXELS:
                raise BrokenFilm(f"{stream.width}x{stream.height} pixels, at most {MAX_PICTURE_PIXELS:,} are opened")
            stream.thread_type, stream.codec_context.thread_count = "NONE", 1
            yield film, stream
    except (av.FFmpegError, EOFError) as error:
        hint = (
            "; is it a film, in MP4, MOV, MKV, MXF or another common container?"
            if getattr(error, "errno", None) == EINVAL
            else ""
        )
        raise BrokenFilm(f"cannot be decoded: {getattr(error, 'strerror', None) or error}{hint}") from error
