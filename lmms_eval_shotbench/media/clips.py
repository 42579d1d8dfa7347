"""Sample and decode the frames of a clip that a model sees, in bounded memory.

Frames are sampled by the rule of qwen_vl_utils and indexed in presentation order; frames that are not shown have no
index (`clip_file.py` lists the others). A frame is reached by decoding from the first one, never by seeking;
non-reference frames are skipped on the way.

PyAV decodes. decord, which qwen_vl_utils uses, returns the same pixels (the tests compare) and is no faster, but it
decodes ahead of its reader without limit (1.7 GB after one batch of a 30 s clip in 720p), repeats the last frame where
some are missing, returns wrong frames after a seek in open GOPs, ignores reflections and can crash on a truncated file.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence, Set
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from lmms_eval_shotbench.atomic_file import atomic_path
from lmms_eval_shotbench.environment import cache_folder
from lmms_eval_shotbench.media.broken_medium import BrokenMedium, failures_as_broken
from lmms_eval_shotbench.media.clip_file import MICROSECONDS, frame_rate, list_frames, open_clip
from lmms_eval_shotbench.media.orientation import display_orientation
from lmms_eval_shotbench.media.stills import clip_path
from lmms_eval_shotbench.vocabulary import View

if TYPE_CHECKING:
    import numpy

CLIP_FPS = 12.0  # official protocol: frames per second that a model sees
CLIP_MAX_PIXELS = 360 * 640  # official protocol: maximum number of pixels per frame
CLIP_MIN_PIXELS = 128 * 28 * 28  # qwen_vl_utils: smaller frames are upscaled to it
FRAMES_PER_BATCH = 4  # small enough for the CPU cache; 4 frames of 4K are 100 MB
RGB_COLORSPACE = 0  # AVCOL_SPC_RGB; PyAV uses the source's colorspace only if the target's differs from it
SKIPPABLE_CODECS = ("h264",)  # codecs that reliably mark non-reference frames


def sampled_frames(frames: int, frame_rate: Fraction | float, fps: float = CLIP_FPS) -> list[int]:
    """Indices of the sampled frames of a clip, ascending and evenly spaced from the first to the last frame.

    Their number is that of `smart_nframes` in qwen_vl_utils: frames / frame_rate * fps, limited to 4..768 and to the
    number of frames, then rounded down to a multiple of 2. For a clip of one frame, which `smart_nframes` rejects, the
    result is [0].

    Args:
        frames: Number of frames of the clip.
        frame_rate: Frames per second of the clip.
        fps: Sampling rate in frames per second.
    """
    requested = frames / float(frame_rate) * fps  # in floats, as there
    count = int(min(max(requested, 4), 768, frames) // 2 * 2) or frames
    step = (frames - 1) / max(count - 1, 1)
    return [round(number * step) for number in range(count)]


def sampled_rate(sampled: int, frames: int, frame_rate: Fraction) -> Fraction:
    """Exact number of sampled frames per second of a clip of `frames` frames, of which `sampled` are shown."""
    return sampled * frame_rate / frames


class ClipHeader(NamedTuple):
    """Metadata from the container's header: fast to read, but the number of frames may be wrong."""

    frames: int  # estimated from the duration if the header does not give it
    frame_rate: Fraction  # frames per second
    width: int  # as stored; width and height are exchanged on display if the clip is rotated by 90 degrees
    height: int


def clip_header(source: bytes | Path) -> ClipHeader:
    """Read a clip's metadata from its container header, without decoding or counting frames.

    Raises:
        BrokenMedium: the source is not a clip.
    """
    with open_clip(source) as (container, stream):
        rate = frame_rate(stream)
        seconds = (container.duration or 0) / MICROSECONDS
        return ClipHeader(stream.frames or max(round(seconds * rate), 1), rate, stream.width, stream.height)


