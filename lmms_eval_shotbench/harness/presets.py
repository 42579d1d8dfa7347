"""Presets: YAML files with everything that `shotbench eval` needs to know about one model.

    model: internvl_hf                    # name in lmms-eval
    model_args: {pretrained: OpenGVLab/InternVL3-8B-hf}
    max_new_tokens: 1024
    batch_size: 1
    stills: {as: picture, note: up to 12 tiles of 448x448 pixels}
    clips: {as: video, frames: 32, model_args: {num_frames: 32}}

`stills` and `clips` state what the model is shown; their `model_args` apply to the pass of that kind only. The other
keys are optional: `needs` (packages to install in addition), `api_key` (variable with the key of an API), `family` (key
in docs/model_families.json), `paper` (row of report/leaderboard.csv) and `note`. Values on the command line win; a
model argument that is null must be given there.
"""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.harness.eval_plan import EvaluationError
from lmms_eval_shotbench.model_args import format_model_args, parse_model_args
from lmms_eval_shotbench.prompts import MAX_NEW_TOKENS

FOLDER = resources.files("lmms_eval_shotbench").joinpath("presets")
SUFFIX = ".yaml"
KINDS = {"stills", "clips"}
SHOWN_AS = ("picture", "pictures", "video", "nothing")


class PresetError(EvaluationError):
    """A preset that does not exist or is not valid, or contradicts the command line."""


@dataclass(frozen=True)
class Shown:
    """What a model is shown of a still or a clip; `model_args` are those of the pass of this kind only."""

    shown_as: str  # one of SHOWN_AS
    fps: float | None = None  # frames per second of a clip
    frames: int | None = None  # their number; with a rate, their maximum number
    pixels: int | None = None  # maximum pixels of a picture or frame, if they are limited
    note: str = ""
    model_args: Mapping[str, str] = field(default_factory=dict)

    def in_short(self) -> str:
        """Say it in a few words, such as "video, 12 frames a second"."""
        rate = f"{self.fps:g} frame{'' if self.fps == 1 else 's'} a second" if self.fps else ""
        count = f"{'at most ' if rate else ''}{self.frames} frames" if self.frames else ""
        return ", ".join(filter(None, [self.shown_as, rate, count]))

    def in_full(self) -> str:
        """Say all of it."""
        size = f"at most {self.pixels:,} pixels each" if self.pixels else ""
        return ", ".join(filter(None, [self.in_short(), size, self.note]))


@dataclass(frozen=True)
class Preset:
    """One model; the fields are the keys of its file."""

    name: str
    model: str
    stills: Shown
    clips: Shown
    model_args: Mapping[str, str | None] = field(default_factory=dict)
    max_new_tokens: int = MAX_NEW_TOKENS
    batch_size: int | None = None
    needs: Sequence[str] = ()
    api_key: str = ""
    family: str = ""
    paper: str = ""
    note: str = ""

    @property
    def install_command(self) -> str:
        """The command that installs what the preset needs in addition, or ""."""
        return f"pip install {shlex.join(self.needs)}" if self.needs else ""


def preset_names() -> list[str]:
    """Return the names of the presets of this package, sorted; numbers in them by value."""
    names = [file.name.removesuffix(SUFFIX) for file in FOLDER.iterdir() if file.name.endswith(SUFFIX)]
    return sorted(names, key=lambda name: re.sub(r"\d+", lambda number: number[0].zfill(4), name))


def preset_text(name: str) -> str:
    """Return the file of a preset: of this package, or at a path ending in .yaml.

    Raises:
        PresetError: There is no such preset; the message lists similar names.
    """
    if name.endswith((SUFFIX, ".yml")):
        try:
            return Path(name).read_text(encoding="utf-8")
        except OSError as error:
            raise PresetError(f"--preset {name} cannot be read: {error.strerror}") from None
    names = preset_names()
    if name not in names:
        similar = difflib.get_close_matches(name.lower(), names, n=5, cutoff=0.5)
        hint = f"did you mean {', '.join(similar)}?" if similar else "`shotbench presets` lists them"
        raise PresetError(f"no preset {name}; {hint}")
    return FOLDER.joinpath(name + SUFFIX).read_text(encoding="utf-8")


def read_preset(name: str) -> Preset:
    """Read and validate a preset, by name or path.

    Raises:
        PresetError: There is no such preset, or its file is not valid; the message names the file and the key.
    """
    import yaml

    text, file = preset_text(name), f"preset {name}"
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PresetError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from None
    kinds = {
        kind: _shown(content.get(kind), f"{file}, {kind}") for kind in _checked_keys(content, Preset, file) & KINDS
    }
    arguments = _arguments(content.get("model_args", {}), file)
    preset = Preset(**{**content, **kinds, "model_args": arguments, "name": Path(name).name.removesuffix(SUFFIX)})
    if preset.stills.fps or preset.stills.frames or preset.stills.shown_as in ("pictures", "video"):
        raise PresetError(f"{file}, stills: a still is shown as one picture, or as nothing")
    return preset


TYPES: dict[str, type | tuple[type, ...]] = {  # of the values of a file, by key
    "model": str,
    "as": str,
    "stills": dict,
    "clips": dict,
    "model_args": dict,
    "max_new_tokens": int,
    "batch_size": int,
    "frames": int,
    "pixels": int,
    "fps": (int, float),
    "needs": list,
}


def _checked_keys(content: Any, form: type, place: str) -> set[str]:
    """Check keys and types of a mapping against the fields of a dataclass; return its keys."""
    if not isinstance(content, dict):
        raise PresetError(f"{place}: a mapping is expected, not {content!r}")
    keys = {{"shown_as": "as"}.get(one.name, one.name): one for one in fields(form) if one.name != "name"}
    for key, value in content.items():
        if key not in keys:
            raise PresetError(f"{place}: unknown key {key}; known are {', '.join(keys)}")
        if not isinstance(value, TYPES.get(key, str)) or isinstance(value, bool):
            raise PresetError(f"{place}: {key} cannot be {value!r}")
        if isinstance(value, (int, float)) and value <= 0:
            raise PresetError(f"{place}: {key} must be positive, not {value}")
    required = {key for key, one in keys.items() if one.default is MISSING and one.default_factory is MISSING}
    if missing := sorted(required - content.keys()):
        raise PresetError(f"{place}: {', '.join(missing)} is missing")
    return set(content)


def _shown(content: Any, place: str) -> Shown:
    _checked_keys(content, Shown, place)
    values = dict(content)
    arguments = _arguments(values.get("model_args", {}), place)
    shown = Shown(values.pop("as"), **{**values, "model_args": arguments})
    if None in arguments.values():
        raise PresetError(f"{place}: model_args: null is possible only for both stills and clips")
    if shown.shown_as not in SHOWN_AS:
        raise PresetError(f"{place}: as is one of {', '.join(SHOWN_AS)}, not {shown.shown_as}")
    return shown


def _arguments(content: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Model arguments as lmms-eval's command line has them; mappings and lists as JSON, null as None."""
    arguments: dict[str, Any] = {}
    for name, value in content.items():
        text = json.dumps(value) if isinstance(value, (dict, list)) else str(value)
        if parse_model_args(format_model_args({name: text})) != {name: text}:
            raise PresetError(f"{place}: model_args: lmms-eval would split {name}={text}; put quotes around its commas")
        arguments[name] = None if value is None else text
    return arguments
