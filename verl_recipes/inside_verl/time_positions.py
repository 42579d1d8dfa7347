"""The evaluation's temporal positions for clips, in every process of a verl run.

Where a run computes positions of a clip, and what is wrong there (transformers 5.9, verl 0.9.1, vLLM 0.24):

    actor and reference       verl binds transformers' `Qwen2_5_VLModel.get_rope_index` to the processor; it truncates
    rollout by transformers   the seconds per grid to an integer, so that at 12 frames per second all frames have the
                              same time position, and the positions after a clip ignore its duration
    actor and reference       also, verl passes no seconds (so: 1.0) unless the processor has a hook for them
    rollout by vLLM           correct, except that it drops the frame rate (`vllm_frame_rates.py`)
    SFT, rollout by SGLang    correct if the frame rate is passed (`film_dataset.py` does)

`install` patches the first three, with one position function built on `lmms_eval_shotbench/qwen/rope_positions.py`. It
must run before verl creates its processor. No large library is imported here: modules that are not imported yet are
patched on import.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from verl_recipes.inside_verl.patch_on_import import when_imported
from verl_recipes.inside_verl.vllm_frame_rates import VLLM_MODEL, keep_frame_rates

if TYPE_CHECKING:
    import torch

    from lmms_eval_shotbench.qwen.rope_positions import Grid, PositionRule

QWEN_MODEL = "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl"
QWEN_PROCESSOR = "transformers.models.qwen2_5_vl.processing_qwen2_5_vl"


class UnknownFrameRate(ValueError):
    """The frame rate of a clip is unknown; a guess would train on a wrong speed."""


def install() -> None:
    """Patch transformers and vLLM, now or when they are imported. Calling it again has no effect."""
    when_imported(QWEN_MODEL, _patch_model)
    when_imported(QWEN_PROCESSOR, _patch_processor)
    when_imported(VLLM_MODEL, keep_frame_rates)


def _patch_model(module: Any) -> None:
    module.Qwen2_5_VLModel.get_rope_index = rope_index


def _patch_processor(module: Any) -> None:
    module.Qwen2_5_VLProcessor.get_rope_index_kwargs = _seconds_per_grid


def _seconds_per_grid(_processor: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The hook of verl's agent loop: extra arguments for `rope_index`."""
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
        owner: such a model, or a processor with the model's `config`.
        input_ids: int64 (rows, length).
        image_grid_thw: int64 (stills, 3), in patches; `video_grid_thw` likewise for clips.
        second_per_grid_ts: seconds per temporal grid step, float (clips,).
        attention_mask: (rows, length), 0 for padding; None if there is no padding.

    Returns:
        Positions, int64 (3, rows, length), 0 for padding; and per row the next position minus the length, (rows, 1).

    Raises:
        UnknownFrameRate: there are clips, and no `second_per_grid_ts`.
    """
    import torch

    from lmms_eval_shotbench.qwen.checkpoint import position_rule
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
    """Grids of a batch, given by media kind and handed out in the order of their tokens."""

    def __init__(self, config: Any, rule: PositionRule, stills: Any, clips: Any, seconds: Any) -> None:
        from lmms_eval_shotbench.qwen.rope_positions import Grid

        if clips is not None and seconds is None:
            raise UnknownFrameRate(
                "a clip came without second_per_grid_ts; have verl read clips by verl_recipes.inside_verl.film_dataset "
                "(data.custom_cls) and pass on all that the processor returns"
            )
        stills, clips, seconds = ([] if one is None else _listed(one) for one in (stills, clips, seconds))
        pairs = zip(clips, seconds, strict=True)
        timed = [Grid(*grid)._replace(fps=rule.frames_a_patch / step) for grid, step in pairs]
        self._start: int = config.vision_start_token_id
        self._remaining: dict[int, Iterator[Grid]] = {
            config.image_token_id: iter([Grid(*grid) for grid in stills]),
            config.video_token_id: iter(timed),
        }

    def grids_of(self, ids: torch.Tensor) -> Iterator[Grid]:
        """The grids of the media in these tokens, in order; each is handed out once."""
        for token in ids[1:][ids[:-1] == self._start].tolist():
            if token in self._remaining:
                yield next(self._remaining[token])


def _listed(values: Any) -> list[Any]:
    """The values of a tensor or list as a list."""
    return values.tolist() if hasattr(values, "tolist") else list(values)
