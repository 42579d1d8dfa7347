"""Which films a command line names: files, folders, image folders, and ids that are unique."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from data_pipeline.films.film_sources import LONGEST_ID, NoFilms, find_films


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_folder_is_searched_for_films_and_stills(tmp_path: Path) -> None:
    touch(tmp_path, "b.MP4", "a.mov", "stills/1.jpg", "stills/2.PNG", "a.srt", ".hidden.mp4", ".x/c.mp4", "out/d.mp4")
    found = find_films([tmp_path], skipped=tmp_path / "out")
    assert [one.media for one in found] == ["a.mov", "b.MP4", "stills/1.jpg", "stills/2.PNG"]
    assert [one.film_id for one in found] == ["a", "b", "stills-1", "stills-2"]
    assert [one.is_still for one in found] == [False, False, True, True]


def test_files_keep_their_order_and_count_once_whatever_their_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "x/b.film", "x/a.mp4")
    found = find_films([tmp_path / "x" / "b.film", tmp_path / "x", tmp_path / "x" / ".." / "x" / "a.mp4"])
    assert [one.media for one in found] == ["b.film", "a.mp4"]


def test_media_are_relative_to_the_films_folder(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.mp4", "y/b.mp4")
    given = [tmp_path / "x" / "a.mp4", tmp_path / "y" / "b.mp4"]
    assert [one.media for one in find_films(given)] == ["x/a.mp4", "y/b.mp4"]
    assert [one.media for one in find_films(given[:1])] == ["a.mp4"]
    assert [one.media for one in find_films(given[:1], tmp_path)] == ["x/a.mp4"]
    with pytest.raises(NoFilms, match="is not in the films folder"):
        find_films(given, tmp_path / "x")


def test_ids_are_unique_and_short_file_names(tmp_path: Path) -> None:
    names = ["Heat (1995).mp4", "heat-1995.mp4", "HEAT 1995.mov", f"{'l' * 230}.mp4", "映画.mp4", "..mp4"]
    touch(tmp_path, *names)
    ids = [one.film_id for one in find_films([tmp_path / name for name in names])]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]*", one) and len(one) <= LONGEST_ID + 9 for one in ids), ids


def test_what_cannot_be_found_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "empty/readme.txt")
    with pytest.raises(NoFilms, match="no film, still or folder"):
        find_films([tmp_path / "missing.mp4"])
    with pytest.raises(NoFilms, match=r"has no films and no stills; their names end in \.mp4"):
        find_films([tmp_path / "empty"])


def test_films_inside_the_folder_of_the_labels_are_found_if_they_are_given(tmp_path: Path) -> None:
    touch(tmp_path, "films/a.mp4", "media/a/a-0001.mp4")
    assert [one.media for one in find_films([tmp_path / "films"], skipped=tmp_path)] == ["a.mp4"]
    with pytest.raises(NoFilms, match="where the labels would be written; choose another --out"):
        find_films([tmp_path], skipped=tmp_path)
