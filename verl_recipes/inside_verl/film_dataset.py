"""Stills and clips for verl's datasets, read as the evaluation reads them.

Stock verl reads media by qwen_vl_utils: other decoders than the evaluation's, a second scaling by the processor where
its limits are lower than the library's, and in SFT clips without their frame rate, for which transformers assumes 24
frames a second. Here all media are read by `lmms_eval_shotbench/media/clips.py` and
`lmms_eval_shotbench/media/stills.py` and scaled once, by `lmms_eval_shotbench/qwen/scaling/scale.py`, to what the
evaluation shows the same checkpoint; the processor has nothing left to scale. Frames go with the rate they were sampled
at. Everything else of verl's datasets stays as it is.

`data.custom_cls.path=pkg://verl_recipes.inside_verl.film_dataset` and `data.custom_cls.name` FilmPrompts (GRPO) or
FilmLessons (SFT). Loaded in verl's processes only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch
from PIL import Image
from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset
from verl.utils.dataset.rl_dataset import RLHFDataset
from verl.utils.py_functional import convert_nested_value_to_list_recursive

from lmms_eval_shotbench.media.clips import CLIP_FPS, CLIP_MAX_PIXELS, CLIP_MIN_PIXELS, Clip
from lmms_eval_shotbench.media.stills import BrokenMedium, open_still
from lmms_eval_shotbench.qwen.inputs import PatchRule
from lmms_eval_shotbench.qwen.scaling.scale import scaled_frames, scaled_still
from verl_recipes.training_rows import MARKS

MERGE = 2  # patches a side of a token in all Qwen-VL models; verl hands readers the size of a patch only
KINDS = {mark: mark.strip("<>") for mark in MARKS.values()}  # as a part of a chat names them


class Frames(NamedTuple):
    """A clip as verl's agent loop and transformers' processors take it."""

    values: torch.Tensor  # bytes (frames, 3, height, width)
    metadata: dict[str, Any]


def limited(medium: dict[str, Any], kind: str, processor: Any) -> dict[str, Any]:
    """A row's medium as a part of a chat, with what the evaluation would show this checkpoint of it."""
    part = {name: value for name, value in medium.items() if value is not None} | {"type": kind}
    if kind == "image":
        size = processor.image_processor.size
        return {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]} | part
    most = min(part.get("max_pixels", CLIP_MAX_PIXELS), processor.video_processor.size["longest_edge"])
    return {"min_pixels": CLIP_MIN_PIXELS, "fps": CLIP_FPS} | part | {"max_pixels": most}


def read_still(part: dict[str, Any], side: int) -> Image.Image:
    """Open a still and scale it within the part's limits; `side` is that of a patch. Raises `BrokenMedium`."""
    path = Path(part["image"])
    with _named(path):
        picture = open_still(path.read_bytes())
        height, width = _rule(side).fitted(picture.height, picture.width, part["min_pixels"], part["max_pixels"])
    return Image.fromarray(scaled_still(picture, height, width)[0].permute(1, 2, 0).numpy())


def read_clip(part: dict[str, Any], side: int) -> Frames:
    """Decode the frames the part asks for, scaled within its limits. Raises `BrokenMedium`."""
    path = Path(part["video"])
    with _named(path), Clip(path) as clip:
        indices = clip.sampled(part["fps"])
        height, width = _rule(side).fitted(clip.height, clip.width, part["min_pixels"], part["max_pixels"])
        values = torch.cat([scaled_frames(frames, height, width) for frames in clip.read(indices)])
        shown = {"fps": clip.frame_rate, "total_num_frames": clip.frames, "frames_indices": indices}
    return Frames(values, shown | {"video_backend": "pyav"})


