"""LLaVA 1.5, LLaVA-NeXT, LLaVA-NeXT-Video, LLaVA-OneVision and Video-LLaVA."""

from __future__ import annotations

from typing import Any

from tests.support.tiny_families.parts import PATCH, chat_template, make_tokenizer, text_config, vision_config

LLAVA_TOKENS = ("<|im_start|>", "<image>", "<video>")
LLAVA_TEMPLATE = chat_template("<image>\n", "<video>\n")
CLIP_SIDE, SIGLIP_SIDE, VIDEO_LLAVA_SIDE = 336, 384, 224
PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]  # heights and widths of LLaVA-NeXT
SIGLIP_PINPOINTS = [[384 * rows, 384 * columns] for rows in range(1, 7) for columns in range(1, 7)]


def _llava_ids(tokenizer: Any, video: bool) -> dict[str, int]:
    ids = {"image_token_index": tokenizer.convert_tokens_to_ids("<image>")}
    return ids | ({"video_token_index": tokenizer.convert_tokens_to_ids("<video>")} if video else {})


def _clip_sizes(side: int = CLIP_SIDE) -> dict[str, Any]:
    return {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}


def _llava_processing(tokenizer: Any) -> dict[str, Any]:
    """Arguments that the processors of LLaVA 1.5, LLaVA-NeXT, LLaVA-NeXT-Video and Video-LLaVA share."""
    return {
        "tokenizer": tokenizer,
        "patch_size": PATCH,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
        "chat_template": LLAVA_TEMPLATE,
    }


def llava() -> tuple[Any, Any]:
    from transformers import CLIPImageProcessor, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    tokenizer = make_tokenizer(LLAVA_TOKENS)
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(**_clip_sizes()),
        **_llava_processing(tokenizer),
    )
    config = LlavaConfig(
        vision_config=vision_config("clip_vision_model", CLIP_SIDE),
        text_config=text_config(tokenizer, "llama"),
        image_seq_length=(CLIP_SIDE // PATCH) ** 2,
        **_llava_ids(tokenizer, False),
    )
    return LlavaForConditionalGeneration(config), processor


def llava_next() -> tuple[Any, Any]:
    from transformers import (
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextImageProcessor,
        LlavaNextProcessor,
    )

    tokenizer = make_tokenizer(LLAVA_TOKENS)
    processor = LlavaNextProcessor(
        image_processor=LlavaNextImageProcessor(**_clip_sizes(), image_grid_pinpoints=PINPOINTS),
        **_llava_processing(tokenizer),
    )
    config = LlavaNextConfig(
        vision_config=vision_config("clip_vision_model", CLIP_SIDE),
        text_config=text_config(tokenizer, "llama"),
        image_grid_pinpoints=PINPOINTS,
        **_llava_ids(tokenizer, False),
    )
    return LlavaNextForConditionalGeneration(config), processor


def llava_next_video() -> tuple[Any, Any]:
    from transformers import (
        LlavaNextImageProcessor,
        LlavaNextVideoConfig,
        LlavaNextVideoForConditionalGeneration,
        LlavaNextVideoProcessor,
        LlavaNextVideoVideoProcessor,
    )

    tokenizer = make_tokenizer(LLAVA_TOKENS)
    processor = LlavaNextVideoProcessor(
        video_processor=LlavaNextVideoVideoProcessor(**_clip_sizes()),
        image_processor=LlavaNextImageProcessor(**_clip_sizes(), image_grid_pinpoints=PINPOINTS),
        **_llava_processing(tokenizer),
    )
    config = LlavaNextVideoConfig(
        vision_config=vision_config("clip_vision_model", CLIP_SIDE),
        text_config=text_config(tokenizer, "llama"),
        image_grid_pinpoints=PINPOINTS,
        **_llava_ids(tokenizer, True),
    )
    return LlavaNextVideoForConditionalGeneration(config), processor


def llava_onevision() -> tuple[Any, Any]:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
    )

    tokenizer = make_tokenizer(LLAVA_TOKENS)
    size = {"height": SIGLIP_SIDE, "width": SIGLIP_SIDE}
    processor = LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=SIGLIP_PINPOINTS),
        video_processor=LlavaOnevisionVideoProcessor(size=size),
        tokenizer=tokenizer,
        num_image_tokens=(SIGLIP_SIDE // PATCH) ** 2,
        vision_feature_select_strategy="full",
        chat_template=LLAVA_TEMPLATE,
    )
    config = LlavaOnevisionConfig(
        vision_config=vision_config("siglip_vision_model", SIGLIP_SIDE, vision_use_head=False),
        text_config=text_config(tokenizer),
        image_grid_pinpoints=SIGLIP_PINPOINTS,
        **_llava_ids(tokenizer, True),
    )
    return LlavaOnevisionForConditionalGeneration(config), processor


def video_llava() -> tuple[Any, Any]:
    from transformers import (
        VideoLlavaConfig,
        VideoLlavaForConditionalGeneration,
        VideoLlavaImageProcessor,
        VideoLlavaProcessor,
        VideoLlavaVideoProcessor,
    )

    tokenizer = make_tokenizer(LLAVA_TOKENS)
    processor = VideoLlavaProcessor(
        image_processor=VideoLlavaImageProcessor(**_clip_sizes(VIDEO_LLAVA_SIDE)),
        video_processor=VideoLlavaVideoProcessor(**_clip_sizes(VIDEO_LLAVA_SIDE)),
        **_llava_processing(tokenizer),
    )
    config = VideoLlavaConfig(
        vision_config=vision_config("clip_vision_model", VIDEO_LLAVA_SIDE),
        text_config=text_config(tokenizer, "llama"),
        **_llava_ids(tokenizer, True),
    )
    return VideoLlavaForConditionalGeneration(config), processor
