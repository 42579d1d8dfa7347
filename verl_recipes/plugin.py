"""The plugin that verl imports in every process of a run: `VERL_USE_EXTERNAL_MODULES=verl_recipes.plugin`.

It installs this package's patches and registrations; each has its own module. They are applied when verl, transformers
or vLLM import the patched module, so that processes that never do so are not slowed down by large imports.

    VERL_PLATFORM=cpu    adds the CPU path of `verl_recipes/cpu`
"""

from __future__ import annotations

import os
from types import ModuleType

from lmms_eval_shotbench.models import vllm_orphans
from verl_recipes.inside_verl import (
    bfloat16_weights,
    divergence,
    engine_warnings,
    sft_positions,
    vision_tower,
    weight_sync,
)
from verl_recipes.inside_verl.patch_on_import import when_imported
from verl_recipes.inside_verl.qwen2_5_vl import time_positions
from verl_recipes.inside_verl.qwen3_vl import vllm_clip_prompts


def _register_trainer(_: ModuleType) -> None:
    from verl_recipes.inside_verl import dimension_trainer

    dimension_trainer.register()


engine_warnings.silence()
time_positions.install()
sft_positions.install()
vision_tower.install()
vllm_clip_prompts.install()
weight_sync.install()
when_imported(divergence.ENGINE_MODULE, divergence.guard_engine)
when_imported(bfloat16_weights.MODULE, bfloat16_weights.apply)
when_imported(vllm_orphans.MODULE, vllm_orphans.end_with_parent)
when_imported("verl.trainer.ppo.v1", _register_trainer)
if os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu":  # parsed as verl does
    from verl_recipes import cpu

    cpu.install()
