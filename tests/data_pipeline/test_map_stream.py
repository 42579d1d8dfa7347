"""`map_stream`: a bounded number of items is in flight, and results come back in order."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from data_pipeline.workers import Workers, WorkItem, map_stream

HERE = Workers(0)


def test_results_come_in_the_order_of_the_parcels_with_the_kept_data() -> None:
    second_is_done = threading.Event()

    def first_last(number: int) -> int:
        if number == 0:
            second_is_done.wait()
        if number == 1:
            second_is_done.set()
        return number * number

    work_items = [WorkItem(f"kept {number}", number, 1) for number in range(20)]
    assert list(map_stream(first_last, work_items, HERE, buffer_bytes=8)) == [(f"kept {n}", n * n) for n in range(20)]
    assert list(map_stream(first_last, [], HERE, buffer_bytes=8)) == []


@pytest.mark.parametrize(("weight", "ahead"), [(1, 8), (3, 2), (8, 1), (100, 1)])
def test_reading_ahead_is_limited_by_the_buffer_but_one_parcel_is_always_sent(weight: int, ahead: int) -> None:
    read = 0

    def work_items() -> Iterator[WorkItem[int, int]]:
        nonlocal read
        for number in range(30):
            read += 1
            yield WorkItem(number, number, weight)

    for returned, (kept, _) in enumerate(map_stream(abs, work_items(), HERE, buffer_bytes=8)):
        assert kept == returned
        assert read - returned <= ahead + 1  # one more is read and waits for buffer space


def test_work_is_done_by_several_threads_and_its_exceptions_propagate() -> None:
    both = threading.Barrier(2)  # passes only if two threads run concurrently

    def meet(number: int) -> int:
        both.wait()
        if number == 3:
            raise ValueError("item 3")
        return number

    results = map_stream(meet, [WorkItem(None, number, 1) for number in range(4)], HERE, buffer_bytes=2)
    assert [next(results)[1] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="item 3"):
        next(results)
