"""Parallel execution of expensive stages: the same call runs on the cores of a laptop and on a Ray cluster.

Owns starting and stopping Ray, and two ordered maps: `map_units` applies a function to a sequence of units with Ray
Data, `map_stream` to a stream that only the caller can read. If a worker dies, Ray retries its unit on another one, so
a unit that writes files must write them atomically. A unit on which every worker dies, such as a film that crashes its
decoder, costs only its own result: the caller says what stands for it. The stages define the units and consume the
results, which should be small; nothing is stored here, so a stage that can resume stores its own results.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from lmms_eval_shotbench.remote_path import StorageFailed

Unit = TypeVar("Unit")
Result = TypeVar("Result")
Kept = TypeVar("Kept")
Part = TypeVar("Part")
PartResult = TypeVar("PartResult")
RETRIES = 3  # of a unit whose worker died
WORKER_DIED = f"its worker process died, {RETRIES + 1} times: the decoder crashed, or memory ran out"
START_TRIES = 3  # attempts to start Ray, while it times out
LISTENER_SECONDS = 10.0  # connection timeout; a running head answers immediately
OBJECT_STORE_BYTES = 500_000_000  # object store of a Ray instance that we start


@dataclass(frozen=True)
class Workers:
    """`count` Ray workers, on the cluster at `address` or, if that is empty, on a local instance; 0: no Ray."""

    count: int = 0
    address: str = ""

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"the number of workers is {self.count}; use 0 (no worker processes) or more")

    @classmethod
    def reachable(cls, count: int, address: str) -> Workers:
        """Return such workers; raises `RuntimeError` if Ray cannot be reached there."""
        workers = cls(count, address)
        if workers.count:
            require_listener(workers.address)
        return workers


def require_listener(address: str) -> None:
    """Raise `RuntimeError` if nothing listens at HOST:PORT or ray://HOST:PORT; Ray itself times out much later."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # `auto`, or another form that only Ray can resolve
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), LISTENER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise RuntimeError(
            f"no Ray at {address}: {error}. Give the address of a running head, such as HEAD:6379 or "
            "ray://HEAD:10001, or start one: ray start --head"
        ) from error


def _no_result(unit: Any) -> Any:
    raise RuntimeError(f"a worker failed: {WORKER_DIED}")


def map_units(
    work: Callable[[Unit], Result],
    units: Sequence[Unit],
    workers: Workers,
    died: Callable[[Unit], Result] = _no_result,
) -> Iterator[Result]:
    """Yield `work(unit)` for every unit, in order.

    `work` and the units are pickled; files they refer to must be on storage that all workers share.

    Args:
        died: Returns the result of a unit on which every worker died; by default it raises.

    Raises:
        RuntimeError: Ray cannot be reached, or `work` raised on a worker (its traceback is in the message).
    """
    if workers.count <= 0 or len(units) == 0:
        yield from map(work, units)
        return
    with ray_running(workers):
        yield from _map_on_ray(work, units, workers.count, died)


def _map_on_ray(
    work: Callable[[Unit], Result], units: Sequence[Unit], count: int, died: Callable[[Unit], Result]
) -> Iterator[Result]:
    import ray.data
    from ray.exceptions import RayError

    def apply(row: dict[str, Any]) -> dict[str, Any]:
        try:  # pickled, since Arrow would turn tuples into lists
            return {"id": row["id"], "result": pickle.dumps(work(units[row["id"]])), "error": ""}
        except StorageFailed as error:
            return {"id": row["id"], "result": b"", "error": str(error)}
        except Exception:
            return {"id": row["id"], "result": b"", "error": traceback.format_exc()}

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # importing resets it; `died` reports dead workers
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # a unit on which every worker dies gives no row
    indices = ray.data.from_items([{"id": index} for index in range(len(units))], override_num_blocks=len(units))
    pool = ray.data.TaskPoolStrategy(size=count)
    retries = {"max_retries": RETRIES}  # Ray Data's default is to retry for ever
    rows = indices.map(apply, num_cpus=1, ray_remote_args_fn=lambda: retries, compute=pool)
    following = 0
    try:
        for row in rows.iter_rows():
            yield from map(died, units[following : row["id"]])
            if row["error"]:
                raise RuntimeError(f"a worker failed: {row['error']}")
            yield pickle.loads(row["result"])
            following = row["id"] + 1
    except RayError as error:
        raise RuntimeError(f"a worker failed: {error}") from error
    yield from map(died, units[following:])


