"""Threads that decode and preprocess media ahead of the model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch


def media_threads(workers: int) -> ThreadPoolExecutor:
    """Return a thread pool in which a torch operation uses one core; by default it would use all in each thread.

    torch fixes the number of cores of a thread at its first call, so every thread makes one before the caller's setting
    is restored; the barrier ensures that all threads are started.
    """
    previous = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        threads = ThreadPoolExecutor(workers, thread_name_prefix="media")
        all_started = Barrier(workers)
        for started in [threads.submit(_start, all_started) for _ in range(workers)]:
            started.result()
    finally:
        torch.set_num_threads(previous)
    return threads


def _start(all_started: Barrier) -> None:
    all_started.wait()
    torch.get_num_threads()
