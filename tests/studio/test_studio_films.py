"""Films of the studio: reproducible bytes on any number of workers, and an exact annotation table."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow  # renders

pytest.importorskip("numba")
av = pytest.importorskip("av")

from PIL import Image

from data_pipeline import studio_set
from data_pipeline.annotations.annotation_table import read_annotations
from data_pipeline.defects import Defect
from data_pipeline.studio.clips import FRAME_RATE
from data_pipeline.studio.film_reels import LETTERBOXED, TABLE, ReelOrder, make_reel
from data_pipeline.studio.films import PlannedShot, film_plan, film_shot
from data_pipeline.studio.held_stills import HELD
from data_pipeline.studio.moves import TERMS
from data_pipeline.studio.stills import still_terms
from data_pipeline.studio_set import StudioSettings, shoot, studio_films
from data_pipeline.workers import Workers
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, DIMENSIONS, MediaKind
from tests.support import REPOSITORY

SMALL = StudioSettings(films=1, width=64, shares={"test": 1.0})
FILM = LETTERBOXED - 1  # the first letterboxed film
EVERY_16TH = slice(None, None, 16)
IN_CHILD = "from tests.studio import test_studio_films as t; print(t.checksums())"


def checksums() -> list[str]:
    """Return the SHA-256 of a few stills and clips."""
    plans = film_plan(3, 1, width=64)[EVERY_16TH]
    return [hashlib.sha256(film_shot(plan).encoded()).hexdigest() for plan in plans]


def frames_of(encoded: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(encoded)) as container:
        return [frame.to_ndarray(format="gray").astype(float) for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def raw_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One film of small frames as files, with ground truth."""
    out = tmp_path_factory.mktemp("raw")
    studio_films(SMALL, out, Workers(0), truth=True)
    return out


@pytest.fixture(scope="module")
def table_rows(raw_film: Path) -> list[dict[str, str]]:
    with (raw_film / TABLE).open(newline="") as lines:
        return list(csv.DictReader(lines))


# ---------------------------------------------------------------------------------------------------------------- shots


def test_a_film_has_a_shot_of_every_term_and_some_compound_movements() -> None:
    plans = film_plan(0, 0)
    terms = {(plan.slug, plan.label) for plan in plans}
    for dimension in DIMENSIONS:
        staged = {str(term) for term in still_terms(dimension)} or set(TERMS)
        assert staged <= {label for slug, label in terms if slug == dimension.slug}
    movements = [CAMERA_MOVEMENT.parse(plan.label) for plan in plans if plan.media_kind is MediaKind.CLIP]
    assert sum(label.is_compound for label in movements) == 3
    assert any(CAMERA_MOVEMENT.term("Tracking") in label.terms for label in movements)
    assert not any(label.repeated_terms for label in movements)


def test_the_same_seed_gives_the_same_bytes_in_any_process() -> None:
    environment = os.environ | {"MALLOC_PERTURB_": "165", "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", IN_CHILD]
    child = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    assert child.stdout.strip() == str(checksums())
    assert len(set(checksums())) == len(film_plan(3, 1)[EVERY_16TH])


def test_other_seeds_and_films_differ() -> None:
    first, *others = (
        film_shot(film_plan(seed, film, width=64)[0]).pictures[0] for seed, film in ((0, 0), (0, 1), (1, 0))
    )
    assert all((first != other).mean() > 0.5 for other in others)


# ------------------------------------------------------------------------------------------------------------ raw films


def test_the_table_is_read_without_defects(raw_film: Path) -> None:
    defects: list[Defect] = []
    found = read_annotations(raw_film / TABLE, raw_film / "films", defects)
    assert defects == []
    assert {row.shot_id for row in found} == {plan.shot_id for plan in film_plan(0, 0)}


def test_cuts_are_exactly_at_the_times_in_the_table(raw_film: Path, table_rows: list[dict[str, str]]) -> None:
    frames = frames_of((raw_film / "films" / "film-000.mp4").read_bytes())
    ranges = [(float(row["start"]), float(row["end"])) for row in table_rows if row["start"]]
    assert [end for _, end in ranges[:-1]] == [start for start, _ in ranges[1:]]
    assert (ranges[0][0], round(ranges[-1][1] * FRAME_RATE)) == (0.0, len(frames))
    jumps = np.array([np.abs(after - before).mean() for before, after in pairwise(frames)])
    cuts = np.array([round(start * FRAME_RATE) - 1 for start, _ in ranges[1:]])
    assert np.median(jumps[cuts]) > 5 * np.median(np.delete(jumps, cuts))
    assert (jumps[cuts] > np.percentile(np.delete(jumps, cuts), 90)).mean() > 0.9


def test_stills_are_held_for_a_second_without_equal_frames(raw_film: Path, table_rows: list[dict[str, str]]) -> None:
    frames = frames_of((raw_film / "films" / "film-000.mp4").read_bytes())
    held = [row for row in table_rows if row["start"] and not row[CAMERA_MOVEMENT.slug]]
    assert {round((float(row["end"]) - float(row["start"])) * FRAME_RATE) for row in held} == {HELD}
    first = round(float(held[0]["start"]) * FRAME_RATE)
    assert all(np.abs(frames[first + k + 1] - frames[first + k]).mean() > 0.1 for k in range(HELD - 1))


