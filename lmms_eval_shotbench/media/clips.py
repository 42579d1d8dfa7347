"""Which frames a model sees of a clip, and how they are decoded, in bounded memory.

Frames are chosen by qwen_vl_utils' rule and numbered as they are shown: what an edit list cuts away and what cannot be
shown at the start (pictures that need an earlier, missing one) has no number. A frame is found by decoding from the
first one, never by seeking; pictures that no other is made from are left out on the way.

PyAV decodes. decord, which qwen_vl_utils uses, gives the same pixels (the tests compare) and is no quicker, but it
decodes ahead of its reader without limit (1.7 GB after one batch of a 30 s clip in 720p), repeats the last frame where
some are missing, takes wrong frames after a seek among open groups of pictures, and can crash on a file cut off.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from lmms_eval_shotbench.atomic_file import atomic_path
from lmms_eval_shotbench.environment import cache_folder
from lmms_eval_shotbench.media.stills import MAX_PICTURE_PIXELS, BrokenMedium, clip_path
from lmms_eval_shotbench.vocabulary import View

if TYPE_CHECKING:
    import numpy

CLIP_FPS = 12.0  # official protocol: frames a second a model sees of a clip
CLIP_MAX_PIXELS = 360 * 640  # official protocol: pixels of one frame of a clip
CLIP_MIN_PIXELS = 128 * 28 * 28  # qwen_vl_utils: smaller frames are scaled up to it
FRAMES_AT_ONCE = 4  # handed over together; they stay in a processor's cache, and 4 frames of 4K are 100 MB
# FFmpeg demuxers that read one file. Any other could be a playlist, whose addresses FFmpeg would follow.
CLIP_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,mpegts,mpeg,ogg"
UNCOUNTED = ("matroska,webm", "flv")  # formats whose headers give a length, but no number of frames
RGB_COLORSPACE = 0  # FFmpeg's number; PyAV minds a frame's own colours only where the target's differ
MICROSECONDS = 1_000_000  # in a second; FFmpeg's unit for the length of a container
SKIPPABLE = ("h264",)  # its pictures say for sure whether another is made from them
CUT_OFF_SECONDS = 0.25  # missing at the end of a clip; sound files differ by a frame or two


def sampled_frames(frames: int, frame_rate: float, fps: float = CLIP_FPS) -> list[int]:
    """Indices of the frames seen of a clip: evenly spread from the first to the last, an even number of them.

    The rule of qwen_vl_utils' `smart_nframes`: frames / rate * fps rounded down to a multiple of 2, at least 4 and at
    most all of them.
    """
    wanted = frames / frame_rate * fps
    even = int(min(max(wanted, 4), 768, frames) // 2 * 2) or frames
    step = (frames - 1) / max(even - 1, 1)
    return [round(place * step) for place in range(even)]


class ClipHeader(NamedTuple):
    """What a container says of its clip: cheap, and right for most."""

    frames: int
    frame_rate: float
    width: int  # as stored; a clip on its side is shown with the two exchanged
    height: int


def clip_header(source: bytes | Path) -> ClipHeader:
    """Read what a container says, for planning; nothing is decoded and no frame counted.

    Raises:
        BrokenMedium: no clip.
    """
    with _opened(source) as (container, stream):
        rate = _frame_rate(stream)
        seconds = (container.duration or 0) / MICROSECONDS
        return ClipHeader(stream.frames or max(round(seconds * rate), 1), rate, stream.width, stream.height)


class Clip:
    """A clip whose frames are counted. One thread reads it; other threads may read other clips meanwhile.

    Raises:
        BrokenMedium: no clip, cut off, or its frames are larger than 100 megapixels.
    """

    def __init__(self, source: bytes | Path) -> None:
        self._source = source
        self._reading: Generator[numpy.ndarray] | None = None
        with _opened(source) as (container, stream):
            self.frame_rate = _frame_rate(stream)
            first, times = _shown_times(container, stream)
        self.frames = len(times)
        known = {time for time in times if time is not None}
        self._times = sorted(known) if len(known) == len(times) else []  # none where it is unclear
        self._stored_size = (first.width, first.height)
        self._turns = round(first.rotation / 90) % 4  # quarters, to the left
        self.width, self.height = self._stored_size[:: -1 if self._turns % 2 else 1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the reading under way, if any, and free its decoder."""
        if self._reading:
            self._reading.close()

    def sampled(self, fps: float = CLIP_FPS) -> list[int]:
        """Indices of the frames a model sees."""
        return sampled_frames(self.frames, self.frame_rate, fps)

    def read(self, indices: Sequence[int]) -> Iterator[numpy.ndarray]:
        """Decode frames, in ascending order, to RGB arrays [n, height, width, 3], n up to 4. Ends the last reading.

        Raises:
            BrokenMedium: while iterating, a frame cannot be decoded.
        """
        if any(not 0 <= index < self.frames for index in indices) or list(indices) != sorted(indices):
            raise IndexError(f"indices must ascend within 0..{self.frames - 1}, got {list(indices)}")
        self.close()
        self._reading = self._batches(indices)
        return self._reading

    def _batches(self, indices: Sequence[int]) -> Generator[numpy.ndarray]:
        import numpy

        pictures = self._pictures(indices)
        for start in range(0, len(indices), FRAMES_AT_ONCE):
            count = min(FRAMES_AT_ONCE, len(indices) - start)
            batch = numpy.empty((count, self.height, self.width, 3), numpy.uint8)
            for place in range(count):
                batch[place] = next(pictures)
            yield batch

    def _pictures(self, indices: Sequence[int]) -> Iterator[numpy.ndarray]:
        import numpy
        from av.video.reformatter import VideoReformatter

        reformatter = VideoReformatter()  # one for all frames keeps swscale's tables
        for frame in self._frames(indices):
            rgb = reformatter.reformat(
                frame, *self._stored_size, "rgb24", frame.colorspace, RGB_COLORSPACE, src_color_range=frame.color_range
            )
            yield numpy.rot90(rgb.to_ndarray(), self._turns)

    def _frames(self, indices: Sequence[int]) -> Iterator[Any]:
        """Frames by their times, and from the first that does not come at its time, by their numbers."""
        found = 0
        if self._times:
            for frame in self._by_time([self._times[index] for index in indices]):
                found += 1
                yield frame
        if found < len(indices):
            yield from self._by_number(indices[found:])

    def _by_time(self, times: Sequence[int]) -> Iterator[Any]:
        """Frames of these times, as long as they come one after the other."""
        wanted, coming = set(times), iter(times)
        with _opened(self._source) as (container, stream):
            for frame in _decoded(container, stream, wanted):
                if frame.pts in wanted:
                    if frame.pts != next(coming, None):
                        return
                    yield frame

    def _by_number(self, indices: Sequence[int]) -> Iterator[Any]:
        with _opened(self._source) as (container, stream):
            decoded, number = container.decode(stream), -1
            frame: Any = None
            for index in indices:
                while number < index:
                    number, frame = number + 1, next(decoded, None)
                    if frame is None:
                        raise BrokenMedium(f"clip cannot be decoded: {number} of {self.frames} frames came out")
                yield frame


