"""Check that the Ray cluster that a run joins, or this machine, has the GPUs and CPUs that the run requests.

verl waits forever for workers that cannot be scheduled. A worker needs one GPU and several CPUs of a node; all workers
of a node are scheduled as one placement group.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verl_recipes.preflight.problem import Problem

if TYPE_CHECKING:
    from omegaconf import DictConfig

CPUS_A_WORKER = {"grpo": 3, "sft": 10, "cot_sft": 10}  # verl 0.9: `max_colocate_count` of its two resource pools
SECONDS = 120  # timeout of the query to the cluster; on a busy machine a client takes half a minute to start
QUERY = """
import json, sys
import ray
ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
print("NODES" + json.dumps([node["Resources"] for node in ray.nodes() if node["Alive"]]))
"""


@dataclass(frozen=True)
class Node:
    """Resources of a Ray node."""

    gpus: float
    cpus: float


def address(config: DictConfig, environment: Mapping[str, str] = os.environ) -> str | None:
    """Address of the cluster that a run joins, or None if it starts its own local Ray."""
    from omegaconf import OmegaConf

    given = OmegaConf.select(config, "ray_kwargs.ray_init.address")
    found = given or environment.get("RAY_ADDRESS")
    return None if found in (None, "", "local") else str(found)


def cluster_problems(
    config: DictConfig, method: str, environment: Mapping[str, str] = os.environ, seconds: float = SECONDS
) -> tuple[list[Problem], list[str]]:
    """Problems of missing resources, and a note on the available ones.

    Args:
        config: Composed configuration of the run.
        method: `sft`, `cot_sft` or `grpo`.
        environment: Environment variables.
        seconds: Timeout for the cluster to answer.
    """
    where = address(config, environment)
    if where is None:
        nodes, name = [_this_machine(config)], "this machine"
    else:
        name = f"the Ray cluster at {where}"
        found = _query_nodes(where, environment, seconds)
        if isinstance(found, str):
            step = "Start it (ray start --head), or unset RAY_ADDRESS to train on this machine only"
            return [Problem(found, name, step)], []
        nodes = found
    gpus, cpus = sum(node.gpus for node in nodes), sum(node.cpus for node in nodes)
    note = f"Ray: {len(nodes)} node(s) with {gpus:g} GPUs and {cpus:g} CPUs, {name}"
    return list(_missing(config, method, nodes, name)), [note]


def _missing(config: DictConfig, method: str, nodes: list[Node], name: str) -> Iterator[Problem]:
    requested, gpus = config.trainer.nnodes, config.trainer.n_gpus_per_node
    cpus = gpus * CPUS_A_WORKER[method]
    with_gpus = [node for node in nodes if node.gpus >= gpus]
    if len(with_gpus) < requested:
        what = f"{requested} node(s) with {gpus} GPUs are requested, {len(with_gpus)} of {len(nodes)} have them"
        step = "Set trainer.nnodes and trainer.n_gpus_per_node to what there is, or start Ray on more nodes"
        yield Problem(what, name, step)
    elif sum(node.cpus >= cpus for node in with_gpus) < requested:
        most = max(node.cpus for node in with_gpus)
        what = f"{gpus} workers per node take {cpus} CPUs of Ray, a node has {most:g}: they would wait forever"
        step = f"Set ray_kwargs.ray_init.num_cpus={cpus + 4} (they are logical), or ray start --num-cpus={cpus + 4}"
        yield Problem(what, name, step)


def _this_machine(config: DictConfig) -> Node:
    from omegaconf import OmegaConf

    gpus = OmegaConf.select(config, "ray_kwargs.ray_init.num_gpus")
    cpus = OmegaConf.select(config, "ray_kwargs.ray_init.num_cpus")
    return Node(gpus if gpus is not None else _gpu_count(), cpus if cpus is not None else os.cpu_count() or 1)


def _gpu_count() -> int:
    import torch

    return int(torch.cuda.device_count())


def _query_nodes(where: str, environment: Mapping[str, str], seconds: float) -> list[Node] | str:
    """Nodes of a cluster, or why they are unknown; in a subprocess, as a waiting Ray client cannot be interrupted."""
    command = [sys.executable, "-c", QUERY, where]
    try:
        done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"it did not answer within {seconds:g} s"
    answer = next((line for line in done.stdout.splitlines() if line.startswith("NODES")), None)
    if answer is None and "AuthenticationError" in done.stderr:  # Ray's last line does not name the reason
        return "it requires a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the file its head node has"
    if answer is None:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        return f"it cannot be queried ({last[0].strip()[:300] if last else 'no answer'})"
    return [Node(found.get("GPU", 0), found.get("CPU", 0)) for found in json.loads(answer.removeprefix("NODES"))]
