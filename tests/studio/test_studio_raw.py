"""Raw films of the studio: one dataset per folder, and ground truth that matches the frames."""

from __future__ import annotations

import csv
import errno
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

pytestmark = pytest.mark.slow  # renders

pytest.importorskip("numba")
av = pytest.importorskip("av")

from PIL import Image

from data_pipeline.films.cut_films import cut_films
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.full_disk import DiskFull
from data_pipeline.studio.clips import FRAME_RATE
from data_pipeline.studio.film_reels import LETTERBOXED, TABLE, TRUTH_TABLE, ReelOrder, ReelShot, make_reel, write_table
from data_pipeline.studio.films import film_plan
from data_pipeline.studio.frame_truth import BAR
from data_pipeline.studio.held_stills import HELD, MIDDLE_FRAME, held_still
from data_pipeline.studio.render import Frame
from data_pipeline.studio.transitions import Join
from data_pipeline.studio_set import StudioSettings, shoot, studio_films
from data_pipeline.workers import Workers
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.labelling.truth import Transition, read_truth
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, DIMENSIONS

TWO = StudioSettings(films=2, width=64)
FEW = ("Silhouette", "Close Up", "Pan right")


@pytest.fixture(autouse=True)
def short_films(monkeypatch: pytest.MonkeyPatch) -> None:
    """Films of three shots."""
    short = lambda *given: [plan for plan in film_plan(*given) if plan.label in FEW]  # noqa: E731
    monkeypatch.setattr("data_pipeline.studio.film_reels.film_plan", short)
    monkeypatch.setattr("data_pipeline.studio.film_reels.SEPARATE_STILLS", 0)


