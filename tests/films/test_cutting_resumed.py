"""Cutting resumes: finished films are not cut again, and a killed run ends with the same result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.folder_lock import only_writer
from tests.support import REPOSITORY
from tests.support.film_cuts import Cut, row
from tests.support.made_films import MadeFilm

FILM = MadeFilm()
CUT_AND_DIE = """
import os, signal, sys
from pathlib import Path
from data_pipeline.films import cut_films as step
cut_media, films_left = step._cut_media, int(sys.argv[1])
def cut_and_die(unit, folder):
    global films_left
    cut, films_left = cut_media(unit, folder), films_left - 1
    if not films_left:
        os.kill(os.getpid(), signal.SIGKILL)
    return cut
step._cut_media = cut_and_die
list(step.cut_films(Path("table.csv"), Path(), Path("work"), step.CutSettings(), step.Workers(), []))
"""

DIE_IN_THE_MIDDLE = """
import os, signal
from pathlib import Path
from data_pipeline.films.cut_media import ClipCutter
add_frame, frames_left = ClipCutter.add_frame, [60]
def add_or_die(cutter, number, frame):
    frames_left[0] -= 1
    if not frames_left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return add_frame(cutter, number, frame)
ClipCutter.add_frame = add_or_die
"""
CUT_BY_TABLE = """
from data_pipeline.films import cut_films as step
list(step.cut_films(Path("table.csv"), Path(), Path("work"), step.CutSettings(), step.Workers(), []))
"""
CUT_TO_LABEL = """
from data_pipeline.films import label_media as step
from data_pipeline.films.film_sources import FilmSource
unit = step.LabelUnit(FilmSource("heat", "heat.mp4", Path("heat.mp4")), Path("work"), step.CutSettings())
assert len(step.cut_units([unit], step.Workers())[0].shots) == 3
"""


def test_shots_come_in_the_order_of_the_table_and_finished_films_are_not_cut_again(tmp_path: Path) -> None:
    for quality, name in enumerate(("heat", "alien"), 18):
        FILM.write(tmp_path / f"{name}.mp4", options={"crf": f"{quality}"})
    rows = [
        row(time, size="CU", film_id=name, media=f"{name}.mp4") for time in (4, 1, 2.5) for name in ("heat", "alien")
    ]
    first = Cut(tmp_path, rows)
    assert [(shot.film_id, shot.start_seconds) for shot in first.shots] == [(r["film_id"], r["start"]) for r in rows]
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.jpg")}
    again = Cut(tmp_path, rows)
    assert (again.shots, again.defects) == (first.shots, first.defects)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    changed = Cut(tmp_path, [*rows[:-1], row(3, size="CU", film_id="alien", media="alien.mp4")])
    assert changed.shots[-1].start_seconds == 3
    fresh = {path for path in written if path.exists() and path.stat().st_mtime_ns == written[path]}
    assert {path.parent.name for path in fresh} == {"heat"}


@pytest.mark.slow
def test_a_killed_run_resumes_with_the_same_result(tmp_path: Path) -> None:
    rows = []
    for number in range(4):
        FILM.write(tmp_path / f"{number}.mp4", options={"crf": f"{18 + number}"})
        rows += [row(1.5, 3.5, "CU", "Arc", film_id=f"{number}", media=f"{number}.mp4")]
    Cut(tmp_path, rows)
    expected = contents(tmp_path / "work")
    (tmp_path / "work").rename(tmp_path / "expected")
    for film in (1, 2):
        command = [sys.executable, "-c", CUT_AND_DIE, str(film)]
        child = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(REPOSITORY)})
        assert child.returncode == -signal.SIGKILL
        assert list(tmp_path.glob("work/films/.*/shards/*.mp4")), (
            "the film's shots are in the draft, not in the final folder"
        )
    assert contents(tmp_path / "work") != expected
    Cut(tmp_path, rows)
    assert contents(tmp_path / "work") == expected


@pytest.mark.slow
@pytest.mark.parametrize("cut", [CUT_BY_TABLE, CUT_TO_LABEL], ids=["table", "label"])
def test_a_film_that_is_killed_in_the_middle_is_cut_to_the_same_bytes(tmp_path: Path, cut: str) -> None:
    FILM.write(tmp_path / "heat.mp4")
    Cut(tmp_path, [row(0, 1.5, "CU", "Arc"), row(1.5, 3.5, "CU", "Arc")])  # writes the table
    (tmp_path / "work").rename(tmp_path / "by the test")

    def run(code: str) -> int:
        command, environment = [sys.executable, "-c", code], os.environ | {"PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(command, cwd=tmp_path, env=environment).returncode

    assert run(DIE_IN_THE_MIDDLE.replace("[60]", "[-1]") + cut) == 0
    (tmp_path / "work").rename(tmp_path / "undisturbed")
    assert run(DIE_IN_THE_MIDDLE + cut) == -signal.SIGKILL
    assert len(list(tmp_path.glob("work/*/.*/**/*.mp4"))) == 2, "a complete clip and a part of one, in the draft"
    assert run("from pathlib import Path" + cut) == 0
    assert contents(tmp_path / "work") == contents(tmp_path / "undisturbed")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".lock" not in path.name
    }


def test_a_second_run_into_the_same_work_folder_is_refused(tmp_path: Path) -> None:
    FILM.write(tmp_path / "heat.mp4")
    with only_writer(tmp_path / "work" / "films"), pytest.raises(WriteRefused):
        Cut(tmp_path, [row(1, size="CU")])
