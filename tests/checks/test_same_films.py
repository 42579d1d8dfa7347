"""Film ids that may name one film are named, and films that look alike are found before films go to splits."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from PIL import Image

from data_pipeline.checks.duplicates import is_featureless, picture_hash
from data_pipeline.checks.same_films import film_id_key, look_alikes, same_films
from data_pipeline.defects import DefectKind
from data_pipeline.labelled_shot import LabelledShot
from lmms_eval_shotbench.vocabulary import SHOT_SIZE, MediaKind

ONE_FILM = [
    ("Chaplin", "CHAPLIN", "chaplin (1915)", "Chaplin 1915", "Chaplin_[1915]", " chaplin. 1915"),
    ("Amélie", "amelie", "AME\u0301LIE", "Amelie (2001)"),
    ("Ratatouille  II", "ratatouille-ii", "Ratatouille II"),
    ("Życie", "zycie"),
    ("Łódź", "lodz"),
    ("Face/Off", "Face Off", "face_off"),
    ("千と千尋の神隠し", "千と千尋の神隠し (2001)"),
    ("WALL·E", "Wall-E", "wall e"),
]
DIFFERENT = [
    *("Alien", "Aliens", "Alien 3", "1917", "1941", "2012", "2001: A Space Odyssey", "8½", "8", "M", "!!!", "???"),
    *("कामायनी", "कमयन", "Kill Bill 1", "Kill Bill 2", "Chaplin"),
]


@pytest.mark.parametrize("ids", ONE_FILM, ids=lambda ids: ids[0])
def test_spellings_of_one_id_are_equal(ids: tuple[str, ...]) -> None:
    assert len({film_id_key(film_id) for film_id in ids}) == 1


def test_ids_of_different_films_stay_different() -> None:
    assert len({film_id_key(film_id) for film_id in DIFFERENT}) == len(DIFFERENT)


def picture(seed: int, brightness: float = 1.0) -> str:
    """The hash of a still of coloured blocks."""
    blocks = numpy.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype="uint8")
    still = Image.fromarray((blocks * brightness).astype("uint8")).resize((320, 180), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    still.save(stream, "PNG")
    return picture_hash(MediaKind.STILL, stream.getvalue())


def shot(film_id: str, number: int, media_hash: str) -> LabelledShot:
    return LabelledShot(
        f"{film_id}-{number}", film_id, MediaKind.STILL, "x", "0", {SHOT_SIZE.slug: "Wide"}, perceptual_hash=media_hash
    )


@pytest.mark.slow
def test_a_third_of_the_pictures_of_the_shorter_film_makes_films_look_alike() -> None:
    one = [picture(seed) for seed in range(6)]
    others = {
        "copy": one,
        "excerpt": one[:2],
        "a third": [*one[:2], *(picture(seed) for seed in range(10, 14))],
        "one scene": [one[0], *(picture(seed) for seed in range(20, 25))],
        "another": [picture(seed) for seed in range(30, 36)],
    }
    found = {other: (alike, of) for name, other, alike, of in look_alikes({"one": one, **others}) if name == "one"}
    assert found == {"copy": (6, 6), "excerpt": (2, 2), "a third": (2, 6)}


def test_a_still_picture_does_not_look_like_a_film_that_shows_it_once() -> None:
    moving = [picture(seed) for seed in range(6)]
    assert not list(look_alikes({"slide": [moving[0]] * 6, "film": moving}))


def test_black_frames_do_not_make_films_look_alike() -> None:
    black = picture(1, brightness=0.0)
    assert is_featureless(black) and not is_featureless(picture(1))
    assert not list(look_alikes({"one": [black] * 4, "other": [black] * 4, "none": ["", ""]}))


def test_ids_and_reasons_are_named_once() -> None:
    hashes = [picture(seed) for seed in range(4)]
    shots = [shot("Kid", n, value) for n, value in enumerate(hashes)]
    shots += [replace(one, film_id="kid (1921)", shot_id=f"again-{one.shot_id}") for one in shots]
    shots.append(shot("Gold Rush", 0, picture(9)))
    defects = [same.defect() for same in same_films(shots, {"Kid": hashes, "kid (1921)": hashes})]
    assert [defect.kind for defect in defects] == [DefectKind.SIMILAR_FILM_IDS, DefectKind.LOOK_ALIKE_FILMS]
    assert all("'Kid' and 'kid (1921)'" in defect.detail and not defect.loses_row for defect in defects)
    assert "4 of 4 frames" in defects[1].detail


def test_films_of_stills_are_compared_by_their_stills(tmp_path: Path) -> None:
    shots = [shot("a", n, picture(n)) for n in range(5)] + [shot("b", n, picture(n + 3)) for n in range(4)]
    (found,) = same_films(shots, {})
    assert (found.film_ids, found.detail) == (("a", "b"), "look alike in 2 of 4 stills and clips")
