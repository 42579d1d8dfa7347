"""Which clip settings each model of lmms-eval accepts, and what it does with them.

The official protocol shows a clip at 12 frames a second (at most 768) of at most 360x640 pixels. Argument names are not
reliable: of two models that accept `fps`, one applies it and one ignores it. The table below was read from the source
of lmms-eval 0.7.3; docs/backends.md has measurements. For any other model, the settings are inferred from its argument
names, with a warning.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lmms_eval_shotbench.harness.lmms_eval import collection_paused, prepare_harness
from lmms_eval_shotbench.media.clips import CLIP_FPS, CLIP_MAX_PIXELS
from lmms_eval_shotbench.vocabulary import MediaKind

FRAME_RATE_ARGUMENTS = ("fps", "video_fps")  # names of the frame rate in lmms-eval's models
FRAME_SIZE_ARGUMENTS = ("video_max_pixels", "max_pixels")  # and of the maximum pixels per frame
PROTOCOL_RATE = f"{CLIP_FPS:g}"
MAX_FRAMES = 768  # per clip, as in qwen_vl_utils, which the official script uses

SEPARATE_PICTURES = "frames of a clip are sent as separate pictures, not as one video, and without timestamps"
ROUNDED = "frame sides of a clip are rounded to multiples of 28: 640x360 is sent as 644x364"
NO_FRAME_RATE = "{model} does not accept a frame rate; it chooses how many frames of a clip it samples"
LIMITED = "{model} shows at most {count} frames of a clip (32 unless given), spread evenly over it"
CLASSIFIER_FRAMES = (
    "{model} shows an image classifier the middle frame of a clip, a video classifier its own number of frames"
)
UNCHECKED = "whether {model} applies {rate} and {size} was never checked; check how many frames of a clip it samples"


class BackendUnavailable(RuntimeError):
    """A model that cannot be used here; the message states what to install."""


@dataclass(frozen=True)
class Backend:
    """How one model class accepts clips: names of its model arguments, "" where there is none."""

    rate: str = ""  # frames per second
    size: str = ""  # maximum pixels per frame
    cap: str = ""  # maximum number of frames at any rate
    count: str = ""  # fixed number of frames; ignored when a rate is given
    tokens: str = ""  # maximum new tokens, if the model's default overrides the task's
    package: str = ""  # to be installed in addition to lmms-eval
    video_url: str = ""  # switch that sends clips to the server as files
    clips: Mapping[str, str] = field(default_factory=dict)  # arguments without which a clip is not opened
    copies: bool = True  # of clips at the protocol's rate and size, where these cannot be set
    remarks: tuple[str, ...] = ()  # deviations from the protocol that no argument changes


CHECKED = {  # by module name, relative to lmms_eval.models
    "chat.qwen2_5_vl": Backend("fps", "max_pixels", count="max_num_frames"),
    "simple.qwen2_5_vl": Backend(remarks=(NO_FRAME_RATE,)),  # accepts fps and ignores it
    "chat.qwen3_vl": Backend("fps", "max_pixels", cap="max_num_frames"),
    "chat.qwen3_5": Backend("fps", cap="max_num_frames"),  # its default `total_pixels` overrides `max_pixels`
    "chat.huggingface": Backend(),  # all frames of the copies; see upstream_fixes.py for these four
    "chat.async_hf_model": Backend(),
    "chat.internvl_hf": Backend(cap="num_frames", count="num_frames", remarks=(LIMITED,)),
    "chat.llava_hf": Backend(cap="max_frames_num", count="max_frames_num", remarks=(LIMITED,)),
    "chat.vllm": Backend(
        "fps", "max_pixels", "max_frame_num", "nframes", "max_new_tokens", package="vllm", remarks=(SEPARATE_PICTURES,)
    ),
    "chat.vllm_generate": Backend("fps", "max_pixels", "max_frame_num", "nframes", "max_new_tokens", package="vllm"),
    "simple.vllm": Backend(package="vllm", remarks=(NO_FRAME_RATE, SEPARATE_PICTURES)),
    "chat.async_openai": Backend("fps", "max_pixels", "max_frames", "nframes", remarks=(SEPARATE_PICTURES,)),
    "chat.openai": Backend(
        "video_fps",
        "",
        "max_frames_num",
        "max_frames_num",
        video_url="pass_video_url",
        remarks=(SEPARATE_PICTURES, ROUNDED),
    ),
    "simple.openai": Backend("video_fps", "", "max_frames_num", "max_frames_num", remarks=(SEPARATE_PICTURES,)),
    "simple.internvl2": Backend(count="num_frame", clips={"modality": "video"}, remarks=(NO_FRAME_RATE,)),
    "simple.internvl3": Backend(count="num_frame", clips={"modality": "video"}, remarks=(NO_FRAME_RATE,)),
    "simple.internvl3_5": Backend(count="num_frame", clips={"modality": "video"}, remarks=(NO_FRAME_RATE,)),
    "simple.xcomposer2d5": Backend(clips={"modality": "video"}, remarks=(NO_FRAME_RATE,)),
    "lmms_eval_shotbench.models.image_classifier": Backend(copies=False, remarks=(CLASSIFIER_FRAMES,)),
    "lmms_eval_shotbench.models.replay": Backend(copies=False),
}
CANNOT_SHOW = {  # what a model class does with a medium it cannot open, by its module and the kind of the medium
    ("simple.vila", MediaKind.STILL): "lmms-eval shows it black frames in place of a still",
    ("simple.llava_vid", MediaKind.STILL): "lmms-eval opens every medium as a clip",
    ("simple.video_llava", MediaKind.STILL): "lmms-eval opens every medium as a clip",
    ("simple.instructblip", MediaKind.CLIP): "lmms-eval opens every medium as a still",
    ("simple.glm4v", MediaKind.CLIP): "lmms-eval opens every medium as a still; --model huggingface shows it clips",
    ("simple.mistral3_vl", MediaKind.CLIP): "lmms-eval leaves clips out of the prompt",
}


class ClipSettings(NamedTuple):
    """Additional model arguments for clips, and the remaining deviations from the protocol."""

    arguments: dict[str, str]
    resample: bool  # pass copies re-encoded at the protocol's rate and size
    remarks: list[str]


def find_model_class(model: str, force_simple: bool) -> type:
    """Return the class lmms-eval runs for this model name.

    Raises:
        BackendUnavailable: A library the model needs is not installed.
        ValueError: There is no such model.
    """
    prepare_harness()
    from lmms_eval.models import get_model

    try:
        with collection_paused():
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


def token_arguments(model_class: type, given: Mapping[str, str], limit: int) -> dict[str, str]:
    """Return model arguments that set the limit of new tokens, for models that do not keep to a smaller one."""
    name = _backend(model_class).tokens
    return {name: str(limit)} if name and name not in given else {}


def cannot_show(model_class: type, kind: MediaKind) -> str:
    """Return why lmms-eval cannot show this model stills or clips, or ""."""
    return CANNOT_SHOW.get((_module(model_class), kind), "")


def clip_settings(model: str, model_class: type, given: Mapping[str, str]) -> ClipSettings:
    """Return settings for the protocol's frame rate and size; a user's rate, frame count or smaller size is kept."""
    backend = _backend(model_class)
    arguments = _frame_arguments(backend, constructor_arguments(model_class), given)
    arguments |= {name: value for name, value in backend.clips.items() if name not in given}
    if backend.size:
        arguments[backend.size] = str(min(int(given.get(backend.size, CLIP_MAX_PIXELS)), CLIP_MAX_PIXELS))
    sends_file = given.get(backend.video_url, "").lower() == "true"
    remarks = [] if sends_file else [text.format(model=model, **vars(backend)) for text in backend.remarks]
    return ClipSettings(
        {name: value for name, value in arguments.items() if given.get(name) != value},
        resample=backend.copies and not (backend.rate and backend.size),
        remarks=remarks + _protocol_deviations(backend, given),
    )


def _frame_arguments(backend: Backend, accepted: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    if not backend.rate or _fixed_count(backend, given):
        return {}
    arguments = {backend.rate: given.get(backend.rate, PROTOCOL_RATE)}
    if backend.cap and backend.cap not in given and accepted[backend.cap] < MAX_FRAMES:
        arguments[backend.cap] = str(MAX_FRAMES)
    return arguments


def _fixed_count(backend: Backend, given: Mapping[str, str]) -> bool:
    """Whether the user asked for a fixed number of frames, which a frame rate would override."""
    count = given.get(backend.count)
    is_loose_cap = count is not None and backend.count == backend.cap and int(count) >= MAX_FRAMES
    return count is not None and backend.rate not in given and not is_loose_cap


def _protocol_deviations(backend: Backend, given: Mapping[str, str]) -> list[str]:
    """Describe the user's arguments that deviate from the protocol."""
    deviating = {
        backend.rate: float(given.get(backend.rate, CLIP_FPS)) != CLIP_FPS,
        backend.cap: int(given.get(backend.cap, MAX_FRAMES)) < MAX_FRAMES,
        backend.count: _fixed_count(backend, given),
    }
    return [
        f"{name}={given[name]} in --model_args: not the protocol's {PROTOCOL_RATE} frames per second of a clip"
        for name, deviates in deviating.items()
        if deviates
    ]


def _backend(model_class: type) -> Backend:
    known = CHECKED.get(_module(model_class))
    return known or _backend_by_names(constructor_arguments(model_class))


def _module(model_class: type) -> str:
    return model_class.__module__.removeprefix("lmms_eval.models.")


def _backend_by_names(accepted: Mapping[str, Any]) -> Backend:
    rate = next((name for name in FRAME_RATE_ARGUMENTS if name in accepted), "")
    size = next((name for name in FRAME_SIZE_ARGUMENTS if name in accepted), "")
    return Backend(rate, size, remarks=(UNCHECKED,)) if rate and size else Backend(remarks=(NO_FRAME_RATE,))


def constructor_arguments(model_class: type) -> dict[str, Any]:
    """Return names and defaults of a model's constructor arguments, including those passed on to base classes."""
    accepted: dict[str, Any] = {}
    for base in model_class.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            accepted = {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD} | accepted
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
    return accepted
