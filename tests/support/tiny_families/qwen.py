"""Qwen2-VL, Qwen3-VL and Qwen3.5, the latter two also as mixtures of experts; Qwen2.5-VL is in `qwen/tiny_qwen.py`."""

from __future__ import annotations

from typing import Any

from tests.support.tiny_families.parts import HEADS, LAYERS, WIDTH, chat_template, make_tokenizer, text_config

QWEN_TOKENS = ("<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
QWEN2_SIZE = {"min_pixels": 3136, "max_pixels": 12_845_056}
QWEN_TEMPLATE = chat_template(
    "<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>"
)
ONE_SYSTEM_MESSAGE = (  # a check of Qwen3.5's released template
    "{% for message in messages %}{% if message['role'] == 'system' and not loop.first %}"
    "{{ raise_exception('System message must be at the beginning.') }}{% endif %}{% endfor %}"
)


def qwen_ids(tokenizer: Any) -> dict[str, int]:
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}


def qwen2_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = make_tokenizer(QWEN_TOKENS)
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    config = Qwen2VLConfig(
        text_config=text_config(tokenizer, "qwen2_vl_text", rope_parameters=rope),
        vision_config={"depth": LAYERS, "embed_dim": WIDTH, "num_heads": HEADS, "hidden_size": WIDTH, "mlp_ratio": 2},
        tie_word_embeddings=False,
        **qwen_ids(tokenizer),
    )
    processor = Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(**QWEN2_SIZE),
        video_processor=Qwen2VLVideoProcessor(**QWEN2_SIZE),
        tokenizer=tokenizer,
        chat_template=QWEN_TEMPLATE,
    )
    return Qwen2VLForConditionalGeneration(config), processor


def _qwen3_processor(tokenizer: Any, template: str = QWEN_TEMPLATE) -> Any:
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(
            patch_size=16,
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
            size={"shortest_edge": 65_536, "longest_edge": 16_777_216},
        ),
        video_processor=Qwen3VLVideoProcessor(size={"shortest_edge": 4_096, "longest_edge": 25_165_824}),
        tokenizer=tokenizer,
        chat_template=template,
    )


QWEN3_VISION = {
    "depth": LAYERS,
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_heads": HEADS,
    "out_hidden_size": WIDTH,
    "num_position_embeddings": 64,
}
QWEN3_ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": WIDTH}


def qwen3_vl(experts: bool = False) -> tuple[Any, Any]:
    from transformers import (
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLMoeConfig,
        Qwen3VLMoeForConditionalGeneration,
    )

    tokenizer = make_tokenizer(QWEN_TOKENS)
    kind = "qwen3_vl_moe_text" if experts else "qwen3_vl_text"
    text = text_config(tokenizer, kind, head_dim=8, rope_parameters=QWEN3_ROPE) | (EXPERTS if experts else {})
    vision = QWEN3_VISION | {"deepstack_visual_indexes": [0, 1]}
    config_class = Qwen3VLMoeConfig if experts else Qwen3VLConfig
    config = config_class(text_config=text, vision_config=vision, tie_word_embeddings=False, **qwen_ids(tokenizer))
    model_class = Qwen3VLMoeForConditionalGeneration if experts else Qwen3VLForConditionalGeneration
    return model_class(config), _qwen3_processor(tokenizer)


def qwen3_5(experts: bool = False) -> tuple[Any, Any]:
    from transformers import (
        Qwen3_5Config,
        Qwen3_5ForConditionalGeneration,
        Qwen3_5MoeConfig,
        Qwen3_5MoeForConditionalGeneration,
    )

    tokenizer = make_tokenizer(QWEN_TOKENS)
    linear: dict[str, Any] = {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2}
    linear |= {"linear_num_value_heads": 4, "layer_types": ["linear_attention", "full_attention"]}
    kind = "qwen3_5_moe_text" if experts else "qwen3_5_text"
    more = EXPERTS | {"shared_expert_intermediate_size": WIDTH} if experts else {}
    text = (
        text_config(tokenizer, kind, head_dim=32, rope_parameters=QWEN3_ROPE | {"partial_rotary_factor": 0.25}) | linear
    )
    config_class = Qwen3_5MoeConfig if experts else Qwen3_5Config
    config = config_class(text_config=text | more, vision_config=QWEN3_VISION, **qwen_ids(tokenizer))
    model_class = Qwen3_5MoeForConditionalGeneration if experts else Qwen3_5ForConditionalGeneration
    return model_class(config), _qwen3_processor(tokenizer, ONE_SYSTEM_MESSAGE + QWEN_TEMPLATE)
