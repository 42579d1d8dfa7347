"""Settings that verl 0.9.1 accepts but does not act on, and engines that are not installed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from verl_recipes.preflight.problem import Problem

if TYPE_CHECKING:
    from omegaconf import DictConfig

FREEZE = "actor_rollout_ref.actor.freeze_vision_tower"
ENGINES = {  # packages of verl's engines by `strategy`
    "fsdp": "torch",
    "fsdp2": "torch",
    "megatron": "megatron",
    "veomni": "veomni",
    "torchtitan": "torchtitan",
    "automodel": "nemo_automodel",
}
ROLLOUT = "actor_rollout_ref.rollout.name"
ROLLOUT_ENGINES = {  # packages of verl's rollout engines, and of the plugin's, and how to install them
    "vllm": ("vllm", "uv pip install -c constraints.txt 'verl[vllm]'; without a GPU: make vllm"),
    "sglang": ("sglang", "as verl's documentation says"),
    "trtllm": ("tensorrt_llm", "as verl's documentation says"),
    "hf": ("transformers", "uv pip install -c constraints.txt '.[train]'"),
}


def ignored_settings(config: DictConfig, method: str) -> Iterator[Problem]:
    """Yield a problem for each such setting of the configuration.

    Args:
        config: Composed configuration of the run.
        method: `sft`, `cot_sft` or `grpo`.
    """
    grpo = method == "grpo"
    if grpo and config.actor_rollout_ref.actor.get("freeze_vision_tower"):
        what = "verl 0.9.1 never reads it: the vision tower would be trained"
        yield Problem(what, f"{FREEZE}=true", "Leave it out, or train adapters of the language model: --recipe 3b_lora")
    key = "actor_rollout_ref.actor.strategy" if grpo else "engine.strategy"
    strategy = config.actor_rollout_ref.actor.strategy if grpo else config.engine.strategy
    if strategy not in ENGINES:
        yield Problem("verl has no such training engine", f"{key}={strategy}", "Choose fsdp2, as the recipes do")
    elif find_spec(ENGINES[strategy]) is None:
        what = f"this engine's package {ENGINES[strategy]} is not installed"
        yield Problem(what, f"{key}={strategy}", "Choose fsdp2, as the recipes do, or install it")


def missing_rollout_engine(config: DictConfig) -> Iterator[Problem]:
    """Yield a problem if verl has no such rollout engine, or if its package is not installed here."""
    name = str(config.actor_rollout_ref.rollout.name)
    if name not in ROLLOUT_ENGINES:
        yield Problem("verl has no such rollout engine", f"{ROLLOUT}={name}", "Choose vllm, as the recipes for GPUs do")
        return
    package, install = ROLLOUT_ENGINES[name]
    if find_spec(package) is None:
        yield Problem(
            f"this engine's package {package} is not installed", f"{ROLLOUT}={name}", f"Install it: {install}"
        )
