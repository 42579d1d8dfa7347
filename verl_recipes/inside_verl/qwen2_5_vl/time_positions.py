"""Patch the rotary time positions of clips, so that every process of a verl run uses those of the evaluation.

A run computes the positions of a clip in several components. Their faults in transformers 5.9, verl 0.9.1 and vLLM
0.24:

1. Actor, reference and the rollout engine `hf` use transformers' `Qwen2_5_VLModel.get_rope_index`, which verl binds to
   the processor. It truncates the seconds per temporal grid step to an integer, so at 12 frames per second all frames
   have the same time position; and the positions of the text after a clip ignore its duration.
2. For these components, verl does not pass the seconds per grid step to that function, which then uses 1.0, unless the
   processor has the hook `get_rope_index_kwargs`.
3. vLLM drops the frame rate, and rounds the seconds per grid step to the type of the model (`vllm_frame_rates.py`).
4. SFT and SGLang receive the frame rate from `film_dataset.py`, but the seconds per grid step that transformers'
   processor computes from it are rounded, which makes a few positions one too low (`seconds_per_grid.py`).

`install` patches all of these; the positions come from `lmms_eval_shotbench/qwen/rope_positions.py`. It must run before
verl creates its processor. It imports no large library: modules that are not imported yet are patched on import.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from verl_recipes.inside_verl.patch_on_import import when_imported
from verl_recipes.inside_verl.qwen2_5_vl.seconds_per_grid import exact_processor_call
from verl_recipes.inside_verl.qwen2_5_vl.vllm_frame_rates import VLLM_MODEL, keep_frame_rates

if TYPE_CHECKING:
    import torch

    from lmms_eval_shotbench.qwen.rope_positions import Grid, PositionRule

QWEN_MODEL = "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl"
QWEN_PROCESSOR = "transformers.models.qwen2_5_vl.processing_qwen2_5_vl"


class UnknownFrameRate(ValueError):
    """The frame rate of a clip is unknown; with an assumed one the model would be trained on a wrong speed."""


def install() -> None:
    """Patch transformers and vLLM, now or when they are imported. Calling it again has no effect."""
    when_imported(QWEN_MODEL, _patch_model)
    when_imported(QWEN_PROCESSOR, _patch_processor)
    when_imported(VLLM_MODEL, keep_frame_rates)


def _patch_model(module: Any) -> None:
    module.Qwen2_5_VLModel.get_rope_index = rope_index


def _patch_processor(module: Any) -> None:
    processor = module.Qwen2_5_VLProcessor
    processor.get_rope_index_kwargs = _seconds_per_grid
    processor.__call__ = exact_processor_call(processor.__call__)


def _seconds_per_grid(_processor: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """verl's hook `get_rope_index_kwargs`: additional arguments for `rope_index`."""
    return {"second_per_grid_ts": inputs.get("second_per_grid_ts")}


def rope_index(
    owner: Any,
    input_ids: torch.Tensor,
    mm_token_type_ids: torch.Tensor | None = None,
    image_grid_thw: torch.Tensor | None = None,
    video_grid_thw: torch.Tensor | None = None,
    second_per_grid_ts: torch.Tensor | None = None,
    attention_mask: torch.Tensor | None = None,
    **_other: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotary positions of a padded batch, with the signature of `Qwen2_5_VLModel.get_rope_index`.

    Args:
        owner: A `Qwen2_5_VLModel`, or a processor that has the model's `config`.
        input_ids: int64 (rows, length).
        mm_token_type_ids: Ignored.
        image_grid_thw: int64 (stills, 3): time, height and width in patches.
        video_grid_thw: int64 (clips, 3), likewise.
        second_per_grid_ts: Seconds per temporal grid step, float (clips,).
        attention_mask: (rows, length), 0 for padding; None if there is no padding.

    Returns:
        Positions of time, height and width, int64 (3, rows, length), 0 for padding; and transformers' `rope_deltas`,
        int64 (rows, 1): the next position of a row minus its number of tokens without padding.

    Raises:
        UnknownFrameRate: There are clips but no `second_per_grid_ts`.
    """
    import torch

    from lmms_eval_shotbench.qwen.qwen2_5_vl import position_rule
    from lmms_eval_shotbench.qwen.rope_positions import prompt_positions

    rule = position_rule(owner.config)
    media = _MediaGrids(owner.config, rule, image_grid_thw, video_grid_thw, second_per_grid_ts)
    real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    positions = torch.zeros((3, *input_ids.shape), dtype=torch.long)
    excess = []
    for row, (ids, mask) in enumerate(zip(input_ids.cpu(), real.cpu().bool(), strict=True)):
        found = prompt_positions(ids[mask], list(media.grids_of(ids[mask])), rule)
        positions[:, row, mask] = found
        excess.append([int(found.max()) + 1 - found.shape[1]])
    return positions.to(input_ids.device), torch.tensor(excess, device=input_ids.device)


class _MediaGrids:
    """The grids of a batch's media, returned row by row in the order in which the media occur in the tokens."""

    def __init__(self, config: Any, rule: PositionRule, stills: Any, clips: Any, seconds: Any) -> None:
        from lmms_eval_shotbench.qwen.rope_positions import Grid

        if clips is not None and seconds is None:
            raise UnknownFrameRate(
                "a clip came without second_per_grid_ts; have verl read clips by verl_recipes.inside_verl.film_dataset "
                "(data.custom_cls) and pass on all that the processor returns"
            )
        stills, clips, seconds = ([] if one is None else _as_list(one) for one in (stills, clips, seconds))
        pairs = zip(clips, seconds, strict=True)
        timed = [Grid(*grid)._replace(fps=rule.frames_a_patch / Fraction(step)) for grid, step in pairs]
        self._start: int = config.vision_start_token_id
        self._remaining: dict[int, Iterator[Grid]] = {
            config.image_token_id: iter([Grid(*grid) for grid in stills]),
            config.video_token_id: iter(timed),
        }

    def grids_of(self, ids: torch.Tensor) -> Iterator[Grid]:
        """Yield the grids of the media in one row of token ids (length,); rows are given in the order of the batch."""
        for token in ids[1:][ids[:-1] == self._start].tolist():
            if token in self._remaining:
                yield next(self._remaining[token])


def _as_list(values: Any) -> list[Any]:
    """The values of a tensor or list as a list."""
    return values.tolist() if hasattr(values, "tolist") else list(values)
