"""Heavy steps on many workers: the same call runs on the cores of a laptop and on a Ray cluster.

Owns starting and stopping Ray, and the one way to spread work: `map_units` applies a function to every unit of work
with Ray Data and yields results in the order of the units. A worker that dies costs nothing: Ray asks another one for
its unit, and since only the caller writes, nothing is lost or written twice. What a unit is and what is done with
results is the step's affair; results should be small, and a step that wants to go on after a kill keeps them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import argparse

Unit = TypeVar("Unit")
Result = TypeVar("Result")
OBJECT_STORE_BYTES = 500_000_000  # of a Ray that we start; what is on its way between processes


@dataclass(frozen=True)
class Workers:
    """Who does the work: `count` processes, on the Ray at `address` or one started here; 0 is this very process."""

    count: int = 0
    address: str = ""

    @classmethod
    def of(cls, args: argparse.Namespace) -> Workers:
        """The workers that `add_arguments` let the user choose."""
        return cls(args.workers, args.ray_address)

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare `--workers` and `--ray-address`."""
        cores = os.cpu_count() or 1
        parser.add_argument(
            "--workers", type=int, default=cores, help=f"Ray workers; 0: no Ray, this process (default: {cores})"
        )
        parser.add_argument("--ray-address", default="", help="a running Ray cluster, e.g. auto or ray://head:10001")


def map_units(work: Callable[[Unit], Result], units: Sequence[Unit], workers: Workers) -> Iterator[Result]:
    """Yield `work(unit)` for every unit, in order; `work` and the units are pickled, and files must be shared.

    Raises:
        RuntimeError: Ray cannot be reached, or `work` raised on a worker (its traceback is in the message).
    """
    if workers.count <= 0 or len(units) == 0:
        yield from map(work, units)
        return
    with _ray(workers):
        yield from _map_on_ray(work, units, workers.count)


def _map_on_ray(work: Callable[[Unit], Result], units: Sequence[Unit], count: int) -> Iterator[Result]:
    import ray.data
    from ray.exceptions import RayError

    def apply(row: dict[str, Any]) -> dict[str, Any]:
        return {"result": [work(units[row["id"]])]}  # in a list: Ray would take an array or a dict apart

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.max_errored_blocks = 0
    numbers = ray.data.from_items([{"id": number} for number in range(len(units))], override_num_blocks=len(units))
    rows = numbers.map(apply, num_cpus=1, compute=ray.data.TaskPoolStrategy(size=count))
    try:
        for row in rows.iter_rows():
            yield row["result"][0]
    except RayError as error:
        raise RuntimeError(f"a worker failed: {error}") from error


@contextmanager
def _ray(workers: Workers) -> Iterator[None]:
    """Connect to Ray, or start one that ends with the block; one that is running already is used and left."""
    import ray

    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "include_dashboard": False}
    if workers.address:
        options = {"address": workers.address, "logging_level": logging.ERROR}
    else:
        options |= {"num_cpus": workers.count, "object_store_memory": OBJECT_STORE_BYTES, "_temp_dir": _short_folder()}
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        ray.init(**options)
    except (ConnectionError, ValueError) as error:
        raise RuntimeError(f"no Ray at {workers.address or 'this machine'}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _short_folder() -> str | None:
    """Ray's sockets live under its folder, and their names must stay below 107 characters; None is its own choice."""
    given = os.environ.get("RAY_TMPDIR")
    return given if given and Path(given).is_dir() else None
