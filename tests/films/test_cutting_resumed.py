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