@contextmanager
def _opened(source: bytes | Path) -> Iterator[tuple[Any, Any]]:
    """The container and its video stream, decoded by the calling thread alone."""
    import av

    # Not `options`: they crash PyAV 15.1 where a stream turns up after the header, as in FLV.
    options = {"format_whitelist": CLIP_FORMATS, "protocol_whitelist": ""}
    try:
        with (
            source.open("rb") if isinstance(source, Path) else BytesIO(source) as encoded,
            # Titles in an old encoding are no reason to lose a clip.
            av.open(encoded, metadata_errors="replace", container_options=options) as container,
        ):
            stream = container.streams.best("video")
            if stream is None:
                raise BrokenMedium("clip has no video stream")
            if stream.width * stream.height > MAX_PICTURE_PIXELS:
                size = f"{stream.width}x{stream.height}"
                raise BrokenMedium(f"clip of {size} pixels, at most {MAX_PICTURE_PIXELS:,} are opened")
            stream.thread_type, stream.codec_context.thread_count = "NONE", 1
            yield container, stream
    except av.FFmpegError as error:
        raise BrokenMedium(f"clip cannot be decoded: {error.strerror or error}") from error


def _decoded(container: Any, stream: Any, wanted: Set[int]) -> Iterator[Any]:
    """All frames but those that are not wanted and that no other is made from."""
    skips = stream.codec_context.name in SKIPPABLE
    for packet in container.demux(stream):
        needed = packet.pts is None or packet.pts in wanted
        stream.codec_context.skip_frame = "DEFAULT" if needed or not skips else "NONREF"
        yield from packet.decode()


