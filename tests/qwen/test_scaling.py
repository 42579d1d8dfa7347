"""Resized pictures are those of Pillow and torch to the byte, whichever code computed them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy
import pytest

torch = pytest.importorskip("torch")
numba = pytest.importorskip("numba")

from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from lmms_eval_shotbench.qwen.scaling import scale
from lmms_eval_shotbench.qwen.scaling.scale import scaled_frames, scaled_still

SIZES = [  # rows, columns to height, width: larger, smaller, one of each, strips that end early
    ((720, 1280), (728, 1288)),
    ((720, 1280), (364, 644)),
    ((817, 1921), (812, 1932)),
    ((817, 1921), (840, 1904)),
    ((53, 37), (28, 28)),
    ((1080, 608), (252, 140)),
    ((30, 2000), (28, 560)),
    ((9, 20), (280, 560)),
]
Size = tuple[int, int]


def noise(rows: int, columns: int, count: int = 1) -> numpy.ndarray:
    return numpy.random.default_rng(rows * columns).integers(0, 256, (count, rows, columns, 3), numpy.uint8)


def by_pillow(picture: numpy.ndarray, height: int, width: int) -> numpy.ndarray:
    return numpy.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


def by_torch(frames: numpy.ndarray, height: int, width: int) -> torch.Tensor:
    """As torchvision's `resize` does, which qwen_vl_utils calls: all frames at once."""
    planes = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    scaled = torch.nn.functional.interpolate(planes, (height, width), mode="bicubic", antialias=True)
    return scaled.clamp(0, 255).round().to(torch.uint8)


def assert_scaled(size: Size, scaled: Size) -> None:
    pictures = noise(*size, count=2)
    for picture in pictures:
        still = scaled_still(Image.fromarray(picture), *scaled)
        assert still.shape == (1, 3, *scaled)
        assert numpy.array_equal(still[0].permute(1, 2, 0).numpy(), by_pillow(picture, *scaled))
    assert torch.equal(scaled_frames(pictures, *scaled), by_torch(pictures, *scaled))


@pytest.mark.slow
@pytest.mark.parametrize(("size", "scaled"), SIZES, ids=str)
def test_pictures_are_scaled_as_by_the_libraries_and_frames_without_them(size: Size, scaled: Size) -> None:
    assert_scaled(size, scaled)
    assert scale.compiled_sums_agree(*size, *scaled)


@pytest.mark.slow
@settings(max_examples=40)
@given(some.tuples(*[some.integers(4, 160)] * 2), some.tuples(*[some.integers(1, 12)] * 2))
def test_any_size_is_scaled_as_by_the_libraries(size: Size, tokens: Size) -> None:
    assert_scaled(size, (28 * tokens[0], 28 * tokens[1]))


@pytest.mark.parametrize(("size", "scaled"), [((56, 84), (56, 84)), ((56, 90), (56, 84)), ((60, 84), (56, 84))])
def test_a_side_that_keeps_its_length_is_resized_as_by_the_libraries(size: Size, scaled: Size) -> None:
    assert_scaled(size, scaled)


def test_black_white_and_steep_pictures_stay_within_bytes() -> None:
    steep = numpy.kron(numpy.indices((12, 20)).sum(0) % 2, numpy.ones((9, 7)))[..., None].repeat(3, 2)
    pictures = (numpy.stack([steep, 0 * steep, steep * 0 + 1]) * 255).astype(numpy.uint8)
    for height, width in product((56, 196), (84, 224)):
        assert torch.equal(scaled_frames(pictures, height, width), by_torch(pictures, height, width))
        for picture in pictures:
            scaled = scaled_still(Image.fromarray(picture), height, width)[0].permute(1, 2, 0).numpy()
            assert numpy.array_equal(scaled, by_pillow(picture, height, width))


def test_many_threads_do_not_get_into_each_others_pictures() -> None:
    tasks = [(noise(90 + number % 7, 160, 3), (84 + 28 * (number % 3), 112)) for number in range(60)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda task: scaled_frames(task[0], *task[1]).clone(), tasks))
    assert all(torch.equal(one, by_torch(frames, *size)) for one, (frames, size) in zip(found, tasks, strict=True))


def test_where_the_compiled_sums_differ_torch_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a version or a processor that adds up in another order; here our own sums are falsified by one."""
    resized_like_torch = scale.resized_like_torch

    def wrong_frame(frame: numpy.ndarray, height: int, width: int) -> torch.Tensor:
        resized = resized_like_torch(frame, height, width)
        resized[1, height // 2, width // 2] ^= 1
        return resized

    monkeypatch.setattr(scale, "resized_like_torch", wrong_frame)
    size, scaled = (61, 103), (56, 84)  # asked for nowhere else: the verdict is cached
    assert_scaled(size, scaled)
    assert not scale.compiled_sums_agree(*size, *scaled)


def test_where_nothing_compiled_can_be_kept_it_is_compiled_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose package and home cannot be written to."""
    from numba.core import caching

    from lmms_eval_shotbench.qwen.scaling.resampling import compiled

    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])

    def twice(number: int) -> int:
        return 2 * number

    with pytest.raises(RuntimeError):
        numba.njit(cache=True)(twice)
    assert compiled(twice)(21) == 42
