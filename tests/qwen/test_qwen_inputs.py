"""Inputs of the vision tower are bit-identical to those of the official script's libraries."""

from __future__ import annotations

import io
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
numpy = pytest.importorskip("numpy")
transformers = pytest.importorskip("transformers")
Image = pytest.importorskip("PIL.Image")
os.environ.setdefault("FORCE_QWENVL_VIDEO_READER", "decord")  # read when qwen_vl_utils is imported
vision = pytest.importorskip("qwen_vl_utils")

from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.qwen import pixel_values
from lmms_eval_shotbench.qwen.inputs import (
    MediaLimits,
    Patches,
    PatchRule,
    clip_patches,
    grid_from_header,
    still_patches,
)
from lmms_eval_shotbench.qwen.pixel_values import PixelBuffer, vision_inputs
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.rendered_clips import Rendering, render

RELEASED = MediaLimits(still_min=3136, still_max=12845056)  # limits of the released checkpoints


@pytest.fixture
def processor(tiny_model: Path) -> Any:
    """The tiny checkpoint's processor with the limits of the released ones."""
    loaded = transformers.AutoProcessor.from_pretrained(tiny_model)
    for part in (loaded.image_processor, loaded.video_processor):
        part.size = {"shortest_edge": RELEASED.still_min, "longest_edge": RELEASED.still_max}
    return loaded


def official(processor: Any, part: dict[str, Any]) -> Any:
    """Return inputs as computed by the official script."""
    messages = [{"role": "user", "content": [part, {"type": "text", "text": "?"}]}]
    stills, clips, settings = vision.process_vision_info(messages, return_video_kwargs=True, return_video_metadata=True)
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    frames, metadata = zip(*clips, strict=True) if clips else ((), ())
    return processor(
        text=[text],
        images=stills,
        videos=list(frames) or None,
        video_metadata=list(metadata) or None,
        return_tensors="pt",
        **settings,
    )


def for_model(patches: Patches, processor: Any) -> dict[str, torch.Tensor]:
    return vision_inputs([patches], PatchRule.of(processor), torch.device("cpu"), torch.float32)


def noisy_still(width: int, height: int) -> bytes:
    pixels = numpy.random.default_rng(width).integers(0, 256, (height, width, 3), dtype="uint8")
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG")
    return encoded.getvalue()


@pytest.mark.parametrize("size", [(1280, 720), (313, 211), (20, 9), (1920, 800), (56, 56)], ids=str)
def test_a_still_equals_that_of_the_official_script(processor: Any, size: tuple[int, int]) -> None:
    encoded = noisy_still(*size)
    rule = PatchRule.of(processor)
    ours = still_patches(open_still(encoded), RELEASED, rule)
    theirs = official(processor, {"type": "image", "image": open_still(encoded)})
    found = for_model(ours, processor)
    assert torch.equal(found["image_grid_thw"], theirs["image_grid_thw"])
    assert torch.equal(found["pixel_values"], theirs["pixel_values"])
    assert ours.grid == grid_from_header(MediaKind.STILL, encoded, RELEASED, rule)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("frames", "rate", "size"),
    [(48, 24, (1280, 720)), (30, 30, (640, 360)), (5, 25, (64, 36)), (50, 12, (360, 640))],
    ids=str,
)
def test_a_clip_equals_that_of_the_official_script(
    processor: Any, tmp_path: Path, frames: int, rate: int, size: tuple[int, int]
) -> None:
    encoded = render(Rendering(frames, Fraction(rate), size))
    path = tmp_path / "clip.mp4"
    path.write_bytes(encoded)
    rule = PatchRule.of(processor)
    ours = clip_patches(encoded, RELEASED, rule)
    theirs = official(processor, {"type": "video", "video": str(path), "fps": 12, "max_pixels": 360 * 640})
    found = for_model(ours, processor)
    assert torch.equal(found["video_grid_thw"], theirs["video_grid_thw"])
    assert torch.equal(found["pixel_values_videos"], theirs["pixel_values_videos"])
    assert float(2 / ours.grid.fps) == pytest.approx(float(theirs["second_per_grid_ts"][0]))
    assert ours.grid[:3] == grid_from_header(MediaKind.CLIP, encoded, RELEASED, rule)[:3]


def test_transparent_pixels_become_white_as_in_the_official_script(processor: Any) -> None:
    pixels = numpy.random.default_rng(1).integers(0, 256, (90, 120, 4), dtype="uint8")
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    ours = for_model(still_patches(open_still(encoded.getvalue()), RELEASED, PatchRule.of(processor)), processor)
    theirs = official(processor, {"type": "image", "image": Image.open(encoded)})
    assert torch.equal(ours["pixel_values"], theirs["pixel_values"])


def test_the_frame_of_a_single_frame_clip_is_repeated(processor: Any) -> None:
    patches = clip_patches(render(Rendering(1)), RELEASED, PatchRule.of(processor))
    values = for_model(patches, processor)["pixel_values_videos"].view(patches.grid.patches, 3, 2, -1)
    assert patches.grid.time == 1
    assert torch.equal(values[:, :, 0], values[:, :, 1])


def test_stills_and_clips_of_a_batch_are_separate_inputs(processor: Any) -> None:
    rule = PatchRule.of(processor)
    clip = clip_patches(render(Rendering(4)), RELEASED, rule)
    stills = [still_patches(open_still(noisy_still(side, side)), RELEASED, rule) for side in (60, 90)]
    inputs = vision_inputs([stills[0], clip, stills[1]], rule, torch.device("cpu"), torch.bfloat16)
    assert inputs["image_grid_thw"].tolist() == [list(still.grid[:3]) for still in stills]
    assert inputs["pixel_values"].shape == (sum(still.grid.patches for still in stills), 3 * 2 * 14 * 14)
    assert inputs["video_grid_thw"].tolist() == [list(clip.grid[:3])]
    assert inputs["pixel_values_videos"].dtype == torch.bfloat16


def test_the_buffer_is_reused_without_values_of_earlier_media() -> None:
    rule, buffer = PatchRule(14, 2, 2, (120.0, 110.0, 100.0), (60.0, 60.0, 60.0)), PixelBuffer()
    on_cpu = torch.device("cpu"), torch.float32
    stills = [still_patches(open_still(noisy_still(side, side)), RELEASED, rule) for side in (300, 600, 90)]
    addresses = set()
    for media in (stills[:1], stills, stills[2:]):
        inputs = vision_inputs(media, rule, *on_cpu, buffer)
        assert torch.equal(inputs["pixel_values"], vision_inputs(media, rule, *on_cpu)["pixel_values"])
        addresses.add(inputs["pixel_values"].data_ptr())
    assert len(addresses) == 2  # the first buffer was too small for the second media


def test_large_inputs_do_not_use_the_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = PixelBuffer()
    small = buffer.take(100)
    monkeypatch.setattr(pixel_values, "MAX_BUFFER_VALUES", 1000)
    assert len(buffer.take(1001)) == 1001
    assert buffer.take(100).data_ptr() == small.data_ptr()
