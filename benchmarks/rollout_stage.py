"""One rollout stage of verl with its real agent loop worker and TransferQueue, measured; used by `media_per_prompt.py`.

    python benchmarks/rollout_stage.py REQUEST.json

The request is a JSON object: `model` (folder), `messages` and `warm_up` (one list per prompt), `n` (responses per
prompt), `shared` (whether media are shared) and `validation`. The last line printed is a JSON object with the costs of
the stage and a digest of the rows in the queue.

Only the ends are not real: the rollout server returns fixed tokens, and the reward is a constant. The rows are read
from the queue as the actor reads them, from another process than the worker's.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from verl_recipes import recipes

RESPONSE = [11, 12, 13, 14]  # tokens
MEMORY = 3_000_000_000  # bytes of Ray's object store
VERL = "verl.trainer.ppo.v1.AgentLoopManagerTQ"


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Start Ray and the queue, generate once, measure, and stop Ray."""
    config = _config(request)
    environment = recipes.environment(config) | {"RAY_USAGE_STATS_ENABLED": "0"}
    os.environ |= environment  # before verl is imported
    import ray

    ray.init(
        address="local", num_cpus=8, object_store_memory=MEMORY, include_dashboard=False, log_to_driver=False,
        runtime_env={"env_vars": environment},
    )  # fmt: skip
    try:
        return _stage(config, request)
    finally:
        ray.shutdown()


def _config(request: dict[str, Any]) -> Any:
    manager = "verl_recipes.inside_verl.sharing_agent_loop.SharingManager" if request["shared"] else "null"
    overrides = {
        "actor_rollout_ref.model.path": request["model"],
        "actor_rollout_ref.rollout.n": request["n"],
        "actor_rollout_ref.rollout.val_kwargs.n": request["n"],
        "actor_rollout_ref.rollout.agent.default_agent_loop": "single_turn_agent",
        "actor_rollout_ref.rollout.agent.agent_loop_manager_class": manager,
        "data.max_prompt_length": 100_000,
        "trainer.v1.trainer_mode": "sync",
    }
    return recipes.compose("grpo", "tiny", [f"{key}={value}" for key, value in overrides.items()])


def _stage(config: Any, request: dict[str, Any]) -> dict[str, Any]:
    import ray
    import transfer_queue
    from verl.utils.import_utils import load_class_from_fqn

    transfer_queue.init(config.transfer_queue)
    server: Any = ray.remote(FixedServer).remote()
    reward: Any = ray.remote(FixedReward).remote()
    manager_class = config.actor_rollout_ref.rollout.agent.agent_loop_manager_class or VERL
    manager = load_class_from_fqn(manager_class).create(
        config=config, llm_client=_client(config, server), reward_loop_worker_handles=[reward]
    )
    (worker,) = manager.agent_loop_workers
    partition = "val" if request["validation"] else "train"
    # The first step of a run also imports decoders and compiles; that is not a cost per step.
    _clear(_generated(manager, request["warm_up"], "warm", partition), partition)
    before = ray.get(worker.__ray_call__.remote(_begin))
    rows = _generated(manager, request["messages"], "prompt", partition)
    after = ray.get(worker.__ray_call__.remote(_costs))
    figures = {
        "media_cpu_s": after["media_cpu_s"] - before["media_cpu_s"],
        "cpu_s": after["cpu_s"] - before["cpu_s"],
        "peak_mb": after["peak_mb"] - before["peak_mb"],
        "queue_mb": after["queue_mb"],
        "server_cpu_s": ray.get(server.cpu_seconds.remote()),
        "sent": ray.get(server.received.remote()),
        "rows": _digests(rows, partition, validation=request["validation"]),
    }
    _clear(rows, partition)
    return figures | {"held_after": _held_at_last(worker)}


class FixedServer:
    """A rollout server that returns the same tokens to every request."""

    def __init__(self) -> None:
        self._digests: set[str] = set()

    async def generate(self, prompt_ids: list[int], image_data: Any = None, video_data: Any = None, **_: Any) -> Any:
        """Return the response; verl defines the parameter names."""
        from verl.workers.rollout.replica import TokenOutput

        seen = [image.tobytes() for image in image_data or ()]
        seen += [frames.numpy().tobytes() + repr(metadata).encode() for frames, metadata in video_data or ()]
        self._digests.add(hashlib.sha256(repr(prompt_ids).encode() + b"".join(seen)).hexdigest())
        return TokenOutput(token_ids=RESPONSE, log_probs=[-1.0] * len(RESPONSE), extra_fields={"global_steps": 1})

    def received(self) -> list[str]:
        """Digests of the distinct requests, sorted."""
        return sorted(self._digests)

    def cpu_seconds(self) -> float:
        """Processor time of this process."""
        return time.process_time()


class FixedReward:
    """A reward worker."""

    def compute_score(self, _data: Any) -> dict[str, Any]:
        """Return the reward; verl defines the name."""
        return {"reward_score": 1.0, "reward_extra_info": {}}


