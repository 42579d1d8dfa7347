"""Progress over the frames of all films, also of those that other processes and machines decode.

Owns both sides: `FrameCount` writes how many frames of a film are decoded to a small file once a second, and
`frame_progress` adds up those files for one bar, from which the time left follows. Films that are not begun count with
the frames in their headers, which are read one by one while others are decoded; of a film of which only parts are
decoded, those count as soon as they are known. A count that cannot be written or read is left out: it costs no film.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, NamedTuple

from data_pipeline.films.film_probe import frames_in_header
from lmms_eval_shotbench.progress import progress_bar
from lmms_eval_shotbench.remote_path import Location

if TYPE_CHECKING:
    from tqdm import tqdm

WRITE_SECONDS = 1.0  # between two counts
READ_SECONDS = 2.0  # between two states of the bar
WINDOW = 256  # films after the last finished one whose counts are read: more than are decoded at once


class FrameCount:
    """Counts the frames that are decoded of one film.

    Args:
        path: File that the process with the bar reads; None: nobody does.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.frames = 0  # decoded so far
        self._planned, self._path, self._written = 0, path, time.monotonic()

    def plan(self, frames: int) -> None:
        """Expect this number of frames in addition."""
        self._planned += frames

    def decoded(self, frames: int = 1) -> None:
        """Count frames that were decoded."""
        self.frames += frames
        if self._path and time.monotonic() - self._written >= WRITE_SECONDS:
            self._written = time.monotonic()
            with suppress(OSError):
                self._path.write_text(f"{self.frames} {max(self._planned, self.frames)}")

    def close(self) -> None:
        """Remove the file."""
        if self._path:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


class CountedFilm(NamedTuple):
    """A unit of work as the bar sees it: the file of its count, if it has one, and its media."""

    count_file: Path | None
    media: Sequence[Location]


class FrameProgress:
    """The state of all films, which `finished` moves on."""

    def __init__(self, films: Sequence[CountedFilm]) -> None:
        self._films = films
        self._expected: list[int] = []  # frames of the first films, by their headers
        self._counts: dict[int, tuple[int, int]] = {}  # decoded and planned frames, by the index of the film
        self._finished = 0

    def finished(self, decoded: int) -> None:
        """Count the next film as finished; the films finish in order.

        Args:
            decoded: Number of frames that were decoded of it; 0 if it was cut in an earlier run.
        """
        self._counts[self._finished] = (decoded, decoded)
        self._finished += 1

    def read(self) -> None:
        """Read the counts of the films that are being decoded, and headers for a while."""
        for index in range(self._finished, min(self._finished + WINDOW, len(self._films))):
            if file := self._films[index].count_file:
                with suppress(OSError, ValueError):
                    decoded, planned = file.read_text().split()
                    self._counts[index] = (int(decoded), int(planned))
        until = time.monotonic() + READ_SECONDS
        while len(self._expected) < len(self._films) and time.monotonic() < until:
            self._expected.append(sum(map(frames_in_header, self._films[len(self._expected)].media)))

    def show(self, bar: tqdm[Any]) -> None:
        """Move the bar; its total, and with it the time left, is unknown until all headers are read."""
        counts = dict(self._counts)
        if len(self._expected) == len(self._films):
            waiting = (frames for index, frames in enumerate(self._expected) if index not in counts)
            bar.total = sum(planned for _, planned in counts.values()) + sum(waiting)
        bar.set_postfix_str(f"films: {self._finished:,} of {len(self._films):,}", refresh=False)
        bar.update(max(sum(decoded for decoded, _ in counts.values()) - bar.n, 0))


@contextmanager
def frame_progress(label: str, films: Sequence[CountedFilm]) -> Iterator[FrameProgress]:
    """Show how many frames of all films are decoded, and the time left.

    Args:
        label: Short name of the work.
        films: In the order in which they finish.
    """
    progress, ended = FrameProgress(films), Event()
    with progress_bar(label, 0, "frame") as bar:
        bar.total = None

        def follow() -> None:
            while not ended.wait(READ_SECONDS):
                progress.read()
                progress.show(bar)

        thread = Thread(target=follow, name="frame progress", daemon=True)
        if not bar.disable:
            thread.start()
        try:
            yield progress
        finally:
            ended.set()
            if thread.is_alive():
                thread.join()
            progress.show(bar)
