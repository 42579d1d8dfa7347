"""Gemma 3 and Gemma 4."""

from __future__ import annotations

from typing import Any

from tests.support.tiny_families.parts import chat_template, make_tokenizer, text_config, vision_config

GEMMA3 = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
GEMMA4 = {"boi_token": "<|image>", "eoi_token": "<image|>", "image_token": "<|image|>"} | {
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
    "audio_token": "<|audio|>",
}

SIDE = 896  # of Gemma 3


def gemma3() -> tuple[Any, Any]:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3ImageProcessor, Gemma3Processor

    tokenizer = make_tokenizer(["<|im_start|>"], GEMMA3)
    tokens = 256
    processor = Gemma3Processor(
        image_processor=Gemma3ImageProcessor(size={"height": SIDE, "width": SIDE}),
        tokenizer=tokenizer,
        image_seq_length=tokens,
        chat_template=chat_template("<start_of_image>"),
    )
    config = Gemma3Config(
        text_config=text_config(tokenizer, "gemma3_text", head_dim=8, sliding_window=512),
        vision_config=vision_config("siglip_vision_model", SIDE, vision_use_head=False),
        mm_tokens_per_image=tokens,
        boi_token_index=tokenizer.convert_tokens_to_ids(GEMMA3["boi_token"]),
        eoi_token_index=tokenizer.convert_tokens_to_ids(GEMMA3["eoi_token"]),
        image_token_index=tokenizer.convert_tokens_to_ids(GEMMA3["image_token"]),
        tie_word_embeddings=False,
    )
    return Gemma3ForConditionalGeneration(config), processor


def gemma4() -> tuple[Any, Any]:
    from transformers import (
        Gemma4AudioFeatureExtractor,
        Gemma4Config,
        Gemma4ForConditionalGeneration,
        Gemma4ImageProcessor,
        Gemma4Processor,
        Gemma4VideoProcessor,
    )

    tokenizer = make_tokenizer(["<|im_start|>"], GEMMA4)
    processor = Gemma4Processor(
        feature_extractor=Gemma4AudioFeatureExtractor(),
        image_processor=Gemma4ImageProcessor(),
        tokenizer=tokenizer,
        video_processor=Gemma4VideoProcessor(),
        chat_template=chat_template("<|image|>", "<|video|>"),
    )
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in GEMMA4.items()}
    text = text_config(tokenizer, "gemma4_text", head_dim=8, global_head_dim=8, hidden_size_per_layer_input=8)
    tower = {"num_key_value_heads": 4, "head_dim": 8, "position_embedding_size": 10240}
    config = Gemma4Config(
        text_config=text | {"vocab_size_per_layer_input": len(tokenizer)},
        vision_config=vision_config("gemma4_vision", SIDE, patch_size=16, **tower),
        audio_config=None,
        boi_token_id=ids["boi_token"],
        eoi_token_id=ids["eoi_token"],
        image_token_id=ids["image_token"],
        video_token_id=processor.video_token_id,
        boa_token_id=ids["boa_token"],
        eoa_token_index=ids["eoa_token"],
        audio_token_id=ids["audio_token"],
        tie_word_embeddings=False,
    )
    return Gemma4ForConditionalGeneration(config), processor
