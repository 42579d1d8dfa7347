"""The largest size of a folder while something runs, by sampling."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

INTERVAL = 0.02  # seconds between samples


@dataclass
class Peak:
    """Largest size that was sampled."""

    bytes: int = 0


@contextmanager
def sampled_peak(*folders: Path) -> Iterator[Peak]:
    """Sample the total size of the folders, which may be missing, until the context ends."""
    peak, ended = Peak(), threading.Event()

    def sample() -> None:
        while not ended.wait(INTERVAL):
            peak.bytes = max(peak.bytes, sum(map(folder_bytes, folders)))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def folder_bytes(folder: Path) -> int:
    """Size of all files in a folder; files that vanish meanwhile count as nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(parent, name).lstat().st_size
    return total
