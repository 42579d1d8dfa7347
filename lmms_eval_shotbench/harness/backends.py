"""What a model of lmms-eval can be told about clips, and what it does with it.

The official protocol shows a clip at 12 frames a second (at most 768) of at most 360x640 pixels. Names of arguments say
little: of two models that take `fps`, one obeys it and one never reads it. So models are listed here as their source in
lmms-eval 0.7.3 was read, and docs/backends.md tells what was measured; any other is taken by its names, with a warning.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from lmms_eval_shotbench.harness.lmms_eval import prepare_harness
from lmms_eval_shotbench.media.clips import CLIP_FPS, CLIP_MAX_PIXELS
from lmms_eval_shotbench.prompts import MAX_NEW_TOKENS

FRAME_RATE_ARGUMENTS = ("fps", "video_fps")  # what lmms-eval's models call the frames a second taken of a clip
FRAME_SIZE_ARGUMENTS = ("video_max_pixels", "max_pixels")  # and the pixels of a frame
PROTOCOL_RATE = f"{CLIP_FPS:g}"
MOST_FRAMES = 768  # of a clip, as in qwen_vl_utils, which the official script uses

PICTURES = "frames of a clip are sent as separate pictures, not as one video, so the model is not told their times"
ROUNDED = "sides of a clip's frames are rounded to multiples of 28, so that 640x360 is sent as 644x364"
DEAF = "{model} cannot be told a frame rate; how many frames of a clip it takes is its own choice"
UNCHECKED = "what {model} does with {rate} and {size} was never checked; see how many frames of a clip it takes"


class BackendUnavailable(RuntimeError):
    """A model that cannot be used here; the message says what to install."""


@dataclass(frozen=True)
class Backend:
    """How one model class takes clips; the names are those of its model arguments, "" where it has none."""

    rate: str = ""  # frames a second
    size: str = ""  # most pixels of a frame
    cap: str = ""  # most frames, whatever the rate
    count: str = ""  # a fixed number of frames, which means nothing once a rate is given
    tokens: str = ""  # most new tokens, where the model's own default beats the task's
    package: str = ""  # what has to be installed beside lmms-eval
    video_url: str = ""  # says that clips go to the server whole
    looks: bool = True  # at media at all
    remarks: tuple[str, ...] = ()  # how clips differ from the protocol, whatever it is told


CHECKED = {  # by module below lmms_eval.models
    "chat.qwen2_5_vl": Backend("fps", "max_pixels", count="max_num_frames"),
    "simple.qwen2_5_vl": Backend(remarks=(DEAF,)),  # takes fps, does not use it
    "chat.qwen3_vl": Backend("fps", "max_pixels", cap="max_num_frames"),
    "chat.vllm": Backend(
        "fps", "max_pixels", "max_frame_num", "nframes", "max_new_tokens", package="vllm", remarks=(PICTURES,)
    ),
    "chat.vllm_generate": Backend("fps", "max_pixels", "max_frame_num", "nframes", "max_new_tokens", package="vllm"),
    "simple.vllm": Backend(package="vllm", remarks=(DEAF, PICTURES)),
    "chat.async_openai": Backend("fps", "max_pixels", "max_frames", "nframes", remarks=(PICTURES,)),
    "chat.openai": Backend(
        "video_fps", "", "max_frames_num", "max_frames_num", video_url="pass_video_url", remarks=(PICTURES, ROUNDED)
    ),
    "simple.openai": Backend("video_fps", "", "max_frames_num", "max_frames_num", remarks=(PICTURES,)),
    "lmms_eval_shotbench.models.replay": Backend(looks=False),
}


class ClipSettings(NamedTuple):
    """What clips need on top of the model arguments given, and what stays different from the protocol."""

    arguments: dict[str, str]
    resample: bool  # hand over copies at the protocol's rate and size
    remarks: list[str]


def find_model_class(model: str, force_simple: bool) -> type:
    """Return the class lmms-eval runs for this name.

    Raises:
        BackendUnavailable: a library that it needs is not installed.
        ValueError: there is no such model.
    """
    prepare_harness()
    from lmms_eval.models import get_model

    try:
        found: type = get_model(model, force_simple)
    except ModuleNotFoundError as error:
        raise _not_installed(model, str(error.name)) from None
    except ImportError as error:
        raise BackendUnavailable(f"--model {model} cannot be imported: {error}") from None
    package = _backend(found).package
    if package and importlib.util.find_spec(package) is None:
        raise _not_installed(model, package)
    return found


def _not_installed(model: str, package: str) -> BackendUnavailable:
    return BackendUnavailable(f"--model {model} needs {package}, which is not installed: pip install {package}")


def token_arguments(model_class: type, given: Mapping[str, str]) -> dict[str, str]:
    """Model arguments without which a model would write more than the protocol's 1,024 tokens."""
    name = _backend(model_class).tokens
    return {name: str(MAX_NEW_TOKENS)} if name and name not in given else {}


