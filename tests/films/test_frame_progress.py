"""Progress over the frames of all films: how many are decoded, and the time left, whoever decodes them."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from data_pipeline.films import frame_progress
from data_pipeline.films.film_probe import frames_in_header
from data_pipeline.films.frame_progress import CountedFilm, FrameCount, FrameProgress
from tests.support.film_cuts import Cut, row
from tests.support.made_films import MadeFilm

FILM = MadeFilm()


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_progress, "WRITE_SECONDS", 0.0)


@pytest.mark.usefixtures("eager")
def test_total_and_time_left_follow_from_frames_of_all_films(tmp_path: Path) -> None:
    from tqdm import tqdm

    films = [CountedFilm(tmp_path / f".{number}.frames", [FILM.write(tmp_path / f"{number}.mp4")]) for number in "1234"]
    progress, shown = FrameProgress(films), io.StringIO()
    with tqdm(total=None, unit="frame", file=shown, mininterval=0, miniters=1) as bar:
        progress.finished(0)  # it was cut before
        progress.finished(120)
        count = FrameCount(films[2].count_file)
        count.plan(80)  # only parts of it are decoded
        count.decoded(20)
        progress.read()
        progress.show(bar)
        assert (bar.n, bar.total) == (140, 120 + 80 + 120)
    assert re.search(r"140/320 \[\d\d:\d\d<\d\d:\d\d, .*frame/s, films: 2 of 4\]", shown.getvalue())


@pytest.mark.usefixtures("eager")
def test_the_count_of_a_film_ends_at_what_was_planned_and_its_file_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, close = list[str](), FrameCount.close

    def observed(count: FrameCount) -> None:
        counts.append(count._path.read_text() if count._path else "")
        close(count)

    monkeypatch.setattr(FrameCount, "close", observed)
    FILM.write(tmp_path / "heat.mp4")
    Cut(tmp_path, [row(0, 1.5, "CU", "Arc"), row(1.5, 3.5, "CU", "Arc")])
    assert counts == ["99 99"]  # 84, and 15 that the detector looks ahead
    assert not list(tmp_path.rglob("*.frames"))


def test_a_header_gives_the_number_of_frames_and_no_film_has_none(tmp_path: Path) -> None:
    assert frames_in_header(FILM.write(tmp_path / "heat.mp4")) == 120
    assert frames_in_header(FILM.write(tmp_path / "heat.mkv", container="matroska")) == 120  # has no number
    (tmp_path / "text.mp4").write_text("no film")
    assert frames_in_header(tmp_path / "text.mp4") == frames_in_header(tmp_path / "missing.mp4") == 0


def test_a_count_that_cannot_be_written_costs_no_film(tmp_path: Path) -> None:
    count = FrameCount(tmp_path / "missing" / "count")
    count._written = -100.0
    count.decoded()
    count.close()
    assert count.frames == 1
