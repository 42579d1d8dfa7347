"""Seconds count from the start of the container, as players show them, also where the picture begins later."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy
import pytest

from data_pipeline.defects import Defect, DefectKind
from data_pipeline.films.check_films import check_films
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.film_probe import probe_film
from data_pipeline.workers import Workers
from tests.support.film_cuts import Cut, row
from tests.support.made_films import MadeFilm, MadeShot

FILM = MadeFilm(shots=(MadeShot(72, 1),))
SOUND_RATE = 48000


def with_sound(
    path: Path, target: Path, container: str, picture: float, sound: float, codec: str = "pcm_s16le", **options: str
) -> Path:
    """A film whose picture and sound begin at these seconds."""
    with av.open(str(path)) as source, av.open(str(target), "w", format=container, options=options) as result:
        video: Any = result.add_stream_from_template(source.streams.video[0])
        audio: Any = result.add_stream(codec, rate=SOUND_RATE, layout="mono")
        packets: list[Any] = []
        for packet in source.demux(video=0):
            if packet.size:
                late = round(picture / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + late, packet.dts + late, video
                packets.append(packet)
        for number in range(80):
            silence = numpy.zeros((1, 1024), {"pcm_s16le": "i2"}.get(codec, "f4"))
            form = {"pcm_s16le": "s16", "libopus": "flt"}.get(codec, "fltp")
            frame = av.AudioFrame.from_ndarray(silence, form, "mono")
            frame.rate, frame.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
            frame.pts = round(sound * SOUND_RATE) + number * 1024
            packets += audio.encode(frame)
        for packet in sorted([*packets, *audio.encode()], key=lambda packet: packet.dts * packet.time_base):
            result.mux(packet)
    return target


LATE: Sequence[tuple[str, dict[str, Any], float, float]] = [  # container, options, starts of picture and sound
    ("mp4", {"codec": "aac"}, 2.0, 0.0),
    ("mov", {}, 0.5, 0.0),
    ("matroska", {}, 1.25, 0.0),
    ("mpegts", {"codec": "mp2"}, 2.0, 0.0),
    ("flv", {"codec": "aac"}, 1.0, 0.0),
]


@pytest.mark.parametrize(("container", "options", "picture", "sound"), LATE, ids=[late[0] for late in LATE])
def test_seconds_are_those_of_players_if_the_picture_begins_late(
    tmp_path: Path, container: str, options: dict[str, Any], picture: float, sound: float
) -> None:
    plain = FILM.write(tmp_path / "plain.mp4", options={"bf": "0"})
    with_sound(plain, tmp_path / "heat.mp4", container, picture, sound, **options)
    film = probe_film(tmp_path / "heat.mp4")
    offset = film.time_of(0)
    assert offset == pytest.approx(picture - sound, abs=0.03)  # encoders of sound may add a few milliseconds
    cut = Cut(
        tmp_path,
        [
            row(offset + 0.5, offset + 2.0, "CU", "Arc", still=offset + 1.0),
            row(size="WS", still_frame=60),
            row(size="MS", still_tc="00:00:02:00"),
            row(offset / 2, offset + 2.0, move="Arc"),
            row(0, offset + 1.0, move="Arc"),
            row(offset + 2.0, offset + 3.2, move="Arc"),
        ],
    )
    clip, still, by_frame, by_timecode, from_zero = cut.shots
    assert (cut.numbers(clip), cut.numbers(still)) == (list(range(12, 48)), [24])
    assert (clip.start_seconds, clip.end_seconds) == pytest.approx((offset + 0.5, offset + 2.0), abs=1e-3)
    assert (cut.numbers(by_frame), cut.numbers(by_timecode)) == ([60], [48])
    assert by_frame.start_seconds == pytest.approx(offset + 2.5, abs=1e-3)
    assert cut.numbers(from_zero) == list(range(24))
    assert cut.losses == [(DefectKind.OUTSIDE_FILM, 5), (DefectKind.OUTSIDE_FILM, 7)]
    notes = [defect for defect in cut.defects if defect.kind is DefectKind.LATE_PICTURE]
    assert [note.line for note in notes] == [2, 3, 4, 6]
    assert f"{offset:.3f} s" in notes[0].detail


def test_the_check_of_a_table_notes_a_late_picture_as_cutting_does(tmp_path: Path) -> None:
    with_sound(FILM.write(tmp_path / "plain.mp4"), tmp_path / "heat.mp4", "matroska", 1.0, 0.0)
    table = tmp_path / "table.csv"
    table.write_text("film_id,media,still,shot_size\nheat,heat.mp4,2,CU\nheat,heat.mp4,0.5,CU\n")
    defects: list[Defect] = []
    checked = check_films(table, tmp_path, CutSettings(), Workers(), defects)
    assert (checked.rows, checked.usable) == (2, 1)
    assert [(defect.kind, defect.line) for defect in defects] == [
        (DefectKind.LATE_PICTURE, 2),
        (DefectKind.OUTSIDE_FILM, 3),
    ]


TOGETHER: Sequence[tuple[str, dict[str, Any], float, float]] = [
    ("mp4", {"codec": "aac"}, 0.0, 0.0),
    ("mpegts", {"codec": "mp2"}, 3.0, 3.0),
    ("matroska", {}, 0.0, 1.5),
    ("webm", {"codec": "libopus"}, 0.0, 0.0),
]


@pytest.mark.parametrize(("container", "options", "picture", "sound"), TOGETHER, ids=[one[0] for one in TOGETHER])
def test_a_picture_that_begins_with_the_container_or_before_the_sound_begins_at_0(
    tmp_path: Path, container: str, options: dict[str, Any], picture: float, sound: float
) -> None:
    webm = {"codec": "libvpx-vp9", "container": "webm", "options": {"deadline": "realtime", "cpu-used": "8"}}
    plain = FILM.write(tmp_path / "plain", **webm if container == "webm" else {"options": {"bf": "0"}})
    with_sound(plain, tmp_path / "heat.mp4", container, picture, sound, **options)
    film = probe_film(tmp_path / "heat.mp4")
    assert 0 <= film.time_of(0) < 0.02
    cut = Cut(tmp_path, [row(0.5 + 0.01, 2.0, "CU", "Arc", still=1.03)])
    assert cut.numbers(cut.shots[1]) == [24]
    assert not cut.defects


def test_a_film_without_sound_begins_at_0_in_every_container(tmp_path: Path) -> None:
    for name, form in {
        "b frames": {"options": {"bf": "3"}},
        "no edit list": {"options": {"bf": "3"}, "container": "flv"},
        "transport stream": {"container": "mpegts"},
    }.items():
        assert probe_film(FILM.write(tmp_path / name, **form)).time_of(0) == 0


@pytest.mark.slow
def test_the_real_film_whose_picture_begins_at_2_seconds_is_cut_as_players_show_it(
    tmp_path: Path, real_data: Path
) -> None:
    path = real_data / "failing_media" / "video_starts_at_2s.mp4"
    (tmp_path / "heat.mp4").symlink_to(path)
    film = probe_film(path)
    assert film.time_of(0) == 2
    cut = Cut(tmp_path, [row(3.0, 5.0, "WS", "Tilt up", still=4.0)])
    with av.open(str(path)) as container:
        expected = next(frame for frame in container.decode(video=0) if frame.time >= 4.0)
    assert film.times[film.frame_at(4.0)] == expected.pts
    assert cut.shots[1].start_seconds == pytest.approx(expected.time)
    assert {defect.kind for defect in cut.defects} == {DefectKind.LATE_PICTURE}
