"""Reading beside the work: what a source yields next is fetched while the caller looks at what it yielded last."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def read_ahead(source: Iterator[Item]) -> Iterator[Item]:
    """Yield what `source` yields; one item ahead is taken from it, in a thread of its own. Raises what it raises."""
    end = object()
    with ThreadPoolExecutor(1, "read-ahead") as thread:
        coming = thread.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, source, end)
            yield item  # type: ignore[misc]
