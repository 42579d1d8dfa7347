"""The rollout engine `hf`: the replica that starts its server, and the adapter that sends the trainer's weights to it.

verl requires these two classes of a rollout engine; its vLLM backend has the same. There is one server per worker, on
the worker's node. Only synchronous training is supported, because generation cannot be interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica

from verl_recipes.cpu.hf_server import HFServer, ServerSettings


class UnsupportedRollout(ValueError):
    """A recipe requests a feature that the engine `hf` does not support."""


def server_name(replica: int) -> str:
    """Name of the Ray actor by which the adapter finds its server."""
    return f"hf_server_{replica}"


class HFReplica(RolloutReplica):  # type: ignore[misc]  # verl has no types
    """verl's replica of the engine: one server for one worker, without tensor parallelism."""

    async def launch_servers(self) -> None:
        """Start the server on the worker's node; verl defines the method's name."""
        if self.world_size != 1:
            raise UnsupportedRollout(
                "the rollout engine hf has no tensor parallelism: set rollout.tensor_model_parallel_size=1"
            )
        node = await self.workers[0].__ray_call__.remote(_node_id)
        name = server_name(self.replica_rank)
        server: Any = (
            ray.remote(HFServer)
            .options(
                name=name,
                num_cpus=0,  # it runs while the trainer waits
                max_concurrency=self.max_concurrency,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node, soft=False),
            )
            .remote(self._settings())
        )
        await server.ready.remote()
        self.servers, self._server_handle, self._server_address = [server], server, name

    def _settings(self) -> ServerSettings:
        config, model = self.config, self.model_config
        return ServerSettings(
            model=model["path"],
            seed=config.seed + self.replica_rank,
            dtype=config.dtype,
            attn_implementation=(model.get("override_config") or {}).get("attn_implementation", "sdpa"),
            trust_remote_code=model.get("trust_remote_code", False),
            response_length=config.response_length,
            max_model_len=config.max_model_len or config.prompt_length + config.response_length,
            max_num_seqs=config.max_num_seqs,
            max_num_batched_tokens=config.max_num_batched_tokens,
        )

    async def wake_up(self) -> None:
        """Does nothing: there is no device memory to restore."""

    async def sleep(self) -> None:
        """See `wake_up`."""

    async def clear_kv_cache(self) -> None:
        """Does nothing: no cache is kept between batches."""

    async def release_kv_cache(self) -> None:
        """See `clear_kv_cache`."""

    async def resume_kv_cache(self) -> None:
        """See `clear_kv_cache`."""

    async def abort_all_requests(self, reject_request: bool = False) -> None:
        raise UnsupportedRollout("the rollout engine hf cannot be interrupted: set trainer.v1.trainer_mode=sync")

    async def start_profile(self, **_: Any) -> None:
        """There is no profiler."""

    async def stop_profile(self) -> None:
        """See `start_profile`."""


def _node_id(_worker: Any) -> str:
    return str(ray.get_runtime_context().get_node_id())


class HFAdapter(BaseRollout):  # type: ignore[misc]
    """verl's rollout class in the trainer's worker, which sends the weights to the server."""

    def __init__(self, config: Any, model_config: Any, device_mesh: Any, replica_rank: int = -1) -> None:
        super().__init__(config, model_config, device_mesh)
        self.replica_rank = int(os.environ["RANK"]) if replica_rank == -1 else replica_rank

    async def resume(self, tags: list[str]) -> None:
        """Does nothing: there is no device memory to restore."""

    async def release(self) -> None:
        """Does nothing: there is no device memory to release."""

    async def update_weights(
        self,
        weights: Iterable[tuple[str, torch.Tensor]],
        global_steps: int | None = None,
        wire_format: str = "named_tensors",
        peft_config: Any = None,
        **_: Any,
    ) -> None:
        """Send all weights to the server.

        Args:
            weights: Name and tensor of each parameter. Every rank must iterate over them, because they are gathered
                during iteration.
            global_steps: Training step of the weights.
            wire_format: Only "named_tensors" is supported.
            peft_config: Must be None: adapters are not supported.
        """
        if wire_format != "named_tensors" or peft_config is not None:
            raise UnsupportedRollout("the rollout engine hf takes full weights: with LoRA set model.lora.merge=true")
        full = {name: tensor.detach().cpu() for name, tensor in weights}
        server = ray.get_actor(server_name(self.replica_rank))
        await server.update_weights.remote(full, global_steps)
