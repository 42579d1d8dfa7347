"""Stills that are image files: their bytes are kept unless the picture must be changed."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from PIL import Image

from data_pipeline.defects import DefectKind
from data_pipeline.films.cut_settings import CutSettings
from tests.support.film_cuts import Cut, row
from tests.support.made_films import MadeFilm

PICTURE = Image.fromarray(next(MadeFilm().pictures()))
BARRED = Image.fromarray(next(MadeFilm(size=(256, 200), bars=26).pictures()))
SIDEWAYS = Image.Exif()
SIDEWAYS[0x0112] = 6


def cut_one(folder: Path, name: str, **settings: int) -> tuple[bytes, Image.Image]:
    (shot,) = Cut(folder, [row(size="CU", media=name)], **settings).shots
    assert (shot.start_seconds, shot.end_seconds) == (None, None)
    path = folder / "work" / shot.media_path
    return path.read_bytes(), Image.open(path)


@pytest.mark.parametrize("name", ["still.jpg", "still.PNG"])
def test_a_still_that_needs_no_change_keeps_its_bytes(tmp_path: Path, name: str) -> None:
    PICTURE.save(tmp_path / name)
    encoded, _ = cut_one(tmp_path, name)
    assert encoded == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("name", ["still.bmp", "still.webp", "still.tif", "still.mpo", "still.JPF", "still.j2k"])
def test_other_formats_are_converted_to_jpeg(tmp_path: Path, name: str) -> None:
    PICTURE.save(tmp_path / name, quality=95)
    encoded, picture = cut_one(tmp_path, name)
    assert encoded.startswith(b"\xff\xd8")
    assert abs(numpy.asarray(picture).astype(int) - numpy.asarray(PICTURE)).mean() < 8


def test_stills_are_cropped_rotated_and_scaled_down(tmp_path: Path) -> None:
    BARRED.save(tmp_path / "barred.png")
    assert cut_one(tmp_path, "barred.png")[1].size == (256, 148)
    PICTURE.save(tmp_path / "sideways.jpg", exif=SIDEWAYS)
    assert cut_one(tmp_path, "sideways.jpg")[1].size == (144, 256)
    PICTURE.save(tmp_path / "large.jpg")
    assert cut_one(tmp_path, "large.jpg", still_longest_side=128, least_side=0)[1].size == (128, 72)


@pytest.mark.parametrize(
    ("form", "mode"),
    [("PNG", "RGBA"), ("PNG", "LA"), ("PNG", "P"), ("WEBP", "RGBA"), ("JPEG", "CMYK"), ("JPEG", "L")],
)
def test_a_still_of_any_mode_is_rotated(tmp_path: Path, form: str, mode: str) -> None:
    PICTURE.convert(mode).save(tmp_path / f"still.{form.lower()}", form, exif=SIDEWAYS)
    cut = Cut(tmp_path, [row(size="CU", media=f"still.{form.lower()}")])
    assert Image.open(tmp_path / "work" / cut.shots[0].media_path).size == (144, 256)
    assert [defect.kind for defect in cut.defects] == [DefectKind.STORED_UPRIGHT]


def test_broken_and_dark_pictures_are_dropped(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "off.jpg")
    (tmp_path / "off.jpg").write_bytes((tmp_path / "off.jpg").read_bytes()[:2000])
    PICTURE.point(lambda value: value // 10).save(tmp_path / "dark.png")
    (tmp_path / "empty.png").touch()
    cut = Cut(tmp_path, [row(size="CU", media=name) for name in ("off.jpg", "dark.png", "empty.png")])
    kinds = [DefectKind.UNDECODABLE_MEDIUM, DefectKind.TOO_DARK, DefectKind.EMPTY_FILE]
    assert (cut.shots, cut.losses) == ([], list(zip(kinds, (2, 3, 4), strict=True)))
    assert CutSettings().crop_bars
