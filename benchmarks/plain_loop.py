"""The baseline of `evaluate.py`: a loop over single items as in ShotBench's script, and plain decoding of media.

The loop loads a medium with qwen_vl_utils (12 frames per second and 360x640 pixels for clips), calls the checkpoint's
processor and greedy `generate`, and decodes the tokens, as the reference script does. It is our own code, with one
correction: the positions of a prompt are ours (`lmms_eval_shotbench/qwen/rope_positions.py`), because transformers
5.9.0 gives all frames of a 12-fps clip the same time, so that responses could not be compared. Its media are files, as
in the release; decord decodes clips.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from lmms_eval_shotbench import prompts
from lmms_eval_shotbench.media.clips import CLIP_FPS, CLIP_MAX_PIXELS, CLIP_MIN_PIXELS
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import MediaKind

STYLE = prompts.REASONING
os.environ["FORCE_QWENVL_VIDEO_READER"] = "decord"  # read by qwen_vl_utils on import


class PlainLoop:
    """A checkpoint, in float32 on a CPU and bfloat16 on a GPU, and the media files by item id."""

    def __init__(
        self, checkpoint: Path, files: Mapping[str, Path], pixels: tuple[int, int], device: str = "cpu"
    ) -> None:
        """`pixels`: minimum and maximum of a still."""
        import decord  # noqa: F401  (a later import would be timed)
        import qwen_vl_utils
        import torch
        from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

        self._fetch = qwen_vl_utils.process_vision_info
        self._processor = AutoProcessor.from_pretrained(checkpoint)
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        self._model = Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint, dtype=dtype).to(device).eval()
        self._files = files
        self._min_pixels, self._max_pixels = pixels

    def answers(self, items: Sequence[QAItem], new_tokens: int) -> dict[str, str]:
        """Responses to all items, one after the other, by item id."""
        from tqdm import tqdm

        return {item.item_id: self._answer(item, new_tokens) for item in tqdm(items, "plain loop", disable=None)}

    def _answer(self, item: QAItem, new_tokens: int) -> str:
        messages = prompts.messages(item, STYLE, [self._medium(item)])
        text = self._processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        images, videos, settings = self._fetch(messages, return_video_kwargs=True)
        fps = settings.pop("fps")  # sampled rate of each clip, which the processor would use for positions only
        inputs = self._processor(
            text=[text], images=images, videos=videos, padding=True, return_tensors="pt", **settings
        )
        positions = self._positions(inputs, *fps).to(self._model.device)
        generated = self._model.generate(
            **inputs.to(self._model.device), position_ids=positions, max_new_tokens=new_tokens, do_sample=False
        )
        response = generated[:, inputs["input_ids"].shape[1] :]
        decoded = self._processor.batch_decode(response, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(decoded[0])

    def _medium(self, item: QAItem) -> dict[str, Any]:
        path = str(self._files[item.item_id])
        if item.media_kind is MediaKind.STILL:
            return {"type": "image", "image": path, "min_pixels": self._min_pixels, "max_pixels": self._max_pixels}
        minimum, maximum = min(CLIP_MIN_PIXELS, self._max_pixels), min(CLIP_MAX_PIXELS, self._max_pixels)
        return {"type": "video", "video": path, "fps": CLIP_FPS, "min_pixels": minimum, "max_pixels": maximum}

    def _positions(self, inputs: Mapping[str, Any], fps: float = 0.0) -> Any:
        """Text, time, row and column positions, int64 (4, 1, length); `generate` continues from the last ones."""
        import torch

        from lmms_eval_shotbench.media.clip_file import exact_rate
        from lmms_eval_shotbench.qwen.rope_positions import Grid, PositionRule, prompt_positions

        config, vision = self._model.config, self._model.config.vision_config
        media_tokens = frozenset((config.image_token_id, config.video_token_id))
        rule = PositionRule(
            media_tokens, vision.spatial_merge_size, vision.tokens_per_second, vision.temporal_patch_size
        )
        patches, height, width = inputs["video_grid_thw" if fps else "image_grid_thw"][0].tolist()
        rows = prompt_positions(inputs["input_ids"][0], [Grid(patches, height, width, exact_rate(fps))], rule)
        return torch.cat([torch.arange(rows.shape[1])[None], rows])[:, None]


def decode_still(source: bytes | Path) -> None:
    """Decode a still to pixels with PIL and discard them."""
    from PIL import Image

    with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as picture:
        picture.load()


def decode_clip(source: bytes | Path) -> None:
    """Decode all frames with decord in this thread and discard them."""
    import decord

    reader = decord.VideoReader(BytesIO(source) if isinstance(source, bytes) else str(source), num_threads=1)
    for _ in range(len(reader)):
        reader.next()
