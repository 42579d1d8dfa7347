"""Load a Qwen-VL checkpoint, identify its revision, and verify the rotary positions of clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy
import torch

from lmms_eval_shotbench.qwen.architecture import Architecture
from lmms_eval_shotbench.qwen.architectures import ARCHITECTURES
from lmms_eval_shotbench.qwen.decoding import answer_batch, prefill
from lmms_eval_shotbench.qwen.inputs import Patches, PatchRule, Prompt, patch_seconds
from lmms_eval_shotbench.qwen.pixel_values import PixelBuffer, vision_inputs
from lmms_eval_shotbench.qwen.prompt_tree import PromptTree, log_probabilities
from lmms_eval_shotbench.qwen.revision import folder_digest
from lmms_eval_shotbench.qwen.rope_positions import Grid
from lmms_eval_shotbench.qwen.vision_attention import attend_by_length
from lmms_eval_shotbench.vocabulary import MediaKind

PREFILL_TOKENS = 16_384  # per prefill on a GPU, where a single short prompt is limited by kernel launches
CPU_PREFILL_TOKENS = 4_096  # per prefill of prompts of one length, which need no mask, on a CPU


class UnsupportedCheckpoint(ValueError):
    """A checkpoint that `shotvl` cannot run; the message states which it can."""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model with its processor and input rules."""

    model: Any
    processor: Any
    revision: str  # of the weights: the Hub's commit, or a digest of the folder
    patch_rule: PatchRule
    architecture: Architecture
    prefill_tokens: int = 0  # maximum tokens per prefill of several prompts; 0: one prompt at a time
    pixel_buffer: PixelBuffer = field(default_factory=PixelBuffer)

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return torch.device(self.model.device)

    @property
    def placeholders(self) -> dict[MediaKind, int]:
        """Token id of the placeholder of each kind of medium."""
        return self.architecture.placeholders

    @property
    def end_tokens(self) -> frozenset[int]:
        """Token ids that end a response, from the checkpoint's generation settings."""
        ends = self.model.generation_config.eos_token_id
        return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])

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
        """Expand and pad prompts to one batch on the model's device."""
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
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    from lmms_eval_shotbench.qwen.kv_cache import attend_in_place

    config = AutoConfig.from_pretrained(pretrained, revision=revision)
    if config.model_type not in ARCHITECTURES:
        raise UnsupportedCheckpoint(
            f"{pretrained} is a {config.model_type}; shotvl runs {', '.join(ARCHITECTURES)} checkpoints. "
            "Run others by their name in lmms-eval, such as --model internvl_hf"
        )
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
    processor = AutoProcessor.from_pretrained(pretrained, revision=revision)
    _require_one_rule(processor, pretrained)
    checkpoint = Checkpoint(
        model.eval(),
        processor,
        getattr(config, "_commit_hash", None) or folder_digest(Path(pretrained)),
        PatchRule.of(processor),
        ARCHITECTURES[config.model_type].of(config, processor),
        0 if device.type == "cpu" else PREFILL_TOKENS,
    )
    check_positions(checkpoint)
    return checkpoint


def _require_one_rule(processor: Any, pretrained: str) -> None:
    """Raise `UnsupportedCheckpoint` if stills and clips are cut into patches or normalised differently."""
    stills, clips = processor.image_processor, processor.video_processor
    for name in ("patch_size", "merge_size", "temporal_patch_size", "image_mean", "image_std"):
        of_stills, of_clips = getattr(stills, name), getattr(clips, name)
        if numpy.any(numpy.asarray(of_stills) != numpy.asarray(of_clips)):
            raise UnsupportedCheckpoint(
                f"{pretrained}: its processor has {name} {of_stills} for stills and {of_clips} for clips; shotvl needs "
                "one for both (preprocessor_config.json and video_preprocessor_config.json, or processor_config.json)"
            )


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


CHECKED_FPS = Fraction(12)
CHECKED_PATCHES = 18  # 3 seconds at 12 frames a second


def check_positions(checkpoint: Checkpoint) -> None:
    """Run a small clip, padded in a batch with text, and compare the positions that reach the rotary embedding.

    Raises:
        UnsupportedCheckpoint: They are not those of the checkpoint's architecture.
    """
    architecture, rule = checkpoint.architecture, checkpoint.patch_rule
    grid = Grid(CHECKED_PATCHES, rule.merge, rule.merge, CHECKED_FPS)
    values = torch.zeros((grid.patches, len(rule.mean) * rule.frames * rule.side**2), dtype=torch.uint8)
    seconds = patch_seconds(range(CHECKED_PATCHES * rule.frames), CHECKED_FPS, rule.frames)
    config, clip_token = checkpoint.model.config, architecture.placeholders[MediaKind.CLIP]
    ids = [config.vision_start_token_id, clip_token, config.vision_end_token_id]
    shown = Prompt(ids, [Patches(MediaKind.CLIP, values, grid, seconds)])
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
            f"transformers {transformers_version()} gives the frames of a {CHECKED_FPS}-fps clip the time positions "
            f"{found[0, of_clip].tolist() if found is not None else 'unknown'} instead of "
            f"{expected[0, of_clip].tolist()}; camera movement would be lost; use a version this package was tested "
            "with (see constraints.txt)"
        )


def _rotary_embedding(model: Any) -> torch.nn.Module:
    """Return the text model's rotary embedding; the vision tower's has another name."""
    return next(module for name, module in model.named_modules() if name.endswith("language_model.rotary_emb"))


def transformers_version() -> str:
    """Return the installed version of transformers."""
    from importlib.metadata import version

    return version("transformers")
