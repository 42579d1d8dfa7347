"""One bad film or still costs its own rows, whatever it raises and at whatever stage; all others are cut as before."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.defects import Defect
from data_pipeline.films import cut_films as films_module
from data_pipeline.films.check_films import check_films
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.labelled_shot import LabelledShot
from data_pipeline.workers import WORKER_DIED, Workers
from tests.support.film_cuts import Cut, row
from tests.support.injected_faults import FAULTS, current_film, cut_or_die, fault_named, inject
from tests.support.made_films import MadeFilm

FILM = MadeFilm()
FILM_STAGES = [
    "data_pipeline.films.cut_films.FilmUnit.fingerprint",
    "data_pipeline.films.cut_films.drop_duplicate_shots",
    "data_pipeline.films.cut_film.probe_film",
    "data_pipeline.films.cut_film.read_frames",
    "data_pipeline.films.cut_film.ShotDetector.process_frame",
    "data_pipeline.films.cut_film.luma",
    "data_pipeline.films.cut_film.choose_crop",
    "data_pipeline.films.cut_pieces.read_progressive_frames",
    "data_pipeline.films.deinterlace.read_frames",
    "data_pipeline.films.cut_pieces.cut_still",
    "data_pipeline.films.cut_pieces.encoded_still",
    "data_pipeline.films.cut_pieces.check_still",
    "data_pipeline.films.cut_pieces.thumbnail",
    "data_pipeline.films.cut_pieces.shown_size",
    "data_pipeline.films.cut_media.FrameConverter.convert",
    "data_pipeline.films.cut_media.ClipCutter.add_frame",
    "data_pipeline.films.cut_media.ClipCutter._write",
    "data_pipeline.films.quality.ClipMeasure.add_frame",
    "data_pipeline.films.quality.ClipMeasure.judge",
    "data_pipeline.checks.duplicates.picture_hash",
    "data_pipeline.films.cut_result.Cutting.keep",
]
STILL_STAGES = [
    "data_pipeline.films.cut_films.FilmUnit.fingerprint",
    "data_pipeline.films.cut_films.cut_still_file",
    "data_pipeline.films.cut_still_file.check_file_size",
    "data_pipeline.films.cut_still_file.check_medium",
    "data_pipeline.films.cut_still_file.opened_still",
    "data_pipeline.films.cut_still_file.standard_still",
    "data_pipeline.films.cut_still_file.outline",
    "data_pipeline.films.cut_still_file.check_still",
    "data_pipeline.checks.duplicates.picture_hash",
]


def rows_of(films: Sequence[str]) -> list[dict[str, Any]]:
    """A clip and two stills of each film."""
    return [
        row(0.1, 1.4, "CU", "Pan left", film_id=name, media=f"{name}.mp4", shot_id=f"{name}-{number}")
        if number == 0
        else row(2.0 + number, size="WS", film_id=name, media=f"{name}.mp4", shot_id=f"{name}-{number}")
        for name in films
        for number in range(3)
    ]


ROWS = rows_of(("first", "bad", "last"))
BAD_LINES = {5, 6, 7}  # of the table


@pytest.fixture(scope="module")
def three_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    FILM.write(folder / "first.mp4")
    for name in ("bad", "last"):
        copy_as_another(folder / "first.mp4", folder / f"{name}.mp4")
    return folder


def copy_as_another(source: Path, target: Path) -> None:
    """Copy a film or picture so that it is another file with the same pictures: a copy is one film under two ids."""
    target.write_bytes(source.read_bytes() + f"free{target.name}".encode())


@pytest.fixture
def folder(three_films: Path, tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(three_films, tmp_path / "films")
    yield tmp_path / "films"
    work = tmp_path / "films" / "work" / "films"
    assert not [path for path in work.iterdir() if path.name.endswith(".partial")]


def pieces(shots: list[LabelledShot]) -> set[tuple[str, str, str]]:
    return {(shot.film_id, shot.shot_id, shot.media_sha256) for shot in shots}


def assert_all_rows_are_accounted_for(cut: Cut, rows: Sequence[dict[str, Any]] = ROWS) -> None:
    """Each still and clip that a row asks for is kept or lost with a defect, and the folder holds only those kept."""
    kept = {shot.shot_id for shot in cut.shots}
    lost = {defect.line for defect in cut.defects if defect.loses_row}
    for line, given in enumerate(rows, 2):
        wanted = {f"{given['shot_id']}-still"} | ({f"{given['shot_id']}-clip"} if given["camera_movement"] else set())
        assert wanted <= kept or line in lost, (line, wanted)
    stored = {path.stem for path in (cut.folder / "work").rglob("*.mp4")}
    stored |= {path.stem for path in (cut.folder / "work").rglob("*.jpg")}
    assert stored == kept


@pytest.fixture(scope="module")
def undisturbed(three_films: Path, tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str, str]]:
    other = tmp_path_factory.mktemp("undisturbed") / "films"
    shutil.copytree(three_films, other)
    cut = Cut(other, ROWS)
    assert_all_rows_are_accounted_for(cut)
    assert not cut.defects and len(cut.shots) == 12
    return pieces(cut.shots)


def cut_with(folder: Path, patch: pytest.MonkeyPatch, faults: Sequence[tuple[str, Exception]]) -> Cut:
    """Cut `first`, a film for each stage and fault, and `last`; every fault must cost rows of its own film only."""
    film = current_film(patch)
    names = [f"bad{number:02}" for number in range(len(faults))]
    raised = []
    for name, (stage, fault) in zip(names, faults, strict=True):
        copy_as_another(folder / "first.mp4", folder / f"{name}.mp4")
        raised.append(inject(patch, stage, fault, lambda *_, name=name, **__: film[0] == name))
    rows = rows_of(["first", *names, "last"])
    cut = Cut(folder, rows)
    lost = [defect for defect in cut.defects if defect.loses_row]
    assert {defect.path for defect in lost} == {f"{name}.mp4" for name in names}
    for number, name in enumerate(names):
        lines = {defect.line for defect in lost if defect.path == f"{name}.mp4"}
        assert raised[number] and lines <= {5 + 3 * number, 6 + 3 * number, 7 + 3 * number}, faults[number]
    assert_all_rows_are_accounted_for(cut, rows)
    return cut


@pytest.mark.slow
def test_a_film_that_raises_at_any_stage_costs_its_own_rows(
    folder: Path, undisturbed: set[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = cut_with(folder, monkeypatch, [(stage, fault_named("OddError")) for stage in FILM_STAGES])
    assert all("failed: OddError: odd" in defect.detail for defect in cut.defects if defect.loses_row)
    kept = {tuple(re.sub(r"^bad\d\d", "bad", field) for field in piece) for piece in pieces(cut.shots)}
    assert {piece for piece in undisturbed if piece[0] != "bad"} <= kept <= undisturbed


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage", ["cut_film.probe_film", "cut_pieces.read_progressive_frames", "cut_media.ClipCutter.add_frame"]
)
def test_exceptions_of_all_types_while_probing_decoding_and_encoding_cost_only_rows_of_the_film(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    cut_with(folder, monkeypatch, [(f"data_pipeline.films.{stage}", fault) for fault in FAULTS])


@pytest.mark.parametrize("stage", STILL_STAGES)
def test_a_still_file_that_raises_at_any_stage_costs_its_own_row(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    from tests.support.drawn_shots import drawn_film

    drawn = drawn_film(folder, 1, 1)[0].media_path
    for name in ("first", "bad", "last"):
        copy_as_another(folder / drawn, folder / f"{name}.jpg")
    given = [row(size="CU", film_id=name, media=f"{name}.jpg", shot_id=name) for name in ("first", "bad", "last")]
    settings = {"least_sharpness": 0.0, "least_side": 8}
    film = current_film(monkeypatch)
    raised = inject(monkeypatch, stage, fault_named("RecursionError"), lambda *_, **__: film[0] == "bad")
    cut = Cut(folder, given, **settings)
    assert raised
    assert [shot.film_id for shot in cut.shots] == ["first", "last"]
    (lost,) = cut.defects
    assert (lost.line, lost.path, lost.loses_row) == (3, "bad.jpg", True)
    assert "RecursionError" in lost.detail


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), OSError(28, "No space left on device")])
def test_an_interrupted_run_and_a_full_disk_still_end_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    film = current_film(monkeypatch)
    inject(monkeypatch, "data_pipeline.films.cut_pieces.cut_still", error, lambda *_, **__: film[0] == "bad")
    with pytest.raises((KeyboardInterrupt, SystemExit, RuntimeError)) as raised:
        Cut(folder, ROWS)
    assert raised.type in (KeyboardInterrupt, SystemExit) or "are missing" in str(raised.value)


def test_a_film_that_vanishes_while_others_are_cut_costs_its_own_rows(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = current_film(monkeypatch)
    original = films_module.cut_film

    def vanishing(unit: films_module.FilmUnit) -> films_module.CutFilm:
        result = original(unit)
        (folder / "bad.mp4").unlink(missing_ok=True)
        return result

    monkeypatch.setattr(films_module, "cut_film", vanishing)
    cut = Cut(folder, ROWS)
    assert film == ["last"] and {line for _, line in cut.losses} == BAD_LINES
    assert all("No such file" in defect.detail for defect in cut.defects)


@pytest.mark.slow
def test_checking_a_table_names_the_rows_of_a_film_that_raises_and_checks_all_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Cut(folder, ROWS)  # writes the table
    fault = fault_named("OddError")
    inject(monkeypatch, "data_pipeline.films.check_films.probe_film", fault, lambda path: path.stem == "bad")
    defects: list[Defect] = []
    checked = check_films(folder / "table.csv", folder, CutSettings(), Workers(), defects)
    assert (checked.rows, checked.usable) == (9, 6)
    assert [(defect.line, defect.path, defect.detail) for defect in defects] == [
        (line, "bad.mp4", "opening it failed: OddError: odd") for line in sorted(BAD_LINES)
    ]


@pytest.mark.verl
@pytest.mark.ray
def test_on_ray_a_film_that_kills_its_worker_and_one_that_raises_cost_their_own_rows(
    folder: Path, two_workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_as_another(folder / "first.mp4", folder / "killer.mp4")
    (folder / "bad.mp4").write_bytes(b"no film")
    rows = [*ROWS, row(2.0, size="CU", film_id="killer", media="killer.mp4", shot_id="k")]
    monkeypatch.setattr(films_module, "cut_film", cut_or_die)
    cut = Cut(folder, rows, two_workers)
    assert {shot.film_id for shot in cut.shots} == {"first", "last"} and len(cut.shots) == 8
    assert {(defect.line, defect.path) for defect in cut.defects} == {
        (5, "bad.mp4"), (6, "bad.mp4"), (7, "bad.mp4"), (11, "killer.mp4"),
    }  # fmt: skip
    assert cut.defects[-1].detail == WORKER_DIED
