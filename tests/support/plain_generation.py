"""Answers by transformers alone: a model as it loads it, prompts one by one, and its own positions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lmms_eval_shotbench.qwen.checkpoint import Checkpoint
from lmms_eval_shotbench.qwen.inputs import Prompt
from lmms_eval_shotbench.qwen.pixel_values import vision_inputs
from lmms_eval_shotbench.vocabulary import MediaKind

MODALITIES = {MediaKind.STILL: 1, MediaKind.CLIP: 2}  # of a token, in transformers


def plain_model(folder: Path) -> Any:
    """Load a checkpoint in float32, with none of this package's attention."""
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def plain_inputs(checkpoint: Checkpoint, prompt: Prompt) -> dict[str, torch.Tensor]:
    """Tokens and pixels of a prompt, and the kind of each token, by which transformers computes positions."""
    ids = checkpoint.architecture.expanded(prompt)[None]
    kinds = torch.zeros_like(ids)
    for kind, token in checkpoint.placeholders.items():
        kinds[ids == token] = MODALITIES[kind]
    pixels = vision_inputs(prompt.media, checkpoint.patch_rule, torch.device("cpu"), torch.float32)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": kinds, **pixels}


def plain_answer(model: Any, inputs: dict[str, torch.Tensor], new_tokens: int) -> tuple[list[int], torch.Tensor]:
    """Greedy answer to a prompt: token ids, and the logits of each, float32 (tokens, vocabulary)."""
    with torch.no_grad():
        found = model.generate(
            **inputs, max_new_tokens=new_tokens, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
    return found.sequences[0, inputs["input_ids"].shape[1] :].tolist(), torch.cat(found.logits)
