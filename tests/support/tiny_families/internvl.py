"""InternVL in the format of transformers, which InternVL3 and 3.5 are published in as well (`-hf`)."""

from __future__ import annotations

from typing import Any

from tests.support.tiny_families.parts import PATCH, chat_template, make_tokenizer, text_config, vision_config

SIDE = 448


def internvl() -> tuple[Any, Any]:
    from transformers import (
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVideoProcessor,
    )

    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = make_tokenizer(["<|im_start|>"], named)
    size = {"height": SIDE, "width": SIDE}
    tokens = (SIDE // PATCH // 2) ** 2
    processor = InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=size, crop_to_patches=True),
        video_processor=InternVLVideoProcessor(size=size),
        tokenizer=tokenizer,
        image_seq_length=tokens,
        chat_template=chat_template("<IMG_CONTEXT>\n", "<video>\n"),
    )
    vision = vision_config("internvl_vision", SIDE, image_size=[SIDE, SIDE], patch_size=[PATCH, PATCH])
    config = InternVLConfig(
        vision_config=vision,
        text_config=text_config(tokenizer),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=tokens,
        tie_word_embeddings=False,
    )
    return InternVLForConditionalGeneration(config), processor
