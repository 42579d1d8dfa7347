"""Load a Qwen-VL checkpoint with transformers, and verify the rotary positions of clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch

from lmms_eval_shotbench.qwen.decoding import answer_batch, prefill
from lmms_eval_shotbench.qwen.input_rules import (
    PROBE_FPS,
    InputRules,
    UnsupportedCheckpoint,
    read_input_rules,
    transformers_version,
)
from lmms_eval_shotbench.qwen.inputs import Patches, Prompt
from lmms_eval_shotbench.qwen.pixel_values import PixelBuffer, vision_inputs
from lmms_eval_shotbench.qwen.prompt_tree import PromptTree, log_probabilities
from lmms_eval_shotbench.qwen.vision_attention import attend_by_length
from lmms_eval_shotbench.vocabulary import MediaKind

PREFILL_TOKENS = 16_384  # per prefill on a GPU, where a single short prompt is limited by kernel launches
CPU_PREFILL_TOKENS = 4_096  # per prefill of prompts of one length, which need no mask, on a CPU


@dataclass(frozen=True)
class Checkpoint(InputRules):
    """A loaded model with its input rules."""

    model: Any
    prefill_tokens: int = 0  # maximum tokens per prefill of several prompts; 0: one prompt at a time
    pixel_buffer: PixelBuffer = field(default_factory=PixelBuffer)

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return torch.device(self.model.device)

    @property
    def bytes_a_token(self) -> int:
        """Maximum memory per prompt token during prefill, in bytes: cache, activations of both towers, pixels."""
        text, vision = self.model.config.get_text_config(), self.model.config.vision_config
        head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        cache = 2 * text.num_hidden_layers * text.num_key_value_heads * head
        patches, pixels = self.patch_rule.merge**2, len(self.patch_rule.mean) * self.patch_rule.frames
        tower = patches * (12 * vision.hidden_size + 2 * pixels * self.patch_rule.side**2)
        states = cache + 3 * text.intermediate_size + 10 * text.hidden_size + tower
        return int(self.model.dtype.itemsize * states)

    def answer(
        self, prompts: Sequence[Prompt], max_new_tokens: int, stops: Any = None, *sampling: Any
    ) -> list[list[int]]:
        """Return the new token ids of each prompt; the last arguments are those of `answer_batch`."""
        longest = max(map(self.architecture.tokens, prompts))
        rows = max(1, self.prefill_tokens // longest)
        groups = (
            self.padded(group) | self._vision(group)
            for group in (prompts[start : start + rows] for start in range(0, len(prompts), rows))
        )
        return answer_batch(self.model, self.padded(prompts), groups, max_new_tokens, stops, *sampling)

    def log_probabilities(self, media: Sequence[Patches], tree: PromptTree, gap: int = 0) -> torch.Tensor:
        """Return the log-probability of each continuation of a prompt tree after each medium.

        Media with the same number of tokens should be adjacent: they are prefilled together.

        Args:
            media: The medium of each row; the trunk has one placeholder.
            tree: Prompts and continuations.
            gap: Number of rotary positions that are skipped after the medium.

        Returns:
            float32 (media, continuations), on the CPU.

        Raises:
            UnsupportedCheckpoint: The architecture does not fork.
        """
        self.require_forks()
        prompts = [Prompt(tree.trunk, [medium]) for medium in media]
        after = len(tree.trunk) - 1 - next(i for i, id in enumerate(tree.trunk) if id in self.placeholders.values())

        def moved(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            length = inputs["position_ids"].shape[-1]
            inputs["position_ids"][..., length - after :] += gap
            return inputs

        batch = self.padded(prompts)
        ahead = batch["position_ids"].amax(dim=(0, 2)) + 1 + gap
        groups = (moved(self.padded(group)) | self._vision(group) for group in self._of_equal_length(prompts))
        with torch.inference_mode():
            return log_probabilities(self.model, prefill(self.model, batch, groups, ahead), tree)

    def require_forks(self) -> None:
        """Raise `UnsupportedCheckpoint` if `log_probabilities` is not possible."""
        if not self.architecture.forks:
            raise UnsupportedCheckpoint(
                f"a {self.model.config.model_type} gives no probabilities of terms: its linear attention keeps one "
                "state for all tokens, so prompts with the same beginning are not run together; use --ask letter"
            )

    def _of_equal_length(self, prompts: Sequence[Prompt]) -> Iterator[list[Prompt]]:
        """Yield groups of adjacent prompts that need no padding, within the limit of tokens per prefill."""
        for length, equal in groupby(prompts, self.architecture.tokens):
            same = list(equal)
            rows = max(1, (self.prefill_tokens or CPU_PREFILL_TOKENS) // length)
            yield from (same[start : start + rows] for start in range(0, len(same), rows))

    @property
    def numerics(self) -> list[str]:
        """What determines rounding: device, dtype, attention and versions; part of the key of a stored response."""
        return [
            self.device.type,
            str(self.model.dtype),
            self.model.config._attn_implementation,
            f"torch {torch.__version__}",
            f"transformers {transformers_version()}",
        ]

    def padded(self, prompts: Sequence[Prompt]) -> dict[str, torch.Tensor]:
        """Expand and pad prompts to one batch, as returned by `left_padded`, on the model's device."""
        return {name: values.to(self.device) for name, values in self.architecture.padded(prompts).items()}

    def _vision(self, prompts: Sequence[Prompt]) -> dict[str, torch.Tensor]:
        media = [medium for prompt in prompts for medium in prompt.media]
        return vision_inputs(media, self.patch_rule, self.device, self.model.dtype, self.pixel_buffer)


