"""Where one shot ends and the next begins: PySceneDetect's adaptive detector, fed with our frames.

Owns the detector and what a range becomes in the light of cuts. The detector compares how much the picture changes from
frame to frame with the frames around: a cut stands alone, a whip pan or a shake does not, and this is film about camera
movement. It is given frames by number, so that cuts are exact at any frame rate. Who reads the frames is in
`cut_film.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from data_pipeline.films.cut_settings import CutSettings

SEEN_WIDTH = 256  # pixels; PySceneDetect scales down to about this, too
WINDOW = 2  # frames before and after that a change is compared with
NOMINAL_RATE = 24.0  # PySceneDetect wants one; it never meets a time of ours


class ShotDetector:
    """Is shown the frames of a stretch of film in order, and collects the numbers of those that begin a shot."""

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

    def see(self, number: int, frame: Any) -> None:
        """Look at the next frame."""
        from scenedetect import FrameTimecode  # type: ignore[import-untyped]

        width = min(SEEN_WIDTH, frame.width)
        height = max(1, round(frame.height * width / frame.width))
        picture = self._scaler.reformat(frame, width, height, "bgr24").to_ndarray()
        self.cuts += [
            cut.frame_num for cut in self._detector.process_frame(FrameTimecode(number, NOMINAL_RATE), picture)
        ]


def frames_around(settings: CutSettings) -> int:
    """How many frames before and after a range the detector must see to find a cut at its very end."""
    return settings.cut_distance_frames + settings.trim_frames + WINDOW + 1


class Stretch(NamedTuple):
    """Frames first to last - 1; `cut` is one that lies in the midst, None where it is of one shot."""

    first: int
    last: int
    cut: int | None = None


def within_one_shot(first: int, last: int, cuts: Sequence[int], trim: int) -> Stretch:
    """A range without what lies beyond a cut near its ends, or with the cut that divides it."""
    inside = [cut for cut in cuts if first < cut < last]
    if inside and inside[0] - first <= trim:
        first = inside.pop(0)
    if inside and last - inside[-1] <= trim:
        last = inside.pop()
    return Stretch(first, last, inside[0] if inside else None)


def shot_around(number: int, cuts: Sequence[int], frames: int) -> Stretch:
    """The shot that a frame belongs to."""
    first = max((cut for cut in cuts if cut <= number), default=0)
    return Stretch(first, min((cut for cut in cuts if cut > number), default=frames))
