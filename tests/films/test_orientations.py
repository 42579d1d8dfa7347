"""Films that players turn or mirror are cut upright, whatever their display matrix, and stored without one."""

from __future__ import annotations

from pathlib import Path

import av
import av.filter
import numpy
import pytest
from PIL import Image

from data_pipeline.films.film_probe import probe_film
from lmms_eval_shotbench.media.clips import Clip
from lmms_eval_shotbench.media.orientation import Orientation
from tests.support.film_cuts import Cut, row
from tests.support.made_films import MadeFilm, MadeShot, clip_frames
from tests.support.rotated_stills import INVERSE, rotated

FILM = MadeFilm(shots=(MadeShot(20, 1),), size=(256, 192))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_a_film_of_any_orientation_is_cut_upright(tmp_path: Path, turned: int, mirrored: bool) -> None:
    path = FILM.write(tmp_path / "heat.mp4", turned=turned, mirrored=mirrored)
    assert probe_film(path).orientation == Orientation(-turned % 360, mirrored)
    cut = Cut(tmp_path, [row(2 / 24, 16 / 24, "CU", "Arc")])
    clip, still = cut.shots
    assert (cut.numbers(clip), cut.numbers(still)) == (list(range(2, 16)), [9])
    media = tmp_path / "work"
    expected = list(FILM.pictures())
    assert distance(Image.open(media / still.media_path), expected[9]) < 9
    assert distance(clip_frames(media / clip.media_path)[3][1], expected[5]) < 9
    with av.open(str(media / clip.media_path)) as container:
        assert not [data for data in next(container.decode(video=0)).side_data if data.type.name == "DISPLAYMATRIX"]
    with Clip(path) as stored:  # a clip that an import keeps as it is
        assert distance(next(stored.read([5]))[0], expected[5]) < 9


def distance(one: object, other: object) -> float:
    return float(abs(numpy.asarray(one, float) - numpy.asarray(other, float)).mean())


def test_a_matrix_without_a_direction_changes_nothing(tmp_path: Path) -> None:
    encoded = FILM.write(tmp_path / "heat.mp4", turned=90).read_bytes()
    start = encoded.index(b"tkhd") + 44
    (tmp_path / "heat.mp4").write_bytes(encoded[:start] + bytes(36) + encoded[start + 36 :])
    assert probe_film(tmp_path / "heat.mp4").orientation == Orientation()


@pytest.mark.parametrize("orientation", INVERSE)
def test_a_still_of_any_exif_orientation_is_cut_upright(tmp_path: Path, orientation: int) -> None:
    picture = Image.fromarray(next(FILM.pictures()))
    (tmp_path / "still.png").write_bytes(rotated(orientation, "PNG", picture))
    (shot,) = Cut(tmp_path, [row(size="CU", media="still.png")]).shots
    assert distance(Image.open(tmp_path / "work" / shot.media_path), picture) < 9


def test_a_real_film_that_is_rotated_and_reflected_is_upright(real_data: Path) -> None:
    path = real_data / "failing_media" / "ax-sample_rotate_and_reflect.mp4"
    with av.open(str(path)) as container:
        graph, source = av.filter.Graph(), container.streams.video[0]
        steps = [graph.add_buffer(template=source), graph.add("transpose", "cclock_flip"), graph.add("buffersink")]
        graph.link_nodes(*steps).configure()  # the filter that FFmpeg's programs use for this matrix
        graph.vpush(next(container.decode(source)))
        expected = graph.vpull().to_ndarray(format="rgb24")
    assert probe_film(path).orientation == Orientation(90, mirrored=True)
    with Clip(path) as clip:
        assert distance(next(clip.read([0]))[0], expected) < 2
