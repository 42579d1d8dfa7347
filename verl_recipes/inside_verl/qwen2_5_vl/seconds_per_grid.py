"""Seconds per temporal grid step of a clip, from which verl, SGLang and vLLM compute the evaluation's time positions.

They compute floor(t * seconds * tokens_per_second) in floating point. With the clip's own seconds, rounded, the result
is one too low where the exact product is a whole number. But all seconds of an interval give the same positions, and
the clip's own are often its lower end; from the middle of the interval the positions are exact.

This module imports no large library, because verl's plugin imports it in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from lmms_eval_shotbench.qwen.rope_positions import Grid, PositionRule

UNKNOWN_RATE = 24  # frames per second of a clip without metadata, as transformers assumes


def exact_processor_call(call: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `Qwen2_5_VLProcessor.__call__` to return `second_per_grid_ts` of `exact_seconds` for clips with metadata.

    verl sets the `config` of the model on its processors; without it the result is not changed.
    """

    @wraps(call)
    def __call__(processor: Any, *inputs: Any, **settings: Any) -> Any:
        output = call(processor, *inputs, **settings)
        metadata = settings.get("video_metadata") or settings.get("videos_kwargs", {}).get("video_metadata")
        if metadata and "second_per_grid_ts" in output and hasattr(processor, "config"):
            output["second_per_grid_ts"] = exact_seconds(output["video_grid_thw"], metadata, processor.config)
        return output

    return __call__


def exact_seconds(
    grids: Sequence[Sequence[int]] | torch.Tensor, metadata: Sequence[Mapping[str, Any]], config: Any
) -> torch.Tensor:
    """Return the seconds per temporal grid step of clips, float64 (clips,), which give exactly our time positions.

    Args:
        grids: (clips, 3): time, height and width in patches.
        metadata: `fps` and `total_num_frames` of each clip's file and `frames_indices` of the sampled frames; without
            them the sampled frames are assumed to have `UNKNOWN_RATE`.
        config: Configuration of the checkpoint.
    """
    import torch

    from lmms_eval_shotbench.media.clip_file import exact_rate
    from lmms_eval_shotbench.media.clips import sampled_rate
    from lmms_eval_shotbench.qwen.qwen2_5_vl import position_rule
    from lmms_eval_shotbench.qwen.rope_positions import Grid

    rule, seconds = position_rule(config), []
    for grid, clip in zip(grids, metadata, strict=True):
        rate, indices = exact_rate(clip.get("fps") or UNKNOWN_RATE), clip.get("frames_indices")
        if indices is not None:
            rate = sampled_rate(len(indices), clip["total_num_frames"], rate)
        time, height, width = map(int, grid)
        seconds.append(seconds_per_grid(Grid(time, height, width, rate), rule))
    return torch.tensor(seconds, dtype=torch.float64)


def seconds_per_grid(grid: Grid, rule: PositionRule) -> float:
    """Return the middle of the interval of seconds per temporal grid step that give the clip's time positions."""
    from lmms_eval_shotbench.qwen.rope_positions import time_positions

    times: list[int] = time_positions(grid, rule).tolist()
    if len(times) == 1:
        return float(rule.frames_a_patch / grid.fps)
    at_least = max(time / t for t, time in enumerate(times) if t)
    below = min((time + 1) / t for t, time in enumerate(times) if t)
    step = (at_least + below) / 2
    assert [int(t * step) for t in range(len(times))] == times, (grid, step)
    return step / rule.tokens_per_second
