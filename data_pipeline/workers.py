"""Heavy steps on many workers: the same call runs on the cores of a laptop and on a Ray cluster.

Owns starting and stopping Ray, and two ways to spread work, both in order: `map_units` applies a function to every unit
of work with Ray Data, `map_stream` to what only the caller can read. A worker that dies costs nothing: Ray asks another
one for its unit, and since only the caller writes, nothing is lost or written twice. What a unit is and what is done
with results is the step's affair; results should be small, and a step that wants to go on after a kill keeps them.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    import argparse

Unit = TypeVar("Unit")
Result = TypeVar("Result")
Kept = TypeVar("Kept")
RETRIES = 3  # of a unit whose worker died
START_TRIES = 3
LISTENER_SECONDS = 10.0  # a head that is there answers at once
OBJECT_STORE_BYTES = 500_000_000  # of a Ray that we start; what is on its way between processes


@dataclass(frozen=True)
class Workers:
    """Who does the work: `count` processes, on the Ray at `address` or one started here; 0 is this very process."""

    count: int = 0
    address: str = ""

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"workers are {self.count}; use 0, for this process alone, or more")

    @classmethod
    def of(cls, args: argparse.Namespace) -> Workers:
        """The workers that `add_arguments` let the user choose; raises `RuntimeError` where they cannot be reached."""
        workers = cls(args.workers, args.ray_address)
        if workers.count:
            require_listener(workers.address)
        return workers

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Declare `--workers` and `--ray-address`."""
        cores = os.cpu_count() or 1
        parser.add_argument(
            "--workers", type=int, default=cores, help=f"Ray workers; 0: no Ray, this process (default: {cores})"
        )
        parser.add_argument("--ray-address", default="", help="a running Ray cluster, e.g. auto or ray://head:10001")


def require_listener(address: str) -> None:
    """Raise `RuntimeError` where nothing listens at HOST:PORT or ray://HOST:PORT, for which Ray itself waits long."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # `auto`, or another form that only Ray knows
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), LISTENER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise RuntimeError(
            f"no Ray at {address}: {error}. Give the address of a running head, such as HEAD:6379 or "
            "ray://HEAD:10001, or start one: ray start --head"
        ) from error


def map_units(work: Callable[[Unit], Result], units: Sequence[Unit], workers: Workers) -> Iterator[Result]:
    """Yield `work(unit)` for every unit, in order; `work` and the units are pickled, and files must be shared.

    Raises:
        RuntimeError: Ray cannot be reached, or `work` raised on a worker (its traceback is in the message).
    """
    if workers.count <= 0 or len(units) == 0:
        yield from map(work, units)
        return
    with ray_running(workers):
        yield from _map_on_ray(work, units, workers.count)


def _map_on_ray(work: Callable[[Unit], Result], units: Sequence[Unit], count: int) -> Iterator[Result]:
    import ray.data
    from ray.exceptions import RayError

    def apply(row: dict[str, Any]) -> dict[str, Any]:
        return {"result": pickle.dumps(work(units[row["id"]]))}  # as it is: Arrow would make a list of a tuple

    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it is set up anew whenever Ray Data is imported
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.max_errored_blocks = 0
    numbers = ray.data.from_items([{"id": number} for number in range(len(units))], override_num_blocks=len(units))
    rows = numbers.map(apply, num_cpus=1, compute=ray.data.TaskPoolStrategy(size=count))
    try:
        for row in rows.iter_rows():
            yield pickle.loads(row["result"])
    except RayError as error:
        raise RuntimeError(f"a worker failed: {error}") from error


class Parcel(NamedTuple, Generic[Kept, Unit]):
    """A unit of work that goes to a worker, and what stays here until its result is back."""

    kept: Kept
    unit: Unit
    weight: int  # bytes that both take


def map_stream(
    work: Callable[[Unit], Result], parcels: Iterable[Parcel[Kept, Unit]], workers: Workers, room: int
) -> Iterator[tuple[Kept, Result]]:
    """Yield what was kept and `work(unit)` for parcels that only the caller can read, one after the other, in order.

    At most `room` bytes are on their way, or one larger parcel. Without Ray, threads do the work: it should be of a
    kind that releases the interpreter lock. This is no Ray Data: its sources are read by workers, and a compressed
    stream has one reader; tasks are bounded and ordered here instead, and are repeated alike when a worker dies.

    Raises:
        RuntimeError: Ray cannot be reached, `work` raised on a worker, or a unit killed one worker after another.
    """
    with _crew(work, workers) as (send, receive):
        waiting: deque[tuple[Kept, int, Any]] = deque()
        under_way = 0
        for parcel in parcels:
            while waiting and under_way + parcel.weight > room:
                kept, weight, result = waiting.popleft()
                yield kept, receive(result)
                under_way -= weight
            waiting.append((parcel.kept, parcel.weight, send(parcel.unit)))
            under_way += parcel.weight
        while waiting:
            kept, _, result = waiting.popleft()
            yield kept, receive(result)


@contextmanager
def _crew(
    work: Callable[[Unit], Result], workers: Workers
) -> Iterator[tuple[Callable[[Unit], Any], Callable[[Any], Result]]]:
    """How to send a unit out and how to get its result."""
    if workers.count <= 0:
        with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as threads:
            yield lambda unit: threads.submit(work, unit), Future.result
        return
    with ray_running(workers):
        import ray
        from ray.exceptions import RayError

        def receive(result: Any) -> Result:
            try:
                answer: Result = ray.get(result)
            except RayError as error:
                raise RuntimeError(f"a worker failed: {error}") from error
            return answer

        def apply(unit: Unit) -> Result:  # Ray takes functions, but no `partial`
            return work(unit)

        yield ray.remote(num_cpus=1, max_retries=RETRIES)(apply).remote, receive


@contextmanager
def ray_running(workers: Workers) -> Iterator[None]:
    """Connect to Ray, or start one that ends with the block; one that is running already is used and left.

    Raises:
        RuntimeError: there is no Ray at the address, or none can be started.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # workers see the devices their parent sees
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "include_dashboard": False}
    if workers.address:
        require_listener(workers.address)
        options = {"address": workers.address, "logging_level": logging.ERROR}
    else:
        options |= {"address": "local", "num_cpus": workers.count, "object_store_memory": OBJECT_STORE_BYTES}
    _start(options, workers.address or "this machine")
    try:
        yield
    finally:
        ray.shutdown()


def _start(options: dict[str, Any], place: str) -> None:
    """Start or reach Ray. It gives a node 30 s to come up, which a busy machine may miss; then it is tried again."""
    import ray

    for tries_left in reversed(range(START_TRIES)):
        try:
            ray.init(**options)
            return
        except (ConnectionError, ValueError) as error:
            hint = "; a cluster that wants a token needs RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH here too"
            raise RuntimeError(f"no Ray at {place}: {error}{hint}") from error
        except Exception as error:  # Ray raises the bare class
            ray.shutdown()
            if "timed out" not in str(error) or not tries_left:
                raise RuntimeError(f"Ray does not start on {place}: {error}") from error
