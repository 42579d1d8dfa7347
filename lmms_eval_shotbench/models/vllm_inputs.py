"""Prompts and media in the form in which vLLM's engine takes them after processing.

vLLM's own processing would sample a clip again, scale pictures again, or lose the times of frames, depending on how
media are passed. Given already processed inputs it changes nothing. Positions are computed in vLLM, from the grid and,
for Qwen2.5-VL, from the seconds between temporal patches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch

from lmms_eval_shotbench.qwen.input_rules import InputRules
from lmms_eval_shotbench.qwen.inputs import Patches, Prompt
from lmms_eval_shotbench.qwen.pixel_values import vision_inputs
from lmms_eval_shotbench.qwen.rope_positions import Grid, PositionRule, time_positions, tokens_of
from lmms_eval_shotbench.vocabulary import MediaKind

if TYPE_CHECKING:
    from vllm.inputs.engine import EngineInput
    from vllm.multimodal.inputs import MultiModalKwargsItem, PlaceholderRange

MODALITIES = {MediaKind.STILL: "image", MediaKind.CLIP: "video"}  # vLLM's names
CPU = torch.device("cpu")


def processed_item(medium: Patches, rules: InputRules, dtype: torch.dtype) -> MultiModalKwargsItem:
    """Return the inputs of the vision tower, in memory of their own: vLLM keeps references to them."""
    from vllm.multimodal.inputs import (
        MultiModalBatchedField,
        MultiModalFieldElem,
        MultiModalFlatField,
        MultiModalKwargsItem,
    )

    (values_name, values), (grid_name, grids) = vision_inputs([medium], rules.patch_rule, CPU, dtype).items()
    one, rows = MultiModalBatchedField(keep_on_cpu=True), MultiModalFlatField(slices=[slice(0, medium.grid.patches)])
    elements = {values_name: MultiModalFieldElem(values, rows), grid_name: MultiModalFieldElem(grids[0], one)}
    if medium.grid.fps and rules.architecture.rule.tokens_per_second:
        seconds = vllm_seconds_per_grid(medium.grid, rules.architecture.rule)
        elements["second_per_grid_ts"] = MultiModalFieldElem(torch.tensor(seconds, dtype=torch.float64), one)
    return MultiModalKwargsItem(elements)


def vllm_seconds_per_grid(grid: Grid, rule: PositionRule) -> float:
    """Return the seconds between temporal patches with which vLLM computes the time positions of `rope_positions.py`.

    vLLM multiplies floats and truncates: floor(t * (seconds * tokens_per_second)). The exact seconds, as a float, may
    be just too small. Those returned are in the middle of all that give the right positions.
    """
    least, most = seconds_bounds(grid, rule)
    return float((least + most) / 2)


def seconds_bounds(grid: Grid, rule: PositionRule) -> tuple[Fraction, Fraction]:
    """Return the least seconds between temporal patches that give the right positions, and the least that exceed them.

    A position is floor(t * seconds * tokens_per_second).
    """
    wanted, a_second = time_positions(grid, rule).tolist(), Fraction(rule.tokens_per_second)
    least = max((Fraction(position, t) for t, position in enumerate(wanted) if t), default=Fraction(1))
    most = min((Fraction(position + 1, t) for t, position in enumerate(wanted) if t), default=Fraction(1))
    return least / a_second, most / a_second


def engine_input(
    prompt: Prompt, keys: Sequence[str], items: Sequence[MultiModalKwargsItem], rules: InputRules
) -> EngineInput:
    """Return a request's prompt for `LLMEngine.add_request`. `LLM.generate` would drop the media without an error.

    Args:
        prompt: Token ids and media.
        keys: What identifies each medium as it is shown: outputs of the vision tower are kept by it.
        items: `processed_item` of each medium.
        rules: Input rules of the checkpoint.
    """
    from vllm.inputs.engine import mm_input, tokens_input
    from vllm.multimodal.inputs import MultiModalKwargsItems

    ids = rules.architecture.expanded(prompt)
    if not prompt.media:
        return tokens_input(ids.tolist())
    modalities = [MODALITIES[medium.kind] for medium in prompt.media]
    hashes = [hashlib.sha256(key.encode()).hexdigest() for key in keys]
    return mm_input(
        prompt_token_ids=ids.tolist(),
        mm_kwargs=MultiModalKwargsItems(_by_modality(modalities, items)),
        mm_hashes=_by_modality(modalities, hashes),
        mm_placeholders=_by_modality(modalities, list(_placeholders(ids, prompt, rules))),
    )


def _by_modality(modalities: Sequence[str], values: Sequence[Any]) -> dict[str, list[Any]]:
    return {
        one: [value for modality, value in zip(modalities, values, strict=True) if modality == one]
        for one in dict.fromkeys(modalities)
    }


def _placeholders(ids: torch.Tensor, prompt: Prompt, rules: InputRules) -> Iterator[PlaceholderRange]:
    """Yield where each medium stands in a prompt; a clip of Qwen3-VL has other tokens between its pictures."""
    from vllm.multimodal.inputs import PlaceholderRange

    of_media = torch.isin(ids, torch.tensor(sorted(rules.placeholders.values())))
    counts = [tokens_of(medium.grid, rules.patch_rule.merge) for medium in prompt.media]
    for medium, indices in zip(prompt.media, of_media.nonzero().flatten().split(counts), strict=True):
        first, last = int(indices[0]), int(indices[-1])
        if medium.kind is MediaKind.CLIP and rules.architecture.clip_is_pictures:
            first -= 1  # vLLM searches each picture by the token that begins it
        inside = of_media[first : last + 1]
        yield PlaceholderRange(first, last + 1 - first, None if inside.all() else inside)
