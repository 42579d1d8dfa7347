"""`CutSettings`: every threshold for cutting your own films, each with its reason; loaded from a TOML file.

Owns names, defaults and parsing. The quantity compared with a threshold is defined in the module that measures it:
`detectors.py`, `no_cuts.py`, `letterbox.py`, `quality.py`, `picture_plugins.py`, `cut_media.py`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

DETECTOR_SETTINGS = {  # detector to the settings that only it has
    "adaptive": ("cut_ratio", "cut_change"),
    "content": ("content_change",),
    "threshold": ("fade_level", "fade_position"),
    "histogram": ("histogram_change", "histogram_bins"),
    "transnetv2": ("transition_probability",),
}
CHOICES = {
    "detector": tuple(DETECTOR_SETTINGS),
    "still_format": ("jpeg", "png"),
    "high_dynamic_range": ("map", "refuse"),
}
SHARES = ("fade_position", "histogram_change", "transition_probability")  # from 0 to 1


class BadSettings(ValueError):
    """An invalid settings file; the message names the key and what was expected."""


@dataclass(frozen=True)
class CutSettings:
    """How films are cut. Flat, so that a TOML file of `name = value` lines can set everything."""

    # Shots. Adaptive compares each change with its neighbours: a whip pan changes every frame, a cut only one. The
    # defaults of all detectors are PySceneDetect's and TransNetV2's, except for the distance, which is 15 there.
    detector: str = "adaptive"  # or content, threshold, histogram, transnetv2
    cut_ratio: float = 3.0  # adaptive: minimum change at a cut relative to the neighbouring frames
    cut_change: float = 15.0  # adaptive: minimum change at a cut, of 255, in hue, saturation and luma
    content_change: float = 27.0  # content: the same
    fade_level: int = 12  # threshold: mean of red, green and blue, of 255, below which a frame is black
    fade_position: float = 0.5  # threshold: the cut within the black frames; 0: the first, 1: the first after them
    histogram_change: float = 0.2  # histogram: minimum change at a cut; 1 minus the correlation of the histograms
    histogram_bins: int = 128  # histogram: number of bins for luma
    transition_probability: float = 0.5  # transnetv2: minimum probability of a transition
    cut_distance_frames: int = 6  # minimum distance between cuts; of closer ones, one is kept
    flash_frames: int = 6  # fewer frames than this between two views of the same picture are a flash; 0: keep all cuts
    trim_frames: int = 2  # a range is trimmed at a cut this close to either end; annotators are a frame or two off

    # Output format.
    crop_bars: bool = True  # letterbox and pillarbox
    still_format: str = "jpeg"  # or png
    still_quality: int = 95  # JPEG quality; higher values give larger files without visible gain
    still_longest_side: int = 1920  # pixels; larger stills are scaled down; 0: never
    clip_longest_side: int = 1280  # pixels; models see 640 x 360; 0: never
    clip_crf: int = 16  # H.264 quality; visually indistinguishable from the source
    clip_preset: str = "veryfast"  # of x264
    high_dynamic_range: str = "map"  # PQ and HLG: map to standard range with a warning, or refuse

    # Quality, measured on the cut media, without bars.
    shortest_clip_seconds: float = 0.5  # a movement cannot be recognized in less
    least_side: int = 144  # minimum length of the shorter side in pixels; below it a face in a wide shot is a dot
    least_brightness: float = 32.0  # of 255, 99th percentile of luma; low-key shots reach 60 and more
    least_sharpness: float = 4.0  # variance of the Laplacian at 512 pixels; a picture in focus has 50 and more
    least_change: float = 1.5  # of 255: minimum mean difference from the first frame that a moving clip must reach
    frozen_change: float = 0.15  # of 255: mean difference from the previous frame; below it, a frame is a repetition
    most_frozen: float = 0.75  # maximum share of repeated frames; film shot on twos or threes has up to 0.67
    same_still_distance: float = (
        0.06  # `quality.thumbnail_distance`; stills of one film below it are duplicates; 0: never
    )

    # Plug-ins: models at a path or Hub id; empty: not used.
    aesthetic_model: str = ""  # CLIP
    aesthetic_head: str = ""  # file of LAION's predictor head for it
    least_aesthetic: float = 3.0  # as in the paper
    nsfw_model: str = ""  # an image classifier
    nsfw_label: str = "nsfw"  # its unsafe class
    most_nsfw: float = 0.5  # maximum probability of the unsafe class

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise BadSettings(f"{name} is {getattr(self, name)!r}; use one of {', '.join(allowed)}")
        if bool(self.aesthetic_model) != bool(self.aesthetic_head):
            raise BadSettings("aesthetic_model and aesthetic_head go together; set both or neither")
        for name, value in asdict(self).items():
            if not isinstance(value, str) and not 0 <= value < float("inf"):
                raise BadSettings(f"{name} is {value}; use a finite number of at least 0")
        for name in SHARES:
            if getattr(self, name) > 1:
                raise BadSettings(f"{name} is {getattr(self, name)}; use a number from 0 to 1")
        if not 1 <= self.histogram_bins <= 256:
            raise BadSettings(f"histogram_bins is {self.histogram_bins}; use a number from 1 to 256")
        changed = [field.name for field in fields(self) if getattr(self, field.name) != field.default]
        _check_detector_settings(changed, self.detector)

    @classmethod
    def read(
        cls, path: Path | None, options: Mapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
    ) -> CutSettings:
        """Load a TOML file of `name = value` lines; omitted names keep their defaults.

        Args:
            path: The file, or None if there is none.
            options: Values that replace those of the file.
            defaults: Other defaults than those of this class.

        Raises:
            BadSettings: invalid TOML, an unknown name or a value of the wrong type.
        """
        if path is None:
            return cls(**{**(defaults or {}), **(options or {})})
        try:
            given = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadSettings(f"{path} is not valid TOML: {error}") from error
        built_in = {field.name: field.default for field in fields(cls)}
        if unknown := [name for name in given if name not in built_in]:
            raise BadSettings(f"{path} has unknown names: {', '.join(unknown)}; known names: {', '.join(built_in)}")
        try:
            values = {name: _typed(name, value, type(built_in[name])) for name, value in given.items()}
            values = {**(defaults or {}), **values, **(options or {})}
            _check_detector_settings(values, values.get("detector", built_in["detector"]))
            return cls(**values)
        except BadSettings as error:
            raise BadSettings(f"{path}: {error}") from error


def _check_detector_settings(names: Collection[str], detector: str) -> None:
    """Refuse settings that only another detector has."""
    for owner, own in DETECTOR_SETTINGS.items():
        if owner != detector and detector in DETECTOR_SETTINGS and (foreign := [name for name in own if name in names]):
            raise BadSettings(
                f"{' and '.join(foreign)} has no effect on the detector {detector}: it belongs to {owner}; "
                f"{detector} has {' and '.join(DETECTOR_SETTINGS[detector])}, or choose the detector {owner}"
            )


def _typed(name: str, value: object, expected: type) -> Any:
    """The value with its type checked; an integer is accepted for a float."""
    if expected is float and type(value) is int:
        return float(value)
    if type(value) is not expected:
        raise BadSettings(f"{name} is {value!r}; use a value of type {expected.__name__}")
    return value