def _rule(side: int) -> PatchRule:
    return PatchRule(side, MERGE, frames=2, mean=(), std=())


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file it is that cannot be shown."""
    try:
        yield
    except (BrokenMedium, OSError) as error:
        raise BrokenMedium(f"{path}: {error}; write the rows anew (shotbench train does) or mend the file") from error


class FilmPrompts(RLHFDataset):  # type: ignore[misc]
    """Prompts of GRPO. The agent loop reads media through this class, too, by the methods on messages below."""

    def _build_messages(self, example: dict[str, Any], key: str) -> list[dict[str, Any]]:
        for column, kind in ((self.image_key, "image"), (self.video_key, "video")):
            media = example.get(column) or []
            example = example | {column: [limited(medium, kind, self.processor) for medium in media]}
        messages: list[dict[str, Any]] = super()._build_messages(example, key)
        return messages

    @classmethod
    def _process_multi_modal_info(
        cls, messages: list[dict[str, Any]], image_patch_size: int, config: Any
    ) -> tuple[Any, Any, Any]:
        """Pictures, (frames, metadata) of clips, and sounds; None where there are none."""
        parts = [part for message in messages if isinstance(message["content"], list) for part in message["content"]]
        stills = [read_still(part, image_patch_size) for part in parts if part["type"] == "image"]
        clips = [tuple(read_clip(part, image_patch_size)) for part in parts if part["type"] == "video"]
        return stills or None, clips or None, None

    @classmethod
    async def process_vision_info(cls, messages: list[dict[str, Any]], image_patch_size: int, config: Any) -> Any:
        """The same for agent loops of the older kind."""
        return (await cls.process_multi_modal_info(messages, image_patch_size, config))[:2]


class FilmLessons(MultiTurnSFTDataset):  # type: ignore[misc]
    """Chats of SFT."""

    apply_chat_template_kwargs: Any

    def _build_messages(self, example: dict[str, Any]) -> list[dict[str, Any]]:
        messages = _listed(example[self.messages_key])
        columns = {"image": self.image_key, "video": self.video_key}
        media = {kind: iter(_listed(example.get(column))) for kind, column in columns.items()}
        for message in messages:
            segments = re.split(f"({'|'.join(KINDS)})", message["content"])
            message["content"] = [self._part(segment, media) for segment in segments if segment]
        if any(next(left, None) is not None for left in media.values()):
            raise ValueError("a row has more media than marks <image> and <video>; write the rows anew")
        return messages

    def _part(self, segment: str, media: dict[str, Iterator[dict[str, Any]]]) -> dict[str, Any]:
        kind = KINDS.get(segment)
        if kind is None:
            return {"type": "text", "text": segment}
        medium = next(media[kind], None)
        if medium is None:
            raise ValueError(f"a row has more marks {segment} than media; write the rows anew")
        part = limited(medium, kind, self.processor)
        if kind == "image":
            return {"type": "image", "image": read_still(part, self.image_patch_size)}
        frames = read_clip(part, self.image_patch_size)
        return {"type": "video", "video": frames.values, "metadata": frames.metadata}

    def _process_single_message(self, index: int, message: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        with self._rates_told([message]):
            return super()._process_single_message(index, message, *args, **kwargs)

    def sanity_check(self, input_ids: Any, messages: list[dict[str, Any]], *args: Any, **kwargs: Any) -> None:
        """Compare ids message by message with those of the whole chat."""
        with self._rates_told(messages):
            super().sanity_check(input_ids, messages, *args, **kwargs)

    @contextmanager
    def _rates_told(self, messages: list[dict[str, Any]]) -> Iterator[None]:
        """Have verl hand the processor each clip's frame rate, through the only arguments it passes on."""
        told = [part["metadata"] for message in messages for part in message["content"] if "metadata" in part]
        before: Any = self.apply_chat_template_kwargs
        if told:
            settings = {"video_metadata": told, "do_sample_frames": False}
            self.apply_chat_template_kwargs = {**before, "processor_kwargs": settings}
        try:
            yield
        finally:
            self.apply_chat_template_kwargs = before


def _listed(column: Any) -> list[dict[str, Any]]:
    """A column's list, whatever pandas or arrow made of it."""
    if column is None:
        return []
    plain: Any = convert_nested_value_to_list_recursive
    return list(plain(numpy.asarray(column, dtype=object)))