def _frame_rate(stream: Any) -> float:
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    if not rate:
        raise BrokenMedium("clip has no frame rate")
    return rate


def _shown_times(container: Any, stream: Any) -> tuple[Any, list[int | None]]:
    """The first frame shown and the time of each frame shown, as stored, decoding no more than the first."""
    first, packets, times, end = None, 0, [], 0.0
    for packet in container.demux():
        if packet.pts is not None and packet.time_base:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.is_corrupt:
            raise BrokenMedium("clip is cut off")
        if packet.stream is not stream:
            continue
        first = first or next(iter(packet.decode()), None)
        packets += packet.size > 0  # the last one is empty, and asks for the frames still held back
        if packet.size and not packet.is_discard:
            times.append(packet.pts)
    if first is None:
        raise BrokenMedium("clip has no frame that can be decoded")
    # Cut between two packets, a file ends without complaint; its header still says how much there was.
    uncounted = container.format.name in UNCOUNTED
    if (uncounted or packets < stream.frames) and end < (container.duration or 0) / MICROSECONDS - CUT_OFF_SECONDS:
        raise BrokenMedium(f"clip is cut off after {end:.2f} s")
    return first, [time for time in times if None in (first.pts, time) or time >= first.pts]


def protocol_clip_path(encoded: bytes, sha256: str = "", fps: float = CLIP_FPS, view: View = View.AS_FILMED) -> Path:
    """Return a copy of a clip at the protocol's frame rate and size, for models that cannot be told either.

    The frames are those qwen_vl_utils picks at this rate, scaled to fit and encoded anew at high quality; a view that
    is not as filmed is put into the copy.
    """
    source = clip_path(encoded, sha256)
    suffix = "" if view is View.AS_FILMED else f"-{view}"
    path = cache_folder("clips") / f"{source.stem}-{fps:g}fps{suffix}.mp4"
    if not path.exists():
        with atomic_path(path) as draft:
            _encode_at(source, draft, fps, view)
    return path


def _encode_at(source: Path, target: Path, fps: float, view: View) -> None:
    import av

    with Clip(source) as clip, av.open(str(target), "w", format="mp4") as container:
        scale = min(1.0, (CLIP_MAX_PIXELS / (clip.height * clip.width)) ** 0.5)
        stream: Any = container.add_stream("libx264", rate=round(fps), options={"crf": "10"})
        stream.width, stream.height = (max(2, int(side * scale) // 2 * 2) for side in (clip.width, clip.height))
        stream.pix_fmt = "yuv420p"
        pictures: Iterable[Any] = _scaled_pictures(clip, fps, stream, mirrored=view is View.MIRRORED)
        for picture in reversed(list(pictures)) if view is View.REVERSED else pictures:
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _scaled_pictures(clip: Clip, fps: float, stream: Any, mirrored: bool) -> Iterator[Any]:
    """The frames a model sees, small enough to be kept, as PyAV's."""
    import av

    for batch in clip.read(clip.sampled(fps)):
        for picture in batch[:, :, ::-1] if mirrored else batch:
            frame = av.VideoFrame.from_ndarray(picture.copy() if mirrored else picture, format="rgb24")
            frame = frame.reformat(stream.width, stream.height, stream.pix_fmt)
            frame.pts = None
            yield frame
