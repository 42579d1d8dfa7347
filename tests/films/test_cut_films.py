"""From a folder of films and an annotation table to labelled shots: what is cut, and what is dropped and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from data_pipeline.defects import DefectKind
from data_pipeline.films.cut_settings import BadSettings, CutSettings
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.film_cuts import Cut, row
from tests.support.made_films import MadeFilm, MadeShot, clip_frames

FILM = MadeFilm()  # shots of 36, 48 and 36 frames at 24 fps: cuts at 1.5 and 3.5 s
UNEVEN = [number * 0.05 + (number % 3) * 0.01 for number in range(FILM.frames)]


@pytest.mark.parametrize("times", [(), UNEVEN], ids=["constant", "variable"])
def test_a_row_gives_a_clip_of_its_range_and_a_still_from_its_middle(tmp_path: Path, times: Sequence[float]) -> None:
    FILM.write(tmp_path / "heat.mp4", times=times)
    film_time = MadeFilm(times=times).time_of
    cut = Cut(tmp_path, [row(film_time(40), film_time(80), "MCU", "dolly in")])
    clip, still = cut.shots
    assert (clip.media_kind, still.media_kind) == (MediaKind.CLIP, MediaKind.STILL)
    assert (dict(clip.labels), dict(still.labels)) == ({"camera_movement": "Push in"}, {"shot_size": "Medium Close Up"})
    assert cut.numbers(clip) == list(range(40, 80))
    assert cut.numbers(still) == [60]
    assert (clip.start_seconds, clip.end_seconds) == pytest.approx((film_time(40), film_time(80)), abs=1e-3)
    assert clip.perceptual_hash and still.perceptual_hash
    assert not cut.defects


def test_a_single_time_selects_a_still_or_the_shot_that_contains_it(tmp_path: Path) -> None:
    FILM.write(tmp_path / "heat.mp4")
    cut = Cut(tmp_path, [row(1.0, size="CU"), row(2.0, move="Pan left"), row(3.0, size="WS", still=4.0, end=4.9)])
    assert [cut.numbers(shot) for shot in cut.shots] == [[24], list(range(36, 84))]
    assert cut.losses == [(DefectKind.ACROSS_CUT, 4)]


def test_a_range_across_a_cut_is_dropped_and_one_a_frame_too_long_is_trimmed(tmp_path: Path) -> None:
    FILM.write(tmp_path / "heat.mp4")
    cut = Cut(tmp_path, [row(34 / 24, 86 / 24, move="Arc"), row(0, 1.7, move="Arc")])
    assert cut.numbers(cut.shots[0]) == list(range(36, 84))
    (lost,) = cut.defects
    assert (lost.kind, lost.line) == (DefectKind.ACROSS_CUT, 3)
    assert "1.500 s" in lost.detail


def test_bars_are_cropped_equally_from_clips_and_stills(tmp_path: Path) -> None:
    FILM.write(tmp_path / "heat.mp4", size=(256, 200), bars=26)
    cut = Cut(tmp_path, [row(1.5, 3.5, "CU", "Arc"), row(4.0, size="WS")])
    sizes = {clip_frames(tmp_path / "work" / cut.shots[0].media_path)[0][1].shape[:2]}
    sizes |= {Image.open(tmp_path / "work" / shot.media_path).size[::-1] for shot in cut.shots[1:]}
    assert sizes == {(148, 256)}
    assert [cut.numbers(shot)[0] for shot in cut.shots] == [36, 60, 96]


@pytest.mark.slow
def test_a_film_of_two_formats_is_cropped_shot_by_shot(tmp_path: Path) -> None:
    shots = (MadeShot(36, 1), MadeShot(72, 2, bars=0))
    one_keyframe = {"x264-params": "scenecut=0:keyint=999"}  # so that the film's outline is that of its first shot
    MadeFilm(shots=shots, size=(256, 200), bars=26).write(tmp_path / "heat.mp4", options=one_keyframe)
    cut = Cut(tmp_path, [row(0.5, size="CU"), row(2.0, size="CU")])
    assert [Image.open(tmp_path / "work" / shot.media_path).size for shot in cut.shots] == [(256, 148), (256, 200)]
    (tmp_path / "table.csv").unlink()
    cut = Cut(tmp_path, [row(0.5, size="CU"), row(1.5, 4.5, move="Arc")])
    assert clip_frames(tmp_path / "work" / cut.shots[1].media_path)[0][1].shape == (200, 256, 3)


def test_an_end_rounded_up_beyond_the_film_is_the_end_of_the_film(tmp_path: Path) -> None:
    FILM.write(tmp_path / "heat.mp4")
    cut = Cut(tmp_path, [row(3.6, 5.05, move="Arc"), row(3.7, 5.2, move="Arc")])
    assert cut.numbers(cut.shots[0]) == list(range(87, 120))
    assert cut.losses == [(DefectKind.OUTSIDE_FILM, 3)]


def test_a_dark_scene_is_not_cropped(tmp_path: Path) -> None:
    night = MadeFilm(shots=(MadeShot(48, 1, light=0.07), MadeShot(48, 2, light=0.3)), size=(256, 144))
    night.write(tmp_path / "heat.mp4")
    cut = Cut(tmp_path, [row(0, 2, size="CU"), row(2, 4, size="CU")], least_brightness=0.0)
    assert {Image.open(tmp_path / "work" / shot.media_path).size for shot in cut.shots} == {(256, 144)}


def test_every_row_that_cannot_be_cut_is_accounted_for(tmp_path: Path) -> None:
    FILM.write(tmp_path / "heat.mp4")
    encoded = FILM.write(tmp_path / "off.mkv", container="matroska").read_bytes()
    (tmp_path / "off.mkv").write_bytes(encoded[: len(encoded) // 2])
    (tmp_path / "still.jpg").write_bytes(b"no picture")
    rows = [
        row(9.0, size="CU"),
        row(4.0, 9.0, size="CU"),
        row(1.0, 1.2, move="Arc"),
        row(2.0, 2.0001, size="CU"),
        row(1.0, size="CU", film_id="off", media="off.mkv"),
        row(0.5, size="CU", film_id="off", media="off.mkv"),
        row(size="CU", film_id="off", media="still.jpg"),
        row(0.4, size="CU"),
        row(0.4, size="CU", film_id="empty", media="empty.mp4"),
    ]
    (tmp_path / "empty.mp4").touch()
    cut = Cut(tmp_path, rows)
    assert cut.losses == [
        (DefectKind.OUTSIDE_FILM, 2),
        (DefectKind.OUTSIDE_FILM, 3),
        (DefectKind.TOO_SHORT, 4),
        (DefectKind.TOO_SHORT, 5),
        (DefectKind.UNREADABLE_FILM, 6),
        (DefectKind.UNREADABLE_FILM, 7),
        (DefectKind.UNDECODABLE_MEDIUM, 8),
        (DefectKind.UNREADABLE_FILM, 10),
    ]
    assert [cut.numbers(shot) for shot in cut.shots] == [[9]]
    files = sorted(path.name for path in (tmp_path / "work").rglob("*") if path.suffix in (".jpg", ".mp4"))
    assert files == [Path(shot.media_path).name for shot in cut.shots]


def test_duplicate_times_and_shots_are_dropped(tmp_path: Path) -> None:
    FILM.write(tmp_path / "heat.mp4")
    cut = Cut(tmp_path, [row(0.5, size="CU"), row(0.51, size="WS"), row(2, move="Arc"), row(3, move="Push in")])
    assert [shot.start_seconds for shot in cut.shots] == [0.5, 1.5]
    assert cut.losses == [(DefectKind.DUPLICATE_PICTURE, 3), (DefectKind.DUPLICATE_PICTURE, 5)]


@pytest.mark.slow
def test_high_dynamic_range_is_mapped_with_a_warning_or_refused(tmp_path: Path) -> None:
    context = {"color_primaries": 9, "color_trc": 16, "colorspace": 9}
    FILM.write(tmp_path / "heat.mp4", codec="libx265", pixels="yuv420p10le", context=context)
    mapped = Cut(tmp_path, [row(1.5, 3.5, move="Arc")])
    assert mapped.numbers(mapped.shots[0]) == list(range(36, 84))
    assert [(defect.kind, defect.loses_row) for defect in mapped.defects] == [(DefectKind.TONE_MAPPED, False)]
    refused = Cut(tmp_path, [row(1.5, 3.5, move="Arc")], high_dynamic_range="refuse")
    assert refused.losses == [(DefectKind.HIGH_DYNAMIC_RANGE, 2)]


def test_a_fast_pan_is_not_a_cut(tmp_path: Path) -> None:
    MadeFilm(shots=(MadeShot(24, 1, drift=0.5), MadeShot(18, 2, drift=4.0), MadeShot(24, 3))).write(
        tmp_path / "heat.mp4"
    )
    cut = Cut(tmp_path, [row(1.0, 1.75, move="Pan right"), row(0.5, 1.5, move="Arc")])
    assert [cut.numbers(shot) for shot in cut.shots] == [list(range(24, 42))]
    assert cut.losses == [(DefectKind.ACROSS_CUT, 3)]


def test_a_film_damaged_in_the_middle_loses_only_the_media_there(tmp_path: Path) -> None:
    encoded = bytearray(FILM.write(tmp_path / "heat.mp4", options={"g": "12"}).read_bytes())
    begin = encoded.index(b"mdat")
    middle = begin + (len(encoded) - begin) * 3 // 4
    encoded[middle : middle + 3000] = bytes(3000)
    (tmp_path / "heat.mp4").write_bytes(encoded)
    cut = Cut(tmp_path, [row(0.5, size="CU"), row(4.8, size="CU"), row(3.8, 4.2, size="CU")])
    assert len(cut.shots) + len(cut.losses) == 3
    assert all(cut.numbers(shot) == [round((shot.start_seconds or 0) * 24)] for shot in cut.shots)
    assert DefectKind.UNREADABLE_FILM in {kind for kind, _ in cut.losses}


def test_settings_come_from_a_file_and_unknown_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.toml").write_text("clip_crf = 20\nleast_brightness = 10\n")
    assert CutSettings.read(tmp_path / "cut.toml") == CutSettings(clip_crf=20, least_brightness=10.0)
    for text, message in {
        "crf = 20": "crf",
        "clip_crf = '20'": "clip_crf",
        "clip_crf = 2.5": "int",
        "x": "TOML",
    }.items():
        (tmp_path / "cut.toml").write_text(text)
        with pytest.raises(BadSettings, match=message):
            CutSettings.read(tmp_path / "cut.toml")
