"""Reading beside the work: what a source yields next is fetched while the caller looks at what it yielded last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def read_ahead(source: Iterator[Item], ahead: int = 1) -> Iterator[Item]:
    """Yield what `source` yields; some items ahead are taken from it, in a thread of its own. Raises what it raises."""
    end = object()
    with ThreadPoolExecutor(1, "read-ahead") as thread:
        coming = deque(thread.submit(next, source, end) for _ in range(ahead))
        try:
            while (item := coming.popleft().result()) is not end:
                coming.append(thread.submit(next, source, end))
                yield item  # type: ignore[misc]
        finally:  # also when the caller stops early
            thread.shutdown(cancel_futures=True)
