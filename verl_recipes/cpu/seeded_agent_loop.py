"""The agent loop `seeded_single_turn`: verl's single-turn loop with a seed per response.

A server cannot derive a reproducible seed from a request: verl gives requests random ids (with `full_determinism`, all
the same id) and sends them to the least busy server. This agent loop knows the prompt and the index of the response, so
it adds a seed to the sampling parameters, derived from the run's seed, the step, the item and the index of the response
in its group. The engine `hf` samples with this seed; vLLM has the same parameter.
"""

from __future__ import annotations

import hashlib
import json
from types import ModuleType
from typing import Any

NAME = "seeded_single_turn"


def register(agent_loops: ModuleType) -> None:
    """Register the loop with verl.

    Args:
        agent_loops: verl's module with the registry. The loop's class is created when a run uses it.
    """
    agent_loops._agent_loop_registry[NAME] = {"_target_": f"{__name__}.seeded_single_turn"}


def seeded_single_turn(**arguments: Any) -> Any:
    """Create the loop; verl calls this with the arguments of every agent loop."""
    from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

    class SeededSingleTurn(SingleTurnAgentLoop):  # type: ignore[misc]  # verl has no types
        async def run(self, sampling_params: dict[str, Any], **sample: Any) -> Any:
            seed = response_seed(self.rollout_config.seed, sample)
            return await super().run({**sampling_params, "seed": seed}, **sample)

    return SeededSingleTurn(**arguments)


def response_seed(run_seed: int, sample: dict[str, Any]) -> int:
    """Derive the seed of one response: the same when a run is repeated, different for each response.

    Args:
        run_seed: Seed of the run.
        sample: Arguments of verl's agent loop: the row's columns, `global_steps` (the step) and `session_id` (the index
            of the response in its group).
    """
    extra = sample.get("extra_info") or {}
    row = [str(sample.get("data_source")), str(sample.get("index")), str(extra.get("item"))]
    name = json.dumps([run_seed, int(sample["global_steps"]), int(sample["session_id"]), *row])
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6])
