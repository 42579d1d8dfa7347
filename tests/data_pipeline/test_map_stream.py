"""A stream of parcels goes to workers in bounded number and comes back in order."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from data_pipeline.workers import Parcel, Workers, map_stream

HERE = Workers(0)


def test_results_come_in_the_order_of_the_parcels_with_what_was_kept() -> None:
    second_is_done = threading.Event()

    def first_last(number: int) -> int:
        if number == 0:
            second_is_done.wait()
        if number == 1:
            second_is_done.set()
        return number * number

    parcels = [Parcel(f"kept {number}", number, 1) for number in range(20)]
    assert list(map_stream(first_last, parcels, HERE, room=8)) == [(f"kept {n}", n * n) for n in range(20)]
    assert list(map_stream(first_last, [], HERE, room=8)) == []


@pytest.mark.parametrize(("weight", "ahead"), [(1, 8), (3, 2), (8, 1), (100, 1)])
def test_no_more_is_read_ahead_than_there_is_room_for_but_one_parcel_always_goes(weight: int, ahead: int) -> None:
    read = 0

    def parcels() -> Iterator[Parcel[int, int]]:
        nonlocal read
        for number in range(30):
            read += 1
            yield Parcel(number, number, weight)

    for given, (kept, _) in enumerate(map_stream(abs, parcels(), HERE, room=8)):
        assert kept == given
        assert read - given <= ahead + 1  # the one that waits for room has been read, too


def test_work_is_done_by_several_threads_and_what_it_raises_comes_through() -> None:
    both = threading.Barrier(2)  # of two that work at the same time

    def meet(number: int) -> int:
        both.wait()
        if number == 3:
            raise ValueError("parcel 3")
        return number

    results = map_stream(meet, [Parcel(None, number, 1) for number in range(4)], HERE, room=2)
    assert [next(results)[1] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="parcel 3"):
        next(results)