class Clip:
    """An open clip with an exact number of frames. Not thread-safe: share no instance between threads.

    `frames` is the number of frames shown, `hidden` that of decodable frames which an edit list hides.

    Raises:
        BrokenMedium: not a clip, truncated, or its frames are larger than 100 megapixels.
    """

    def __init__(self, source: bytes | Path) -> None:
        self._source = source
        self._batch_iterator: Generator[numpy.ndarray] | None = None
        with open_clip(source) as (container, stream):
            self.frame_rate = frame_rate(stream)
            first, times, self.hidden = list_frames(container, stream)
        self.frames = len(times)
        unique = {time for time in times if time is not None}
        self._times = sorted(unique) if len(unique) == len(times) else []  # empty unless all exist and are distinct
        self._stored_size = (first.width, first.height)
        self.orientation, self.starts_interlaced = display_orientation(first), bool(first.interlaced_frame)
        self.width, self.height = self._stored_size[:: -1 if self.orientation.quarter_turns % 2 else 1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the active iterator of `read`, if any, and its decoder."""
        if self._batch_iterator:
            self._batch_iterator.close()

    def sampled(self, fps: float = CLIP_FPS) -> list[int]:
        """Indices of the frames that a model sees at `fps` frames per second."""
        return sampled_frames(self.frames, self.frame_rate, fps)

    def sampled_rate(self, indices: Sequence[int]) -> Fraction:
        """Exact number of sampled frames per second, where `indices` are all sampled frames."""
        return sampled_rate(len(indices), self.frames, self.frame_rate)

    def read(self, indices: Sequence[int]) -> Iterator[numpy.ndarray]:
        """Decode frames in batches; closes the iterator of an earlier call.

        Args:
            indices: Ascending frame indices; repetitions are allowed.

        Returns:
            Iterator of RGB arrays of shape [n, height, width, 3], dtype uint8, with n up to `FRAMES_PER_BATCH`.

        Raises:
            BrokenMedium: during iteration, if a frame cannot be decoded.
        """
        if any(not 0 <= index < self.frames for index in indices) or list(indices) != sorted(indices):
            raise IndexError(f"indices must ascend within 0..{self.frames - 1}, got {list(indices)}")
        self.close()
        self._batch_iterator = self._batches(indices)
        return self._batch_iterator

    def require_all_frames(self) -> None:
        """Decode all frames, without converting them; raises `BrokenMedium` if one cannot be decoded."""
        for _ in self._frames(range(self.frames)):
            pass

    def _batches(self, indices: Sequence[int]) -> Generator[numpy.ndarray]:
        import numpy

        pictures = self._pictures(indices)
        for start in range(0, len(indices), FRAMES_PER_BATCH):
            count = min(FRAMES_PER_BATCH, len(indices) - start)
            with failures_as_broken("clip"):
                batch = numpy.empty((count, self.height, self.width, 3), numpy.uint8)
                for row in range(count):
                    batch[row] = next(pictures)
            yield batch

    def _pictures(self, indices: Sequence[int]) -> Iterator[numpy.ndarray]:
        from av.video.reformatter import VideoReformatter

        reformatter = VideoReformatter()  # reused for all frames, with its swscale context
        for frame in self._frames(indices):
            rgb = reformatter.reformat(
                frame, *self._stored_size, "rgb24", frame.colorspace, RGB_COLORSPACE, src_color_range=frame.color_range
            )
            yield self.orientation.upright(rgb.to_ndarray())

    def _frames(self, indices: Sequence[int]) -> Iterator[Any]:
        """Find frames by timestamp; once one is missing or out of order, continue by counting decoded frames."""
        found = 0
        if self._times:
            for frame in self._by_time([self._times[index] for index in indices]):
                found += 1
                yield frame
        if found < len(indices):
            yield from self._by_number(indices[found:])

    def _by_time(self, times: Sequence[int]) -> Iterator[Any]:
        """Yield the frames with these timestamps, until one is out of order."""
        wanted, expected = set(times), iter(times)
        with open_clip(self._source) as (container, stream):
            for frame in _decoded(container, stream, wanted):
                if frame.pts in wanted:
                    if frame.pts != next(expected, None):
                        return
                    yield frame

    def _by_number(self, indices: Sequence[int]) -> Iterator[Any]:
        with open_clip(self._source) as (container, stream):
            decoded, number = container.decode(stream), -1
            frame: Any = None
            for index in indices:
                while number < index:
                    number, frame = number + 1, next(decoded, None)
                    if frame is None:
                        raise BrokenMedium(f"clip cannot be decoded: {number} of {self.frames} frames came out")
                yield frame


def _decoded(container: Any, stream: Any, wanted: Set[int]) -> Iterator[Any]:
    """Decode all frames except unwanted non-reference frames."""
    can_skip = stream.codec_context.name in SKIPPABLE_CODECS
    for packet in container.demux(stream):
        needed = packet.pts is None or packet.pts in wanted
        stream.codec_context.skip_frame = "DEFAULT" if needed or not can_skip else "NONREF"
        yield from packet.decode()


def protocol_clip_path(encoded: bytes, sha256: str = "", fps: float = CLIP_FPS, view: View = View.AS_FILMED) -> Path:
    """Return the path of a clip re-encoded at the protocol's frame rate and size, for models without such settings.

    The frames are those that qwen_vl_utils samples at `fps`, downscaled to at most `CLIP_MAX_PIXELS` and encoded as
    H.264 at CRF 10 in a mirrored or reversed view, if one is given. The file is cached.
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
        frames: Iterable[Any] = _scaled_frames(clip, fps, stream, mirrored=view is View.MIRRORED)
        for frame in reversed(list(frames)) if view is View.REVERSED else frames:
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _scaled_frames(clip: Clip, fps: float, stream: Any, mirrored: bool) -> Iterator[Any]:
    """Sampled frames as `av.VideoFrame`, in the size and pixel format of `stream`."""
    import av

    for batch in clip.read(clip.sampled(fps)):
        for picture in batch[:, :, ::-1] if mirrored else batch:
            frame = av.VideoFrame.from_ndarray(picture.copy() if mirrored else picture, format="rgb24")
            frame = frame.reformat(stream.width, stream.height, stream.pix_fmt)
            frame.pts = None
            yield frame
