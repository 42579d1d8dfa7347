"""Every notation of time in a table means one time, and what is none says what to write instead."""

from __future__ import annotations

from fractions import Fraction

import pytest

from data_pipeline.annotations.time_notation import BadTime, Unit, looks_like_time, parse_time, timecode_frame

NTSC, NTSC_60 = Fraction(30000, 1001), Fraction(60000, 1001)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("83.5", 83.5),
        ("83,5", 83.5),
        ("83.", 83.0),
        (".5", 0.5),
        ("83.5 s", 83.5),
        ("0:01:23.500", 83.5),
        ("00:01:23,500", 83.5),
        ("1:23.5", 83.5),
        ("01:23", 83.0),
        ("75:30", 4530.0),
        ("1:15:30", 4530.0),
        ("10:00:00", 36000.0),
    ],
)
def test_seconds_and_clock_times_are_seconds(text: str, seconds: float) -> None:
    assert parse_time("start", Unit.ANY, text).seconds == seconds


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        (Unit.ANY, "soon"),
        (Unit.ANY, "-1"),
        (Unit.ANY, "nan"),
        (Unit.ANY, "1e3"),
        (Unit.ANY, "0:99:00"),
        (Unit.ANY, "00:00:75"),
        (Unit.ANY, "00:75:00:01"),
        (Unit.ANY, "12:00:13 AM"),
        (Unit.FRAMES, "12.5"),
        (Unit.FRAMES, "00:00:01:00"),
        (Unit.TIMECODE, "83.5"),
        (Unit.TIMECODE, "00:00:12.12"),
    ],
)
def test_what_is_no_time_is_refused_with_what_to_write(unit: Unit, text: str) -> None:
    with pytest.raises(BadTime, match=r"column In: .*write .*\("):
        parse_time("In", unit, text)


def test_the_name_of_a_column_says_what_its_numbers_are() -> None:
    assert parse_time("start_frame", Unit.FRAMES, "47").frame == 47
    assert parse_time("start_frame", Unit.FRAMES, "47.0").frame == 47
    assert parse_time("start_ms", Unit.MILLISECONDS, "1500").seconds == 1.5
    assert parse_time("start_tc", Unit.TIMECODE, "0:00:01.250").seconds == 1.25


@pytest.mark.parametrize(
    ("text", "rate", "frame"),
    [
        ("00:00:01:05", Fraction(25), 30),
        ("00:00:01:05", Fraction(24000, 1001), 29),
        ("00:01:00:00", NTSC, 1800),
        ("00:00:59;29", NTSC, 1799),
        ("00:01:00;02", NTSC, 1800),
        ("00:10:00;00", NTSC, 17982),
        ("01:00:00;00", NTSC, 107892),
        ("00;01;00;02", NTSC, 1800),
        ("00:01:00;04", NTSC_60, 3600),
        ("01:00:00;00", NTSC_60, 215784),
        ("0:00:00:47", Fraction(48), 47),
    ],
)
def test_timecode_counts_frames_and_drop_frame_timecode_skips_labels(text: str, rate: Fraction, frame: int) -> None:
    assert timecode_frame(parse_time("in", Unit.ANY, text), rate) == frame


@pytest.mark.parametrize("rate", [NTSC, NTSC_60], ids=["29.97", "59.94"])
def test_drop_frame_timecode_stays_within_two_tenths_of_the_clock_over_a_day(rate: Fraction) -> None:
    for hours in range(24):
        for minutes in (0, 1, 9, 10, 59):
            time = parse_time("in", Unit.ANY, f"{hours:02}:{minutes:02}:30;00")
            clock = hours * 3600 + minutes * 60 + 30
            assert abs(timecode_frame(time, rate) / rate - clock) < 0.2


def test_all_drop_frame_labels_of_ten_minutes_are_consecutive_frames() -> None:
    labels = [
        f"00:{minute:02}:{second:02};{frame:02}"
        for minute in range(10)
        for second in range(60)
        for frame in range(30)
        if not (minute % 10 and second == 0 and frame < 2)
    ]
    assert [timecode_frame(parse_time("in", Unit.ANY, label), NTSC) for label in labels] == list(range(17982))


@pytest.mark.parametrize(
    ("text", "rate", "message"),
    [
        ("00:00:01:25", Fraction(25), "write frames from 00 to 24"),
        ("00:00:01;05", Fraction(25), "write a colon"),
        ("00:00:01;05", Fraction(30), "write a colon"),
        ("00:00:01;05", Fraction(24000, 1001), "write a colon"),
        ("00:01:00;01", NTSC, "is 00:01:00;02"),
        ("00:07:00;03", NTSC_60, "is 00:07:00;04"),
    ],
)
def test_a_timecode_that_the_rate_does_not_have_is_refused(text: str, rate: Fraction, message: str) -> None:
    with pytest.raises(BadTime, match=message):
        timecode_frame(parse_time("in", Unit.ANY, text), rate)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:00:13", True),
        ("1:05", True),
        ("00:00:01:05", True),
        ("00:00:01;05", True),
        ("00:00:01.5 - 00:00:03", True),
        ("00:00:01,500 --> 00:00:03,000", True),
        ("16:9", False),
        ("2.39:1", False),
        ("1995", False),
        ("2024-01-01T12:30:00", False),
        ("Act 1: Harbour", False),
        ("", False),
    ],
)
def test_what_can_only_be_a_time_is_told_from_ratios_and_dates(text: str, expected: bool) -> None:
    assert looks_like_time(text) is expected
