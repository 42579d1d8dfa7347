"""Fixes of lmms-eval 0.7.3's models of transformers, applied only while `shotbench eval` runs.

`huggingface`, `async_hf_model`: every request passes lists for absent media, which transformers 5 refuses, and the
class with `generate` is never found, as `model_type in mapping.keys()` compares a name with classes. Fix: absent media
are left out, and the class for pictures and text is loaded.
These two, `internvl_hf` and `llava_hf`: a clip is passed as a path. transformers decodes it by torchcodec only, and
samples it again (Qwen3-VL: 2 frames a second) or passes every frame on whatever the model's limit (`llava_hf`);
`internvl_hf` fails on clips of fewer than `num_frames` frames. Fix: frames with their times are passed, all of them
or as many as the limit allows.
`llava_hf`: `device_map` is empty by default, which transformers 5 refuses; LLaVA-NeXT-Video is missing from its
classes. Fix: the device is the default; the class is added.
`video_llava`: the number of frames is passed to a reader that takes it by name only. Fix: it is passed by name.
`gemma4`: `return_tensors` does not reach the tokenizer, and token ids remain lists. Fix: they are converted.
`qwen3_vl`, `qwen3_5`: their own system message is put before that of the task; the template of Qwen3.5 refuses two.
Fix: the task's is kept.
Models with chat roles: encoded frames are cached by the memory address of the picture, which is reused once it is
freed; of 360 frames of a clip, a request contained 168, 176 and 228 distinct ones in three runs. Fix: no cache.
Many models: an exception in `generate`, or at a medium, is logged and the response is empty or given without the
medium. Fix: it is raised.

A fix changes nothing where its fault is absent: media that are present and decoded are passed on as they are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from lmms_eval_shotbench.media.clips import Clip

FIXED = "shotbench_fixed"  # attribute of a fixed function, which is looked up again for a second model
SWALLOWED = ("in generating", "Failed to process visual")  # in messages logged in place of an exception


class ProcessorUse(NamedTuple):
    """Where a model of lmms-eval keeps its processor, and its argument for the maximum number of frames of a clip."""

    attribute: str
    limit: str = ""


PROCESSORS = {  # by module name, relative to lmms_eval.models
    "chat.huggingface": ProcessorUse("processor"),
    "chat.async_hf_model": ProcessorUse("processor"),
    "chat.internvl_hf": ProcessorUse("processor", "num_frames"),
    "chat.llava_hf": ProcessorUse("_image_processor", "max_frames_num"),
}


@contextmanager
def upstream_fixes() -> Iterator[None]:
    """Apply the fixes to each model class when lmms-eval looks it up, until the context ends."""
    from lmms_eval import models

    find_class = models.get_model
    with ExitStack() as patches:

        def get_model(*args: Any, **kwargs: Any) -> type:
            found: type = find_class(*args, **kwargs)
            _fix(found, patches)
            return found

        with patch.object(models, "get_model", get_model):
            yield


def _fix(model_class: type, patches: ExitStack) -> None:
    for name in {base.__module__ for base in model_class.__mro__ if base.__module__.startswith("lmms_eval.models.")}:
        module = sys.modules[name]
        if hasattr(module, "eval_logger") and not isinstance(module.eval_logger, _RaisingLogger):
            patches.enter_context(patch.object(module, "eval_logger", _RaisingLogger(module.eval_logger)))
    # Imported by the models that send messages only; with it come torchvision and torch's compiler, a second.
    if (protocol := sys.modules.get("lmms_eval.protocol")) and not hasattr(protocol.ChatMessages.encode_image, FIXED):
        fixed = _without_cache(protocol.ChatMessages.encode_image)
        patches.enter_context(patch.object(protocol.ChatMessages, "encode_image", fixed))
    if use := PROCESSORS.get(model_class.__module__.removeprefix("lmms_eval.models.")):
        fixed = _with_decoded_media(vars(model_class)["generate_until"], use)
        patches.enter_context(patch.object(model_class, "generate_until", fixed))
    if template := getattr(model_class, "_apply_chat_template", None):
        patches.enter_context(patch.object(model_class, "_apply_chat_template", _with_one_system_message(template)))
    if model_class.__module__.endswith((".huggingface", ".async_hf_model")):
        patches.enter_context(patch.object(sys.modules[model_class.__module__], "AutoModel", GeneratingModel))
    if model_class.__module__.endswith(".gemma4"):
        fixed = _with_tensors(vars(model_class)["generate_until"])
        patches.enter_context(patch.object(model_class, "generate_until", fixed))
    if model_class.__module__.endswith(".video_llava"):
        module = sys.modules[model_class.__module__]
        patches.enter_context(patch.object(module, "read_video", _with_named_frames(module.read_video)))
    if model_class.__module__.endswith(".llava_hf"):
        _fix_llava_hf(model_class, patches)


def _without_cache(encode_image: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(encode_image)
    def fixed(self: Any, image: Any, cache: Any = None, *settings: Any) -> str:
        return str(encode_image(self, image, None, *settings))

    setattr(fixed, FIXED, True)
    return fixed


def _fix_llava_hf(model_class: type, patches: ExitStack) -> None:
    from lmms_eval.models.simple.llava_hf import model_map
    from transformers import LlavaNextVideoForConditionalGeneration

    patches.enter_context(patch.dict(model_map, {"llava_next_video": LlavaNextVideoForConditionalGeneration}))
    build = model_class.__init__  # type: ignore[misc]

    @wraps(build)
    def fixed(self: Any, *args: Any, device: str = "cuda", device_map: str = "", **settings: Any) -> None:
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:  # otherwise each process gets its own device for ""
            device_map = device_map or device
        build(self, *args, device=device, device_map=device_map, **settings)

    patches.enter_context(patch.object(model_class, "__init__", fixed))


def _with_tensors(generate_until: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(generate_until)
    def fixed(self: Any, requests: Sequence[Any]) -> Any:
        apply_chat_template = self.processor.apply_chat_template

        def with_tensors(*messages: Any, **settings: Any) -> Any:
            return apply_chat_template(*messages, **settings).convert_to_tensors("pt")

        with patch.object(self.processor, "apply_chat_template", with_tensors):
            return generate_until(self, requests)

    return fixed


def _with_named_frames(read_video: Callable[..., Any]) -> Callable[..., Any]:
    def fixed(path: str, num_frm: int = 8, **settings: Any) -> Any:
        return read_video(path, num_frm=num_frm, **settings)

    return fixed


def _with_one_system_message(apply_chat_template: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(apply_chat_template)
    def fixed(self: Any, conversations: Sequence[Sequence[Mapping[str, Any]]], **settings: Any) -> Any:
        kept = [one[1:] if [part["role"] for part in one[:2]] == ["system"] * 2 else one for one in conversations]
        return apply_chat_template(self, kept, **settings)

    return fixed


class GeneratingModel:
    """Replaces `AutoModel`: loads the class that can generate, where transformers has one for the checkpoint."""

    @staticmethod
    def from_pretrained(pretrained: str, **settings: Any) -> Any:
        """Load a checkpoint of a vision-language model, of a language model, or, if it is neither, as `AutoModel`."""
        from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText

        remote = bool(settings.get("trust_remote_code"))
        config = type(AutoConfig.from_pretrained(pretrained, trust_remote_code=remote))
        classes = (AutoModelForImageTextToText, AutoModelForCausalLM)
        found = next((one for one in classes if config in one._model_mapping), AutoModel)
        return found.from_pretrained(pretrained, **settings)


class _RaisingLogger:
    """A logger that raises the current exception instead of logging that it was ignored."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)

    def error(self, message: str, *args: Any, **kwargs: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None and any(text in str(message) for text in SWALLOWED):
            raise error
        self._logger.error(message, *args, **kwargs)


def _with_decoded_media(generate_until: Callable[..., Any], use: ProcessorUse) -> Callable[..., Any]:
    @wraps(generate_until)
    def fixed(self: Any, requests: Sequence[Any]) -> Any:
        limit = getattr(self, use.limit) if use.limit else None
        with ExitStack() as patches:
            for owner in getattr(self, "_workers", [self]):  # `async_hf_model` has one processor per GPU
                processor = DecodedMedia(getattr(owner, use.attribute), limit)
                patches.enter_context(patch.object(owner, use.attribute, processor))
            return generate_until(self, requests)

    return fixed


class DecodedMedia:
    """A processor of transformers that is passed clips as frames with their times, and no arguments for absent media.

    Args:
        processor: The processor to call.
        limit: Maximum number of frames of a clip; those shown are spread evenly over it.
    """

    def __init__(self, processor: Any, limit: int | None = None) -> None:
        self._processor, self._limit = processor, limit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)

    def __call__(self, *, images: Any = None, videos: Any = None, audios: Any = None, **settings: Any) -> Any:
        """Call the processor.

        Raises:
            TypeError: There is a clip, and the processor takes none.
            BrokenMedium: A clip cannot be decoded.
        """
        media = {name: given for name, given in (("images", images), ("audio", audios)) if given}
        if videos and isinstance(videos[0], str):
            if not hasattr(self._processor, "video_processor"):
                raise TypeError(f"{type(self._processor).__name__} takes no video: this model has stills only")
            fps = settings.pop("fps", None)
            decoded = [decode_frames(Path(path), fps, settings.get("num_frames", self._limit)) for path in videos]
            media |= {"videos": [frames for frames, _ in decoded], "video_metadata": [times for _, times in decoded]}
            settings = {name: value for name, value in settings.items() if name != "num_frames"}
            settings["do_sample_frames"] = False
        elif videos:
            media["videos"] = videos
        return self._processor(**media, **settings)


def decode_frames(path: Path, fps: float | None = None, limit: int | None = None) -> tuple[Any, Any]:
    """Return frames of a clip as an RGB array (frames, height, width, 3), and their metadata for transformers.

    Args:
        path: The clip.
        fps: Frames per second to select; all by default.
        limit: Maximum number of frames; if the selected ones are more, some that are spread evenly over them.

    Raises:
        BrokenMedium: The clip cannot be decoded.
    """
    import numpy
    from transformers.video_utils import VideoMetadata

    with Clip(path) as clip:
        indices = clip.sampled(fps) if fps else list(range(clip.frames))
        if limit and len(indices) > limit:
            indices = [indices[round(at)] for at in numpy.linspace(0, len(indices) - 1, limit)]
        frames = numpy.concatenate(list(clip.read(indices)))
        times = VideoMetadata(
            total_num_frames=clip.frames,
            fps=float(clip.frame_rate),
            width=clip.width,
            height=clip.height,
            duration=float(clip.frames / clip.frame_rate),
            frames_indices=indices,
        )
    return frames, times
