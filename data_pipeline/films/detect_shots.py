"""Shot boundary detection: PySceneDetect's adaptive detector, fed with our decoded frames.

Owns the detector and the trimming of ranges at cuts. The detector compares the change between two frames with that of
the neighbouring frames: a cut is an isolated peak, a whip pan or a shake is not, which matters for data about camera
movement. Frames are identified by number, so cuts are exact at any frame rate. Decoding is in `cut_film.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from data_pipeline.films.cut_settings import CutSettings

SCAN_WIDTH = 256  # pixels; PySceneDetect scales down to about the same
WINDOW = 2  # number of frames before and after a change that it is compared with
NOMINAL_RATE = 24.0  # required by PySceneDetect; only frame numbers are used


class ShotDetector:
    """Processes consecutive frames; `cuts` collects the numbers of the frames that begin a shot."""

    def __init__(self, settings: CutSettings) -> None:
        from av.video.reformatter import VideoReformatter
        from scenedetect.detectors import AdaptiveDetector  # type: ignore[import-untyped]

        self.cuts: list[int] = []
        self._scaler = VideoReformatter()
        self._detector: Any = AdaptiveDetector(
            adaptive_threshold=settings.cut_ratio,
            min_scene_len=settings.cut_distance_frames,
            window_width=WINDOW,
            min_content_val=settings.cut_change,
        )

    def process_frame(self, number: int, frame: Any) -> None:
        """Process the next frame (`av.VideoFrame`)."""
        from scenedetect import FrameTimecode  # type: ignore[import-untyped]

        width = min(SCAN_WIDTH, frame.width)
        height = max(1, round(frame.height * width / frame.width))
        picture = self._scaler.reformat(frame, width, height, "bgr24").to_ndarray()
        self.cuts += [
            cut.frame_num for cut in self._detector.process_frame(FrameTimecode(number, NOMINAL_RATE), picture)
        ]


def detector_margin(settings: CutSettings) -> int:
    """Number of frames before and after a range that the detector needs to find cuts at its ends."""
    return settings.cut_distance_frames + settings.trim_frames + WINDOW + 1


class ShotRange(NamedTuple):
    """Frames first to last - 1; `cut` is the first cut inside, or None if all are of one shot."""

    first: int
    last: int
    cut: int | None = None


def trim_to_shot(first: int, last: int, cuts: Sequence[int], trim: int) -> ShotRange:
    """Trim a range at cuts at most `trim` frames from its ends; a remaining cut is reported in `cut`."""
    inside = [cut for cut in cuts if first < cut < last]
    if inside and inside[0] - first <= trim:
        first = inside.pop(0)
    if inside and last - inside[-1] <= trim:
        last = inside.pop()
    return ShotRange(first, last, inside[0] if inside else None)


def shot_containing(number: int, cuts: Sequence[int], frames: int) -> ShotRange:
    """The shot that contains a frame."""
    first = max((cut for cut in cuts if cut <= number), default=0)
    return ShotRange(first, min((cut for cut in cuts if cut > number), default=frames))
