"""The times of a table select the same frames in every notation, and none outside the film is cut in silence."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.annotations.time_notation import BadTime, Unit, parse_time
from data_pipeline.defects import DefectKind
from data_pipeline.films.film_clock import FilmClock
from data_pipeline.films.film_probe import Film, probe_film
from tests.support.film_cuts import Cut
from tests.support.made_films import MadeFilm, MadeShot

ONE_SHOT = MadeFilm(shots=(MadeShot(130, 1),))
BAD, OUTSIDE = DefectKind.BAD_ROW, DefectKind.OUTSIDE_FILM
NTSC, CINEMA = Fraction(30000, 1001), Fraction(24000, 1001)


def row(**cells: str) -> dict[str, Any]:
    return {"film_id": "heat", "media": "heat.mp4", "camera_movement": "Arc"} | cells


def code(number: int, rate: Fraction, drop: str = ":") -> str:
    """SMPTE timecode of a frame below one minute."""
    seconds, frames = divmod(number, round(rate))
    return f"00:00:{seconds:02}{drop}{frames:02}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "rate", [Fraction(25), CINEMA, NTSC, Fraction(60000, 1001)], ids=["25", "23.98", "29.97", "59.94"]
)
def test_every_notation_of_a_time_selects_the_same_frames(tmp_path: Path, rate: Fraction) -> None:
    MadeFilm(shots=(MadeShot(82, 1),), size=(128, 72)).write(tmp_path / "heat.mp4", rate=rate)
    first, last = 25, 75
    start, end = (f"{float(number / rate):.3f}" for number in (first, last))
    forms = [
        {"start": start, "end": end},
        {"start_time": f"00:00:0{start}", "end_time": f"0:0{end}".replace(".", ",")},
        {"tc_in": code(first, rate), "tc_out": code(last, rate)},
        {"in": code(first, rate), "out": code(last, rate)},
        {"start_frame": str(first), "end_frame": f"{last}.0"},
        {"from": start, "duration": f"{float((last - first) / rate):.3f}"},
        {"start_timecode": code(first, rate), "duration_frames": str(last - first)},
        {"start_frame": str(first), "duration_timecode": code(last - first, rate)},
        {"start_sec": start, "start_tc": code(first, rate), "end_sec": end, "end_frame": str(last)},
        {"start_ms": f"{float(1000 * first / rate):.0f}", "end_ms": f"{float(1000 * last / rate):.0f}"},
    ]
    if rate.denominator == 1001 and rate != CINEMA:
        forms.append({"start": code(first, rate, ";"), "end": code(last, rate, ";")})
    for form in forms:
        cut = Cut(tmp_path, [row(**form)], least_change=0, least_side=72)
        assert not cut.defects, form
        assert cut.numbers(cut.shots[0]) == list(range(first, last)), form


@pytest.mark.parametrize(
    "still", [{"still": "2.0"}, {"still_tc": "00:00:02:00"}, {"still_frame": "48"}, {"start_frame": "48"}]
)
def test_a_still_may_be_given_in_every_notation(tmp_path: Path, still: dict[str, str]) -> None:
    ONE_SHOT.write(tmp_path / "heat.mp4")
    cut = Cut(tmp_path, [row(**still) | {"camera_movement": "", "shot_size": "CU"}])
    assert [cut.numbers(shot) for shot in cut.shots] == [[48]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cells", "kind", "message"),
    [
        ({"start": "1", "start_timecode": "00:00:02:00", "end": "4"}, BAD, "differ by more than a frame"),
        ({"start": "1", "end_frame": "72", "end": "2.9"}, BAD, "column end_frame: 72 (3.000 s) and end, 2.9 s"),
        ({"start": "1", "end": "3", "duration": "1.5"}, BAD, "column duration: the start plus 1.5 (2.500 s)"),
        ({"tc_in": "00:00:03:00", "tc_out": "00:00:01:00"}, BAD, "is not after tc_in, 00:00:03:00 (3.000 s)"),
        ({"start": "1", "duration": "0"}, BAD, "column duration: 0 is no duration"),
        ({"start_frame": "24", "end_frame": "24"}, BAD, "column end_frame: 24 (1.000 s) is not after"),
        ({"start": "1", "end": "2", "still_frame": "72"}, BAD, "column still_frame: 72 (3.000 s) is not between"),
        ({"start": "00:00:01:24", "end": "3"}, BAD, "write frames from 00 to 23"),
        ({"start": "00:00:01;10", "end": "3"}, BAD, "write a colon before the frames"),
        ({"tc_in": "00:00:07:00", "tc_out": "00:00:08:00"}, OUTSIDE, "column tc_in: 00:00:07:00 (7.000 s), but"),
        ({"start": "1", "end_frame": "140"}, OUTSIDE, "column end_frame: 140 (5.833 s), but the film lasts 5.417 s"),
        ({"start": "24", "end": "96"}, OUTSIDE, "call the column start_frame or start_ms"),
        ({"start": "1", "duration": "48"}, OUTSIDE, "call the column duration_frame or duration_ms"),
        ({"end_frame": "48"}, BAD, "column start: empty, but end_frame is given"),
        ({"duration": "2"}, BAD, "column start: empty, but duration is given"),
    ],
)
def test_a_time_that_cannot_be_meant_costs_its_row_and_names_column_and_value(
    tmp_path: Path, cells: dict[str, str], kind: DefectKind, message: str
) -> None:
    ONE_SHOT.write(tmp_path / "heat.mp4")
    cut = Cut(tmp_path, [row(**cells), row(start="0", end="1")], least_change=0)
    assert cut.losses == [(kind, 2)]
    assert message in cut.defects[0].detail
    assert [cut.numbers(shot) for shot in cut.shots] == [list(range(24))]


def test_forms_that_differ_by_a_frame_agree_and_seconds_count(tmp_path: Path) -> None:
    ONE_SHOT.write(tmp_path / "heat.mp4")
    cells = {"Start Frame": "25", "Start Timecode": "00:00:01.000", "Start Time (seconds)": "1.000", "end": "2.5"}
    cut = Cut(tmp_path, [row(**cells)], least_change=0)
    assert cut.numbers(cut.shots[0]) == list(range(24, 60)) and not cut.defects


def test_timecode_of_a_film_with_a_variable_frame_rate_is_refused_and_its_seconds_are_not(tmp_path: Path) -> None:
    times = [number * 0.04 if number < 60 else 2.4 + (number - 60) * 0.1 for number in range(130)]
    ONE_SHOT.write(tmp_path / "heat.mp4", times=times)
    cut = Cut(tmp_path, [row(start="00:00:02:00", end="00:00:04:00"), row(start="2.6", end="3.6")], least_change=0)
    assert cut.losses == [(DefectKind.BAD_ROW, 2)]
    assert "no constant frame rate; write seconds" in cut.defects[0].detail
    assert cut.numbers(cut.shots[0]) == list(range(62, 72))


def clock(rate: Fraction, frames: int, own: str = "") -> FilmClock:
    ticks = range(0, frames * rate.denominator, rate.denominator)
    shape = (Path(), 64, 48, 0, Fraction(1), Fraction(1, rate.numerator), ticks, frames * rate.denominator, [0], rate)
    return FilmClock(Film(*shape, 2, 2, 2, False, "avc1", own))


def seconds(of: FilmClock, text: str) -> float:
    return of.seconds(parse_time("in", Unit.ANY, text))


def test_timecode_stays_at_its_frame_over_the_length_of_a_feature_film() -> None:
    film = clock(NTSC, 2 * 3600 * 30)
    assert seconds(film, "01:00:00:00") == pytest.approx(3603.6)
    assert seconds(film, "01:00:00;00") == pytest.approx(3599.9964)
    assert seconds(clock(CINEMA, 3600 * 24), "00:30:00:12") == pytest.approx(43212 / CINEMA)


def test_timecode_counts_from_the_films_own_where_it_can_only_be_meant_so() -> None:
    film = clock(Fraction(25), 250, "01:00:00:00")
    assert seconds(film, "01:00:03:05") == pytest.approx(3.2)
    assert seconds(film, "00:00:03:05") == pytest.approx(3.2)
    with pytest.raises(BadTime, match=r"3.200 s counted from the first frame, but 1.200 s by the film's own timecode"):
        seconds(clock(Fraction(25), 250, "00:00:02:00"), "00:00:03:05")


@pytest.mark.parametrize("container", ["mov", "matroska"])
def test_rows_in_the_timecode_of_the_camera_select_its_frames(tmp_path: Path, container: str) -> None:
    ONE_SHOT.write(tmp_path / "heat.mp4", timecode="10:00:00:00", container=container)
    assert probe_film(tmp_path / "heat.mp4").start_timecode == "10:00:00:00"
    rows = [row(tc_in="10:00:01:00", tc_out="10:00:02:12"), row(tc_in="11:00:01:00", tc_out="11:00:02:12")]
    cut = Cut(tmp_path, rows, least_change=0)
    assert cut.numbers(cut.shots[0]) == list(range(24, 60))
    assert cut.losses == [(DefectKind.OUTSIDE_FILM, 3)]
    assert "its own timecode begins at 10:00:00:00" in cut.defects[0].detail
