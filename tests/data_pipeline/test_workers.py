"""Parallel maps: results are ordered, errors are reported, and a worker that dies loses nothing."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from data_pipeline.workers import Workers, WorkItem, map_stream, map_units, one_by_one
from tests.support.ports import refusing_port


class Done(NamedTuple):
    """Result of a unit; the nested tuple must survive serialization."""

    number: int
    process: int
    pair: tuple[int, str] = (1, "a")


def numbered(number: int) -> Done:
    return Done(number, os.getpid())


def numbered_after_another(folder: Path, number: int) -> Done:
    """Unit 0 waits for unit 1, which needs a second process."""
    (folder / str(number)).touch()
    while number == 0 and not (folder / "1").exists():
        time.sleep(0.01)
    return Done(number, os.getpid())


def die_once(folder: Path, number: int) -> int:
    """The first worker that gets unit 3 is killed with SIGKILL, as by the kernel's OOM killer."""
    (folder / f"{number}-{os.getpid()}-{time.monotonic_ns()}").touch()
    if number == 3 and len(list(folder.glob("3-*"))) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def refuse(number: int) -> int:
    raise ValueError(f"unit {number} cannot be done")


def test_without_ray_units_are_computed_lazily_in_this_process() -> None:
    results = map_units(numbered, range(1_000_000_000), Workers(0))
    assert [next(results).number for _ in range(3)] == [0, 1, 2]
    assert next(results).process == os.getpid()


def test_nothing_to_do_starts_no_ray() -> None:
    assert list(map_units(numbered, [], Workers(2, "ray://nowhere:1"))) == []


def test_an_address_without_a_listener_is_refused_and_other_forms_are_left_to_ray() -> None:
    with refusing_port() as port:
        for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
            with pytest.raises(RuntimeError, match=f"no Ray at {address}: .*refused"):
                Workers.reachable(1, address)
        assert Workers.reachable(0, f"127.0.0.1:{port}").count == 0
    assert Workers.reachable(1, "auto").address == "auto"


def test_a_negative_number_of_workers_is_refused() -> None:
    with pytest.raises(ValueError, match="number of workers is -3"):
        Workers(-3)


@pytest.mark.verl
@pytest.mark.ray
def test_on_ray_results_come_in_order_from_other_processes(two_workers: Workers, tmp_path: Path) -> None:
    results = list(map_units(partial(numbered_after_another, tmp_path), range(30), two_workers))
    assert [result.number for result in results] == list(range(30))
    processes = {result.process for result in results}
    assert {type(result) for result in results} == {Done} and {result.pair for result in results} == {(1, "a")}
    assert results[0].process != results[1].process
    assert os.getpid() not in processes


@pytest.mark.verl
@pytest.mark.ray
def test_a_worker_that_is_killed_loses_and_repeats_nothing(two_workers: Workers, tmp_path: Path) -> None:
    assert list(map_units(partial(die_once, tmp_path), range(8), two_workers)) == list(range(8))
    assert len(list(tmp_path.glob("3-*"))) == 2, "the unit should have been tried twice"


@pytest.mark.verl
@pytest.mark.ray
def test_the_message_of_a_workers_exception_reaches_the_caller(two_workers: Workers) -> None:
    with pytest.raises(RuntimeError, match="unit 0 cannot be done"):
        list(map_units(refuse, range(3), two_workers))


def die_of(deadly: int, numbers: list[int]) -> list[int]:
    """Square some numbers; one of them kills the worker."""
    if deadly in numbers:
        os.kill(os.getpid(), signal.SIGKILL)
    return [number * number for number in numbers]


@pytest.mark.verl
@pytest.mark.ray
def test_a_unit_that_kills_every_worker_costs_its_own_result_in_both_maps(two_workers: Workers) -> None:
    work, batches = partial(die_of, 4), [[0, 1], [2, 3, 4, 5], [6]]
    died = one_by_one(work, two_workers, lambda number: -number)
    expected = [[0, 1], [4, 9, -4, 25], [36]]
    assert list(map_units(work, batches, two_workers, died)) == expected
    items = [WorkItem("kept", batch, 1) for batch in batches]
    assert list(map_stream(work, items, two_workers, 10, died)) == [("kept", result) for result in expected]
    assert list(map_units(work, [[4]], two_workers, died)) == [[-4]]
    with pytest.raises(RuntimeError, match="its worker process died"):
        list(map_units(work, batches, two_workers))
