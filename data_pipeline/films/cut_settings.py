"""`CutSettings`: every threshold of cutting one's own film, each with its reason; read from a TOML file.

Owns names, defaults and the reading. What a threshold is compared with is said in the step that measures it:
`detect_shots.py`, `letterbox.py`, `quality.py`, `picture_plugins.py`, `cut_media.py`.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


class BadSettings(ValueError):
    """A settings file that cannot be used: which key, and what was expected."""


@dataclass(frozen=True)
class CutSettings:
    """How films are cut. Flat, so that a TOML file of `name = value` lines says it all."""

    # Shots. The detector compares a change with those around it: a whip pan changes every frame, a cut only one.
    cut_ratio: float = 3.0  # a cut changes the picture so many times as much as the frames around it (PySceneDetect)
    cut_change: float = 15.0  # and at least so much, of 255, in hue, saturation and luma (PySceneDetect)
    cut_distance_frames: int = 6  # cuts nearer to each other are one: a flash of light
    trim_frames: int = 2  # a cut this near to an end of the range moves the end; annotators are a frame or two off

    # Form.
    crop_bars: bool = True  # letterbox and pillarbox
    still_format: str = "jpeg"  # or png
    still_quality: int = 95  # of JPEG; above it files grow and nothing is gained
    still_longest_side: int = 1920  # larger ones are scaled down; 0: never
    clip_longest_side: int = 1280  # models see 640 x 360; 0: never
    clip_crf: int = 16  # H.264 quality; not told from the source by eye
    clip_preset: str = "veryfast"  # of x264
    high_dynamic_range: str = "map"  # PQ and HLG to standard range, noted; or refuse

    # Quality. Pictures are judged as they are cut, without bars.
    shortest_clip_seconds: float = 0.5  # a movement cannot be told from less
    least_side: int = 144  # pixels of the shorter side; below it a face in a wide shot is a dot
    least_brightness: float = 32.0  # of 255, reached by a hundredth of the picture; low-key shots reach 60 and more
    least_sharpness: float = 4.0  # variance of the Laplacian at 512 pixels; a picture in focus has 50 and more
    least_change: float = 1.5  # of 255, mean; a clip that never gets further from its first frame does not move
    frozen_change: float = 0.15  # of 255, mean; below it a frame repeats the one before
    most_frozen: float = 0.75  # share of frames that repeat; film shot on twos or threes has up to 0.67
    same_still_distance: float = 0.06  # of two stills of one film, relative to their contrast; 0: never the same

    # Plug-ins: real models at a path or Hub id; empty: not asked.
    aesthetic_model: str = ""  # CLIP
    aesthetic_head: str = ""  # file of LAION's predictor on it
    least_aesthetic: float = 3.0  # as in the paper
    nsfw_model: str = ""  # an image classifier
    nsfw_label: str = "nsfw"  # its class that is unsafe
    most_nsfw: float = 0.5  # probability

    def __post_init__(self) -> None:
        for name, allowed in {"still_format": ("jpeg", "png"), "high_dynamic_range": ("map", "refuse")}.items():
            if getattr(self, name) not in allowed:
                raise BadSettings(f"{name} is {getattr(self, name)!r}; use one of {', '.join(allowed)}")
        if bool(self.aesthetic_model) != bool(self.aesthetic_head):
            raise BadSettings("aesthetic_model and aesthetic_head go together; give both or none")
        for name, value in asdict(self).items():
            if not isinstance(value, str) and not 0 <= value < float("inf"):
                raise BadSettings(f"{name} is {value}; use a number from 0 up")

    @classmethod
    def read(cls, path: Path) -> CutSettings:
        """Read a TOML file of `name = value`; names that are left out keep their defaults.

        Raises:
            BadSettings: no TOML, an unknown name or a value of the wrong type.
        """
        try:
            given = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadSettings(f"{path} is no TOML: {error}") from error
        defaults = {field.name: field.default for field in fields(cls)}
        if unknown := [name for name in given if name not in defaults]:
            raise BadSettings(f"{path} names {', '.join(unknown)}; known are {', '.join(defaults)}")
        try:
            return cls(**{name: _typed(name, value, type(defaults[name])) for name, value in given.items()})
        except BadSettings as error:
            raise BadSettings(f"{path}: {error}") from error


def _typed(name: str, value: object, wanted: type) -> Any:
    """The value, a whole number also where a fraction is wanted."""
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise BadSettings(f"{name} is {value!r}; use a value of type {wanted.__name__}")
    return value
