"""The agent loop `seeded_single_turn`: verl's single-turn loop with a seed per response.

verl gives requests random ids and sends them to the least busy server, and its option for determinism gives every
request the same id. So a server cannot know which response of which prompt is requested. The agent loop does: it adds a
seed to the sampling parameters, derived from the run's seed, the step, the item and the index of the response in its
group. The server `hf` samples with it; vLLM takes the same parameter.
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
        agent_loops: verl's module with the registry; the loop itself is imported when a run uses it.
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
    """Seed of one response: equal in every run, different for every response.

    Args:
        sample: arguments of verl's agent loop: the columns of the row, the step, and the index in the group.
    """
    extra = sample.get("extra_info") or {}
    row = [str(sample.get("data_source")), str(sample.get("index")), str(extra.get("item"))]
    name = json.dumps([run_seed, int(sample["global_steps"]), int(sample["session_id"]), *row])
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6])