def load_checkpoint(
    pretrained: str,
    *,
    device: torch.device,
    revision: str | None = None,
    dtype: str = "auto",
    attn_implementation: str | None = None,
    device_map: str | None = None,
) -> Checkpoint:
    """Load from a folder or the Hub, onto one device or, with `device_map="auto"`, distributed over all GPUs.

    Raises:
        UnsupportedCheckpoint: Another model type, or clips would get wrong positions.
    """
    from transformers import AutoModelForImageTextToText

    from lmms_eval_shotbench.qwen.kv_cache import attend_in_place

    rules = read_input_rules(pretrained, revision)
    attention = attn_implementation or best_attention(device)
    model = AutoModelForImageTextToText.from_pretrained(
        pretrained,
        revision=revision,
        dtype=chosen_dtype(dtype, device),
        attn_implementation=attention,
        device_map=device_map or {"": str(device)},
    )
    if attention == "sdpa":
        attend_by_length(model)
        attend_in_place(model)
    checkpoint = Checkpoint(
        **vars(rules) | {"config": model.config, "generation_config": model.generation_config},
        model=model.eval(),
        prefill_tokens=0 if device.type == "cpu" else PREFILL_TOKENS,
    )
    check_positions(checkpoint)
    return checkpoint


def chosen_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the named dtype; "auto" is bfloat16, the published type, on an accelerator and float32 on a CPU."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise UnsupportedCheckpoint(f"dtype={name} is not a torch dtype; use auto, bfloat16, float16 or float32")
    return dtype


def best_attention(device: torch.device) -> str:
    """Return flash_attention_2 on a GPU where it is installed, else sdpa."""
    from transformers.utils import is_flash_attn_2_available

    return "flash_attention_2" if device.type == "cuda" and is_flash_attn_2_available() else "sdpa"


def check_positions(checkpoint: Checkpoint) -> None:
    """Run a small clip, padded in a batch with text, and compare the positions that reach the rotary embedding.

    Raises:
        UnsupportedCheckpoint: They are not those of the checkpoint's architecture.
    """
    architecture, shown = checkpoint.architecture, checkpoint.probe(MediaKind.CLIP)
    clip_token = checkpoint.placeholders[MediaKind.CLIP]
    longer = Prompt([0] * (architecture.tokens(shown) + 5))
    seen: list[torch.Tensor] = []
    hook = _rotary_embedding(checkpoint.model).register_forward_pre_hook(
        lambda _module, args, kwargs: seen.append(kwargs.get("position_ids", args[-1])), with_kwargs=True
    )
    try:
        checkpoint.answer([shown, longer], max_new_tokens=1)
    finally:
        hook.remove()
    alone = architecture.padded([shown])
    expected, of_clip = alone["position_ids"][:, 0], alone["input_ids"][0] == clip_token
    found = seen[0][:, 0, -len(of_clip) :].cpu() if seen else None
    if found is None or not torch.equal(found, expected):
        raise UnsupportedCheckpoint(
            f"transformers {transformers_version()} gives the frames of a {PROBE_FPS}-fps clip the time positions "
            f"{found[0, of_clip].tolist() if found is not None else 'unknown'} instead of "
            f"{expected[0, of_clip].tolist()}; camera movement would be lost; use a version this package was tested "
            "with (see constraints.txt)"
        )


def _rotary_embedding(model: Any) -> torch.nn.Module:
    """Return the text model's rotary embedding; the vision tower's has another name."""
    return next(module for name, module in model.named_modules() if name.endswith("language_model.rotary_emb"))
