"""Tiny random checkpoints of Qwen3-VL and Qwen3.5 that are trained on a CPU in seconds.

They have the tokenizer and the chat template of the tiny base model (`verl_recipes/tiny_base/model`), all of whose
tokens they know, and the layout of a released folder. Unlike the families of `qwen.py`, they generate any token, and
their stills and clips are small: up to 10 tokens per still, and 48 tokens per clip.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from tests.support.tiny_families.qwen import QWEN3_ROPE, QWEN3_VISION, qwen_ids
from verl_recipes.run.prepare import TINY_BASE

Trainable = Literal["qwen3_vl", "qwen3_5"]
SEED = 0
WIDTH, HEADS, LAYERS = 64, 4, 4
VISION = QWEN3_VISION | {"out_hidden_size": WIDTH, "initializer_range": 0.1}
PATCH, MERGE, FRAMES_A_PATCH = 16, 2, 2  # as in the released checkpoints
TOKEN = (PATCH * MERGE) ** 2  # pixels
STILL_LIMITS = {"shortest_edge": 4 * TOKEN, "longest_edge": 10 * TOKEN}
CLIP_LIMITS = {"shortest_edge": 4 * TOKEN, "longest_edge": 48 * FRAMES_A_PATCH * TOKEN}  # of all frames of a clip


def make_trainable(family: Trainable, folder: Path) -> Path:
    """Write a checkpoint of the family to `folder` and return the folder."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(TINY_BASE)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model = _qwen3_vl(tokenizer) if family == "qwen3_vl" else _qwen3_5(tokenizer)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    _processor(tokenizer).save_pretrained(folder)
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def _processor(tokenizer: Any) -> Any:
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    normal = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    patches = {"patch_size": PATCH, "merge_size": MERGE, "temporal_patch_size": FRAMES_A_PATCH}
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=STILL_LIMITS, **normal, **patches),
        video_processor=Qwen3VLVideoProcessor(size=CLIP_LIMITS, **normal, **patches),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )


def _text(tokenizer: Any, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": 768,  # as that of the tiny base model, more than the tokenizer has
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS // 2,
        "max_position_embeddings": 4096,
        "initializer_range": 0.2,  # with smaller weights, a random model repeats its last token
        "bos_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": True,
        **more,
    }


def _qwen3_vl(tokenizer: Any) -> Any:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    rope = QWEN3_ROPE | {"mrope_section": [6, 5, 5]}  # of the 16 rotary pairs of a head
    text = _text(tokenizer, head_dim=32, rope_parameters=rope)  # narrower heads do not run in vLLM on a CPU
    vision = VISION | {"depth": 3, "deepstack_visual_indexes": [0, 1]}
    config = Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **qwen_ids(tokenizer))
    return Qwen3VLForConditionalGeneration(config)


def _qwen3_5(tokenizer: Any) -> Any:
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    linear: dict[str, Any] = {"linear_key_head_dim": 16, "linear_value_head_dim": 16, "linear_num_key_heads": 2}
    linear |= {"linear_num_value_heads": 4, "layer_types": ["linear_attention", "full_attention"] * (LAYERS // 2)}
    rope = QWEN3_ROPE | {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.25}
    text = _text(tokenizer, head_dim=32, rope_parameters=rope, **linear)
    config = Qwen3_5Config(text_config=text, vision_config=VISION, tie_word_embeddings=True, **qwen_ids(tokenizer))
    return Qwen3_5ForConditionalGeneration(config)
