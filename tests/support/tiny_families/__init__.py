"""A tiny random checkpoint of each model family that transformers implements, written in a second without a download.

Each has the family's real configuration class, model class, processor and placeholders, with two narrow layers and a
byte-level tokenizer, and generates option letters only. Sizes of pictures and patches are those of released
checkpoints, so each medium becomes as many pictures and tokens as there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.qwen.tiny_qwen import make_tiny_qwen, suppress_all_but_letters
from tests.support.tiny_families import gemma, internvl, llava, others, qwen

SEED = 0
FAMILIES: dict[str, Callable[[], tuple[Any, Any]]] = {  # those of `tiny_qwen.py` (qwen2_5_vl) excepted
    "qwen2_vl": qwen.qwen2_vl,
    "qwen3_vl": qwen.qwen3_vl,
    "qwen3_vl_moe": partial(qwen.qwen3_vl, experts=True),
    "qwen3_5": qwen.qwen3_5,
    "qwen3_5_moe": partial(qwen.qwen3_5, experts=True),
    "internvl": internvl.internvl,
    "llava": llava.llava,
    "llava_next": llava.llava_next,
    "llava_next_video": llava.llava_next_video,
    "llava_onevision": llava.llava_onevision,
    "video_llava": llava.video_llava,
    "gemma3": gemma.gemma3,
    "gemma4": gemma.gemma4,
    "ovis2": others.ovis2,
    "instructblip": others.instructblip,
    "glm4v": others.glm4v,
    "mistral3": others.mistral3,
}


def make_tiny_family(family: str, folder: Path) -> Path:
    """Write the family's checkpoint to `folder` and return the folder."""
    import torch

    if family == "qwen2_5_vl":
        from transformers import AutoProcessor

        AutoProcessor.from_pretrained(make_tiny_qwen(folder), **qwen.QWEN2_SIZE).save_pretrained(folder)
        return folder

    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model, processor = FAMILIES[family]()
    tokenizer = processor.tokenizer
    writer = getattr(model, "language_model", model) if family == "instructblip" else model
    for one in {model, writer}:
        one.generation_config.eos_token_id = tokenizer.eos_token_id
        one.generation_config.pad_token_id = tokenizer.pad_token_id
        suppress_all_but_letters(one, tokenizer, tokenizer.eos_token_id)
    processor.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder
