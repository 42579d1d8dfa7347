"""Is this still or clip worth a question? Too small, too short, too dark, blurred, not moving, seen before.

Owns what is measured and how; the thresholds and their reasons are in `cut_settings.py`. Every verdict carries the
value that was measured. Pictures are judged as they are cut: upright and without bars. Models' verdicts are in
`picture_plugins.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.letterbox import grey
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, Label

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image

SHARPNESS_SIDE = 512  # pixels; larger pictures are scaled down, so that a threshold means the same for all
MOTION_SIDE = 160  # pixels; grain averages out
THUMBNAIL = (32, 18)
LEAST_CONTRAST = 4.0  # of 255; flat pictures are all alike
SHARPNESS_EVERY = 6  # frames of a clip; the sharpest counts, for a fast pan blurs most


def judge_size(width: int, height: int, settings: CutSettings) -> Flaw | None:
    """Judge a picture by its size."""
    if min(width, height) >= settings.least_side:
        return None
    return Flaw(DefectKind.TOO_SMALL, f"{width} x {height} pixels, the shorter side must have {settings.least_side}")


def judge_still(picture: Image, settings: CutSettings) -> Flaw | None:
    """Judge a still as it is cut."""
    if flaw := judge_size(*picture.size, settings):
        return flaw
    small = _grey_of(picture, SHARPNESS_SIDE)
    return _judge_light(brightness(small), sharpness(small), settings)


class ClipMeasure:
    """Is shown the frames of a clip in order, as they are cut, and judges it at the end."""

    def __init__(self) -> None:
        self._first: numpy.ndarray | None = None
        self._before: numpy.ndarray | None = None
        self._frames = self._repeats = 0
        self._change = self._brightness = self._sharpness = 0.0

    def see(self, frame: Any, settings: CutSettings) -> None:
        """Measure the next frame of PyAV."""
        small: numpy.ndarray = grey(frame, MOTION_SIDE).astype("float32")
        if self._first is None or self._before is None:
            self._first = self._before = small
        self._change = max(self._change, _difference(small, self._first))
        self._repeats += self._frames > 0 and _difference(small, self._before) < settings.frozen_change
        if self._frames % SHARPNESS_EVERY == 0:
            large = grey(frame, SHARPNESS_SIDE)
            self._brightness = max(self._brightness, brightness(large))
            self._sharpness = max(self._sharpness, sharpness(large))
        self._before = small
        self._frames += 1

    def judge(self, movement: Label | None, settings: CutSettings) -> Flaw | None:
        """Judge the clip that was shown; `movement` is its label."""
        if flaw := _judge_light(self._brightness, self._sharpness, settings):
            return flaw
        if movement is None or movement.terms == {CAMERA_MOVEMENT.term("static")}:
            return None
        if self._change < settings.least_change:
            detail = f"no frame differs from the first by more than {self._change:.2f} of 255"
            return Flaw(DefectKind.NEARLY_STATIC, f"{detail}, a movement must by {settings.least_change:g}")
        frozen = self._repeats / max(self._frames - 1, 1)
        if frozen > settings.most_frozen:
            return Flaw(DefectKind.NEARLY_STATIC, f"{frozen:.0%} of frames repeat the one before")
        return None


def judge_length(seconds: float, frames: int, settings: CutSettings) -> Flaw | None:
    """Judge a clip by its length."""
    if seconds >= settings.shortest_clip_seconds and frames > 1:
        return None
    return Flaw(DefectKind.TOO_SHORT, f"{seconds:.3f} s, a clip must last {settings.shortest_clip_seconds:g} s")


def brightness(picture: numpy.ndarray) -> float:
    """The luma that a hundredth of a grey picture reaches: low-key light is no reason to lose a shot."""
    import numpy

    return float(numpy.percentile(picture, 99))


def sharpness(picture: numpy.ndarray) -> float:
    """Variance of the Laplacian of a grey picture."""
    whole: numpy.ndarray = picture.astype("float32")
    centre = whole[1:-1, 1:-1]
    around = whole[:-2, 1:-1] + whole[2:, 1:-1] + whole[1:-1, :-2] + whole[1:-1, 2:]
    return float((around - 4 * centre).var())


def thumbnail(picture: Image) -> numpy.ndarray:
    """What is kept of a still to know it again."""
    import numpy

    small: numpy.ndarray = numpy.asarray(picture.convert("L").resize(THUMBNAIL), "float32")
    return small


def distance(one: numpy.ndarray, other: numpy.ndarray) -> float:
    """How different two thumbnails are, relative to their contrast: 0 the same, about 1.4 unrelated."""
    difference = float(((one - other) ** 2).mean() ** 0.5)
    return difference / max(float(one.std()), float(other.std()), LEAST_CONTRAST)


def _grey_of(picture: Image, longest_side: int) -> numpy.ndarray:
    import numpy

    small = picture.convert("L")
    small.thumbnail((longest_side, longest_side))
    pixels: numpy.ndarray = numpy.asarray(small)
    return pixels


def _judge_light(light: float, sharp: float, settings: CutSettings) -> Flaw | None:
    if light < settings.least_brightness:
        detail = f"the brightest hundredth has {light:.0f} of 255"
        return Flaw(DefectKind.TOO_DARK, f"{detail}, it must have {settings.least_brightness:g}")
    if sharp < settings.least_sharpness:
        return Flaw(DefectKind.TOO_BLURRED, f"sharpness {sharp:.2f}, it must be {settings.least_sharpness:g}")
    return None


def _difference(one: numpy.ndarray, other: numpy.ndarray) -> float:
    return float(abs(one - other).mean())
