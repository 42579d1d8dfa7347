"""Shots out of timelines that editing systems write: by media, by position, with dissolves, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import opentimelineio as otio
import pytest

from lmms_eval_shotbench.labelling.exports.timeline_files import BadTimeline
from lmms_eval_shotbench.labelling.exports.timeline_shots import TimelineShot, read_shot_ranges
from lmms_eval_shotbench.labelling.exports.timelines import FORMATS, write_timelines
from lmms_eval_shotbench.labelling.shot import FilmFacts
from tests.labelling.test_timelines import NTSC_24, NTSC_30, RANGES, RATES, a_film, a_sheet

FILM = FilmFacts("film", "film.mp4", "/films/film.mp4", Fraction(25), 1000)
OTHER = FilmFacts("other", "b/other.mp4", "/films/b/other.mp4", Fraction(25), 1000)


def a_clip(name: str, first: int, count: int, *, rate: float = 25, url: str = "", **more: Any) -> Any:
    media = otio.schema.ExternalReference(url) if url else otio.schema.MissingReference()
    return otio.schema.Clip(name, media, time_range(first, count, rate), **more)


def time_range(first: int, count: int, rate: float = 25) -> Any:
    return otio.opentime.TimeRange(otio.opentime.RationalTime(first, rate), otio.opentime.RationalTime(count, rate))


def saved(path: Path, *tracks: list[Any], kind: str = "Video") -> Path:
    timeline = otio.schema.Timeline("cut")
    for children in tracks:
        timeline.tracks.append(otio.schema.Track(children=children, kind=kind))
    otio.adapters.write_to_file(timeline, str(path))
    return path


def an_edl(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["TITLE: cut", *lines]) + "\n", encoding="utf-8")
    return path


def ranges(path: Path, *films: FilmFacts) -> list[tuple[int, int]]:
    return [(shot.first_frame, shot.end_frame) for shot in read_shot_ranges(path, films or (FILM,)).shots]


@pytest.mark.parametrize("timecode", ["", "01:00:00:00", "23:59:00:00"])
@pytest.mark.parametrize("rate", [*RATES, Fraction(12)], ids=lambda rate: f"{float(rate):.3f}")
def test_all_formats_written_are_read(tmp_path: Path, rate: Fraction, timecode: str) -> None:
    film = a_film(rate, timecode)
    for path in write_timelines(tmp_path, a_sheet(film)):
        if path.suffix == ".edl" and timecode.startswith("23"):
            continue  # past midnight
        found = read_shot_ranges(path, [film, OTHER] if path.suffix != ".edl" else [film])
        assert [(shot.film_id, shot.first_frame, shot.end_frame) for shot in found.shots] == [
            (film.film_id, *one) for one in RANGES
        ], path
        assert not found.remarks


def test_clips_of_several_films_are_sorted_and_repetitions_left_out(tmp_path: Path) -> None:
    clips = [
        a_clip("c", 500, 10, url="file:///elsewhere/Film.mp4"),
        a_clip("b", 0, 50, url="C%3A\\media\\other.mp4"),
        a_clip("film", 20, 30),
        a_clip("film", 20, 30),
        a_clip("title", 0, 30, url="file:///titles.mov"),
    ]
    found = read_shot_ranges(saved(tmp_path / "cut.otio", clips), [FILM, OTHER])
    assert found.shots == [
        TimelineShot("film", 20, 50, "film"),
        TimelineShot("film", 500, 510, "c"),
        TimelineShot("other", 0, 50, "b"),
    ]
    assert found.remarks == ["Clips of other media, which are left out: 1 (titles.mov)"]


def test_transitions_are_cut_at_their_middle(tmp_path: Path) -> None:
    time = otio.opentime.RationalTime
    dissolve = otio.schema.Transition("", "SMPTE_Dissolve", time(4, 25), time(10, 25))
    path = saved(tmp_path / "cut.otio", [a_clip("film", 0, 100), dissolve, a_clip("film", 300, 100)])
    found = read_shot_ranges(path, [FILM])
    assert [shot[1:3] for shot in found.shots] == [(0, 103), (303, 400)]
    assert found.remarks == ["Transitions that are cut at their middle: 1"]
    edl = an_edl(
        tmp_path / "cut.edl",
        "001  AX V C        00:00:00:00 00:00:04:00 01:00:00:00 01:00:04:00",
        "* FROM CLIP NAME: film.mp4",
        "002  AX V C        00:00:04:00 00:00:04:00 01:00:04:00 01:00:04:00",
        "002  AX V D 010    00:00:12:00 00:00:16:00 01:00:04:00 01:00:08:00",
        "* FROM CLIP NAME: film.mp4",
        "* TO CLIP NAME: film.mp4",
    )
    assert ranges(edl) == [(0, 105), (305, 400)]


def test_the_film_is_the_timeline_played_out_if_no_clip_is_of_it(tmp_path: Path) -> None:
    lines = [
        "* an edit list",
        "001  A001C003 V C  13:10:00:00 13:10:02:00 01:00:00:00 01:00:02:00",
        "002  BL       V C  00:00:00:00 00:00:01:00 01:00:02:00 01:00:03:00",
        "003  A001C007 V C  14:00:10:05 14:00:11:10 01:00:03:00 01:00:04:05",
        "M2   A001C007 050.0                14:00:10:05",
    ]
    edl = an_edl(tmp_path / "cut.edl", *lines)
    found = read_shot_ranges(edl, [FILM])
    assert [shot[1:3] for shot in found.shots] == [(0, 50), (75, 105)]
    assert "No clip of cut.edl is of film.mp4" in found.remarks[0]
    with pytest.raises(BadTimeline, match=r"give the films that it was cut from"):
        read_shot_ranges(edl, [FILM, OTHER])
    late = FilmFacts("film", "film.mp4", "/films/film.mp4", Fraction(25), 1000, start_timecode="00:59:50:00")
    assert ranges(edl, late) == [(250, 300), (325, 355)]


def test_drop_frame_is_declared_by_a_line_or_a_semicolon(tmp_path: Path) -> None:
    film = FilmFacts("film", "film.mp4", "/films/film.mp4", NTSC_30, 20_000)
    for name, form, mark, first in (
        ("a", "DROP FRAME", ":", 1800),
        ("b", "NON-DROP FRAME", ":", 1802),
        ("c", "", ";", 1800),
    ):
        times = " ".join(f"00:0{minute}:00{mark}02" for minute in (1, 2, 1, 2))
        path = an_edl(tmp_path / f"{name}.edl", f"FCM: {form}", f"001 AX V C {times}", "* FROM CLIP NAME: film.mp4")
        assert ranges(path, film)[0][0] == first


def test_media_that_start_at_a_timecode_are_counted_from_it(tmp_path: Path) -> None:
    start = 36_000 * 24
    clip = a_clip("x", start + 10, 20, rate=24000 / 1001)
    clip.media_reference = otio.schema.ExternalReference("film.mov", time_range(start, 1000, 24000 / 1001))
    path = saved(tmp_path / "cut.otio", [clip])
    assert ranges(path, FilmFacts("film", "film.mov", "/films/film.mov", NTSC_24, 1000)) == [(10, 30)]
    with pytest.raises(BadTimeline, match=r"shows frames 10 to 29 of film\.mov, which has 25"):
        ranges(path, FilmFacts("film", "film.mov", "/films/film.mov", NTSC_24, 25))


def test_another_rate_than_the_films_is_converted_and_stated(tmp_path: Path) -> None:
    assert not read_shot_ranges(saved(tmp_path / "even.otio", [a_clip("film", 60, 120, rate=50)]), [FILM]).remarks
    found = read_shot_ranges(saved(tmp_path / "cut.otio", [a_clip("film", 60, 121, rate=50)]), [FILM])
    assert [shot[1:3] for shot in found.shots] == [(30, 90)]
    assert found.remarks == [
        "cut.otio runs at 50 frames per second, film.mp4 at 25: its shots are converted by time and may be a frame off"
    ]


def test_the_last_frame_of_a_slower_timeline_may_end_after_the_film(tmp_path: Path) -> None:
    film = replace(FILM, frame_rate=Fraction(60), frames=241)  # 96.4 frames of the timeline
    path = saved(tmp_path / "cut.otio", [a_clip("film.mp4", 0, 48, rate=24), a_clip("film.mp4", 48, 49, rate=24)])
    assert ranges(path, film) == [(0, 120), (120, 241)]
    path = saved(tmp_path / "cut.otio", [a_clip("film.mp4", 0, 98, rate=24)])
    with pytest.raises(BadTimeline, match="which has 241"):
        ranges(path, film)


def test_of_several_tracks_the_first_with_clips_counts(tmp_path: Path) -> None:
    path = saved(tmp_path / "cut.otio", [], [a_clip("film", 0, 10)], [a_clip("film", 50, 10)])
    found = read_shot_ranges(path, [FILM])
    assert [shot[1:3] for shot in found.shots] == [(0, 10)]
    assert found.remarks == ["cut.otio has 2 video tracks with clips; only the first is read"]


def test_a_timeline_that_gives_no_shots_is_refused_with_the_reason(tmp_path: Path) -> None:
    slow = a_clip("film", 0, 10, effects=[otio.schema.LinearTimeWarp(time_scalar=0.5)])
    sound = saved(tmp_path / "sound.otio", [a_clip("film", 0, 10)], kind="Audio")
    (tmp_path / "broken.otio").write_text("{", encoding="utf-8")
    (tmp_path / "broken.xml").write_text("<xmeml>", encoding="utf-8")
    (tmp_path / "empty.fcpxml").write_text("<fcpxml/>", encoding="utf-8")
    (tmp_path / "cut.aaf").write_bytes(b"")
    mismatch = an_edl(tmp_path / "bad.edl", "001 AX V C 00:00:00:00 00:00:01:00 01:00:00:00 01:00:09:00")
    bare = saved(tmp_path / "bare.otio", [otio.schema.Clip("film")])
    for path, reason in (
        (saved(tmp_path / "slow.otio", [slow]), "plays film.mp4 at another speed"),
        (saved(tmp_path / "empty.otio", []), "has no video clips"),
        (sound, "has no video clips"),
        (tmp_path / "none.otio", "No such file"),
        (tmp_path / "broken.otio", "cannot be parsed"),
        (tmp_path / "broken.xml", "cannot be parsed"),
        (tmp_path / "empty.fcpxml", "no sequence with a spine"),
        (tmp_path / "cut.aaf", "timelines are read from .otio"),
        (mismatch, "duration don't match"),
        (bare, "frames are not known"),
    ):
        with pytest.raises(BadTimeline, match=reason):
            read_shot_ranges(path, [FILM])
    with pytest.raises(BadTimeline, match="there is none among the media"):
        read_shot_ranges(tmp_path / "slow.otio", [FilmFacts("still", "still.jpg", "/still.jpg")])
    with pytest.raises(BadTimeline, match="an EDL has one frame rate"):
        read_shot_ranges(mismatch, [FILM, FilmFacts("f", "f.mp4", "/f.mp4", Fraction(24), 9)])


def test_fcpxml_of_final_cut_has_media_representations_clips_and_transitions(tmp_path: Path) -> None:
    path = tmp_path / "cut.fcpxml"
    path.write_text(
        """<?xml version="1.0"?><!DOCTYPE fcpxml><fcpxml version="1.10"><resources>
        <format id="r1" frameDuration="1001/24000s"/>
        <asset id="r2" start="0s" duration="1001000/24000s" format="r1"><media-rep src="file:///x/my%20film.mov"/></asset>
        </resources><library><event><project name="p"><sequence format="r1" tcStart="3600s"><spine>
        <asset-clip ref="r2" offset="3600s" duration="24024/24000s" name="a"/>
        <transition offset="86418018/24000s" duration="12012/24000s"/>
        <clip offset="86424024/24000s" start="100100/24000s" duration="48048/24000s" name="b">
          <video ref="r2" duration="48048/24000s"/></clip>
        <gap offset="86472072/24000s" duration="1001/24000s"/>
        <title offset="86473073/24000s" duration="1001/24000s" name="end"/>
        </spine></sequence></project></event></library></fcpxml>""",
        encoding="utf-8",
    )
    film = FilmFacts("film", "my film.mov", "/films/my film.mov", NTSC_24, 1000)
    found = read_shot_ranges(path, [film])
    assert [shot[1:4] for shot in found.shots] == [(0, 24, "a"), (100, 148, "b")]
    assert found.remarks[0] == "Transitions that are cut at their middle: 1"


def test_every_suffix_that_is_written_is_read() -> None:
    from lmms_eval_shotbench.labelling.exports.timeline_files import SUFFIXES

    assert set(SUFFIXES) == set(FORMATS)
