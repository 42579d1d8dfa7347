"""A Ray cluster of several nodes on this host, one of which can be killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from ray.cluster_utils import Cluster

ONE_CPU = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}
TRIES = 4  # a busy machine may exceed Ray's limit of 30 s for a node


@contextmanager
def running_cluster(nodes: int) -> Iterator[tuple[Cluster, list[Any]]]:
    """Start a head and other nodes of one CPU each; yields the cluster and the others."""
    cluster = Cluster()
    try:
        started = [_started(cluster) for _ in range(nodes)]
        yield cluster, started[1:]
    finally:
        cluster.shutdown()


def _started(cluster: Cluster) -> Any:
    for tries_left in reversed(range(TRIES)):
        try:
            return cluster.add_node(wait=False, **ONE_CPU)
        except Exception as error:  # Ray raises the bare class
            if "timed out" not in str(error) or not tries_left:
                raise
    raise AssertionError("unreachable: the last try returns or raises")


def is_busy(node: Any) -> bool:
    """Whether a worker of a node runs a task."""
    (raylet,) = node.all_processes["raylet"]
    children = psutil.Process(raylet.process.pid).children(recursive=True)
    titles = [" ".join(child.cmdline()) for child in children]
    return any(title.startswith("ray::Map") for title in titles)
