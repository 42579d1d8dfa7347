"""verl on a CPU: the real trainer, real Ray workers and real FSDP2 checkpoints, without an accelerator.

    VERL_USE_EXTERNAL_MODULES=verl_recipes.plugin VERL_PLATFORM=cpu VERL_ENGINE_DEVICE=cuda python -m verl.trainer…

Owns what verl 0.9 lacks for that, in the order of a run:

    platform.py           the platform `cpu`
    process_group.py      one gloo backend, named once
    offload_policy.py     parameters offloaded to the host are not pinned where there is nothing to pin them for
    equal_lengths.py      position ids of a batch whose sequences are all equally long
    hf_rollout.py         the rollout engine `hf`: its replica, and the trainer's end of it
    hf_server.py          the engine's server: gathers requests, answers them, takes new weights
    request_inputs.py     a request as the actor will see it: pixels and positions
    generation.py         prompts to sampled tokens with their log-probabilities
    seeded_agent_loop.py  the agent loop `seeded_single_turn`, which makes sampling reproducible

The platform, the engine and the agent loop are additions at verl's own points of extension. `process_group`,
`offload_policy` and `equal_lengths` change how torch or verl behaves: each says what is wrong there, and its
`still_needed()` tries the original; a test fails when a release no longer needs it. VERL_ENGINE_DEVICE=cuda makes verl
take its FSDP engine, which is registered for cuda and npu but runs on a CPU as it is.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from verl_recipes.cpu import equal_lengths, offload_policy, process_group, seeded_agent_loop
from verl_recipes.inside_verl.patch_on_import import when_imported

ENGINE = "hf"
PATCHES = (process_group, offload_policy, equal_lengths)


def install() -> None:
    """Put the CPU path in place, as verl's modules are loaded."""
    from verl_recipes.cpu import platform

    platform.register()
    for patch in PATCHES:
        when_imported(patch.MODULE, patch.apply)
    when_imported("verl.workers.rollout.base", _register_adapter)
    when_imported("verl.workers.rollout.replica", _register_replica)
    when_imported("verl.experimental.agent_loop.agent_loop", seeded_agent_loop.register)


def _register_adapter(base: ModuleType) -> None:
    base._ROLLOUT_REGISTRY[(ENGINE, "async")] = "verl_recipes.cpu.hf_rollout.HFAdapter"  # verl has no public way


def _register_replica(replica: ModuleType) -> None:
    replica.RolloutReplicaRegistry.register(ENGINE, _replica)


def _replica() -> Any:
    from verl_recipes.cpu.hf_rollout import HFReplica

    return HFReplica