def clip_settings(model: str, model_class: type, given: Mapping[str, str]) -> ClipSettings:
    """Settings that give clips the protocol's rate and size. What the user gave is kept; a smaller size too."""
    backend = _backend(model_class)
    arguments = _frame_arguments(backend, constructor_arguments(model_class), given)
    if backend.size:
        arguments[backend.size] = str(min(int(given.get(backend.size, CLIP_MAX_PIXELS)), CLIP_MAX_PIXELS))
    whole = given.get(backend.video_url, "").lower() == "true"
    remarks = [] if whole else [text.format(model=model, **vars(backend)) for text in backend.remarks]
    return ClipSettings(
        {name: value for name, value in arguments.items() if given.get(name) != value},
        resample=backend.looks and not (backend.rate and backend.size),
        remarks=remarks + _own_choices(backend, given),
    )


def _frame_arguments(backend: Backend, accepted: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    if not backend.rate or _fixed_count(backend, given):
        return {}
    arguments = {backend.rate: given.get(backend.rate, PROTOCOL_RATE)}
    if backend.cap and backend.cap not in given and accepted[backend.cap] < MOST_FRAMES:
        arguments[backend.cap] = str(MOST_FRAMES)
    return arguments


def _fixed_count(backend: Backend, given: Mapping[str, str]) -> bool:
    """Whether the user wants a fixed number of frames, which a rate would undo."""
    count = given.get(backend.count)
    is_loose_cap = count is not None and backend.count == backend.cap and int(count) >= MOST_FRAMES
    return count is not None and backend.rate not in given and not is_loose_cap


def _own_choices(backend: Backend, given: Mapping[str, str]) -> list[str]:
    """What the user asked for that parts with the protocol."""
    chosen = {
        backend.rate: float(given.get(backend.rate, CLIP_FPS)) != CLIP_FPS,
        backend.cap: int(given.get(backend.cap, MOST_FRAMES)) < MOST_FRAMES,
        backend.count: _fixed_count(backend, given),
    }
    return [
        f"{name}={given[name]} in --model_args: not the protocol's {PROTOCOL_RATE} frames a second of a clip"
        for name, parts in chosen.items()
        if parts
    ]


def _backend(model_class: type) -> Backend:
    known = CHECKED.get(model_class.__module__.removeprefix("lmms_eval.models."))
    return known or _backend_by_names(constructor_arguments(model_class))


def _backend_by_names(accepted: Mapping[str, Any]) -> Backend:
    rate = next((name for name in FRAME_RATE_ARGUMENTS if name in accepted), "")
    size = next((name for name in FRAME_SIZE_ARGUMENTS if name in accepted), "")
    return Backend(rate, size, remarks=(UNCHECKED,)) if rate and size else Backend(remarks=(DEAF,))


def constructor_arguments(model_class: type) -> dict[str, Any]:
    """Names and defaults a model's constructor takes, with those that it hands on to its base classes."""
    taken: dict[str, Any] = {}
    for base in model_class.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            taken = {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD} | taken
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
    return taken
