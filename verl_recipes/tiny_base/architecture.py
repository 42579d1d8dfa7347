"""The untrained tiny base model: tokenizer, processor and random weights.

It is a small Qwen2.5-VL that transformers loads without custom code. It differs from the released checkpoints in three
ways. With all three, the model learned within minutes; with any one of them missing, it did not learn:

- The tokenizer has single tokens for each term, for the letter after a term, and for the sentences of the prompts.
- The rotary base is small (theta 10) and most rotary dimensions encode the column, to distinguish positions in a frame.
- Weights are initialized with a larger standard deviation than usual; otherwise binding terms to letters is not learned
  within hours.

Images of 16:9, from a width of 128 pixels up, are resized to 112 x 56 pixels and become 8 tokens; so does each pair of
frames of a clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.labelling.vote import NO_TERM
from lmms_eval_shotbench.prompts import CLOSING, PROMPT_STYLES, opening
from lmms_eval_shotbench.qwen.tiny_qwen import (
    END,
    FRAMES_A_PATCH,
    IMAGE,
    MERGE,
    PAD,
    PATCH,
    SPECIAL_TOKENS,
    VIDEO,
    VISION_END,
    VISION_START,
    byte_tokenizer,
    processor_of,
)
from lmms_eval_shotbench.vocabulary import DIMENSIONS

# sqrt(7840 * 9/16) is in 56..84 and sqrt(7840 * 16/9) in 112..140, so smart_resize comes to 112 x 56 for all 16:9.
MIN_PIXELS, MAX_PIXELS = 4 * (PATCH * MERGE) ** 2, 10 * (PATCH * MERGE) ** 2  # 3136 and 7840
TEXT_WIDTH, TEXT_LAYERS, TEXT_HEADS = 128, 3, 4
VISION_WIDTH, VISION_LAYERS, VISION_HEADS = 128, 3, 4
ROPE_THETA = 10.0
MROPE_SECTION = (1, 4, 11)  # numbers of rotary pairs per head for time, row and column
TEXT_SPREAD, VISION_SPREAD = 0.08, 0.04  # standard deviation of initial weights; 0.02 is usual
TOKENS_PER_SECOND = 2  # as in the released checkpoints
LETTERS = "ABCD"
BYTE_TOKENS = 640  # bytes and their merges, for any other text
MAX_POSITIONS = 4096


def positions_of_options(count: int) -> int:
    """Number of rotary positions of a question's options, of single tokens each, with the lines around them."""
    return 2 * count + 2


def make_processor() -> Any:
    """Create the processor, with the tokenizer and the pixel limits of this model."""
    return processor_of(byte_tokenizer(_merge_corpus(), BYTE_TOKENS, _added_tokens()), MIN_PIXELS, MAX_PIXELS)


def make_model(tokenizer: Any, seed: int) -> Any:
    """Create the model for this tokenizer, with random float32 weights drawn from a seed."""
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(_config(tokenizer))
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(END)
    model.generation_config.pad_token_id = tokenizer.convert_tokens_to_ids(PAD)
    return model


def save_checkpoint(model: Any, processor: Any, folder: Path) -> None:
    """Write a checkpoint for transformers, in bfloat16 as the released ones; `model` itself is not changed."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    processor.save_pretrained(folder)
    rounded = deepcopy(model).to(torch.bfloat16)
    for name in rounded.config.sub_configs:  # transformers sets only the type of the whole
        getattr(rounded.config, name).dtype = torch.bfloat16
    rounded.save_pretrained(folder)


def _merge_corpus() -> Iterator[str]:
    """Texts that the byte-pair merges are learned from."""
    for dimension in DIMENSIONS:
        yield dimension.question
        yield opening(dimension.slug)
        yield from (term.name for term in dimension.terms)
    yield from (style.system for style in PROMPT_STYLES)


def _added_tokens() -> list[str]:
    """Texts that become one token each."""
    names = {f" {name}": None for dimension in DIMENSIONS for name in (term.name for term in dimension.terms)}
    joints = [" Firstly", ", then", ",", "Question: ", "\nOptions:", f"\n{CLOSING}"]
    letters = [form.format(letter) for letter in LETTERS for form in ("\n{}.", " ({}).", "{}")]
    tags = ["<think>", "</think>", "<answer>", "</answer>", "system\n", "user\n", "assistant\n", "\n"]
    sentences = [text for one in DIMENSIONS for text in (one.question, opening(one.slug))]
    systems = [style.system for style in PROMPT_STYLES]
    return [*names, *joints, *letters, *tags, *sentences, *systems, f" {NO_TERM}"]  # new ones last: ids are kept


def _config(tokenizer: Any) -> Any:
    from transformers import Qwen2_5_VLConfig

    from lmms_eval_shotbench.labelling.asking.naming import CONFIG_KEY

    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": -(-len(tokenizer) // 64) * 64,
            "hidden_size": TEXT_WIDTH,
            "intermediate_size": TEXT_WIDTH * 5 // 2,
            "num_hidden_layers": TEXT_LAYERS,
            "num_attention_heads": TEXT_HEADS,
            "num_key_value_heads": TEXT_HEADS // 2,
            "max_position_embeddings": MAX_POSITIONS,
            "initializer_range": TEXT_SPREAD,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": ROPE_THETA,
                "mrope_section": list(MROPE_SECTION),
            },
            "tie_word_embeddings": True,
            "bos_token_id": ids[PAD],
            "eos_token_id": ids[END],
            "pad_token_id": ids[PAD],
        },
        vision_config={
            "depth": VISION_LAYERS,
            "hidden_size": VISION_WIDTH,
            "intermediate_size": VISION_WIDTH * 5 // 2,
            "num_heads": VISION_HEADS,
            "out_hidden_size": TEXT_WIDTH,
            "patch_size": PATCH,
            "temporal_patch_size": FRAMES_A_PATCH,
            "spatial_merge_size": MERGE,
            "fullatt_block_indexes": list(range(VISION_LAYERS)),
            "window_size": 8 * PATCH,
            "tokens_per_second": TOKENS_PER_SECOND,
            "initializer_range": VISION_SPREAD,
        },
        image_token_id=ids[IMAGE],
        video_token_id=ids[VIDEO],
        vision_start_token_id=ids[VISION_START],
        vision_end_token_id=ids[VISION_END],
        tie_word_embeddings=True,
        **{CONFIG_KEY: {"naming_gap": positions_of_options(len(LETTERS))}},
    )
