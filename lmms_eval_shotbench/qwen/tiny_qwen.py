"""A tiny random Qwen2.5-VL with its own tokenizer and processor, created in seconds, for offline demos and tests.

It is the real architecture at 0.2 M parameters: stills, clips, chat template and generation run the same code as the
released checkpoints. Its weights are random and it generates letters only, so with one new token it scores chance.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.atomic_file import atomic_path
from lmms_eval_shotbench.prompts import PROMPT_STYLES
from lmms_eval_shotbench.vocabulary import DIMENSIONS

TINY_SHOTVL = Path(__file__).parents[1] / "models" / "tiny_shotvl"  # a trained checkpoint with its model card
SEED = 0
TEXT_WIDTH, VISION_WIDTH = 64, 32
PATCH, MERGE, FRAMES_A_PATCH = 14, 2, 2  # as in the released checkpoints
MIN_PIXELS, MAX_PIXELS = 4 * (PATCH * MERGE) ** 2, 64 * (PATCH * MERGE) ** 2
END, PAD = "<|im_end|>", "<|endoftext|>"
IMAGE, VIDEO = "<|image_pad|>", "<|video_pad|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
SPECIAL_TOKENS = [PAD, "<|im_start|>", END, VISION_START, VISION_END, "<|vision_pad|>", IMAGE, VIDEO]

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tiny_qwen(folder: Path, seed: int = SEED) -> Path:
    """Write a complete checkpoint to `folder`, unless it already contains one, and return the folder.

    Raises:
        FileExistsError: The folder contains another model or other files.
    """
    if _contains_tiny_qwen(folder):
        return folder
    processor = processor_of(byte_tokenizer(_training_text(), 512), MIN_PIXELS, MAX_PIXELS)
    try:
        with atomic_path(folder) as draft:
            processor.save_pretrained(draft)
            _model(processor.tokenizer, seed).save_pretrained(draft)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if not _contains_tiny_qwen(folder):  # otherwise another process has created it
            raise FileExistsError(f"{folder} contains other files; choose another --out") from None
    return folder


def _contains_tiny_qwen(folder: Path) -> bool:
    if not (folder / "config.json").is_file():
        return False
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("text_config", {}).get("hidden_size") != TEXT_WIDTH:
        raise FileExistsError(f"{folder} contains another model; choose another --out")
    return True


def _training_text() -> Iterator[str]:
    yield from (style.system for style in PROMPT_STYLES)
    yield from (style.well_formed(letter) for style in PROMPT_STYLES for letter in "ABCD")
    for dimension in DIMENSIONS:
        yield dimension.question
        yield from (term.name for term in dimension.terms)


def byte_tokenizer(texts: Iterable[str], size: int, added_tokens: Sequence[str] = ()) -> Any:
    """Train a byte-level BPE tokenizer of `size` tokens on texts; each of `added_tokens` is one more token."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import Qwen2TokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet))
    tokenizer = Qwen2TokenizerFast(tokenizer_object=raw, eos_token=END, pad_token=PAD)
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL_TOKENS})
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in added_tokens])
    tokenizer.padding_side = "left"
    return tokenizer


def processor_of(tokenizer: Any, min_pixels: int, max_pixels: int) -> Any:
    """Return a processor that resizes stills and frames to within these limits, in pixels."""
    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    size = {
        "min_pixels": min_pixels,
        "max_pixels": max_pixels,
        "patch_size": PATCH,
        "merge_size": MERGE,
        "temporal_patch_size": FRAMES_A_PATCH,
    }
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**size),
        video_processor=Qwen2VLVideoProcessor(**size),
        tokenizer=tokenizer,
        chat_template=CHAT_TEMPLATE,
    )


def _model(tokenizer: Any, seed: int) -> Any:
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    heads, layers = 4, 2
    half = TEXT_WIDTH // heads // 2  # rotary pairs of a head, split over time, height and width
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": TEXT_WIDTH,
            "intermediate_size": 2 * TEXT_WIDTH,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads // 2,
            "max_position_embeddings": 32768,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [half // 4, half * 3 // 8, half * 3 // 8],
            },
            "tie_word_embeddings": False,  # with tied weights, a random model repeats its last token
            "bos_token_id": ids[PAD],
            "eos_token_id": ids[END],
            "pad_token_id": ids[PAD],
        },
        vision_config={
            "depth": 2,
            "hidden_size": VISION_WIDTH,
            "intermediate_size": 2 * VISION_WIDTH,
            "num_heads": 2,
            "out_hidden_size": TEXT_WIDTH,
            "patch_size": PATCH,
            "temporal_patch_size": FRAMES_A_PATCH,
            "spatial_merge_size": MERGE,
            "fullatt_block_indexes": [1],
            "window_size": 4 * PATCH,
            "tokens_per_second": 2,
        },
        image_token_id=ids[IMAGE],
        video_token_id=ids[VIDEO],
        vision_start_token_id=ids[VISION_START],
        vision_end_token_id=ids[VISION_END],
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = ids[END]
    model.generation_config.pad_token_id = ids[PAD]
    suppress_all_but_letters(model, tokenizer, ids[END])
    return model


def suppress_all_but_letters(model: Any, tokenizer: Any, end: int) -> None:
    """Restrict generation to A, B, C and D, so that the model scores chance instead of zero."""
    letters = {tokenizer.convert_tokens_to_ids(letter) for letter in "ABCD"}
    model.generation_config.suppress_tokens = sorted(set(range(len(tokenizer))) - letters - {end})
    model.generation_config.begin_suppress_tokens = [end]