def _client(config: Any, server: Any) -> Any:
    from verl.workers.rollout.llm_server import LLMServerClient

    class OneServer(LLMServerClient):  # type: ignore[misc]  # verl has no types
        """verl's client without its load balancer."""

        async def _acquire_server(self, _request_id: str, **_: Any) -> tuple[str, Any]:
            return "fixed", server

        def _release_server(self, *_: Any, **__: Any) -> None:
            pass

    return OneServer(config)


def _generated(manager: Any, chats: list[Any], name: str, partition: str) -> list[str]:
    """Generate the responses to prompts and return the keys of their rows, sorted.

    Raises:
        RuntimeError: A prompt failed.
    """
    import ray
    import transfer_queue

    manager.generate_sequences(_batch(chats, name, partition))
    while True:
        time.sleep(0.5)
        ray.get([worker.__ray_ready__.remote() for worker in manager.agent_loop_workers])  # raises if one has ended
        tags = (transfer_queue.kv_list(partition) or {}).get(partition, {})
        status = {key: tag["status"] for key, tag in tags.items() if key.count("_") == 0}
        if "failure" in status.values():
            raise RuntimeError("a prompt failed; see the worker's log in Ray's session folder")
        if list(status.values()).count("finished") == len(chats):
            transfer_queue.kv_clear(keys=list(status), partition_id=partition)
            return sorted(set(tags) - set(status))


def _clear(rows: list[str], partition: str) -> None:
    """Remove rows as verl's trainer does."""
    import transfer_queue

    transfer_queue.kv_clear(keys=rows, partition_id=partition)


def _batch(chats: list[Any], name: str, partition: str) -> Any:
    import numpy
    from verl.utils import tensordict_utils

    prompts: Any = numpy.empty(len(chats), dtype=object)
    prompts[:] = chats
    names = numpy.array([f"{name}{number}" for number in range(len(chats))], dtype=object)
    batch = tensordict_utils.get_tensordict(
        {"raw_prompt": prompts, "uid": names, "index": names, "data_source": names, "reward_model": names}
    )
    tensordict_utils.assign_non_tensor_data(batch, "global_steps", 1)
    if partition == "val":
        tensordict_utils.assign_non_tensor_data(batch, "validate", True)
    return batch


def _begin(worker: Any) -> dict[str, float]:
    """From now on, count the bytes that this process sends to the queue and its time for decoding and processing."""
    from transfer_queue.utils import zmq_utils

    encode = zmq_utils.encode
    worker.media_seconds = []  # one entry per call, as calls run in several threads
    dataset, processor = worker.dataset_cls, type(worker.processor)
    dataset._process_multi_modal_info = _timed(dataset._process_multi_modal_info, worker.media_seconds)
    processor.__call__ = _timed(processor.__call__, worker.media_seconds)

    def counted(message: Any) -> Any:
        frames = encode(message)
        worker.sent_bytes = getattr(worker, "sent_bytes", 0) + sum(memoryview(frame).nbytes for frame in frames)
        return frames

    zmq_utils.encode = counted
    return _costs(worker)


def _timed(function: Any, seconds: list[float]) -> Any:
    def timed(*args: Any, **kwargs: Any) -> Any:
        begin = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            seconds.append(time.thread_time() - begin)

    return timed


def _costs(worker: Any) -> dict[str, float]:
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "media_cpu_s": sum(worker.media_seconds),
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss * 1024 / 1e6,
        "queue_mb": getattr(worker, "sent_bytes", 0) / 1e6,
    }


def _held_at_last(worker: Any) -> int:
    """Number of prompts that the worker still holds; it is asked again for a while, as it releases asynchronously."""
    import ray

    held = 0
    for _ in range(20):
        held = ray.get(worker.__ray_call__.remote(lambda self: len(getattr(self, "_stored", ()))))
        if not held:
            break
        time.sleep(0.5)
    return held


def _digests(keys: list[str], partition: str, *, validation: bool) -> dict[str, str]:
    """A digest of each row, with all tensors that the actor uses."""
    import torch
    import transfer_queue
    from verl.utils.model import extract_multi_modal_inputs

    digests = {}
    for key in keys:
        row = transfer_queue.kv_batch_get(keys=[key], partition_id=partition)
        named = {name: row[name] for name in ("prompts", "responses", "input_ids", "position_ids", "rm_scores")}
        if not validation:  # nothing reads those of a validation
            named |= extract_multi_modal_inputs(row["multi_modal_inputs"])
        digest = hashlib.sha256()
        for name in sorted(named):
            tensor = named[name]
            tensor = torch.cat(tensor.unbind()) if tensor.is_nested else tensor
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
        digests[key] = digest.hexdigest()
    return digests


def main() -> int:
    """Run from the command line."""
    print(json.dumps(run(json.loads(Path(sys.argv[1]).read_text()))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
