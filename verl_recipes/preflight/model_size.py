"""Parameter counts of a model, built on PyTorch's device "meta", with LoRA applied as verl does."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class ModelSize:
    """Parameter counts and sizes of a model."""

    parameters: int
    trained: int
    largest_layer: int
    root: int  # parameters outside of the layers that FSDP gathers one by one
    layers: int
    width: int  # hidden size
    inner: int  # intermediate size
    blocks: int  # of the vision tower
    vision_width: int
    vision_inner: int
    vocabulary: int
    tensors: int = 0

    def layer_bytes(self) -> int:
        """Bytes per token that one layer saves for the backward pass."""
        return 24 * self.width + 8 * self.inner

    def block_bytes(self) -> int:
        """Bytes per patch that one block of the vision tower saves for the backward pass."""
        return 30 * self.vision_width + 8 * self.vision_inner


def model_size(config: Any, settings: DictConfig) -> ModelSize:
    """Count the parameters of a model, given its transformers configuration and verl's model settings (LoRA)."""
    import torch
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"), contextlib.redirect_stdout(io.StringIO()):
        model = AutoModelForImageTextToText.from_config(config)
        kinds, tied = set(model._no_split_modules or ()), config.tie_word_embeddings
        units = [sum(part.numel() for part in unit.parameters()) for unit in _units(model, kinds, tied)]
        rank = settings.get("lora_rank", 0)
        trained = _with_lora(model, settings) if rank else model
        count = sum(part.numel() for part in trained.parameters())
    text, vision = config.get_text_config(), config.vision_config
    return ModelSize(
        count, sum(part.numel() for part in trained.parameters() if part.requires_grad), max(units),
        max(count - sum(units), 0), text.num_hidden_layers, text.hidden_size, text.intermediate_size, vision.depth,
        vision.hidden_size, vision.intermediate_size, text.vocab_size, len(list(trained.parameters())),
    )  # fmt: skip


def _units(model: Any, kinds: set[str], tied: bool) -> Iterator[Any]:
    """Modules that FSDP gathers one by one: layers, and untied embeddings."""
    for name, module in model.named_modules():
        if type(module).__name__ in kinds or (not tied and name.rpartition(".")[2] in ("embed_tokens", "lm_head")):
            yield module


def _with_lora(model: Any, settings: DictConfig) -> Any:
    from omegaconf import OmegaConf
    from peft import LoraConfig, get_peft_model

    plain = OmegaConf.to_container(settings, resolve=True)
    assert isinstance(plain, dict)
    named = {"r": "lora_rank", "lora_alpha": "lora_alpha", "target_modules": "target_modules"}
    named |= {"exclude_modules": "exclude_modules"}
    arguments: dict[str, Any] = {name: plain.get(key) for name, key in named.items()}
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", bias="none", **arguments))