def one_by_one(
    work: Callable[[list[Part]], list[PartResult]], workers: Workers, died: Callable[[Part], PartResult]
) -> Callable[[list[Part]], list[PartResult]]:
    """Return a function for the parameter `died` of both maps, for units that are lists of independent parts.

    It repeats the work with each part alone, so that only those that kill a worker are lost.

    Args:
        work: Work on a list of parts; returns one result for each.
        died: Returns the result of a part on which every worker died.
    """

    def repeat(unit: list[Part]) -> list[PartResult]:
        if len(unit) == 1:
            return [died(unit[0])]
        results = map_units(work, [[part] for part in unit], workers, repeat)
        return [result for one in results for result in one]

    return repeat


class WorkItem(NamedTuple, Generic[Kept, Unit]):
    """A unit of work for a worker, and data `kept` by the caller, which is yielded with the result."""

    kept: Kept
    unit: Unit
    weight: int  # bytes of both in memory


def map_stream(
    work: Callable[[Unit], Result],
    work_items: Iterable[WorkItem[Kept, Unit]],
    workers: Workers,
    buffer_bytes: int,
    died: Callable[[Unit], Result] = _no_result,
) -> Iterator[tuple[Kept, Result]]:
    """Yield `(work_item.kept, work(work_item.unit))`, in order, for a stream that only the caller can read.

    Ray Data is not used here, since its workers read the source, and a compressed stream can be read by one process
    only. The items are sent as plain Ray tasks, which are also retried if a worker dies.

    Args:
        work: Without Ray it runs in threads, so it should release the GIL.
        buffer_bytes: Maximum total weight of the items in flight; a single larger item is still sent.
        died: Returns the result of a unit on which every worker died; by default it raises.

    Raises:
        RuntimeError: Ray cannot be reached, or `work` raised on a worker.
    """
    with _executor(work, workers, died) as (submit, receive):
        waiting: deque[tuple[WorkItem[Kept, Unit], Any]] = deque()
        bytes_in_flight = 0
        for work_item in work_items:
            while waiting and bytes_in_flight + work_item.weight > buffer_bytes:
                earlier, result = waiting.popleft()
                yield earlier.kept, receive(earlier.unit, result)
                bytes_in_flight -= earlier.weight
            waiting.append((work_item, submit(work_item.unit)))
            bytes_in_flight += work_item.weight
        while waiting:
            earlier, result = waiting.popleft()
            yield earlier.kept, receive(earlier.unit, result)


@contextmanager
def _executor(
    work: Callable[[Unit], Result], workers: Workers, died: Callable[[Unit], Result]
) -> Iterator[tuple[Callable[[Unit], Any], Callable[[Unit, Any], Result]]]:
    """Yield two functions: one submits a unit, the other waits for its result."""
    if workers.count <= 0:
        with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as threads:
            yield lambda unit: threads.submit(work, unit), lambda _, future: future.result()
        return
    with ray_running(workers):
        import ray
        from ray.exceptions import RayError, WorkerCrashedError

        def receive(unit: Unit, result: Any) -> Result:
            try:
                answer: Result = ray.get(result)
            except WorkerCrashedError:
                return died(unit)
            except RayError as error:
                raise RuntimeError(f"a worker failed: {error}") from error
            return answer

        def apply(unit: Unit) -> Result:  # `ray.remote` does not accept a `partial`
            return work(unit)

        yield ray.remote(num_cpus=1, max_retries=RETRIES)(apply).remote, receive


@contextmanager
def ray_running(workers: Workers) -> Iterator[None]:
    """Connect to Ray or start a local instance, and shut it down on exit; if Ray is already initialized, do neither.

    Raises:
        RuntimeError: Ray cannot be reached at the address, or cannot be started.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # keeps CUDA_VISIBLE_DEVICES in tasks without GPUs
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


def _start(options: dict[str, Any], where: str) -> None:
    """Start or connect to Ray; retried on timeouts, since a busy machine may exceed Ray's limit of 30 s for a node."""
    import ray

    for tries_left in reversed(range(START_TRIES)):
        try:
            ray.init(**options)
            return
        except (ConnectionError, ValueError) as error:
            hint = "; a cluster with token authentication needs RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH here too"
            raise RuntimeError(f"no Ray at {where}: {error}{hint}") from error
        except Exception as error:  # Ray raises the bare class
            ray.shutdown()
            if "timed out" not in str(error) or not tries_left:
                raise RuntimeError(f"Ray does not start on {where}: {error}") from error