@pytest.fixture
def interrupted_films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of two films after a run interrupted after the first one."""

    def first_only(order: ReelOrder) -> list[ReelShot]:
        if order.film:
            raise KeyboardInterrupt
        return make_reel(order)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("data_pipeline.studio.film_reels.make_reel", first_only)
        studio_films(TWO, tmp_path / "raw", Workers(0))
    return tmp_path / "raw"


def annotations(order: ReelOrder) -> list[dict[str, str]]:
    """Return the annotations of a film, rendering it first."""
    return [shot.annotation for shot in make_reel(order)]


# ----------------------------------------------------------------------------------------------- one dataset per folder


@pytest.mark.parametrize("other", [{"seed": 1}, {"films": 1}, {"width": 96}, {"first_film": 1}])
def test_unfinished_films_of_other_settings_are_refused_and_kept(
    interrupted_films: Path, other: dict[str, int]
) -> None:
    film = (interrupted_films / "films" / "film-000.mp4").read_bytes()
    with pytest.raises(FileExistsError, match=r"other settings \(.*--films 2 --seed 0 .*choose another --out"):
        studio_films(replace(TWO, **other), interrupted_films, Workers(0))
    assert (interrupted_films / "films" / "film-000.mp4").read_bytes() == film
    assert not (interrupted_films / TABLE).exists()


def test_the_same_settings_resume(interrupted_films: Path) -> None:
    before = (interrupted_films / "films" / "film-000.mp4").stat().st_mtime_ns
    assert studio_films(TWO, interrupted_films, Workers(0)) == 6
    assert (interrupted_films / "films" / "film-000.mp4").stat().st_mtime_ns == before
    assert sorted(path.name for path in interrupted_films.rglob("*")) == [
        TABLE,
        "film-000.mp4",
        "film-001.mp4",
        "films",
        TRUTH_TABLE,
    ]
    assert [row.film_id for row in read_truth(interrupted_films / TRUTH_TABLE)] == ["film-000"] * 3 + ["film-001"] * 3


def test_unfinished_films_of_unknown_settings_are_refused(interrupted_films: Path) -> None:
    (interrupted_films / ".rows" / "settings.txt").unlink()
    with pytest.raises(FileExistsError, match="not known"):
        studio_films(TWO, interrupted_films, Workers(0))


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with only_writer(tmp_path / "raw"), pytest.raises(WriteRefused, match="is writing to"):
        studio_films(TWO, tmp_path / "raw", Workers(0))
    assert not (tmp_path / "raw").exists()


def test_shots_for_shards_have_one_writer(tmp_path: Path) -> None:
    with only_writer(tmp_path / "shots"), pytest.raises(WriteRefused, match="is writing to"):
        list(shoot(StudioSettings(films=1, width=64), tmp_path / "shots", Workers(0)))
    assert not any(tmp_path.iterdir())


def test_invalid_outputs_and_flags_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for flags, message in (
        (["--raw", "--out", str(tmp_path / "file")], "is not a folder; choose another --out"),
        (["--truth", "--out", str(tmp_path / "new")], "add --raw"),
        (["--transitions", "all", "--out", str(tmp_path / "new")], "--transitions is for raw films; add --raw"),
        (["--raw", "--overwrite", "--out", str(tmp_path / "new")], "are for shards; leave out --raw"),
        (["--raw", "--splits", "test:1", "--out", str(tmp_path / "new")], "are for shards; leave out --raw"),
    ):
        assert main(["data", "studio", "--workers", "0", *flags]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_reported_with_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("data_pipeline.studio.film_reels.write_atomic", full)
    with pytest.raises(DiskFull, match="are missing"):
        make_reel(ReelOrder(tmp_path / "raw", 0, 0, 1, 64, truth=False))
    with pytest.raises(DiskFull, match="are missing"):
        studio_films(TWO, tmp_path / "raw", Workers(0))
    monkeypatch.setattr("data_pipeline.studio_set.write_atomic", full)
    with pytest.raises(DiskFull, match="are missing"):
        next(shoot(TWO, tmp_path / "shots", Workers(0)))


# --------------------------------------------------------------------------------------------------------- ground truth


def test_the_ground_truth_of_a_held_still_moves_with_its_frame() -> None:
    plan = next(plan for plan in film_plan(0, 0, width=64) if plan.label == "Silhouette")
    ids = np.zeros((38, 68), np.int32)
    ids[8:30, 11:50] = 1
    large = Frame(np.repeat(ids[..., None] * 255, 3, axis=2).astype(np.uint8), ids, ids.astype(np.float32))
    held = held_still(large, plan)
    assert len(held) == HELD and len({frame.rgb.tobytes() for frame in held}) == HELD
    for frame in held:
        assert frame.size == plan.size
        mismatch = (frame.rgb[..., 0] > 127) != (frame.ids == 1)
        assert mismatch.sum() <= 4  # the corners, which subpixel shifts round off
        assert (frame.depth == frame.ids).all()


@pytest.mark.parametrize("film", [0, LETTERBOXED - 1])
def test_ground_truth_matches_the_frames_including_bars(tmp_path: Path, film: int) -> None:
    rows = annotations(ReelOrder(tmp_path, 0, film, 1, 64, truth=True))
    write_table(tmp_path / TABLE, rows)
    with av.open(str(tmp_path / "films" / f"film-{film:03d}.mp4")) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    for row in rows:
        truth = np.load(tmp_path / "truth" / row["film_id"] / f"{row['shot_id']}.npz")
        first, last = (round(float(row[name]) * FRAME_RATE) for name in ("start", "end"))
        shown = np.array(frames[first:last] if "flow" in truth else [frames[first + MIDDLE_FRAME]])
        assert truth["ids"].shape == truth["depth"].shape == shown.shape
        bars = truth["ids"] == BAR
        assert bars.any() == (film > 0) and np.array_equal(bars, np.isnan(truth["depth"]))
        assert not bars.any() or shown[bars].max() < 24
        if "flow" in truth:
            assert truth["flow"].shape == (len(shown) - 1, *shown.shape[1:], 2)
            assert np.isnan(truth["flow"][bars[1:]]).all()
        elif "silhouette" in row["shot_id"]:
            assert max(map(abs, best_shift(shown[0], truth["ids"][0] > 0))) <= 1  # half a pixel rounds either way


def best_shift(picture: np.ndarray, figure: np.ndarray) -> tuple[int, int]:
    """Return the shift (down, right) in pixels at which the mask (h, w) best matches the dark figure."""
    dilated = sum(np.roll(figure, shift, axis) for axis in (0, 1) for shift in (-3, 3)) > 0

    def contrast(shift: tuple[int, int]) -> float:
        inside, around = (np.roll(mask, shift, (0, 1)) for mask in (figure, dilated & ~figure))
        return float(picture[around].mean() - picture[inside].mean())

    return max(((down, right) for down in range(-3, 4) for right in range(-3, 4)), key=contrast)


def test_the_extracted_still_is_the_frame_of_the_ground_truth(tmp_path: Path) -> None:
    rows = annotations(ReelOrder(tmp_path, 0, 0, 1, 64, truth=False))
    write_table(tmp_path / TABLE, rows)
    settings = CutSettings(least_side=16, still_format="png", crop_bars=False)
    shots = list(cut_films(tmp_path / TABLE, tmp_path / "films", tmp_path / "cut", settings, Workers(0), []))
    starts = {row["shot_id"]: float(row["start"]) for row in csv.DictReader((tmp_path / TABLE).open())}
    with av.open(str(tmp_path / "films" / "film-000.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    stills = [shot for shot in shots if shot.media_path.endswith(".png")]
    assert len(stills) == 2
    for shot in stills:
        picture = np.asarray(Image.open(tmp_path / "cut" / shot.media_path)).astype(int)
        first = next(round(start * FRAME_RATE) for name, start in starts.items() if name in shot.shot_id)
        differences = [np.abs(frame - picture).mean() for frame in frames[first : first + HELD]]
        assert int(np.argmin(differences)) == MIDDLE_FRAME


# -------------------------------------------------------------------------------------------------- truth of every shot


def test_the_truth_of_a_film_has_the_shots_and_labels_of_its_annotations(interrupted_films: Path) -> None:
    studio_films(TWO, interrupted_films, Workers(0))
    annotated = list(csv.DictReader((interrupted_films / TABLE).open(encoding="utf-8")))
    truths = read_truth(interrupted_films / TRUTH_TABLE)
    assert [(row.shot_id, row.media, f"{row.start:.6f}", f"{row.end:.6f}") for row in truths] == [
        (row["shot_id"], row["media"], row["start"], row["end"]) for row in annotated
    ]
    for row, labels in zip(truths, annotated, strict=True):
        for dimension in DIMENSIONS:
            staged = labels[dimension.slug] and {str(term) for term in dimension.parse(labels[dimension.slug]).terms}
            assert set(staged) <= row.of(dimension).terms(dimension)
        held = "pan_right" not in row.shot_id
        assert row.of(CAMERA_MOVEMENT).label == ("Static shot" if held else "Pan right")
    assert [row.transition for row in truths] == [Transition.START, Transition.CUT, Transition.CUT] * 2


@pytest.mark.parametrize("kind", [Transition.DISSOLVE, Transition.FADE])
def test_a_transition_lies_around_the_start_of_its_shot_and_leaves_the_middle_clear(
    kind: Transition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joins = [Join(Transition.START), Join(kind, 5), Join(kind, 4)]
    cut, mixed = (ReelOrder(tmp_path / name, 0, 0, 1, 64, False, name == "mixed") for name in ("cut", "mixed"))
    before = make_reel(cut)
    monkeypatch.setattr("data_pipeline.studio.film_reels.draw_joins", lambda *_: joins)
    after = make_reel(mixed)
    frames, mixed_frames = (decoded(order.out / "films" / "film-000.mp4") for order in (cut, mixed))
    assert round((after[-1].truth.end or 0) * FRAME_RATE) == len(mixed_frames) > len(frames)
    assert [shot.truth.transition for shot in after] == [Transition.START, kind, kind]
    for old, new, join in zip(before, after, joins, strict=True):
        assert new.annotation == new.annotation | old.annotation | {k: new.annotation[k] for k in ("start", "end")}
        assert np.abs(frames[middle(old)] - mixed_frames[middle(new)]).mean() < 5
        if join.half:
            first, last = (round(seconds * FRAME_RATE) for seconds in new.truth.transition_range or ())
            assert (first + last) / 2 == round(float(new.annotation["start"]) * FRAME_RATE)
            assert last - first == 2 * join.half
            assert kind is not Transition.FADE or mixed_frames[(first + last) // 2].mean() < 20


def decoded(film: Path) -> np.ndarray:
    with av.open(str(film)) as container:
        return np.array([frame.to_ndarray(format="gray").astype(float) for frame in container.decode(video=0)])


def middle(shot: ReelShot) -> int:
    """Number of the frame in the middle of a shot, which is its key still."""
    first, last = (round(float(shot.annotation[name]) * FRAME_RATE) for name in ("start", "end"))
    return (first + last) // 2
