"""All shots of a film, each with a key still and a clip: in one decode, whatever the film is like."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from data_pipeline.films import shot_media
from data_pipeline.films.cut_film import scan_ranges
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.film_probe import probe_film, read_frames
from data_pipeline.films.middle_frames import MiddleFrames
from tests.films.test_odd_media import sound
from tests.films.test_shot_detection import MIXED
from tests.support.decoded_frames import count_decoded
from tests.support.made_films import MadeFilm, MadeShot
from tests.support.shot_cuts import ShotsOf

FILM = MadeFilm()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    return count_decoded(monkeypatch)


def test_every_shot_has_a_still_of_its_middle_and_a_clip_of_all_its_frames(tmp_path: Path) -> None:
    film = FILM.write(tmp_path / "heat.mp4", timecode="01:00:00:00")
    cut = ShotsOf(film)
    assert cut.ranges == [(0, 36), (36, 84), (84, 120)]
    assert [cut.number_of_still(shot) for shot in cut.shots] == [18, 60, 102]
    assert [cut.numbers_of_clip(shot) for shot in cut.shots] == [list(range(*one)) for one in cut.ranges]
    assert [shot.shot_id for shot in cut.shots] == ["heat-0001", "heat-0002", "heat-0003"]
    assert [(shot.start_seconds, shot.end_seconds) for shot in cut.shots] == [(0, 1.5), (1.5, 3.5), (3.5, 5)]
    facts = cut.facts
    assert (facts.frame_rate, facts.frames, facts.width, facts.height) == (Fraction(24), 120, 256, 144)
    assert (facts.start_timecode, facts.defects, facts.path) == ("01:00:00:00", (), str(film))
    assert not any(shot.remark for shot in cut.shots)


@pytest.mark.slow
@pytest.mark.parametrize("flash_frames", [0, 6])
@pytest.mark.parametrize("detector", ["adaptive", "histogram", "content", "threshold"])
def test_the_cuts_are_those_of_a_scan_of_the_complete_film(tmp_path: Path, detector: str, flash_frames: int) -> None:
    film = MIXED.write(tmp_path / "heat.mp4")
    settings = CutSettings(detector=detector, flash_frames=flash_frames)
    probed = probe_film(film)
    cuts, removed, _ = scan_ranges(probed, [(0, probed.frames)], settings)
    cut = ShotsOf(film, detector=detector, flash_frames=flash_frames)
    assert cut.ranges == list(pairwise([0, *cuts, probed.frames]))
    assert bool(removed) == any("changes that are no cuts" in defect for defect in cut.facts.defects)


@pytest.mark.parametrize(("detector", "times"), [("adaptive", 1), ("histogram", 1), ("content", 2), ("threshold", 2)])
def test_a_film_is_decoded_once_unless_the_detector_needs_all_of_it(
    tmp_path: Path, decoded: Counter[int], detector: str, times: int
) -> None:
    ShotsOf(FILM.write(tmp_path / "heat.mp4"), detector=detector, crop_bars=False)
    assert decoded == dict.fromkeys(range(FILM.frames), times)


def test_an_interlaced_film_has_the_cuts_of_its_stored_frames_and_deinterlaced_media(
    tmp_path: Path, decoded: Counter[int]
) -> None:
    film = FILM.write(tmp_path / "heat.mp4", interlaced=range(40, 80), options={"flags": "+ildct+ilme"})
    cut = ShotsOf(film, crop_bars=False)
    assert cut.ranges == [(0, 36), (36, 84), (84, 120)]
    assert cut.numbers_of_clip(cut.shots[1]) == list(range(36, 84))
    assert any("frames of two fields were deinterlaced" in defect for defect in cut.facts.defects)
    assert max(decoded.values()) <= 2 and sum(decoded.values()) <= FILM.frames + 40, "decoded again where it begins"


def test_a_still_avoids_a_flash_in_the_middle_of_its_shot(tmp_path: Path) -> None:
    cut = ShotsOf(MIXED.write(tmp_path / "heat.mp4"))
    assert cut.ranges[0] == (0, 30)
    assert cut.number_of_still(cut.shots[0]) == 14  # frames 15 and 16 are white


@pytest.mark.parametrize("length", [1, 2, 7, 20, 29, 30, 77, 120])
def test_the_middle_of_a_shot_of_any_length_is_found_in_bounded_memory(tmp_path: Path, length: int) -> None:
    film = probe_film(MadeFilm(shots=(MadeShot(120, 1),)).write(tmp_path / "heat.mp4"))
    size = 256 * 144 * 3 // 2
    middle = MiddleFrames(film, 0, 2, kept_bytes=10 * size)
    for number, frame in read_frames(film, 0, length):
        middle.add_frame(number, frame)
        assert len(middle._frames) <= 10
    wanted = length // 2
    assert middle.frame(wanted).pts == film.times[wanted]
    assert wanted in middle._frames or length > 30, "only the middles of long shots are decoded again"


def test_a_clip_of_a_long_shot_is_limited_and_its_still_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shot_media, "LONGEST_CLIP_SECONDS", 1.0)
    cut = ShotsOf(FILM.write(tmp_path / "heat.mp4"))
    assert [cut.numbers_of_clip(shot) for shot in cut.shots] == [list(range(n, n + 24)) for n in (0, 36, 84)]
    assert cut.number_of_still(cut.shots[1]) == 60
    assert cut.shots[1].remark == "the clip shows its first 1 s"


def test_bars_are_cropped_by_the_film_but_not_from_a_shot_that_has_none(tmp_path: Path) -> None:
    shots = (MadeShot(30, 1), MadeShot(30, 2, bars=0), MadeShot(30, 3))
    cut = ShotsOf(MadeFilm(shots=shots, size=(256, 200), bars=28).write(tmp_path / "heat.mp4"))
    sizes = [cut.size_of_still(shot) for shot in cut.shots]
    assert sizes == [(256, 144), (256, 200), (256, 144)]


def test_a_portrait_film_of_a_phone_is_upright(tmp_path: Path) -> None:
    cut = ShotsOf(FILM.write(tmp_path / "heat.mp4", size=(144, 256), turned=90))
    assert (cut.facts.width, cut.facts.height) == (144, 256)
    assert cut.size_of_still(cut.shots[0]) == (144, 256)
    assert cut.number_of_still(cut.shots[0]) == 18


def test_a_film_of_one_frame_has_a_still_and_no_clip(tmp_path: Path) -> None:
    cut = ShotsOf(MadeFilm(shots=(MadeShot(1, 1),)).write(tmp_path / "heat.mp4"))
    (shot,) = cut.shots
    assert (shot.first_frame, shot.end_frame, shot.clip, shot.remark) == (0, 1, "", "no clip: it has one frame")
    assert shot.still and not list(cut.folder.glob("*.mp4"))


def test_a_film_without_cuts_is_one_shot_and_said_so(tmp_path: Path) -> None:
    cut = ShotsOf(MadeFilm(shots=(MadeShot(50, 1),)).write(tmp_path / "heat.mp4"))
    assert cut.ranges == [(0, 50)]
    assert cut.facts.defects == ("no cut was found: the film is one shot",)


def test_a_film_of_variable_rate_is_named_and_cut_by_its_times(tmp_path: Path) -> None:
    times = [number / 24 if number < 60 else 60 / 24 + (number - 60) / 12 for number in range(120)]
    cut = ShotsOf(FILM.write(tmp_path / "heat.mp4", times=times))
    assert any("frame rate varies" in defect for defect in cut.facts.defects)
    assert cut.shots[1].start_seconds == pytest.approx(times[36], abs=1e-3)
    assert cut.number_of_still(cut.shots[1]) == 66  # in the middle of 1.5 s to 4.5 s


def test_a_dark_shot_is_kept_with_a_remark(tmp_path: Path) -> None:
    cut = ShotsOf(MadeFilm(shots=(MadeShot(30, 1), MadeShot(30, 2, light=0.08))).write(tmp_path / "heat.mp4"))
    assert [bool(shot.still and shot.clip) for shot in cut.shots] == [True, True]
    assert cut.shots[1].remark.startswith("too dark: ")


def test_shots_before_and_after_a_damaged_part_are_kept(tmp_path: Path) -> None:
    film = FILM.write(tmp_path / "heat.mp4", options={"g": "12", "sc_threshold": "0"})
    damage_frame(film, 50)
    cut = ShotsOf(film)
    assert cut.ranges[0] == (0, 36) and cut.ranges[-1] == (84, 120)
    assert any("cannot be decoded" in defect for defect in cut.facts.defects)
    assert any(shot.remark == "it ends where the film is damaged" for shot in cut.shots)
    assert [shot.number for shot in cut.shots] == list(range(1, len(cut.shots) + 1))
    for shot in cut.shots:
        assert cut.number_of_still(shot) == (shot.first_frame + shot.end_frame) // 2


def damage_frame(path: Path, number: int) -> None:
    """Overwrite the slice data of a frame."""
    with av.open(str(path)) as container:
        packets = sorted((packet.pts, packet.pos, packet.size) for packet in container.demux(video=0) if packet.size)
    _, position, size = packets[number]
    encoded = bytearray(path.read_bytes())
    encoded[position + 4 : position + size] = bytes(size - 4)
    path.write_bytes(encoded)


@pytest.mark.parametrize(
    ("content", "defect"),
    [
        (b"", "an empty file"),
        (b"no film at all" * 100, "cannot be decoded"),
        (None, "cut off"),
    ],
)
def test_a_film_that_cannot_be_read_has_no_shots_and_says_why(
    tmp_path: Path, content: bytes | None, defect: str
) -> None:
    film = FILM.write(tmp_path / "heat.mp4", options={"movflags": "+faststart"}, container="mp4")
    encoded = film.read_bytes()
    film.write_bytes(encoded[: len(encoded) * 2 // 3] if content is None else content)
    cut = ShotsOf(film)
    assert cut.shots == [] and not list(cut.folder.iterdir())
    assert len(cut.facts.defects) == 1
    assert defect in cut.facts.defects[0] or content is None


def test_a_file_with_sound_only_says_so(tmp_path: Path) -> None:
    path = tmp_path / "heat.m4a"
    sound(path)
    cut = ShotsOf(path)
    assert cut.shots == [] and "no video stream" in cut.facts.defects[0]


def test_a_limit_stops_after_so_many_shots(tmp_path: Path, decoded: Counter[int]) -> None:
    cut = ShotsOf(FILM.write(tmp_path / "heat.mp4"), limit=1, crop_bars=False)
    assert cut.ranges == [(0, 36)]
    assert cut.facts.defects == ("only its first 1 shots were cut, as requested",)
    assert max(decoded) < 60
