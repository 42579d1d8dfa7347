"""The detectors of `CutSettings.detector`, all with PySceneDetect's interface and without a minimum distance.

Owns which detector a setting selects and how many frames it looks around. PySceneDetect's four are described there;
TransNetV2 is in `transnetv2.py`.

* `adaptive` compares the change between two frames with that of the neighbouring frames: a cut is an isolated peak, a
  whip pan or a shake is not, which matters for data about camera movement.
* `content` compares the change between two frames with a constant, `histogram` that of their brightness.
* `threshold` finds fades through black.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from data_pipeline.films.cut_settings import CutSettings

WINDOW = 2  # number of frames before and after a change that `adaptive` compares it with, as in PySceneDetect
CONTEXT = {"adaptive": WINDOW + 1, "histogram": 1}  # frames before and after; others depend on the complete film


def make_detector(settings: CutSettings) -> Any:
    """A new detector (`scenedetect.SceneDetector`)."""
    from scenedetect import detectors  # type: ignore[import-untyped]

    match settings.detector:
        case "adaptive":
            return _fast(detectors.AdaptiveDetector)(
                adaptive_threshold=settings.cut_ratio,
                min_content_val=settings.cut_change,
                window_width=WINDOW,
                min_scene_len=0,
            )
        case "content":
            return _fast(detectors.ContentDetector)(threshold=settings.content_change, min_scene_len=0)
        case "threshold":
            return detectors.ThresholdDetector(
                threshold=settings.fade_level, fade_bias=2 * settings.fade_position - 1, min_scene_len=0
            )
        case "histogram":
            return detectors.HistogramDetector(
                threshold=settings.histogram_change, bins=settings.histogram_bins, min_scene_len=0
            )
        case _:
            from data_pipeline.films.transnetv2 import TransNetV2Detector

            return TransNetV2Detector(settings.transition_probability)


@lru_cache(maxsize=2)
def _fast(detector: Any) -> Any:
    """The class of a detector that compares hue, saturation and luma, with a faster computation of the same score."""
    import cv2

    class FastDetector(detector):  # type: ignore[misc]
        """The mean of the three mean differences between a frame and the one before."""

        _hsv: Any = None  # of the frame before

        def _calculate_frame_score(self, _: Any, frame: Any) -> float:
            before, self._hsv = self._hsv, cv2.cvtColor(frame, cv2.COLOR_BGR2HSV)
            if before is None:
                return 0.0
            sums = cv2.sumElems(cv2.absdiff(self._hsv, before))[:3]
            return float(sum(total / (frame.shape[0] * frame.shape[1]) for total in sums) / 3)

    return FastDetector


def check_detector(settings: CutSettings) -> None:
    """Raise `DetectorUnusable` if what the detector needs is not installed, before films are cut."""
    if settings.detector == "transnetv2":
        from data_pipeline.films.transnetv2 import load_model

        load_model()
