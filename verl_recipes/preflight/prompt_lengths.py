"""Count the tokens of rows, media included, without decoding any media.

    tokens of a row = tokens of its rendered text - one placeholder per medium + tokens of each medium
                      + tokens of the times that the processor of Qwen3-VL writes into clips
    tokens of a medium = patches / merge²
    patches = frames / frames per patch * height / patch size * width / patch size

Sizes and frames are computed by the same functions as in `inside_verl/film_dataset.py`. For the longest rows,
`Ruler.measured` also runs the processor on black pictures of the same size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from lmms_eval_shotbench.media.clips import sampled_frames
from lmms_eval_shotbench.media.stills import BrokenMedium
from lmms_eval_shotbench.progress import progress_bar
from lmms_eval_shotbench.vocabulary import MediaKind
from verl_recipes.preflight.media_files import Shape
from verl_recipes.preflight.training_files import RowMedium, TrainingRow
from verl_recipes.training_rows import MARKS

if TYPE_CHECKING:
    from lmms_eval_shotbench.qwen.inputs import PatchRule

TOKENIZER_BATCH = 2000  # texts
ChatTurns = tuple[tuple[str, str], ...]
Shapes = Mapping[str, Shape]


class MediumTokens(NamedTuple):
    """Numbers of tokens of a medium in a prompt."""

    placeholders: int  # replaced by the features of the vision tower
    times: int = 0  # of the text that the processor adds to a clip


@dataclass(frozen=True)
class Ruler:
    """Counts the tokens of rows for a checkpoint, by its processor and chat template."""

    processor: Any
    generation_prompt: bool  # True for GRPO, False for SFT, whose rows include the answer
    template: Mapping[str, Any] = field(default_factory=dict)  # additional arguments of the chat template
    _known: dict[tuple[RowMedium, Shape], MediumTokens] = field(default_factory=dict)

    @cached_property
    def _rule(self) -> PatchRule:
        from lmms_eval_shotbench.qwen.inputs import PatchRule

        return PatchRule.of(self.processor)

    def lengths(self, rows: Sequence[TrainingRow], shapes: Shapes) -> list[int]:
        """Number of tokens of each row, by the formula; all media must be in `shapes` and within the model's limits."""
        texts = self._text_lengths({row.chat for row in rows})
        return [texts[row.chat] - len(row.media) + sum(map(sum, self._media(row, shapes))) for row in rows]

    def media_tokens(self, row: TrainingRow, shapes: Shapes) -> int:
        """Number of placeholders of a row's media; raises `BrokenMedium` if one is outside of the model's limits."""
        return sum(medium.placeholders for medium in self._media(row, shapes))

    def _media(self, row: TrainingRow, shapes: Shapes) -> list[MediumTokens]:
        return [self._medium_tokens(medium, shapes[medium.path]) for medium in row.media]

    def _text_lengths(self, chats: Iterable[ChatTurns]) -> dict[ChatTurns, int]:
        known, counts = list(chats), list[int]()
        with progress_bar("prompts", len(known), "text") as progress:
            for start in range(0, len(known), TOKENIZER_BATCH):
                texts = [self._text(chat) for chat in known[start : start + TOKENIZER_BATCH]]
                tokenized = self.processor.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)
                counts += map(len, tokenized["input_ids"])
                progress.update(len(texts))
        return dict(zip(known, counts, strict=True))

    def _text(self, chat: ChatTurns) -> str:
        """The rendered chat, with one placeholder per medium."""
        turns = [{"role": role, "content": _message_parts(content)} for role, content in chat]
        rendered: str = self.processor.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=self.generation_prompt, **self.template
        )
        return rendered

    def _medium_tokens(self, medium: RowMedium, shape: Shape) -> MediumTokens:
        from transformers import Qwen3VLProcessor

        key = medium._replace(path=""), shape
        if key not in self._known:
            indices, height, width = self._shown(medium, shape)
            placeholders = self._patches(medium.kind, len(indices), height, width) // self._rule.merge**2
            timed = medium.kind is MediaKind.CLIP and isinstance(self.processor, Qwen3VLProcessor)
            self._known[key] = MediumTokens(placeholders, self._time_tokens(indices, shape) if timed else 0)
        return self._known[key]

    def _patches(self, kind: MediaKind, frames: int, height: int, width: int) -> int:
        """Number of patches after the processor has resized pictures of this size to within its own limits."""
        rule, clips = self._rule, self.processor.video_processor
        if kind is MediaKind.STILL:
            return int(self.processor.image_processor.get_number_of_image_patches(height, width, {}))
        if rule.clip_pixels:
            from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize

            factors = {"temporal_factor": rule.frames, "factor": rule.side * rule.merge}
            limits = {"min_pixels": clips.size["shortest_edge"], "max_pixels": rule.clip_pixels}
            return rule.grid(frames, *smart_resize(frames, height, width, **factors, **limits)).patches
        return rule.grid(frames, 0, 0).time * int(clips.get_num_of_video_patches(rule.frames, height, width, {}))

    def _time_tokens(self, indices: list[int], shape: Shape) -> int:
        """Number of tokens by which the times of a clip lengthen a prompt, with the marks around each picture."""
        from lmms_eval_shotbench.qwen.qwen3_vl import time_in_words

        tokenizer, marks = self.processor.tokenizer, self.processor.vision_start_token + self.processor.vision_end_token
        times = self.processor._calculate_timestamps(list(indices), float(shape.frame_rate), self._rule.frames)
        written = "".join(f"{time_in_words(time)}{marks}" for time in times)
        return len(tokenizer(written, add_special_tokens=False)["input_ids"]) - 2  # the template has one pair of marks

    def _shown(self, medium: RowMedium, shape: Shape) -> tuple[list[int], int, int]:
        """Indices of the frames a model sees, and their height and width in pixels; raises `BrokenMedium`."""
        from verl_recipes.inside_verl.film_dataset import with_limits

        part = with_limits(dict(medium.shown), MARKS[medium.kind].strip("<>"), self.processor)
        limits = part["min_pixels"], part["max_pixels"]
        if medium.kind is MediaKind.STILL:
            return [0], *self._rule.fitted(shape.height, shape.width, *limits)
        indices = sampled_frames(shape.frames, shape.frame_rate, part["fps"])
        return indices, *self._rule.fitted_frames(len(indices), shape.height, shape.width, *limits)

    def measured(self, row: TrainingRow, shapes: Shapes) -> int:
        """Number of tokens of a row, by running the processor on black pictures of the same size."""
        stills, clips, metadata = [], [], []
        for medium in row.media:
            shape = shapes[medium.path]
            indices, height, width = self._shown(medium, shape)
            if medium.kind is MediaKind.STILL:
                stills.append(_black(1, height, width)[0])
            else:
                clips.append(_black(len(indices), height, width))
                shown = {"fps": float(shape.frame_rate), "total_num_frames": shape.frames, "frames_indices": indices}
                metadata.append(shown)
        media: dict[str, Any] = {"images": stills} if stills else {}
        if clips:
            media |= {"videos": clips, "video_metadata": metadata, "do_sample_frames": False}
        return len(self.processor(text=[self._text(row.chat)], **media)["input_ids"][0])


def showable(rows: Iterable[TrainingRow], shapes: Shapes, ruler: Ruler) -> tuple[list[TrainingRow], dict[str, str]]:
    """Select the rows whose media are in `shapes` and within the model's limits.

    Returns:
        These rows, and for media outside of the limits the reason by path.
    """
    valid, rejected = [], dict[str, str]()
    for row in rows:
        if all(medium.path in shapes for medium in row.media):
            try:
                ruler.media_tokens(row, shapes)
            except BrokenMedium as error:
                rejected |= {medium.path: str(error) for medium in row.media}
            else:
                valid.append(row)
    return valid, rejected


def _black(frames: int, height: int, width: int) -> Any:
    import torch

    return torch.zeros((frames, 3, height, width), dtype=torch.uint8)


def _message_parts(content: str) -> list[dict[str, str]]:
    """A turn's text split at its media placeholders, as verl does."""
    media = {mark: {"type": mark.strip("<>")} for mark in MARKS.values()}
    pieces = re.split(f"({'|'.join(media)})", content)
    return [media.get(piece, {"type": "text", "text": piece}) for piece in pieces if piece]
