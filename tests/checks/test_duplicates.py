"""Near-duplicates: a picture matches its re-encoded, scaled, cropped or darkened copies, and no other picture."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from data_pipeline.checks.decontaminate import BenchmarkMedium, drop_benchmark
from data_pipeline.checks.duplicates import FRAME_BYTES, drop_duplicates, near_pairs, picture_hash
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.labelled_shot import LabelledShot
from lmms_eval_shotbench.media.clips import protocol_clip_path
from lmms_eval_shotbench.media.stills import BrokenMedium
from lmms_eval_shotbench.vocabulary import SHOT_SIZE, MediaKind
from tests.support.drawn_shots import draw, shot
from tests.support.items import make_item
from tests.support.made_films import MadeFilm, MadeShot

SIZE = (480, 270)
ORDER = ("sft", "dev", "test")
SPLITS = {"a": "sft", "b": "dev", "c": "test"}


def jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=quality)
    return encoded.getvalue()


def still_hash(encoded: bytes) -> str:
    return picture_hash(MediaKind.STILL, encoded)


def cropped(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    return picture.crop((width // 100, height // 100, width - width // 100, height - height // 100))


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: jpeg(picture, 40),
        lambda picture: jpeg(picture.resize((240, 135))),
        lambda picture: jpeg(picture.resize((1280, 720))),
        lambda picture: jpeg(ImageEnhance.Brightness(picture).enhance(0.85)),
        lambda picture: jpeg(cropped(picture)),
    ],
    ids=["coarse", "small", "large", "dark", "cropped"],
)
def test_a_picture_matches_its_altered_copies(change: Callable[[Image.Image], bytes]) -> None:
    for number in range(10):
        encoded = draw(number, SIZE)
        with Image.open(io.BytesIO(encoded)) as picture:
            assert list(near_pairs([still_hash(encoded), still_hash(change(picture))])) == [(0, 1)]


def test_different_pictures_do_not_match() -> None:
    assert list(near_pairs([still_hash(draw(number)) for number in range(60)])) == []


def test_dark_and_flat_pictures_are_distinguished() -> None:
    night = [Image.new("RGB", SIZE, (9, 10, 14)) for _ in range(3)]
    night[1].paste((90, 70, 40), (60, 100, 110, 160))  # a lit window
    night[2].paste((90, 70, 40), (360, 100, 410, 160))
    plain = [Image.new("RGB", SIZE, colour) for colour in ("black", "white", "red", "blue")]
    assert list(near_pairs([still_hash(jpeg(picture)) for picture in night + plain])) == []


def test_rotated_pictures_differ() -> None:
    with Image.open(io.BytesIO(draw(1, SIZE))) as picture:
        assert (
            list(
                near_pairs([still_hash(jpeg(picture)), still_hash(jpeg(picture.transpose(Image.Transpose.ROTATE_180)))])
            )
            == []
        )


def test_a_broken_picture_raises() -> None:
    with pytest.raises(BrokenMedium):
        still_hash(draw(1)[:200])


@pytest.mark.slow
def test_a_clip_matches_its_altered_copies_by_three_of_its_frames(tmp_path: Path) -> None:
    film = MadeFilm((MadeShot(24, seed=1, numbered=False),), size=(768, 432))

    def clip(**changed: object) -> bytes:
        return film.write(tmp_path / "clip.mp4", **changed).read_bytes()

    clips = [
        clip(),
        protocol_clip_path(clip()).read_bytes(),  # smaller, every other frame
        clip(options={"crf": "36"}),
        clip(turned=180),  # stored upside down, displayed upright
        clip(shots=[MadeShot(24, seed=2, numbered=False)]),
        clip(shots=[MadeShot(1, seed=3, numbered=False)]),
    ]
    hashes = [picture_hash(MediaKind.CLIP, encoded) for encoded in clips]
    assert {len(text) for text in hashes} == {6 * FRAME_BYTES}
    assert list(near_pairs(hashes)) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_the_search_finds_exactly_the_planted_pairs() -> None:
    draw_bytes = random.Random(0)
    hashes = [draw_bytes.randbytes(FRAME_BYTES).hex() for _ in range(1500)]
    hashes[700], hashes[1499] = hashes[3], hashes[3]
    near = bytearray.fromhex(hashes[10])
    near[5] ^= 0x0F
    hashes[900] = near.hex()
    hashes[20] = ""  # not hashed
    hashes[30] = hashes[40] = hashes[31] * 3  # a clip
    assert sorted(near_pairs(hashes)) == [(3, 700), (3, 1499), (10, 900), (30, 40), (700, 1499)]
    assert sorted(near_pairs(hashes[690:710], hashes[:20])) == [(10, 3)]


def test_the_limit_of_bits_is_exact() -> None:
    base = bytes(range(FRAME_BYTES))
    hashes = [base.hex()]
    for flips in (10, 11):
        changed = int.from_bytes(base[:8], "big") ^ (2**flips - 1)
        hashes.append((changed.to_bytes(8, "big") + base[8:]).hex())
    assert sorted(near_pairs(hashes)) == [(0, 1), (1, 2)]


def hashed_shot(number: int, film: str, label: str = "Wide", picture: int = 0) -> LabelledShot:
    return shot(number, {SHOT_SIZE.slug: label}, film, perceptual_hash=still_hash(draw(picture)))


def test_across_splits_the_duplicate_in_the_training_split_is_dropped() -> None:
    defects: list[Defect] = []
    shots = [hashed_shot(1, "a"), hashed_shot(2, "b", "Close Up"), hashed_shot(3, "c"), hashed_shot(4, "a", picture=4)]
    assert [kept.shot_id for kept in drop_duplicates(shots, SPLITS, ORDER, defects)] == ["s0003", "s0004"]
    assert [(defect.kind, defect.index) for defect in defects] == [
        (DefectKind.DUPLICATE_PICTURE, "s0001"),
        (DefectKind.DUPLICATE_PICTURE, "s0002"),
    ]
    assert "s0003 of c in test" in defects[0].detail


def test_in_one_split_the_first_is_kept_and_duplicates_with_other_labels() -> None:
    shots = [hashed_shot(1, "a"), hashed_shot(2, "a"), hashed_shot(3, "a", "Close Up")]
    assert [kept.shot_id for kept in drop_duplicates(shots, SPLITS, ORDER, [])] == ["s0001", "s0003"]


def test_the_benchmark_is_excluded_by_checksum_by_hash_and_by_film_and_time() -> None:
    item = replace(make_item(), media_sha256="f" * 64, film_id="Alien", start_seconds=100.0, end_seconds=103.0)
    benchmark = [BenchmarkMedium(item, still_hash(draw(50)))]
    shots = [
        replace(hashed_shot(1, "x", picture=1), media_sha256="f" * 64),
        hashed_shot(2, "x", picture=50),
        replace(hashed_shot(3, "alien", picture=3), start_seconds=103.5),
        replace(hashed_shot(4, "alien", picture=4), start_seconds=110.0, end_seconds=112.0),
        hashed_shot(5, "alien", picture=5),
        replace(hashed_shot(6, "other", picture=6), start_seconds=101.0),
    ]
    defects: list[Defect] = []
    kept = drop_benchmark(shots, benchmark, defects)
    assert [one.shot_id for one in kept] == ["s0004", "s0005", "s0006"]
    assert {defect.kind for defect in defects} == {DefectKind.IN_THE_BENCHMARK}
    assert [defect.detail.split(" test-")[0] for defect in defects] == [
        "has the bytes of",
        "looks like",
        "is of the same film and time as",
    ]
