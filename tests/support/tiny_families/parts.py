"""Parts that the families share: a tokenizer, a chat template, and the configurations of narrow two-layer networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmms_eval_shotbench.qwen.tiny_qwen import byte_tokenizer

WIDTH, HEADS, LAYERS = 32, 4, 2
PATCH = 14  # of a vision tower
TEXTS = ("You are a helpful assistant.", "Question: Options: A. B. C. D. Please select the most likely answer.")
END, PAD = "<|im_end|>", "<|endoftext|>"


def make_tokenizer(special: Sequence[str], named: Mapping[str, str] | None = None) -> Any:
    """Return a byte-level tokenizer with these special tokens; `named` become attributes of the tokenizer."""
    from transformers import PreTrainedTokenizerFast

    raw = byte_tokenizer(TEXTS, 400).backend_tokenizer
    named = dict(named or {})
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=END, pad_token=PAD, extra_special_tokens=named)
    tokenizer.add_special_tokens({"additional_special_tokens": [*special]}, replace_extra_special_tokens=False)
    tokenizer.padding_side = "left"
    return tokenizer


def chat_template(image: str, video: str = "") -> str:
    """Return a template in the form of the released ones: media as placeholders, where they stand in the message."""
    return (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
        "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}" + image + "{% elif part['type'] == 'video' %}" + video + ""
        "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def text_config(tokenizer: Any, model_type: str = "qwen2", **more: Any) -> dict[str, Any]:
    return {
        "model_type": model_type,
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS // 2,
        "max_position_embeddings": 32768,
        "bos_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": False,  # with tied weights, a random model repeats its last token
        **more,
    }


def vision_config(model_type: str, side: int, **more: Any) -> dict[str, Any]:
    return {
        "model_type": model_type,
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "image_size": side,
        "patch_size": PATCH,
        **more,
    }
