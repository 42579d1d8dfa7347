"""Progress of long work: a bar in a terminal, lines with time stamps in a log, nothing when quiet."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator

import pytest

from lmms_eval_shotbench import progress
from lmms_eval_shotbench.progress import library_bars_as_ours, library_bars_hidden

LINE = re.compile(r"\d\d:\d\d:\d\d render: +\d+% \d+/\d+ \[\d\d:\d\d<[\d:?]+, .*film(/s)?\]")


class Terminal(io.StringIO):
    """A terminal, as far as tqdm looks."""

    def isatty(self) -> bool:
        return True


class Clock:
    """The time that tqdm sees; every unit of work takes a second."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def work(self, units: int) -> Iterator[int]:
        for unit in range(units):
            self.now += 1
            yield unit


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tqdm.std.time", clock)
    return clock


def shown_for(units: int, clock: Clock, file: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stderr", file)
    assert list(progress.with_progress(clock.work(units), "render", units, "film")) == list(range(units))
    return file.getvalue()


def test_in_a_log_lines_come_every_ten_seconds_with_rate_and_remaining_time(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown_for(60, clock, io.StringIO(), monkeypatch).splitlines()
    assert 3 <= len(lines) <= 7
    assert all(LINE.fullmatch(line) for line in lines)
    assert "100% 60/60" in lines[-1] and "1.00" in lines[0]


def test_in_a_log_short_work_shows_nothing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_for(9, clock, io.StringIO(), monkeypatch) == ""


def test_in_a_terminal_a_bar_is_redrawn_with_rate_and_remaining_time(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = shown_for(9, clock, Terminal(), monkeypatch)
    assert shown.count("\r") >= 9 and "00:0" in shown and "film" in shown


@pytest.mark.parametrize("file", [io.StringIO(), Terminal()], ids=["log", "terminal"])
def test_nothing_is_shown_when_quiet(clock: Clock, file: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    progress.set_quiet(True)
    assert shown_for(60, clock, file, monkeypatch) == ""


def test_bars_of_libraries_are_shown_as_ours(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    from tqdm import tqdm
    from tqdm.auto import tqdm as automatic

    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with library_bars_as_ours():
        for bar in (tqdm, automatic):
            for _ in bar(clock.work(30), total=30, desc="render", unit="film"):
                pass
        for _ in tqdm(clock.work(30), disable=True):
            pass
    lines = file.getvalue().splitlines()
    assert 4 <= len(lines) <= 8 and all(LINE.fullmatch(line) for line in lines)
    for _ in tqdm(clock.work(3)):
        pass
    assert "\r" in file.getvalue()  # outside, they are theirs again


def test_a_subprocess_is_as_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert progress.subprocess_environment() == {"TQDM_MININTERVAL": "10"}
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert progress.subprocess_environment() == {}
    progress.set_quiet(True)
    assert progress.subprocess_environment() == {"TQDM_DISABLE": "1"}


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize("file", [io.StringIO(), Terminal()], ids=["log", "terminal"])
def test_hidden_bars_of_libraries_measure_time_and_print_nothing(
    clock: Clock, file: io.StringIO, quiet: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tqdm import tqdm

    progress.set_quiet(quiet)
    monkeypatch.setattr(sys, "stderr", file)
    with library_bars_as_ours(), library_bars_hidden():
        bar = tqdm(total=60, dynamic_ncols=True, postfix="vLLM's")
        for _ in clock.work(60):
            bar.update()
        assert bar.format_dict["elapsed"] == 60
        bar.close()
    assert file.getvalue() == ""