def test_some_stills_are_separate_files(raw_film: Path, table_rows: list[dict[str, str]]) -> None:
    separate = [row for row in table_rows if not row["start"]]
    assert {Path(row["media"]).suffix for row in separate} == {".jpg", ".png"}
    assert all(Image.open(raw_film / "films" / row["media"]).size == (64, 36) for row in separate)


def test_ground_truth_is_written_for_every_shot_in_the_film(raw_film: Path, table_rows: list[dict[str, str]]) -> None:
    for row in table_rows:
        path = raw_film / "truth" / row["film_id"] / f"{row['shot_id']}.npz"
        assert path.exists() == bool(row["start"])
    clip = next(row for row in table_rows if row[CAMERA_MOVEMENT.slug] == "Pan right")
    truth = np.load(raw_film / "truth" / "film-000" / f"{clip['shot_id']}.npz")
    assert truth["ids"].shape == truth["depth"].shape == (len(truth["flow"]) + 1, 36, 64)
    assert np.nanmedian(truth["flow"][..., 0]) < -0.5
    assert truth["depth"][truth["ids"] > 0].max() < truth["depth"][truth["ids"] == 0].max()


def test_some_films_are_letterboxed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [plan for plan in film_plan(0, FILM, width=64) if plan.label in ("Medium", "Wide", "Group shot")]
    monkeypatch.setattr("data_pipeline.studio.film_reels.film_plan", lambda *_: list(few))
    make_reel(ReelOrder(tmp_path, 0, FILM, 1, 64, truth=False))
    frames = frames_of((tmp_path / "films" / f"film-{FILM:03d}.mp4").read_bytes())
    assert frames[0].shape == (48, 64)
    assert all(frame[:5].max() < 24 and frame[-5:].max() < 24 and frame[8:-8].mean() > 24 for frame in frames)


def test_existing_films_are_not_overwritten(raw_film: Path) -> None:
    with pytest.raises(FileExistsError, match="choose another --out"):
        studio_films(SMALL, raw_film, Workers(0))


# --------------------------------------------------------------------------------------------------------------- shards


def test_the_embedded_dataset_covers_all_dimensions_in_one_split(studio_shards: Path) -> None:
    items = list(ShardFolder(studio_shards).items())
    assert {item.dimension for item in items} == {dimension.slug for dimension in DIMENSIONS}
    assert {item.film_id for item in items} == {"film-000"}
    assert len(items) > 60


def test_existing_shards_are_not_rendered_again(studio_shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_pipeline.studio_set.shoot_one", None)
    settings = StudioSettings(films=1, width=160, shares={"test": 1.0})
    assert studio_set.studio_shards(settings, studio_shards, Workers(0)).already_complete


def test_later_films_of_a_seed_extend_an_earlier_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_pipeline.studio.films.film_plan", lambda *given: film_plan(*given)[EVERY_16TH])
    both = list(shoot(replace(SMALL, films=2), tmp_path / "both", Workers(0)))
    second = list(shoot(replace(SMALL, first_film=1), tmp_path / "second", Workers(0)))
    assert second == both[len(both) // 2 :] and {shot.film_id for shot in second} == {"film-001"}
    with pytest.raises(ValueError, match="numbered from 0"):
        StudioSettings(first_film=-1)


def test_finished_shots_are_not_rendered_again_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = film_plan(0, 0, width=64)[EVERY_16TH]
    monkeypatch.setattr("data_pipeline.studio.films.film_plan", lambda *_: plans)
    monkeypatch.setattr("data_pipeline.studio.film_reels.film_plan", lambda *_: list(plans))
    killed = shoot(SMALL, tmp_path / "shots", Workers(0))
    before = [next(killed), next(killed)]
    killed.close()  # type: ignore[attr-defined]
    order = ReelOrder(tmp_path, 0, 0, 1, 64, truth=False)
    rows = make_reel(order)
    rendered_again: list[PlannedShot] = []
    monkeypatch.setattr(
        "data_pipeline.studio.films.film_shot", lambda plan: rendered_again.append(plan) or film_shot(plan)
    )
    monkeypatch.setattr("data_pipeline.studio.film_reels.film_shot", None)
    shots = list(shoot(SMALL, tmp_path / "shots", Workers(0)))
    assert make_reel(order) == rows
    assert shots[:2] == before and rendered_again == plans[2:]


@pytest.mark.verl
@pytest.mark.ray
@pytest.mark.timeout(900)  # each worker may have to compile the renderer first
def test_the_result_does_not_depend_on_the_number_of_workers(
    tmp_path: Path, two_workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = film_plan(0, 0, width=64)[EVERY_16TH]
    monkeypatch.setattr("data_pipeline.studio.films.film_plan", lambda *_: plan)
    shots = [list(shoot(SMALL, tmp_path / str(workers.count), workers)) for workers in (Workers(0), two_workers)]
    assert shots[0] == shots[1] and len(shots[0]) == len(plan)


@pytest.mark.parametrize("flags", [["--films", "0"], ["--width", "100"], ["--splits", "train:1"]])
def test_invalid_settings_are_reported_in_one_line(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "studio", "--out", str(tmp_path / "x"), *flags]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not any(tmp_path.iterdir())
