"""Whatever is raised while one film is cut for labelling, at whatever stage: it is named, and other films are cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.cut_shots import CutShots
from data_pipeline.films.film_sources import FilmSource, find_films
from data_pipeline.films.label_media import CUTTING, LabelUnit, cut_or_load
from tests.support.injected_faults import fault_named, inject
from tests.support.made_films import MadeFilm

FILM_STAGES = [
    "label_media.LabelUnit.fingerprint",
    "label_media.cut_shots",
    "cut_shots.probe_film",
    "cut_shots.facts_of",
    "cut_shots.outline_of_keyframes",
    "cut_shots.choose_crop",
    "detect_shots.ShotDetector.process_frame",
    "detect_shots.ShotDetector.settled_cuts",
    "deinterlace.read_frames",
    "middle_frames.MiddleFrames.add_frame",
    "shot_media.middle_frame",
    "shot_media.cut_still",
    "shot_media.check_still",
    "shot_media.ClipCutter",
    "cut_media.ClipCutter.add_frame",
    "cut_media.ClipCutter._write",
]
STILL_STAGES = ["label_media.prepared_still", "label_media.displayed", "label_media.check_still"]


def cut_all(folder: Path) -> list[CutShots]:
    """Cut the films and stills of a folder, each on its own."""
    sources = find_films([folder], skipped=folder / "labels")
    return [cut_or_load(LabelUnit(source, folder / "labels", CutSettings())) for source in sources]


@pytest.mark.parametrize(
    ("stages", "suffix", "shots"),
    [
        pytest.param(FILM_STAGES, ".mp4", 3, id="films", marks=pytest.mark.slow),
        pytest.param(STILL_STAGES, ".png", 1, id="stills"),
    ],
)
def test_a_film_that_raises_at_any_stage_is_named_and_the_others_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: Sequence[str], suffix: str, shots: int
) -> None:
    """A film for each stage, which raises at that stage, and one that does not."""
    names = [f"bad{number:02}" for number in range(len(stages))]
    for name in (*names, "last"):
        if suffix == ".png":
            Image.fromarray(next(MadeFilm().pictures())).save(tmp_path / f"{name}.png")
        else:
            MadeFilm().write(tmp_path / f"{name}.mp4")
    current: list[str] = []
    fingerprint = LabelUnit.fingerprint

    def observed(unit: LabelUnit) -> str:
        current[:] = [unit.source.film_id]
        return fingerprint(unit)

    monkeypatch.setattr(LabelUnit, "fingerprint", observed)
    raised = []
    for name, stage in zip(names, stages, strict=True):
        applies: Callable[..., bool] = (
            (lambda unit, name=name: unit.source.film_id == name)
            if "fingerprint" in stage
            else (lambda *_, name=name, **__: current == [name])
        )
        raised.append(inject(monkeypatch, f"data_pipeline.films.{stage}", fault_named("OddError"), applies))
    *bad, last = cut_all(tmp_path)
    assert len(last.shots) == shots and not last.facts.defects
    for name, stage, cut, faults in zip(names, stages, bad, raised, strict=True):
        assert faults, stage
        assert "OddError: odd" in " ".join([*cut.facts.defects, *(shot.remark for shot in cut.shots)]), stage
        kept = {Path(path).name for shot in cut.shots for path in (shot.still, shot.clip) if path} | {CUTTING}
        stored = {path.name for path in (tmp_path / "labels" / "media" / name).glob("*")}
        assert stored in (kept, set()), stage
    assert not list(tmp_path.glob("labels/media/.*"))
    monkeypatch.undo()
    *again, same = cut_all(tmp_path)
    assert same == last._replace(decoded=0)  # nothing is decoded again
    for stage, before, after in zip(stages, bad, again, strict=True):
        assert after.shots == before.shots or not before.shots, f"{stage}: shots that were cut are not cut again"


def test_a_moved_film_keeps_its_media_and_gets_its_new_path(tmp_path: Path) -> None:
    MadeFilm().write(tmp_path / "old" / "heat.mp4")
    unit = LabelUnit(FilmSource("heat", "heat.mp4", tmp_path / "old" / "heat.mp4"), tmp_path / "labels", CutSettings())
    first = cut_or_load(unit)
    (tmp_path / "old").rename(tmp_path / "new")
    media = tmp_path / "labels" / "media" / "heat" / "heat-0001.mp4"
    time = media.stat().st_mtime_ns
    moved = tmp_path / "new" / "heat.mp4"
    second = cut_or_load(replace(unit, source=FilmSource("heat", "heat.mp4", moved)))
    assert (second.shots, second.facts) == (first.shots, replace(first.facts, path=str(moved)))
    assert media.stat().st_mtime_ns == time
