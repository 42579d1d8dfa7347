"""Interlaced film is deinterlaced frame by frame, and only where it is interlaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy
import pytest

from data_pipeline.defects import DefectKind
from data_pipeline.films.deinterlace import read_progressive_frames
from data_pipeline.films.film_probe import Film, probe_film, read_frames
from tests.support.film_cuts import Cut, row
from tests.support.made_films import MadeFilm, MadeShot, clip_frames, number_on

FRAMES = 40
FILM = MadeFilm(shots=(MadeShot(FRAMES, 1, drift=8.0),))
FIELDS = {"flags": "+ildct+ilme"}
FORMS: dict[str, dict[str, Any]] = {
    "mpeg-2": {"codec": "mpeg2video", "container": "mpegts", "options": {**FIELDS, "b": "20000000"}},
    "h.264": {"options": FIELDS},
    "prores": {"codec": "prores_ks", "container": "mov", "pixels": "yuv422p10le", "options": FIELDS},
    "ffv1": {"codec": "ffv1", "container": "matroska", "options": {"field_order": "tt"}},
    "packed": {"codec": "rawvideo", "container": "mov", "pixels": "uyvy422", "options": {"field_order": "bb"}},
}


def combing(picture: Any) -> float:
    """How much more neighbouring lines differ than lines of one field: about 0.5 for pictures of one moment."""
    lines = picture[: picture.shape[0] * 3 // 4].astype(float)
    return float(abs(lines[1:] - lines[:-1]).mean() / abs(lines[2:] - lines[:-2]).mean())


def shown(film: Film, first: int, last: int) -> list[tuple[int, Any, bool]]:
    frames = read_progressive_frames(film, first, last)
    return [(number, frame.to_ndarray(format="rgb24"), changed) for number, frame, changed in frames]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_interlaced_film_is_deinterlaced_without_a_change_of_frame_numbers(
    tmp_path: Path, form: dict[str, Any]
) -> None:
    film = probe_film(FILM.write(tmp_path / "film", interlaced=range(FRAMES), **form))
    stored = [frame.to_ndarray(format="rgb24") for _, frame in read_frames(film, 0, FRAMES)]
    frames = shown(film, 0, FRAMES)
    assert [(number, number_on(picture), changed) for number, picture, changed in frames] == [
        (number, number, True) for number in range(FRAMES)
    ]
    assert min(map(combing, stored[:-1])) > 1.2
    assert max(combing(picture) for _, picture, _ in frames) < 0.8


def test_a_frame_is_the_same_in_every_range(tmp_path: Path) -> None:
    film = probe_film(FILM.write(tmp_path / "film.mp4", interlaced=range(FRAMES), options={**FIELDS, "g": "10"}))
    complete = {number: picture for number, picture, _ in shown(film, 0, FRAMES)}
    for first, last in ((0, 1), (9, 12), (10, 11), (20, 40), (39, 40)):
        part = shown(film, first, last)
        assert [number for number, _, _ in part] == list(range(first, last))
        for number, picture, _ in part:
            assert numpy.array_equal(picture, complete[number])


def test_only_frames_that_are_marked_as_interlaced_are_changed(tmp_path: Path) -> None:
    one = FILM.write(tmp_path / "one", **FORMS["prores"] | {"options": {}})
    other = FILM.write(tmp_path / "other", interlaced=range(FRAMES), **FORMS["prores"])
    film = probe_film(joined([one, other], tmp_path / "film"))
    stored = [frame.to_ndarray(format="rgb24") for _, frame in read_frames(film, 0, film.frames)]
    frames = shown(film, 0, film.frames)
    assert [changed for _, _, changed in frames] == [False] * FRAMES + [True] * FRAMES
    assert [number_on(picture) for _, picture, _ in frames] == [*range(FRAMES), *range(FRAMES)]
    assert all(numpy.array_equal(stored[number], picture) for number, picture, changed in frames if not changed)
    assert max(combing(picture) for _, picture, _ in frames) < 0.8


def joined(films: list[Path], target: Path) -> Path:
    """One film after the other in a file, without encoding them again."""
    with av.open(str(target), "w", format="mov") as container:
        stream: Any = None
        for number, path in enumerate(films):
            with av.open(str(path)) as source:
                stream = stream or container.add_stream_from_template(source.streams.video[0])
                packets = [packet for packet in source.demux(video=0) if packet.size]
                first = min(packet.pts for packet in packets)
                for packet in packets:
                    later = round(FRAMES * number / FILM.rate / packet.time_base) - first
                    packet.pts, packet.dts, packet.stream = packet.pts + later, packet.dts + later, stream
                    container.mux(packet)
    return target


def test_progressive_film_is_not_changed(tmp_path: Path) -> None:
    film = probe_film(FILM.write(tmp_path / "film.mp4"))
    stored = [frame.to_ndarray(format="rgb24") for _, frame in read_frames(film, 3, 20)]
    assert all(numpy.array_equal(one, other) for one, (_, other, _) in zip(stored, shown(film, 3, 20), strict=True))


def test_progressive_film_that_is_marked_as_interlaced_loses_little(tmp_path: Path) -> None:
    film = probe_film(FILM.write(tmp_path / "film.mp4", options=FIELDS))
    pairs = zip(FILM.pictures(), shown(film, 0, FRAMES), strict=True)
    differences = [abs(picture.astype(float) - other).mean() for other, (_, picture, changed) in pairs if changed]
    assert len(differences) == FRAMES
    assert max(differences) < 12


@pytest.mark.parametrize(("codec", "pixels"), [("png", "rgb24"), ("mjpeg", "yuvj420p")])
def test_interlaced_film_whose_frames_are_not_marked_is_noted(tmp_path: Path, codec: str, pixels: str) -> None:
    form: dict[str, Any] = {"codec": codec, "pixels": pixels, "container": "mov"}
    FILM.write(tmp_path / "heat.mp4", **form, options={"field_order": "tt"}, interlaced=range(FRAMES))
    FILM.write(tmp_path / "plain.mp4", **form)
    cut = Cut(tmp_path, [row(0.5, size="CU"), row(0.5, size="CU", media="plain.mp4")])
    notes = [(defect.kind, defect.line) for defect in cut.defects if not defect.loses_row]
    assert notes == [(DefectKind.UNMARKED_FIELDS, 2)]


def test_rows_of_interlaced_film_are_noted(tmp_path: Path) -> None:
    FILM.write(tmp_path / "heat.mp4", interlaced=range(FRAMES), options=FIELDS)
    FILM.write(tmp_path / "plain.mp4")
    cut = Cut(
        tmp_path,
        [row(4 / 24, 30 / 24, "CU", "Pan left"), row(4 / 24, 30 / 24, "CU", "Pan left", media="plain.mp4")],
    )
    assert [(defect.kind, defect.line, defect.loses_row) for defect in cut.defects] == [
        (DefectKind.DEINTERLACED, 2, False)
    ]
    clip, still = cut.shots[:2]
    assert (cut.numbers(clip), cut.numbers(still)) == (list(range(4, 30)), [17])
    assert max(combing(picture) for _, picture in clip_frames(tmp_path / "work" / clip.media_path)) < 0.8
