"""A film of a table is decoded once, and its media do not depend on what was foreseen while it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.films import foreseen_pieces
from data_pipeline.films.foreseen_pieces import ForeseenPieces
from tests.films.test_cutting_resumed import contents
from tests.support.decoded_frames import count_decoded
from tests.support.film_cuts import Cut, row
from tests.support.made_films import MadeFilm, MadeShot

FILM = MadeFilm()  # cuts at 1.5 and 3.5 s
FIELDS = {"interlaced": range(40, 80), "options": {"flags": "+ildct+ilme"}}
FORMATS = MadeFilm(shots=(MadeShot(70, 1), MadeShot(70, 2, bars=0), MadeShot(40, 3)), bars=18)
ROWS = [
    row(0, 1.5, "CU", "Pan left", shot_id="whole"),
    row(1.46, 3.52, "CU", "Arc", shot_id="trimmed at both ends"),
    row(3.5, 5, "WS", "Arc", shot_id="overlapping", still=4.9),
    row(4, 4.5, "WS", shot_id="without a clip"),
    row(4, 4.2, "WS", "Arc", shot_id="too short"),
    row(1, 2.5, "WS", "Arc", shot_id="across a cut"),
    row(2.5, size="WS", shot_id="one frame"),
    row(2, size="CU", move="Tilt up", shot_id="around a time"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("detector", "times"), [("adaptive", 1), ("histogram", 1), ("content", 2)])
def test_a_film_is_decoded_once_unless_the_detector_needs_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detector: str, times: int
) -> None:
    FILM.write(tmp_path / "heat.mp4")
    decoded = count_decoded(monkeypatch)
    cut = Cut(tmp_path, ROWS, crop_bars=False, detector=detector)
    assert len(cut.shots) == 9 and set(decoded) == set(range(FILM.frames))
    assert set(decoded.values()) == {times}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("film", "changed", "settings"),
    [
        pytest.param(FILM, {}, {}, id="plain"),
        pytest.param(FILM, FIELDS, {"trim_frames": 5}, id="interlaced"),
        pytest.param(FORMATS, {}, {}, id="two formats"),
    ],
)
def test_media_and_defects_are_those_of_a_second_decode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, film: MadeFilm, changed: dict[str, Any], settings: dict[str, Any]
) -> None:
    film.write(tmp_path / "heat.mp4", **changed)
    Cut(tmp_path, ROWS, **settings)
    foreseen = contents(tmp_path / "work")
    (tmp_path / "work").rename(tmp_path / "foreseen")
    monkeypatch.setattr(ForeseenPieces, "take", lambda *_: None)
    Cut(tmp_path, ROWS, **settings)
    assert contents(tmp_path / "work") == foreseen


@pytest.mark.slow
def test_frames_kept_for_stills_are_bounded_whatever_the_number_of_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, most = 256 * 144 * 3 // 2, list[int]()
    FILM.write(tmp_path / "heat.mp4")
    rows = [row(first / 24, (first + 18) / 24, "CU", shot_id=f"{first}") for first in range(36, 66)]
    expected = numbers_of(Cut(tmp_path, rows, same_still_distance=0.0))
    (tmp_path / "work").rename(tmp_path / "unbounded")
    end_rows = ForeseenPieces._end_rows

    def observed(foreseen: ForeseenPieces, *arguments: Any) -> None:
        most.append(len(foreseen._kept))
        end_rows(foreseen, *arguments)

    monkeypatch.setattr(ForeseenPieces, "_end_rows", observed)
    monkeypatch.setattr(foreseen_pieces, "KEPT_BYTES", 5 * size)
    assert numbers_of(Cut(tmp_path, rows, same_still_distance=0.0)) == expected
    assert max(most) == 5, "the other stills are decoded again"


def numbers_of(cut: Cut) -> Sequence[tuple[str, list[int]]]:
    return [(shot.shot_id, cut.numbers(shot)) for shot in cut.shots]
