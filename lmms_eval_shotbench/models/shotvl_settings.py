"""The model arguments of `shotvl`: defaults that depend on machine and checkpoint, and loading without lmms-eval."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from lmms_eval_shotbench.media.clips import CLIP_FPS, CLIP_MAX_PIXELS
from lmms_eval_shotbench.model_args import parse_model_args
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint, load_checkpoint
from lmms_eval_shotbench.qwen.input_rules import InputRules
from lmms_eval_shotbench.qwen.inputs import MediaLimits

PRETRAINED = "Vchitect/ShotVL-3B"
LOADING = ("device", "revision", "dtype", "device_map", "attn_implementation")  # arguments of `load_checkpoint`
WHOLE_NUMBERS = ("video_max_pixels", "min_pixels", "max_pixels", "batch_tokens", "workers")
SHOWN = ("fps", "blank")
WITHOUT_EFFECT = ("responses", "batch_size", "max_batch_size", "enable_thinking")  # here, where nothing is generated


class BadModelArgs(ValueError):
    """Model arguments that `shotvl` does not have, or whose values are invalid."""


class LoadedShotVL(NamedTuple):
    """A checkpoint, and the other model arguments."""

    name: str  # of the checkpoint, without its revision
    checkpoint: Checkpoint
    limits: MediaLimits
    batch_tokens: int | None
    workers: int | None


def load_shotvl(model_args: str, *, attn_implementation: str) -> LoadedShotVL:
    """Load the checkpoint that `--model shotvl --model_args MODEL_ARGS` names, to ask for probabilities.

    Raises:
        BadModelArgs: there is no such argument, or its value is invalid.
        UnsupportedCheckpoint: `shotvl` cannot run the checkpoint, or it gives no probabilities.
    """
    given = {name: value for name, value in parse_model_args(model_args).items() if name not in WITHOUT_EFFECT}
    if given.pop("engine", "transformers") not in ("auto", "transformers"):
        raise BadModelArgs("only engine=transformers gives the probabilities of terms; or ask otherwise, see --ask")
    if given.get("attn_implementation", attn_implementation) != attn_implementation:
        raise BadModelArgs(
            f"attn_implementation={given['attn_implementation']} does not give probabilities of terms; "
            f"use {attn_implementation}, or leave it out"
        )
    numbers, fps = _numbers(given)
    pretrained = given.get("pretrained", PRETRAINED)
    checkpoint = load_checkpoint(
        pretrained,
        device=rank_device(given.get("device")),
        revision=given.get("revision"),
        dtype=given.get("dtype", "auto"),
        attn_implementation=attn_implementation,
        device_map=given.get("device_map"),
    )
    checkpoint.require_forks()
    most = numbers.get("video_max_pixels") or CLIP_MAX_PIXELS
    limits = media_limits(checkpoint, fps, most, numbers.get("min_pixels"), numbers.get("max_pixels"))
    return LoadedShotVL(
        Path(pretrained).name if Path(pretrained).expanduser().is_dir() else pretrained,
        checkpoint,
        limits._replace(blank=given.get("blank", "").lower() in ("true", "1")),
        numbers.get("batch_tokens"),
        numbers.get("workers"),
    )


def _numbers(given: Mapping[str, str]) -> tuple[dict[str, int], float]:
    """Return whole numbers among model arguments, by name, and frames per second; raises `BadModelArgs`."""
    known = ("pretrained", *LOADING, *WHOLE_NUMBERS, *SHOWN)
    if unknown := sorted(set(given) - set(known)):
        raise BadModelArgs(f"shotvl has no argument {', '.join(unknown)}; it has {', '.join(known)}")
    try:
        return {name: int(given[name]) for name in WHOLE_NUMBERS if name in given}, float(given.get("fps", CLIP_FPS))
    except ValueError as error:
        raise BadModelArgs(f"{error}: fps is a number, and {', '.join(WHOLE_NUMBERS)} are whole numbers") from None


def rank_device(given: str | None) -> torch.device:
    """Return the given device; without one, a GPU per rank if there are any, else the CPU."""
    if given not in (None, "cuda"):
        return torch.device(given)
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def media_limits(
    rules: InputRules, fps: float, video_max_pixels: int, min_pixels: int | None, max_pixels: int | None
) -> MediaLimits:
    """Return the limits of stills and frames, in pixels; those not given are the processor's."""
    stills, clips = (part.size for part in (rules.processor.image_processor, rules.processor.video_processor))
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
