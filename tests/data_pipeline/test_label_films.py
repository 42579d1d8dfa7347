"""From films to a shot sheet: what is kept, what is refused, and that a killed run ends with the same files."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from data_pipeline.annotations.row_times import TimeRole
from data_pipeline.films import label_media
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.film_sources import find_films
from data_pipeline.films.shot_list import read_shot_list
from data_pipeline.label_films import LabelRequest, NothingLabelled, label_films
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.full_disk import DiskFull
from data_pipeline.workers import Workers
from lmms_eval_shotbench.labelling.apply_corrections import apply_corrections
from lmms_eval_shotbench.labelling.corrections import BadCorrections
from lmms_eval_shotbench.labelling.exports.caption_template import read_caption_template
from lmms_eval_shotbench.labelling.label_cell import PERSON
from lmms_eval_shotbench.labelling.scores.score import score_labels
from lmms_eval_shotbench.labelling.shot import FilmShot
from lmms_eval_shotbench.labelling.shot_sheet import read_sheet
from lmms_eval_shotbench.labelling.truth import read_truth
from lmms_eval_shotbench.labelling.vote import Vote
from tests.support import REPOSITORY
from tests.support.drawn_votes import DIMENSIONS, DrawnVotes, label_folder
from tests.support.made_films import MadeFilm, MadeShot

FILM = MadeFilm()


def films_in(folder: Path, count: int = 2) -> Path:
    for number in range(count):
        FILM.write(folder / f"film {number}.mp4", options={"crf": f"{18 + number}"})
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {name: path.read_bytes() for path in files if "/." not in (name := f"/{path.relative_to(folder)}")}


@pytest.mark.slow
def test_every_shot_of_every_film_and_still_is_in_the_sheet(tmp_path: Path) -> None:
    films = films_in(tmp_path / "films")
    Image.fromarray(next(FILM.pictures())).save(films / "still.png")
    (films / "broken.mp4").write_bytes(b"no film")
    labelled = label_folder(films, tmp_path / "labels")
    sheet = labelled.sheet
    assert [film.film_id for film in sheet.films] == ["broken", "film-0", "film-1", "still"]
    assert [row.shot.film_id for row in sheet.shots] == ["film-0"] * 3 + ["film-1"] * 3 + ["still"]
    assert [list(row.cells) for row in sheet.shots] == [["shot_size", "camera_movement"]] * 6 + [["shot_size"]]
    *_, still = (row.shot for row in sheet.shots)
    assert (still.clip, still.start_seconds, still.seconds) == ("", None, 0)
    assert all((tmp_path / "labels" / row.shot.still).is_file() for row in sheet.shots)
    assert [film.film_id for film in labelled.films_without_shots] == ["broken"]
    assert labelled.shots_without_votes == []
    written = {path.name for path in (tmp_path / "labels").iterdir() if not path.name.startswith(".")}
    assert written == {"labels.json", "shots.jsonl", "shots.csv", "labels.html", "timelines", "media", "drawn.jsonl"}
    assert [row.to_row() for row in read_sheet(tmp_path / "labels").shots] == [row.to_row() for row in sheet.shots]


@pytest.mark.slow
def test_the_same_command_cuts_and_asks_nothing_again(tmp_path: Path) -> None:
    films, asker, again = films_in(tmp_path / "films"), DrawnVotes(), DrawnVotes()
    label_folder(films, tmp_path / "labels", asker)
    before = contents(tmp_path / "labels")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "labels" / "media").rglob("*")}
    label_folder(films, tmp_path / "labels", again)
    assert (asker.asked, again.asked) == (12, 0)
    assert contents(tmp_path / "labels") == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


@pytest.mark.slow
def test_a_film_that_was_replaced_is_cut_again_and_the_others_are_not(tmp_path: Path) -> None:
    films = films_in(tmp_path / "films")
    label_folder(films, tmp_path / "labels")
    kept = tmp_path / "labels" / "media" / "film-1" / "film-1-0001.mp4"
    time = kept.stat().st_mtime_ns
    FILM.write(films / "film 0.mp4", shots=(MadeShot(30, 5), MadeShot(30, 6)))
    sheet = label_folder(films, tmp_path / "labels").sheet
    assert [len(sheet.of_film(film)) for film in ("film-0", "film-1")] == [2, 3]
    assert kept.stat().st_mtime_ns == time


@pytest.mark.slow
def test_labels_of_other_films_are_not_lost_in_silence(tmp_path: Path) -> None:
    films = films_in(tmp_path / "films")
    label_folder(films, tmp_path / "labels")
    one = find_films([films / "film 1.mp4"])
    request = LabelRequest(one, tmp_path / "labels", CutSettings(), DIMENSIONS)
    with pytest.raises(WriteRefused, match="has labels of other films \\(film-0\\)"):
        label_films(request, [DrawnVotes()])
    sheet = label_films(replace(request, overwrite=True), [DrawnVotes()]).sheet
    assert [film.film_id for film in sheet.films] == ["film-1"]
    assert {path.name for path in (tmp_path / "labels" / "media").iterdir()} == {"film-1"}
    assert {path.stem for path in (tmp_path / "labels" / "timelines").iterdir()} == {"film-1"}


def test_what_a_run_does_not_write_is_not_left_from_an_earlier_one(tmp_path: Path) -> None:
    films, labels = films_in(tmp_path / "films", 1), tmp_path / "labels"
    label_folder(films, labels, captions=read_caption_template())
    own = labels / "timelines" / "own cut.otio"
    own.write_text("mine")
    again = label_folder(films, labels, DrawnVotes("other@2"), page=False, timelines=False)
    assert again.removed == ["timelines", "captions", "labels.html"]
    assert {path.name for path in labels.iterdir()} & {"captions", "labels.html", "timelines"} == {"timelines"}
    assert list(own.parent.iterdir()) == [own]
    assert label_folder(films, labels, page=False, timelines=False).removed == []


@pytest.mark.slow
def test_a_film_that_became_unreadable_leaves_no_timeline(tmp_path: Path) -> None:
    films, labels = films_in(tmp_path / "films"), tmp_path / "labels"
    label_folder(films, labels)
    (films / "film 0.mp4").write_bytes(b"no film any more")
    label_folder(films, labels)
    assert {path.stem for path in (labels / "timelines").iterdir()} == {"film-1"}


@pytest.mark.slow
def test_timelines_of_films_with_long_names_are_removed_with_their_films(tmp_path: Path) -> None:
    films, labels = tmp_path / "films", tmp_path / "labels"
    films.mkdir()
    for number in range(2):
        FILM.write(films / f"{'long ' * 24}{number}.mp4", options={"crf": f"{18 + number}"})
    label_folder(films, labels)
    assert len(list((labels / "timelines").iterdir())) == 8
    (films / f"{'long ' * 24}0.mp4").unlink()
    label_folder(films, labels, overwrite=True)
    assert len(list((labels / "timelines").iterdir())) == 4


@pytest.mark.parametrize(
    "name", ["labels.json", "shots.csv", "media/film-0/reel.braw", "timelines/cut.otio", "captions/clips/own.txt"]
)
def test_files_that_are_no_labels_are_never_replaced(tmp_path: Path, name: str) -> None:
    films, own = films_in(tmp_path / "films", 1), tmp_path / "project" / name
    own.parent.mkdir(parents=True)
    own.write_text("{}")
    with pytest.raises(WriteRefused, match=r"not written by this command; choose another --out"):
        label_folder(films, tmp_path / "project", overwrite=True)
    assert contents(tmp_path / "project") == {f"/{name}": b"{}"}


def test_labels_may_be_written_among_other_files_and_written_again(tmp_path: Path) -> None:
    films, own = films_in(tmp_path / "films", 1), tmp_path / "media" / "reel.braw"
    own.parent.mkdir()
    own.write_text("raw")
    for _ in range(2):
        label_folder(films, tmp_path)
    assert own.read_text() == "raw"
    (tmp_path / "labels.json").unlink()  # as after an interruption
    label_folder(films, tmp_path)


def test_corrections_that_cannot_be_read_are_refused_before_any_work(tmp_path: Path) -> None:
    films, labels = films_in(tmp_path / "films", 1), tmp_path / "labels"
    labels.mkdir()
    (labels / "corrections.csv").write_text("shot,label\n")
    with pytest.raises(BadCorrections, match="no column shot_id"):
        label_folder(films, labels)
    assert not (labels / "media").exists()


def test_a_file_is_no_folder_of_labels(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("")
    with pytest.raises(WriteRefused, match="is a file; name a folder with --out"):
        label_folder(films_in(tmp_path / "films", 1), tmp_path / "labels")


def test_without_any_shot_the_reasons_are_reported(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"")
    with pytest.raises(NothingLabelled, match=r"broken\.mp4: an empty file"):
        label_folder(tmp_path, tmp_path / "labels")


def test_a_still_that_is_stored_turned_is_labelled_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    (tmp_path / "films").mkdir()
    Image.fromarray(next(FILM.pictures())).save(tmp_path / "films" / "Bild für Ärzte.jpg", exif=exif)
    sheet = label_folder(tmp_path / "films", tmp_path / "labels").sheet
    (film,), (row,) = sheet.films, sheet.shots
    assert (film.width, film.height, film.defects) == (144, 256, ("still stored upright: EXIF orientation 6",))
    assert Image.open(tmp_path / "labels" / row.shot.still).size == (144, 256)


def test_two_models_are_asked_about_the_same_shots(tmp_path: Path) -> None:
    films = films_in(tmp_path / "films", 1)
    sheet = label_folder(films, tmp_path / "labels", DrawnVotes(), DrawnVotes("other@2"), limit=2).sheet
    assert [{vote.model for vote in row.votes} for row in sheet.shots] == [{"drawn@1", "other@2"}] * 2
    assert sheet.run["models"] == ["drawn@1 (probability)", "other@2 (probability)"]


def test_a_still_is_labelled_whatever_the_list_of_shots(tmp_path: Path) -> None:
    films = films_in(tmp_path / "films", 1)
    Image.fromarray(next(FILM.pictures())).save(films / "still.png")
    (tmp_path / "shots.csv").write_text("start,end\n1,2\n")
    listed = read_shot_list(tmp_path / "shots.csv", find_films([films])).by_medium
    sheet = label_folder(films, tmp_path / "labels", listed=listed).sheet
    assert [(row.shot.film_id, row.shot.seconds) for row in sheet.shots] == [("film-0", 1), ("still", 0)]


@pytest.mark.slow
def test_the_shots_of_a_sheet_and_of_its_timelines_can_be_labelled_again(tmp_path: Path) -> None:
    films, labels = films_in(tmp_path / "films", 1), tmp_path / "labels"
    first = label_folder(films, labels)
    for path in (labels / "shots.csv", labels / "timelines" / "film-0.otio", labels / "timelines" / "film-0.edl"):
        listed = read_shot_list(path, find_films([films])).by_medium
        again = label_folder(films, tmp_path / path.suffix.removeprefix("."), listed=listed)
        assert [row.shot for row in again.sheet.shots] == [row.shot for row in first.sheet.shots]


@pytest.mark.slow
def test_films_of_one_name_in_several_folders_find_their_shots_again_in_every_file(tmp_path: Path) -> None:
    films, labels = tmp_path / "films", tmp_path / "labels"
    for number, name in enumerate(("A001/C0001.mp4", "A002/C0001.mp4", "A002/c0001.mp4", "C0001.mp4", "C0001.mov")):
        shots = (MadeShot(20 + number, 2 * number), MadeShot(30, 2 * number + 1))
        FILM.write(films / name, shots=shots)
    Image.fromarray(next(FILM.pictures())).save(films / "C0001.png")
    sheet = label_folder(films, labels).sheet
    of_films = [one for one in sheet.films if one.frame_rate]
    expected = {one.media: [row.shot.first_frame for row in sheet.of_film(one.film_id)] for one in of_films}
    assert len(expected) == 5 and all(len(starts) == 2 for starts in expected.values())
    for one in of_films:
        for suffix in (".otio", ".edl", ".fcpxml", ".xml"):
            listed = read_shot_list(labels / "timelines" / f"{one.film_id}{suffix}", find_films([films])).by_medium
            starts = {media: [row.times[TimeRole.START][0].frame for row in rows] for media, rows in listed.items()}
            assert starts == {media: expected[media] if media == one.media else [] for media in expected}, suffix
    listed = read_shot_list(labels / "shots.csv", find_films([films])).by_medium
    assert {media: len(rows) for media, rows in listed.items()} == dict.fromkeys(expected, 2)


@pytest.mark.slow
@pytest.mark.parametrize("late", [0.0, 2.0])
def test_shots_of_a_film_of_varying_frame_rate_come_back_from_its_timelines(tmp_path: Path, late: float) -> None:
    times = [number / 24 if number < 60 else (60 + (number - 60) * 2) / 24 for number in range(FILM.frames)]
    films, labels = tmp_path / "films", tmp_path / "labels"
    films.mkdir()
    FILM.write(films / "phone.mp4", times=[time + late for time in times])
    (tmp_path / "shots.csv").write_text("start_frame,end_frame\n20,60\n60,91\n91,120\n")
    listed = read_shot_list(tmp_path / "shots.csv", find_films([films])).by_medium
    first = label_folder(films, labels, listed=listed)
    assert [(row.shot.first_frame, row.shot.end_frame) for row in first.sheet.shots] == [(20, 60), (60, 91), (91, 120)]
    for suffix in (".otio", ".edl", ".fcpxml", ".xml"):
        listed = read_shot_list(labels / "timelines" / f"phone{suffix}", find_films([films])).by_medium
        again = label_folder(films, tmp_path / suffix.removeprefix("."), listed=listed)
        assert [row.shot for row in again.sheet.shots] == [row.shot for row in first.sheet.shots], suffix


CORRECTION = """shot_id,dimension,label,status,time
film-0-0002,shot_size,Extreme Close Up,labelled,2026-11-30T10:00:00Z
"""


def test_a_cell_that_a_person_has_set_is_kept_when_another_model_labels_again(tmp_path: Path) -> None:
    films, labels = films_in(tmp_path / "films", 1), tmp_path / "labels"
    label_folder(films, labels)
    (tmp_path / "corrections.csv").write_text(CORRECTION)
    apply_corrections(labels, tmp_path / "corrections.csv")
    labelled = label_folder(films, labels, DrawnVotes("other@2"))
    cell = labelled.sheet.shots[1].cells["shot_size"]
    assert (cell.label, cell.source, labelled.lost) == ("Extreme Close Up", PERSON, [])
    assert "other@2" in labelled.sheet.shots[0].cells["shot_size"].source


@pytest.mark.slow
def test_a_film_that_was_replaced_by_another_is_named_if_a_person_had_set_cells(tmp_path: Path) -> None:
    films, labels = films_in(tmp_path / "films", 1), tmp_path / "labels"
    label_folder(films, labels)
    (tmp_path / "corrections.csv").write_text(CORRECTION)
    apply_corrections(labels, tmp_path / "corrections.csv")
    assert label_folder(films, labels).replaced == []
    FILM.write(films / "film 0.mp4", shots=(MadeShot(36, 5), MadeShot(40, 6)))
    (replaced,) = label_folder(films, labels).replaced
    assert str(replaced).startswith("film 0.mp4 has 76 frames, and had 120 when it was labelled before: the cells")
    assert replaced.cells == 1


@pytest.mark.slow
@pytest.mark.parametrize("with_digest", [True, False], ids=["now", "sheet of an earlier version"])
def test_another_film_of_the_same_length_is_noticed_and_an_untouched_one_is_not(
    with_digest: bool, tmp_path: Path
) -> None:
    films, labels = films_in(tmp_path / "films", 1), tmp_path / "labels"
    label_folder(films, labels)
    (tmp_path / "corrections.csv").write_text(CORRECTION)
    apply_corrections(labels, tmp_path / "corrections.csv")
    if not with_digest:
        for path in (labels / "labels.json", labels / "media" / "film-0" / "cutting.json"):
            stored = json.loads(path.read_text())
            for facts in stored.get("films", [stored.get("facts")]):
                del facts["content"]
            path.write_text(json.dumps(stored))
        assert not read_sheet(labels).films[0].content
    os.utime(films / "film 0.mp4", (1, 1))  # copied without its time
    assert label_folder(films, labels).replaced == []
    replace(FILM, shots=tuple(replace(shot, seed=shot.seed + 9) for shot in FILM.shots)).write(films / "film 0.mp4")
    (replaced,) = label_folder(films, labels).replaced
    assert (replaced.film.frames, replaced.film.frame_rate) == (replaced.before.frames, replaced.before.frame_rate)
    assert str(replaced).startswith("film 0.mp4 is not the file that it was when it was labelled before: the cells")


def test_a_disk_that_is_full_while_a_model_is_asked_is_named(tmp_path: Path) -> None:
    class FullDisk(DrawnVotes):
        def votes(self, *_: Any) -> Iterator[tuple[FilmShot, list[Vote]]]:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFull, match=r"labels .*are missing.*run the same command again to resume"):
        label_folder(films_in(tmp_path / "films", 1), tmp_path / "labels", FullDisk())


@pytest.mark.slow
def test_scores_are_on_the_page_only_while_they_are_of_its_labels(tmp_path: Path) -> None:
    films, labels = films_in(tmp_path / "films", 1), tmp_path / "labels"
    label_folder(films, labels)
    truth = read_truth(labels / "shots.csv")
    (labels / "scores.json").write_text(json.dumps(score_labels(read_sheet(labels), truth)))

    def is_scored(*askers: DrawnVotes) -> bool:
        label_folder(films, labels, *askers)
        return 'id="scores"' in (labels / "labels.html").read_text()

    assert is_scored()
    assert not is_scored(DrawnVotes("other@2"))
    assert not is_scored(DrawnVotes("other@2"))  # the labels are those of the last run, but not the scored ones
    assert is_scored()


@pytest.mark.slow
def test_killed_ten_times_and_resumed_it_writes_the_same_files(tmp_path: Path) -> None:
    films = films_in(tmp_path / "films", 3)
    command = [sys.executable, "-m", "tests.support.drawn_votes", "films"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    label_folder(films, tmp_path / "undisturbed", captions=read_caption_template())
    draw, killed = random.Random(4), 0
    for _ in range(10):
        child = subprocess.Popen([*command, "labels"], cwd=tmp_path, env=environment)
        while child.poll() is None and not list(tmp_path.glob("labels/media/*")):
            try:  # until it works
                child.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        try:
            child.wait(draw.uniform(0, 0.4))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
    subprocess.run([*command, "labels"], cwd=tmp_path, env=environment, check=True)
    assert killed >= 3
    assert contents(tmp_path / "labels") == contents(tmp_path / "undisturbed")


@pytest.mark.ray
def test_workers_cut_the_same_media(tmp_path: Path, two_workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_media, "RAY_WORTH_BYTES", 0)
    films = films_in(tmp_path / "films")
    label_folder(films, tmp_path / "alone")
    label_folder(films, tmp_path / "ray", workers=two_workers)
    assert contents(tmp_path / "ray" / "media") == contents(tmp_path / "alone" / "media")
