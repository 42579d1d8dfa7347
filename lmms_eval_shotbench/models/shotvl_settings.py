"""Defaults of the model arguments of `shotvl` that depend on the machine and the checkpoint."""

from __future__ import annotations

import os

import torch

from lmms_eval_shotbench.qwen.checkpoint import Checkpoint
from lmms_eval_shotbench.qwen.inputs import MediaLimits

PRETRAINED = "Vchitect/ShotVL-3B"


def rank_device(given: str | None) -> torch.device:
    """Return the given device; without one, a GPU per rank if there are any, else the CPU."""
    if given not in (None, "cuda"):
        return torch.device(given)
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def media_limits(
    checkpoint: Checkpoint, fps: float, video_max_pixels: int, min_pixels: int | None, max_pixels: int | None
) -> MediaLimits:
    """Return the limits of stills and frames, in pixels; those not given are the processor's."""
    stills, clips = (part.size for part in (checkpoint.processor.image_processor, checkpoint.processor.video_processor))
    return MediaLimits(
        int(min_pixels or stills["shortest_edge"]),
        int(max_pixels or stills["longest_edge"]),
        clip_max=min(int(video_max_pixels), clips["longest_edge"]),
        fps=float(fps),
    )


def spare_cores() -> int:
    """Return the number of cores for media: this rank's share, at most 16."""
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return max(1, min(16, len(os.sched_getaffinity(0)) // ranks))
