"""Shots that are given: tables with times, scene lists of PySceneDetect, and how they find their film."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_pipeline.annotations.columns import TableRefused
from data_pipeline.films.film_sources import FilmSource
from data_pipeline.films.shot_list import read_shot_list
from tests.support.made_films import MadeFilm
from tests.support.shot_cuts import ShotsOf

FILM = MadeFilm()
SCENES = """Timecode List:,00:00:01.500
Scene Number,Start Frame,Start Timecode,Start Time (seconds),End Frame,End Timecode,End Time (seconds),Length (frames)
1,1,00:00:00.000,0.000,36,00:00:01.500,1.500,36
2,37,00:00:01.500,1.500,120,00:00:05.000,5.000,84
"""


def cut_by(folder: Path, table: str, name: str = "shots.csv") -> ShotsOf:
    film = FILM.write(folder / "heat.mp4")
    (folder / name).write_text(table)
    listed = read_shot_list(folder / name, [FilmSource("heat", film.name, film)])
    return ShotsOf(film, listed.by_medium[film.name])


def listed_media(path: Path, *media: str) -> dict[str, int]:
    """Number of listed shots of each film."""
    found = read_shot_list(path, [FilmSource(f"{number}", one, path.parent / one) for number, one in enumerate(media)])
    return {media: len(rows) for media, rows in found.by_medium.items()}


@pytest.mark.parametrize(
    ("table", "ranges"),
    [
        ("start,end\n0,1.5\n1.5,2\n4,5\n", [(0, 36), (36, 48), (96, 120)]),
        ("media,Start Time,Duration,note\nheat.mp4,0.5,1,dull\n", [(12, 36)]),
        ("film_id;media;start_frame;end_frame;shot_size\nx;heat;10;20;CU\nx;heat;30;31;\n", [(10, 20), (30, 31)]),
        ("start_tc,end_tc\n00:00:01:00,00:00:02:12\n", [(24, 60)]),
        (SCENES, [(0, 36), (36, 120)]),
        (SCENES.partition("\n")[2], [(0, 36), (36, 120)]),
    ],
)
def test_shots_of_a_table_are_cut_to_the_frame_and_cuts_are_not_detected(
    tmp_path: Path, table: str, ranges: list[tuple[int, int]]
) -> None:
    cut = cut_by(tmp_path, table)
    assert cut.ranges == ranges and cut.facts.defects == ()
    for shot, (first, last) in zip(cut.shots, ranges, strict=True):
        assert cut.number_of_still(shot) == (first + last) // 2
        assert last - first == 1 or cut.numbers_of_clip(shot) == list(range(first, last))


def test_the_name_of_a_scene_list_is_the_film(tmp_path: Path) -> None:
    path = tmp_path / "heat-Scenes.csv"
    path.write_text(SCENES)
    assert listed_media(path, "a/alien.mkv", "a/heat.mp4", "still.png") == {"a/alien.mkv": 0, "a/heat.mp4": 2}


def test_shots_that_overlap_by_a_frame_or_two_are_trimmed_and_others_left_out(tmp_path: Path) -> None:
    cut = cut_by(tmp_path, "start_frame,end_frame\n0,37\n36,60\n50,70\n")
    assert cut.ranges == [(0, 36), (36, 60)]
    assert cut.facts.defects == (
        "line 3 of the list: the shot before was shortened by 1 frames that both have",
        "line 4 of the list: it overlaps the shot before by 10 frames",
    )


def test_a_film_without_listed_shots_has_none_and_says_so(tmp_path: Path) -> None:
    cut = ShotsOf(FILM.write(tmp_path / "heat.mp4"), [])
    assert (cut.shots, cut.facts.defects) == ([], ("the list has no shot of this film",))


def test_a_shot_outside_the_film_is_named_and_the_others_are_cut(tmp_path: Path) -> None:
    cut = cut_by(tmp_path, "start,end\n0,1\n70,80\n")
    assert cut.ranges == [(0, 24)]
    assert len(cut.facts.defects) == 1 and "line 3 of the list" in cut.facts.defects[0]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,size\nheat,CU\n", "has no times of shots"),
        ("start,end\n1,\n", "line 2: a shot has a start, and an end"),
        ("start,end\n1,soon\n", "line 2: column end: 'soon' is no time"),
        ("Scene Number,Start Frame\n1,1\n", "no scene with the columns Start Frame and End Frame"),
        ("media,start,end\nalien.mp4,1,2\n", "line 2: 'alien.mp4' is none of the films (heat.mp4)"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_what_to_do(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(TableRefused) as refused:
        cut_by(tmp_path, table)
    assert message in str(refused.value)


def test_of_several_films_each_shot_must_name_its_own(tmp_path: Path) -> None:
    path = tmp_path / "shots.csv"
    path.write_text("start,end\n0,1\n")
    with pytest.raises(TableRefused, match="does not name its film"):
        listed_media(path, "a.mp4", "b.mp4")
    path.write_text("media,start,end\nheat.mp4,0,1\n")
    with pytest.raises(TableRefused, match=r"is the name of a/heat\.mp4 and b/heat\.mp4"):
        listed_media(path, "a/heat.mp4", "b/heat.mp4")
    assert listed_media(path, "heat.mp4", "b/other.mp4") == {"heat.mp4": 1, "b/other.mp4": 0}


EDL = """TITLE: heat
FCM: NON-DROP FRAME

001  AX       V     C        00:00:00:00 00:00:01:12 00:00:00:00 00:00:01:12
* FROM CLIP NAME: heat.mp4
002  AX       V     C        00:00:01:12 00:00:03:12 00:00:01:12 00:00:03:12
* FROM CLIP NAME: heat.mp4
"""


def test_shots_of_an_edl_are_cut_to_the_frame(tmp_path: Path) -> None:
    cut = cut_by(tmp_path, EDL, "heat.edl")
    assert cut.ranges == [(0, 36), (36, 84)]
    assert [cut.number_of_still(shot) for shot in cut.shots] == [18, 60]
