"""Progress of long work on stderr: a bar in a terminal, lines with time stamps elsewhere, nothing with `--quiet`.

Lines appear every `LINE_SECONDS` and only for work that takes longer, so that the log of an hour has a few hundred of
them and that of a second none. The bars are tqdm's, which is imported when work begins.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

Item = TypeVar("Item")
LINE_SECONDS = 10.0  # between two lines of a log
_quiet = False


def set_quiet(quiet: bool) -> None:
    """Show no progress from now on, or show it again."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    """Whether no progress is shown."""
    return _quiet


def progress_bar(label: str, total: int, unit: str, **settings: Any) -> tqdm[Any]:
    """Return a bar to `update`; it is a context manager.

    Args:
        label: Short name of the work.
        total: Number of units.
        unit: Name of a unit, in the singular.
        settings: Other arguments of tqdm.
    """
    from tqdm import tqdm

    return tqdm(**_in_style({"desc": label, "total": total, "unit": unit} | settings))


def with_progress(items: Iterable[Item], label: str, total: int, unit: str) -> Iterator[Item]:
    """Yield the items, and show how many of `total` have been consumed."""
    with progress_bar(label, total, unit) as bar:
        for item in items:
            yield item
            bar.update()


def library_bars_as_ours() -> AbstractContextManager[None]:
    """Show tqdm bars of other libraries as ours: lines of a log would otherwise hold every redrawn bar."""
    return _library_bars(_in_style)


def library_bars_hidden() -> AbstractContextManager[None]:
    """Hide tqdm bars of other libraries that begin within this context."""
    return _library_bars(
        lambda settings: settings | {"disable": False, "file": _Nowhere(), "mininterval": LINE_SECONDS}
    )


@contextmanager
def _library_bars(changed: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[None]:
    from unittest.mock import patch  # it imports asyncio, which would delay every command

    from tqdm.std import tqdm

    initialize = tqdm.__init__

    def initialize_changed(bar: tqdm[Any], *arguments: Any, **settings: Any) -> None:
        initialize(bar, *arguments, **changed(settings))

    with patch.object(tqdm, "__init__", initialize_changed):
        yield


def subprocess_environment() -> dict[str, str]:
    """Variables by which tqdm in a subprocess is quiet too, or draws its bar rarely where it ends up in a log."""
    if _quiet:
        return {"TQDM_DISABLE": "1"}
    return {} if sys.stderr.isatty() else {"TQDM_MININTERVAL": f"{LINE_SECONDS:g}"}


def _in_style(settings: dict[str, Any]) -> dict[str, Any]:
    """Return arguments of tqdm with those that depend on where stderr goes."""
    if isinstance(settings.get("file"), _Nowhere):
        return settings
    if _quiet or settings.get("disable"):
        return settings | {"disable": True}
    if sys.stderr.isatty():
        return settings
    rarely = {"mininterval": LINE_SECONDS, "delay": LINE_SECONDS}
    # Without a width tqdm prints numbers only, and ignores a format of ours that has no bar anyway.
    numbers_only = {"ncols": 0} if "{bar" in (settings.get("bar_format") or "{bar}") else {}
    return settings | rarely | numbers_only | {"file": _StampedLines(sys.stderr), "leave": True}


class _Nowhere:
    """A file for hidden bars: vLLM divides by the elapsed time of its bar, which is 0 if the bar is disabled."""

    def write(self, text: str) -> None:
        """Print nothing."""

    def flush(self) -> None:
        """Do nothing."""


class _StampedLines:
    """A file for tqdm that prints each state of the bar as a line with the time of day."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._counted = ""

    def write(self, text: str) -> None:
        """Print a state, unless it only moves the cursor or repeats the last count."""
        state = text.replace("\x1b[A", "").strip()
        counted = state.partition(" [")[0]
        if counted not in ("", self._counted):
            self._counted = counted
            self._file.write(f"{time.strftime('%H:%M:%S')} {state}\n")

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()
