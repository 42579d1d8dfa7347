"""Quality checks of stills and clips: size, length, brightness, sharpness, motion, similarity of stills.

Owns the measures; the thresholds and their reasons are in `cut_settings.py`. Every flaw reports the measured value.
Media are checked as cut: upright and without bars. Filters that use models are in `picture_plugins.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.letterbox import luma
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, Label

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image

SHARPNESS_SIDE = 512  # pixels; larger pictures are scaled down, so that a threshold means the same for all
MOTION_SIDE = 160  # pixels; small enough to average out film grain
THUMBNAIL = (32, 18)  # width and height in pixels
MIN_CONTRAST = 4.0  # of 255; lower bound of the normalization, since flat pictures have almost no contrast
SHARPNESS_EVERY = 6  # every n-th frame of a clip is measured; the sharpest counts, since a fast pan blurs most of them


def check_picture_size(width: int, height: int, settings: CutSettings) -> Flaw | None:
    """Check the size of a picture in pixels."""
    if min(width, height) >= settings.least_side:
        return None
    return Flaw(DefectKind.TOO_SMALL, f"{width} x {height} pixels, the shorter side must have {settings.least_side}")


def check_still(picture: Image, settings: CutSettings) -> Flaw | None:
    """Check the size, brightness and sharpness of a still."""
    if flaw := check_picture_size(*picture.size, settings):
        return flaw
    small = _luma_of(picture, SHARPNESS_SIDE)
    return _judge_light(brightness(small), sharpness(small), settings)


class ClipMeasure:
    """Measures the frames of a clip in order and checks the clip at the end."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._small_scaler, self._large_scaler = VideoReformatter(), VideoReformatter()
        self._first: numpy.ndarray | None = None
        self._previous: numpy.ndarray | None = None
        self._frames = self._repeats = 0
        self._change = self._brightness = self._sharpness = 0.0

    def add_frame(self, frame: Any, settings: CutSettings) -> None:
        """Measure the next frame (`av.VideoFrame`)."""
        small: numpy.ndarray = luma(frame, MOTION_SIDE, self._small_scaler).astype("float32")
        if self._first is None or self._previous is None:
            self._first = self._previous = small
        self._change = max(self._change, _difference(small, self._first))
        self._repeats += self._frames > 0 and _difference(small, self._previous) < settings.frozen_change
        if self._frames % SHARPNESS_EVERY == 0:
            large = luma(frame, SHARPNESS_SIDE, self._large_scaler)
            self._brightness = max(self._brightness, brightness(large))
            self._sharpness = max(self._sharpness, sharpness(large))
        self._previous = small
        self._frames += 1

    def judge(self, movement: Label | None, settings: CutSettings) -> Flaw | None:
        """Check the measured clip; a clip without a movement label (None) or labelled as static need not move."""
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


def check_length(seconds: float, frames: int, settings: CutSettings) -> Flaw | None:
    """Check the length of a clip."""
    if seconds >= settings.shortest_clip_seconds and frames > 1:
        return None
    return Flaw(DefectKind.TOO_SHORT, f"{seconds:.3f} s, a clip must last {settings.shortest_clip_seconds:g} s")


def brightness(picture: numpy.ndarray) -> float:
    """99th percentile of luma [height, width], 0 to 255; a percentile, so that low-key shots pass."""
    import numpy

    return float(numpy.percentile(picture, 99))


def sharpness(picture: numpy.ndarray) -> float:
    """Variance of the Laplacian of luma [height, width], 0 to 255."""
    pixels: numpy.ndarray = picture.astype("float32")
    centre = pixels[1:-1, 1:-1]
    neighbours = pixels[:-2, 1:-1] + pixels[2:, 1:-1] + pixels[1:-1, :-2] + pixels[1:-1, 2:]
    return float((neighbours - 4 * centre).var())


def thumbnail(picture: Image) -> numpy.ndarray:
    """Small luma image for comparing stills: float32 [18, 32], 0 to 255."""
    import numpy

    small: numpy.ndarray = numpy.asarray(picture.convert("L").resize(THUMBNAIL), "float32")
    return small


def thumbnail_distance(one: numpy.ndarray, other: numpy.ndarray) -> float:
    """RMS difference of two thumbnails [18, 32] relative to their contrast: 0 if identical, 1.4 if unrelated."""
    difference = float(((one - other) ** 2).mean() ** 0.5)
    return difference / max(float(one.std()), float(other.std()), MIN_CONTRAST)


def _luma_of(picture: Image, longest_side: int) -> numpy.ndarray:
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
