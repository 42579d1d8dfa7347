"""Films by the names under which other programs know them."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_pipeline.films.film_sources import FilmSource
from data_pipeline.films.named_films import NamedFilms, file_name

FILMS = NamedFilms(
    [
        FilmSource(media.replace("/", "-"), media, Path("/films") / media)
        for media in ("a/take 1.mp4", "b/take 1.mp4", "b/Harbour.mov", "set/still.jpg", "100% #2.mkv")
    ]
)


@pytest.mark.parametrize(
    ("name", "media"),
    [
        ("file:///elsewhere/b/take%201.mp4", "b/take 1.mp4"),
        ("./harbour.MOV", "b/Harbour.mov"),
        ("D:\\media\\a\\take 1.mp4", "a/take 1.mp4"),
        ("/data/local-files/?d=old/b/Harbour.mov", "b/Harbour.mov"),
        ("/data/upload/3/0a1b2c3d-Harbour.mov", "b/Harbour.mov"),
        ("https://host/x/Harbour.mov?key=take", "b/Harbour.mov"),
        ("harbour", "b/Harbour.mov"),
        ("Harbour.mxf", "b/Harbour.mov"),  # the camera's original
        ("still.jpg", "set/still.jpg"),
        ("100% #2.mkv", "100% #2.mkv"),
    ],
)
def test_a_film_is_found_by_the_longest_end_of_its_path(name: str, media: str) -> None:
    found = FILMS.find([name])
    assert isinstance(found, FilmSource) and found.media == media


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["take 1.mp4"], "take 1.mp4 is the name of several films: a/take 1.mp4, b/take 1.mp4"),
        (["c/other.mp4"], "there is no film c/other.mp4 in the films folder"),
        ([], "it does not name its film; give --films with that film"),
    ],
)
def test_a_name_of_no_film_or_several_is_no_guess(names: list[str], reason: str) -> None:
    assert FILMS.find(names) == reason


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("/data/local-files/?d=films/a.mp4", "a.mp4"),
        ("https://host/a.mp4?key=b", "a.mp4"),
        ("file:///x/a%20b.mp4", "a b.mp4"),
        ("a #2.mp4", "a #2.mp4"),
        ("demo", "demo"),
    ],
)
def test_the_name_of_a_file_is_that_of_the_film(name: str, file: str) -> None:
    assert file_name(name) == file
