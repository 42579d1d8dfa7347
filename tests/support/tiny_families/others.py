"""Ovis2, InstructBLIP, GLM-4V and Mistral 3."""

from __future__ import annotations

from typing import Any

from tests.support.tiny_families.parts import (
    HEADS,
    LAYERS,
    PATCH,
    WIDTH,
    chat_template,
    make_tokenizer,
    text_config,
    vision_config,
)

OVIS_SIDE, BLIP_SIDE, MISTRAL_SIDE = 448, 224, 1540
QUERIES = 32  # tokens per picture of InstructBLIP
OVIS_INDICATORS = ("<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>")


def ovis2() -> tuple[Any, Any]:
    from transformers import Ovis2Config, Ovis2ForConditionalGeneration, Ovis2ImageProcessor, Ovis2Processor

    tokenizer = make_tokenizer(["<|im_start|>", "<IMG_ATOM>", *OVIS_INDICATORS])
    text = text_config(tokenizer)
    processor = Ovis2Processor(
        image_processor=Ovis2ImageProcessor(size={"height": OVIS_SIDE, "width": OVIS_SIDE}),
        tokenizer=tokenizer,
        image_seq_length=(OVIS_SIDE // PATCH // 2) ** 2,
        chat_template=chat_template("<image>\n"),
    )
    config = Ovis2Config(
        text_config=text,
        vision_config=vision_config("ovis2_vision", OVIS_SIDE, vocab_size=64, hidden_stride=2),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_ATOM>"),
        visual_indicator_token_ids=tokenizer.convert_tokens_to_ids(list(OVIS_INDICATORS)),
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        tie_word_embeddings=False,
    )
    return Ovis2ForConditionalGeneration(config), processor


def _blip_config(tokenizer: Any, qformer_tokenizer: Any) -> dict[str, Any]:
    tower = vision_config("", BLIP_SIDE)
    tower.pop("model_type")
    return {
        "vision_config": tower,
        "qformer_config": {
            "vocab_size": len(qformer_tokenizer),
            "hidden_size": WIDTH,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "intermediate_size": 2 * WIDTH,
            "encoder_hidden_size": WIDTH,
        },
        "text_config": text_config(tokenizer, "llama"),
        "num_query_tokens": QUERIES,
    }


def instructblip() -> tuple[Any, Any]:
    from transformers import (
        BlipImageProcessor,
        InstructBlipConfig,
        InstructBlipForConditionalGeneration,
        InstructBlipProcessor,
    )

    tokenizer, qformer_tokenizer = make_tokenizer([]), make_tokenizer([])
    processor = InstructBlipProcessor(
        image_processor=BlipImageProcessor(size={"height": BLIP_SIDE, "width": BLIP_SIDE}),
        tokenizer=tokenizer,
        qformer_tokenizer=qformer_tokenizer,
        num_query_tokens=QUERIES,
    )
    settings = _blip_config(tokenizer, qformer_tokenizer)
    image = tokenizer.convert_tokens_to_ids("<image>")
    return InstructBlipForConditionalGeneration(InstructBlipConfig(**settings, image_token_index=image)), processor


def glm4v() -> tuple[Any, Any]:
    from transformers import (
        Glm4vConfig,
        Glm4vForConditionalGeneration,
        Glm4vImageProcessor,
        Glm4vProcessor,
        Glm4vVideoProcessor,
    )

    names = {
        "image_token_id": "<|image|>",
        "video_token_id": "<|video|>",
        "image_start_token_id": "<|begin_of_image|>",
        "image_end_token_id": "<|end_of_image|>",
        "video_start_token_id": "<|begin_of_video|>",
        "video_end_token_id": "<|end_of_video|>",
    }
    tokenizer = make_tokenizer(["<|im_start|>", *names.values()])
    processor = Glm4vProcessor(
        image_processor=Glm4vImageProcessor(),
        video_processor=Glm4vVideoProcessor(),
        tokenizer=tokenizer,
        chat_template=chat_template(
            "<|begin_of_image|><|image|><|end_of_image|>", "<|begin_of_video|><|video|><|end_of_video|>"
        ),
    )
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    config = Glm4vConfig(
        text_config=text_config(tokenizer, "glm4v_text", rope_parameters=rope),
        vision_config={
            "depth": LAYERS,
            "hidden_size": WIDTH,
            "num_heads": HEADS,
            "out_hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
        },
        **{name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()},
    )
    return Glm4vForConditionalGeneration(config), processor


def mistral3() -> tuple[Any, Any]:
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration, PixtralImageProcessor, PixtralProcessor

    tokenizer = make_tokenizer(["<|im_start|>", "[IMG]", "[IMG_BREAK]", "[IMG_END]"])
    processor = PixtralProcessor(
        image_processor=PixtralImageProcessor(size={"longest_edge": MISTRAL_SIDE}, patch_size=PATCH),
        tokenizer=tokenizer,
        patch_size=PATCH,
        spatial_merge_size=2,
        chat_template=chat_template("[IMG]"),
    )
    config = Mistral3Config(
        text_config=text_config(tokenizer, "mistral", head_dim=8),
        vision_config=vision_config("pixtral", MISTRAL_SIDE, head_dim=8),
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
    )
    return Mistral3ForConditionalGeneration(config), processor
