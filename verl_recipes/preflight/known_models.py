"""The architectures that the recipes train, and the released models, for estimates before a model was downloaded.

Of the released models only the numbers that determine parameter counts and parallelism are listed, from each model's
config.json; the rest are transformers' defaults. Tokenizer and processor are not known, so lengths of rows are not
either.
"""

from __future__ import annotations

from typing import Any, NamedTuple

ARCHITECTURES = {  # by model_type; the tests train each of them
    "qwen2_5_vl": "Qwen2.5-VL",
    "qwen3_vl": "Qwen3-VL (dense)",
    "qwen3_5": "Qwen3.5 (dense)",
}


class KnownModel(NamedTuple):
    """Numbers of a model's text model and vision tower, named as in config.json."""

    family: str  # model_type
    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_value_heads: int
    vocabulary: int
    tied: bool  # input and output embeddings
    blocks: int
    vision_hidden: int
    vision_intermediate: int


KNOWN = {
    "Qwen2.5-VL-3B": KnownModel("qwen2_5_vl", 36, 2048, 11008, 16, 2, 151936, True, 32, 1280, 3420),
    "Qwen2.5-VL-7B": KnownModel("qwen2_5_vl", 28, 3584, 18944, 28, 4, 152064, False, 32, 1280, 3420),
    "Qwen3-VL-2B": KnownModel("qwen3_vl", 28, 2048, 6144, 16, 8, 151936, True, 24, 1024, 4096),
    "Qwen3-VL-4B": KnownModel("qwen3_vl", 36, 2560, 9728, 32, 8, 151936, True, 24, 1024, 4096),
    "Qwen3-VL-8B": KnownModel("qwen3_vl", 36, 4096, 12288, 32, 8, 151936, False, 27, 1152, 4304),
}
BASES = {  # by Hub id
    **{f"Qwen/{name}-Instruct": name for name in KNOWN},
    **{f"Qwen/{name}-Thinking": name for name in KNOWN if name.startswith("Qwen3")},
    "Vchitect/ShotVL-3B": "Qwen2.5-VL-3B",
    "Vchitect/ShotVL-7B": "Qwen2.5-VL-7B",
}
CONTEXT = {"qwen2_5_vl": 128_000, "qwen3_vl": 262_144}  # max_position_embeddings


def known_config(hub_id: str) -> Any | None:
    """transformers' configuration of a released model, or None if its numbers are not known here."""
    from transformers import Qwen2_5_VLConfig, Qwen3VLConfig

    if hub_id not in BASES:
        return None
    known = KNOWN[BASES[hub_id]]
    text: dict[str, Any] = {
        "num_hidden_layers": known.layers,
        "hidden_size": known.hidden,
        "intermediate_size": known.intermediate,
        "num_attention_heads": known.heads,
        "num_key_value_heads": known.key_value_heads,
        "vocab_size": known.vocabulary,
        "tie_word_embeddings": known.tied,
        "max_position_embeddings": CONTEXT[known.family],
    }
    vision: dict[str, Any] = {
        "depth": known.blocks,
        "hidden_size": known.vision_hidden,
        "intermediate_size": known.vision_intermediate,
        "out_hidden_size": known.hidden,
        "num_heads": 16,
    }
    if known.family == "qwen3_vl":
        text |= {"head_dim": 128}
        vision |= {"deepstack_visual_indexes": [5, 11, 17]}  # three; which ones has no effect on the counts
        return Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=known.tied)
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=known.tied)
