"""The agent loop `seeded_single_turn`: verl's single turn, with a seed for each response.

verl names requests by random ids, sends them to whichever server is least busy, and its switch for determinism gives
every request one and the same name. So what a server sees says nothing about which response of which prompt it is asked
for. The agent loop knows: it hands a seed on with the sampling parameters, made from the run's seed, the step, the
item and the number of the response in its group. The server `hf` samples with it; vLLM takes the same parameter.
"""

from __future__ import annotations

import hashlib
import json
from types import ModuleType
from typing import Any

NAME = "seeded_single_turn"


def register(agent_loops: ModuleType) -> None:
    """Make the loop known to verl.

    Args:
        agent_loops: verl's module that holds the registry; the loop itself is imported when a run asks for it.
    """
    agent_loops._agent_loop_registry[NAME] = {"_target_": f"{__name__}.seeded_single_turn"}


def seeded_single_turn(**arguments: Any) -> Any:
    """Build the loop; verl calls this with what it gives every agent loop."""
    from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

    class SeededSingleTurn(SingleTurnAgentLoop):  # type: ignore[misc]  # verl has no types
        async def run(self, sampling_params: dict[str, Any], **sample: Any) -> Any:
            seed = response_seed(self.rollout_config.seed, sample)
            return await super().run({**sampling_params, "seed": seed}, **sample)

    return SeededSingleTurn(**arguments)


def response_seed(run_seed: int, sample: dict[str, Any]) -> int:
    """Seed of one response: the same in every run, another for every response.

    Args:
        sample: what verl's agent loop is called with: the columns of the row, the step, and the number in the group.
    """
    extra = sample.get("extra_info") or {}
    row = [str(sample.get("data_source")), str(sample.get("index")), str(extra.get("item"))]
    name = json.dumps([run_seed, int(sample["global_steps"]), int(sample["session_id"]), *row])
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6])
