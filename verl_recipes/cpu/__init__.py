"""verl on a CPU: the real trainer, real Ray workers and real FSDP2 checkpoints, without an accelerator.

    VERL_USE_EXTERNAL_MODULES=verl_recipes.plugin VERL_PLATFORM=cpu VERL_ENGINE_DEVICE=cuda python -m verl.trainer…

Owns what verl 0.9 lacks for that, in the order of a run:

    platform.py           the platform `cpu`
    process_group.py      the gloo backend, named only once
    offload_policy.py     no pinned memory for offloaded parameters, which needs an accelerator
    equal_lengths.py      position ids of a batch whose sequences all have the same length
    hf_rollout.py         the rollout engine `hf`: its replica, and the adapter in the trainer's worker
    hf_server.py          the engine's server: batches requests, generates responses, takes new weights
    request_inputs.py     pixels and positions of a request, the same as for the actor
    generation.py         from prompts to sampled tokens with their log-probabilities
    seeded_agent_loop.py  the agent loop `seeded_single_turn`, which makes sampling reproducible

The platform, the engine and the agent loop use verl's own extension points. `process_group`, `offload_policy` and
`equal_lengths` patch torch or verl: each documents the fault, and its `still_needed()` tests the original; a test fails
when a release no longer needs the patch. VERL_ENGINE_DEVICE=cuda selects verl's FSDP engine, which is registered for
cuda and npu but runs on a CPU unchanged.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from verl_recipes.cpu import equal_lengths, offload_policy, process_group, seeded_agent_loop
from verl_recipes.inside_verl.patch_on_import import when_imported

ENGINE = "hf"
PATCHES = (process_group, offload_policy, equal_lengths)


def install() -> None:
    """Install the CPU path when verl's modules are imported."""
    from verl_recipes.cpu import platform

    platform.register()
    for patch in PATCHES:
        when_imported(patch.MODULE, patch.apply)
    when_imported("verl.workers.rollout.base", _register_adapter)
    when_imported("verl.workers.rollout.replica", _register_replica)
    when_imported("verl.experimental.agent_loop.agent_loop", seeded_agent_loop.register)


def _register_adapter(base: ModuleType) -> None:
    base._ROLLOUT_REGISTRY[(ENGINE, "async")] = "verl_recipes.cpu.hf_rollout.HFAdapter"  # verl has no public API for it


def _register_replica(replica: ModuleType) -> None:
    replica.RolloutReplicaRegistry.register(ENGINE, _replica)


def _replica() -> Any:
    from verl_recipes.cpu.hf_rollout import HFReplica

    return HFReplica
