"""The model's time is divided among the requests it answers, and adds up to the time it was busy."""

from __future__ import annotations

import random

import pytest

from lmms_eval_shotbench.runs.run_time import SharedTime


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_batch_is_divided_equally_and_pauses_are_nobodys() -> None:
    clock = Clock()
    time = SharedTime(clock)
    mark = time.start(4)
    clock.now = 8.0
    assert time.end(mark, 4) == 2.0
    clock.now = 50.0
    mark = time.start()
    clock.now = 53.0
    assert time.end(mark) == 3.0


def test_overlapping_requests_share_the_time_of_their_overlap() -> None:
    clock = Clock()
    time = SharedTime(clock)
    first = time.start()
    clock.now = 2.0
    second = time.start()
    clock.now = 6.0
    assert time.end(first) == 2.0 + 4.0 / 2
    clock.now = 7.0
    assert time.end(second) == 4.0 / 2 + 1.0


@pytest.mark.parametrize("seed", range(5))
def test_shares_add_up_to_the_time_in_which_any_request_was_open(seed: int) -> None:
    draw, clock = random.Random(seed), Clock()
    time = SharedTime(clock)
    opened: list[tuple[float, int]] = []
    busy = shares = 0.0
    for _ in range(300):
        step = draw.random()
        clock.now += step
        busy += step if opened else 0.0
        if opened and draw.random() < 0.5:
            mark, requests = opened.pop(draw.randrange(len(opened)))
            shares += requests * time.end(mark, requests)
        else:
            requests = draw.randint(1, 3)
            opened.append((time.start(requests), requests))
    for mark, requests in opened:
        shares += requests * time.end(mark, requests)
    assert shares == pytest.approx(busy)
