"""verl's datasets with stills and clips decoded and resized as in the evaluation.

verl itself reads media with qwen_vl_utils, which differs from the evaluation in three ways: other decoders; a second
resize by the processor if its limits are lower than the library's; and, in SFT, clips without their frame rate, for
which transformers assumes 24 frames per second.

Here media are decoded by `lmms_eval_shotbench/media/clips.py` and `lmms_eval_shotbench/media/stills.py`. They are
resized once, by `lmms_eval_shotbench/qwen/scaling/scale.py`, to the size that the evaluation uses for the same
checkpoint, so the processor does not resize them again. The frame rate of a clip is passed to the processor. Everything
else in verl's datasets is unchanged.

`data.custom_cls.path=pkg://verl_recipes.inside_verl.film_dataset` and `data.custom_cls.name` FilmPrompts (GRPO) or
FilmLessons (SFT). The module imports verl, so only verl's processes import it.
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

MERGE = 2  # a token covers 2 x 2 patches in all Qwen-VL models; verl passes only the patch size
KINDS = {mark: mark.strip("<>") for mark in MARKS.values()}  # type of a chat part by placeholder


class Frames(NamedTuple):
    """Sampled frames of a clip and their metadata, as verl's agent loop and transformers' processors expect them."""

    values: torch.Tensor  # uint8 (frames, 3, height, width)
    metadata: dict[str, Any]  # fps and total_num_frames of the file, frames_indices of the sampled frames


def with_limits(medium: dict[str, Any], kind: str, processor: Any) -> dict[str, Any]:
    """Convert a row's medium to a chat part, with the evaluation's pixel limits and frame rate where the row has none.

    Args:
        medium: Entry of the column `images` or `videos`.
        kind: `image` or `video`.
        processor: The checkpoint's processor, whose limits apply.
    """
    part = {name: value for name, value in medium.items() if value is not None} | {"type": kind}
    if kind == "image":
        size = processor.image_processor.size
        return {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]} | part
    part = {"min_pixels": CLIP_MIN_PIXELS, "max_pixels": CLIP_MAX_PIXELS, "fps": CLIP_FPS} | part
    if total := PatchRule.of(processor).clip_pixels:
        return part | {"total_pixels": total}
    return part | {"max_pixels": min(part["max_pixels"], processor.video_processor.size["longest_edge"])}


def read_still(part: dict[str, Any], side: int) -> Image.Image:
    """Open a still and resize it within the part's pixel limits.

    Args:
        part: chat part with `image` (path), `min_pixels` and `max_pixels`.
        side: patch size in pixels.

    Raises:
        BrokenMedium: the file cannot be read; the message names it.
    """
    path = Path(part["image"])
    with _naming_the_file(path):
        picture = open_still(path.read_bytes())
        height, width = _rule(side).fitted(picture.height, picture.width, part["min_pixels"], part["max_pixels"])
    return Image.fromarray(scaled_still(picture, height, width)[0].permute(1, 2, 0).numpy())


def read_clip(part: dict[str, Any], side: int) -> Frames:
    """Decode the frames of a clip, sampled and resized as its chat part specifies.

    Args:
        part: chat part with `video` (path), `fps`, `min_pixels` and `max_pixels`, and `total_pixels` if the pixels of
            all frames together are limited.
        side: patch size in pixels.

    Raises:
        BrokenMedium: the file cannot be read; the message names it.
    """
    path = Path(part["video"])
    with _naming_the_file(path), Clip(path) as clip:
        indices = clip.sampled(part["fps"])
        rule = _rule(side, part.get("total_pixels"))
        height, width = rule.fitted_frames(
            len(indices), clip.height, clip.width, part["min_pixels"], part["max_pixels"]
        )
        values = torch.cat([scaled_frames(frames, height, width) for frames in clip.read(indices)])
        shown = {"fps": float(clip.frame_rate), "total_num_frames": clip.frames, "frames_indices": indices}
    return Frames(values, shown | {"video_backend": "pyav"})


def _rule(side: int, total_pixels: int | None = None) -> PatchRule:
    return PatchRule(side, MERGE, frames=2, mean=(), std=(), clip_pixels=total_pixels)


@contextmanager
def _naming_the_file(path: Path) -> Iterator[None]:
    """Raise errors of reading a medium as `BrokenMedium` with the file name and what to do."""
    try:
        yield
    except (BrokenMedium, OSError) as error:
        raise BrokenMedium(
            f"{path}: {error}; write the rows again (shotbench train does) or replace the file"
        ) from error


class FilmPrompts(RLHFDataset):  # type: ignore[misc]
    """verl's dataset of GRPO prompts. verl's agent loop also decodes media with its class methods."""

    def _build_messages(self, example: dict[str, Any], key: str) -> list[dict[str, Any]]:
        for column, kind in ((self.image_key, "image"), (self.video_key, "video")):
            media = example.get(column) or []
            example = example | {column: [with_limits(medium, kind, self.processor) for medium in media]}
        messages: list[dict[str, Any]] = super()._build_messages(example, key)
        return messages

    @classmethod
    def _process_multi_modal_info(
        cls, messages: list[dict[str, Any]], image_patch_size: int, config: Any
    ) -> tuple[Any, Any, Any]:
        """Images, (frames, metadata) pairs of clips, and audio of the messages; None instead of an empty list."""
        parts = [part for message in messages if isinstance(message["content"], list) for part in message["content"]]
        stills = [read_still(part, image_patch_size) for part in parts if part["type"] == "image"]
        clips = [tuple(read_clip(part, image_patch_size)) for part in parts if part["type"] == "video"]
        return stills or None, clips or None, None

    @classmethod
    async def process_vision_info(cls, messages: list[dict[str, Any]], image_patch_size: int, config: Any) -> Any:
        """Images and clips as in `_process_multi_modal_info`, for agent loops of older versions of verl."""
        return (await cls.process_multi_modal_info(messages, image_patch_size, config))[:2]


class FilmLessons(MultiTurnSFTDataset):  # type: ignore[misc]
    """verl's dataset of SFT chats, which passes the frame rates of clips to the processor."""

    apply_chat_template_kwargs: Any

    def _build_messages(self, example: dict[str, Any]) -> list[dict[str, Any]]:
        messages = _column_as_list(example[self.messages_key])
        columns = {"image": self.image_key, "video": self.video_key}
        media = {kind: iter(_column_as_list(example.get(column))) for kind, column in columns.items()}
        for message in messages:
            segments = re.split(f"({'|'.join(KINDS)})", message["content"])
            message["content"] = [self._part(segment, media) for segment in segments if segment]
        if any(next(remaining, None) is not None for remaining in media.values()):
            raise ValueError("a row has more media than placeholders <image> and <video>; write the rows again")
        return messages

    def _part(self, segment: str, media: dict[str, Iterator[dict[str, Any]]]) -> dict[str, Any]:
        kind = KINDS.get(segment)
        if kind is None:
            return {"type": "text", "text": segment}
        medium = next(media[kind], None)
        if medium is None:
            raise ValueError(f"a row has more placeholders {segment} than media; write the rows again")
        part = with_limits(medium, kind, self.processor)
        if kind == "image":
            return {"type": "image", "image": read_still(part, self.image_patch_size)}
        frames = read_clip(part, self.image_patch_size)
        return {"type": "video", "video": frames.values, "metadata": frames.metadata}

    def _process_single_message(self, index: int, message: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        with self._with_frame_rates([message]):
            return super()._process_single_message(index, message, *args, **kwargs)

    def sanity_check(self, input_ids: Any, messages: list[dict[str, Any]], *args: Any, **kwargs: Any) -> None:
        """verl's check that the token ids of the single messages add up to those of the complete chat."""
        with self._with_frame_rates(messages):
            super().sanity_check(input_ids, messages, *args, **kwargs)

    @contextmanager
    def _with_frame_rates(self, messages: list[dict[str, Any]]) -> Iterator[None]:
        """Pass the frame rates of clips in `apply_chat_template_kwargs`, which verl forwards to the processor."""
        metadata = [part["metadata"] for message in messages for part in message["content"] if "metadata" in part]
        before: Any = self.apply_chat_template_kwargs
        if metadata:
            settings = {"video_metadata": metadata, "do_sample_frames": False}
            self.apply_chat_template_kwargs = {**before, "processor_kwargs": settings}
        try:
            yield
        finally:
            self.apply_chat_template_kwargs = before


def _column_as_list(column: Any) -> list[dict[str, Any]]:
    """A column as a plain list, whichever array type pandas or Arrow returned; None becomes an empty list."""
    if column is None:
        return []
    plain: Any = convert_nested_value_to_list_recursive
    return list(plain(numpy.asarray(column, dtype=object)))
