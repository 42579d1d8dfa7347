"""The evaluation's temporal positions for clips, in every process of a verl run.

Where a run computes positions of a clip, and what is wrong there (transformers 5.9, verl 0.9.1, vLLM 0.24):

    actor and reference       verl binds transformers' `Qwen2_5_VLModel.get_rope_index` to the processor; it cuts the
    rollout by transformers   seconds a grid to a whole number, so that at 12 frames a second all frames stand at one
                              time, and what follows a clip ignores how long it is
    actor and reference       besides, verl gives it no seconds (so: 1.0) unless the processor has a hook for that
    rollout by vLLM           right, but for the frame rate, which it drops (`vllm_frame_rates.py`)
    SFT, rollout by SGLang    right, once the frame rate is there (`film_dataset.py` sees to it)

`install` mends the first three, with one function of positions built on `lmms_eval_shotbench/qwen/rope_positions.py`.
It must run before verl makes its processor. Nothing heavy is imported here: what is not loaded yet is mended as soon as
somebody imports it.
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
    """A clip whose frames nobody knows the rate of; a guess would teach a wrong speed."""


def install() -> None:
    """Mend what is wrong, now or when it is imported. Doing it again changes nothing."""
    when_imported(QWEN_MODEL, _mend_model)
    when_imported(QWEN_PROCESSOR, _mend_processor)
    when_imported(VLLM_MODEL, keep_frame_rates)


def _mend_model(module: Any) -> None:
    module.Qwen2_5_VLModel.get_rope_index = rope_index


def _mend_processor(module: Any) -> None:
    module.Qwen2_5_VLProcessor.get_rope_index_kwargs = _seconds_a_grid


def _seconds_a_grid(_processor: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The hook verl's agent loop asks for: what it is to hand on to `rope_index`."""
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
    """Positions (3, rows, length) of padded rows, and by how much each row's next one exceeds its length: (rows, 1).

    The signature is that of `Qwen2_5_VLModel.get_rope_index`; `owner` is such a model, or a processor that knows the
    model's `config`. Padding stands at 0.

    Raises:
        UnknownFrameRate: there are clips, and no `second_per_grid_ts`.
    """
    import torch

    from lmms_eval_shotbench.qwen.checkpoint import position_rule
    from lmms_eval_shotbench.qwen.rope_positions import prompt_positions

    rule = position_rule(owner.config)
    media = _Media(owner.config, rule, image_grid_thw, video_grid_thw, second_per_grid_ts)
    real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    positions = torch.zeros((3, *input_ids.shape), dtype=torch.long)
    excess = []
    for row, (ids, mask) in enumerate(zip(input_ids.cpu(), real.cpu().bool(), strict=True)):
        found = prompt_positions(ids[mask], list(media.among(ids[mask])), rule)
        positions[:, row, mask] = found
        excess.append([int(found.max()) + 1 - found.shape[1]])
    return positions.to(input_ids.device), torch.tensor(excess, device=input_ids.device)


class _Media:
    """Grids of a batch: they come apart by kind, and leave in the order of their tokens."""

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
        self._waiting: dict[int, Iterator[Grid]] = {
            config.image_token_id: iter([Grid(*grid) for grid in stills]),
            config.video_token_id: iter(timed),
        }

    def among(self, ids: torch.Tensor) -> Iterator[Grid]:
        """The next grids, one for each medium among these tokens."""
        for token in ids[1:][ids[:-1] == self._start].tolist():
            if token in self._waiting:
                yield next(self._waiting[token])


def _listed(values: Any) -> list[Any]:
    """A tensor's values, or a list's."""
    return values.tolist() if hasattr(values, "tolist") else list(values)
