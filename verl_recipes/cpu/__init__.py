"""Run verl without an accelerator: verl's own trainer, Ray workers and FSDP2 checkpoints, on a CPU.

    VERL_USE_EXTERNAL_MODULES=verl_recipes.plugin VERL_PLATFORM=cpu VERL_ENGINE_DEVICE=cuda python -m verl.trainer…

The modules add what verl 0.9 lacks for that, in the order of a run:

    platform.py           verl's platform `cpu`
    process_group.py      patch: verl requests the gloo backend for the CPU twice, which torch rejects
    offload_policy.py     patch: no pinned memory for offloaded parameters, as it requires an accelerator
    equal_lengths.py      patch: position ids of a batch whose sequences all have the same length
    hf_rollout.py         the rollout engine `hf`: its replica, and its adapter in the trainer's worker
    hf_server.py          the engine's server: queues requests, returns responses, receives new weights
    answers.py            batching of the requests
    request_inputs.py     pixel values and positions of a request, the same as in the actor's inputs
    generation.py         sampling of tokens, with their log-probabilities
    vllm_linear.py        patch: vLLM's CPU build keeps the weights of linear layers, so that it can receive new ones
    seeded_agent_loop.py  the agent loop `seeded_single_turn`, which makes sampling reproducible

The platform, the engine and the agent loop use verl's own extension points. Each patch documents the fault that it
works around, and its `still_needed()` checks unpatched code for it; a test fails when a release no longer needs the
patch. VERL_ENGINE_DEVICE=cuda selects verl's FSDP engine, which is registered for cuda and npu only but also runs on a
CPU.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from verl_recipes.cpu import equal_lengths, offload_policy, process_group, seeded_agent_loop, vllm_linear
from verl_recipes.inside_verl.patch_on_import import when_imported

ENGINE = "hf"
PATCHES = (process_group, offload_policy, equal_lengths)
VLLM_PATCHES = (vllm_linear,)  # of vLLM's CPU build, if it is installed


def install() -> None:
    """Register the platform; patches, engine and agent loop are installed when the modules they change are imported."""
    from verl_recipes.cpu import platform

    platform.register()
    for patch in (*PATCHES, *VLLM_PATCHES):
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
