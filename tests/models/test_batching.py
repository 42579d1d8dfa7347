"""Batching of prompts and prefetching of their media."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmms_eval_shotbench.models.batching import Lookahead, Planned, plan_batches


@pytest.fixture
def thread_pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=200), st.integers(1, 20_000), st.integers(1, 1024))
def test_every_prompt_is_in_one_batch_and_no_batch_is_over_the_budget(
    lengths: list[int], budget: int, new_tokens: int
) -> None:
    batches = plan_batches([Planned(index, length) for index, length in enumerate(lengths)], budget, new_tokens)
    assert sorted(prompt.chat_index for batch in batches for prompt in batch) == list(range(len(lengths)))
    for batch in batches:
        needed = len(batch) * (max(prompt.tokens for prompt in batch) + new_tokens)
        assert len(batch) == 1 or needed <= budget


def test_the_longest_prompts_come_first_and_similar_ones_keep_the_order_of_the_shards() -> None:
    prompts = [Planned(0, 260), Planned(1, 6000), Planned(2, 270), Planned(3, 258), Planned(4, 1500)]
    (batch,) = plan_batches(prompts, 100_000, 10)
    assert [prompt.chat_index for prompt in batch] == [1, 4, 0, 2, 3]


def test_prompts_of_one_medium_are_adjacent() -> None:
    prompts = [Planned(index, 260, (f"still {index % 3}",)) for index in range(9)]
    (batch,) = plan_batches(prompts, 100_000, 10)
    assert [prompt.chat_index for prompt in batch] == [0, 3, 6, 1, 4, 7, 2, 5, 8]


def test_each_medium_is_prepared_once_and_released_after_its_last_prompt(thread_pool: ThreadPoolExecutor) -> None:
    prompts = [Planned(index, 100, (f"medium {index // 4}",)) for index in range(40)]
    batches = plan_batches(prompts, 600, 0)  # six per batch, so that batches share media
    prepared: Counter[str] = Counter()

    def prepare(key: str) -> str:
        prepared[key] += 1
        return key.upper()

    for batch, media in Lookahead(prepare, thread_pool, tokens_ahead=500).run(batches):
        assert {key: future.result() for key, future in media.items()} == {
            key: key.upper() for prompt in batch for key in prompt.media
        }
    assert prepared == {f"medium {number}": 1 for number in range(10)}


def test_prefetching_is_limited_and_stays_ahead_of_the_model(thread_pool: ThreadPoolExecutor) -> None:
    started = 0
    change = threading.Condition()

    def prepare(_key: str) -> None:
        nonlocal started
        with change:
            started += 1
            change.notify()

    batches = [[Planned(index, 100, (str(index),))] for index in range(50)]
    for number, _ in enumerate(Lookahead(prepare, thread_pool, tokens_ahead=300).run(batches)):
        with change:  # three more are prepared while the model runs this one
            change.wait_for(lambda: started >= min(number + 1 + 3, 50))  # noqa: B023
            assert started <= number + 1 + 3


def test_a_medium_that_fails_fails_for_its_prompts_only(thread_pool: ThreadPoolExecutor) -> None:
    def prepare(key: str) -> str:
        if key == "broken":
            raise ValueError("no picture")
        return key

    batches = [[Planned(0, 1, ("valid",)), Planned(1, 1, ("broken",))], [Planned(2, 1, ("broken",))]]
    failures = [
        {key: str(future.exception()) for key, future in media.items() if future.exception()}
        for _batch, media in Lookahead(prepare, thread_pool, 10).run(batches)
    ]
    assert failures == [{"broken": "no picture"}, {"broken": "no picture"}]


def test_pending_media_are_cancelled_when_the_caller_stops_early(thread_pool: ThreadPoolExecutor) -> None:
    started, stopped = list[str](), threading.Event()

    def prepare(key: str) -> None:
        started.append(key)
        if key != "0":
            stopped.wait()

    run = Lookahead(prepare, thread_pool, 50).run([[Planned(index, 1, (str(index),))] for index in range(100)])
    _batch, media = next(run)
    media["0"].result()
    run.close()
    stopped.set()
    thread_pool.shutdown()
    assert "0" in started and len(started) <= 3, "the first medium, and one in each of the two threads"


@pytest.mark.parametrize("budget", [0, 1])
def test_a_prompt_over_the_budget_is_a_batch_of_one(budget: int) -> None:
    assert plan_batches([Planned(0, 10), Planned(1, 10)], budget, 5) == [[Planned(0, 10)], [Planned(1, 10)]]
