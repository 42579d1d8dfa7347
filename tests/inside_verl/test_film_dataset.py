"""The media of verl's datasets are bitwise equal to those of the evaluation."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.verl
pytest.importorskip("verl")
torch = pytest.importorskip("torch")

from verl.utils.tokenizer import build_multimodal_processor_inputs, hf_processor

from lmms_eval_shotbench.media.clips import CLIP_MAX_PIXELS
from lmms_eval_shotbench.media.stills import BrokenMedium, open_still
from lmms_eval_shotbench.qwen.inputs import MediaLimits, Patches, PatchRule, clip_patches, still_patches
from lmms_eval_shotbench.qwen.pixel_values import vision_inputs
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.film_rows import Medium, film_lessons, film_prompts, film_rows, media_in_the_agent_loop, noisy_still
from tests.support.rendered_clips import Rendering, copied, render

UNEVEN = tuple(number / 24 + (number % 3) / 90 for number in range(40))
CLIPS = {
    "61 frames at 30": render(Rendering(61, Fraction(30), (200, 120))),
    "9 frames at 25, which give 4": render(Rendering(9, Fraction(25))),
    "3 frames": render(Rendering(3)),
    "upright": render(Rendering(20, Fraction(12), (360, 640))),
    "film's own rate": render(Rendering(35, Fraction(24000, 1001), (320, 180))),
    "twelve seconds": render(Rendering(288)),
    "frames at uneven times": render(Rendering(40, times=UNEVEN)),
    "on its side": render(Rendering(30, turned=90)),
    "cut inside a group of pictures": copied(render(Rendering(48, codec_options={"g": "20"})), "mp4", 1.1),
    "another container": render(Rendering(30, codec="libvpx-vp9", container="webm")),
}
STILLS = {
    "a photograph": noisy_still(320, 180, encoding="JPEG"),
    "smaller than the least": noisy_still(20, 9),
    "larger than the most": noisy_still(1300, 720),
    "transparent": noisy_still(90, 120, "RGBA"),
}
MEDIA: list[Medium] = [
    *((MediaKind.CLIP, encoded) for encoded in CLIPS.values()),
    *((MediaKind.STILL, encoded) for encoded in STILLS.values()),
]
LIMITS = {"tiny": (3136, 50176), "released": (3136, 12845056)}
NAMES = [*CLIPS, *STILLS]
ONCE = {
    "twelve seconds",
    "frames at uneven times",
    "on its side",
    "cut inside a group of pictures",
    "another container",
}
every_medium = pytest.mark.parametrize("number", range(len(MEDIA)), ids=NAMES)


@pytest.fixture(scope="module")
def training_rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: film_rows(tmp_path_factory.mktemp(name), name, MEDIA) for name in ("sft", "grpo")}


@pytest.fixture(scope="module", params=LIMITS)
def pixel_limits(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def processor(tiny_model: Path, pixel_limits: str) -> Any:
    """The processor as verl loads it, with the pixel limits of the tiny checkpoint or of the released ones."""
    loaded = hf_processor(str(tiny_model))
    least, most = LIMITS[pixel_limits]
    for part in (loaded.image_processor, loaded.video_processor):
        part.size = {"shortest_edge": least, "longest_edge": most}
    return loaded


@pytest.fixture(scope="module")
def grpo_dataset(training_rows: dict[str, Path], processor: Any) -> Any:
    return film_prompts(training_rows["grpo"], processor)


@pytest.fixture(scope="module")
def sft_dataset(training_rows: dict[str, Path], processor: Any) -> Any:
    return film_lessons(training_rows["sft"], processor)


def evaluated(medium: Medium, limits: str, processor: Any) -> Patches:
    """Patches of a medium in the evaluation."""
    kind, encoded = medium
    least, most = LIMITS[limits]
    shown, rule = MediaLimits(least, most, clip_max=min(CLIP_MAX_PIXELS, most)), PatchRule.of(processor)
    if kind is MediaKind.CLIP:
        return clip_patches(encoded, shown, rule)
    return still_patches(open_still(encoded), shown, rule)


def skip_expensive(number: int, limits: str) -> None:
    """Skip expensive cases: the released limits enlarge every frame to 128 tokens, which tests decoding no further."""
    if limits == "released" and NAMES[number] in ONCE:
        pytest.skip("with the tiny checkpoint's limits only")


def assert_equal(found: dict[str, Any], patches: Patches, processor: Any) -> None:
    expected = vision_inputs([patches], PatchRule.of(processor), torch.device("cpu"), torch.float32)
    assert len(expected) == 2
    for name, values in expected.items():
        assert torch.equal(found[name], values), name
    if patches.kind is MediaKind.CLIP:
        assert found["second_per_grid_ts"].tolist() == torch.tensor([float(2 / patches.grid.fps)]).tolist()


@every_medium
def test_media_in_the_agent_loop_are_those_of_the_evaluation(
    grpo_dataset: Any, processor: Any, pixel_limits: str, number: int
) -> None:
    skip_expensive(number, pixel_limits)
    messages = grpo_dataset[number]["raw_prompt"]
    media = media_in_the_agent_loop(messages, processor)
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    found = build_multimodal_processor_inputs(processor, text=[text], **media)
    assert_equal(found, evaluated(MEDIA[number], pixel_limits, processor), processor)


@every_medium
def test_media_in_sft_are_those_of_the_evaluation(
    sft_dataset: Any, processor: Any, pixel_limits: str, number: int
) -> None:
    skip_expensive(number, pixel_limits)
    found = sft_dataset[number]["multi_modal_inputs"]
    assert_equal(found, evaluated(MEDIA[number], pixel_limits, processor), processor)


def test_a_medium_that_cannot_be_read_is_named(
    grpo_dataset: Any, training_rows: dict[str, Path], processor: Any
) -> None:
    messages = grpo_dataset[0]["raw_prompt"]
    part = next(part for message in messages for part in message["content"] if part["type"] == "video")
    for path, reason in ((training_rows["grpo"], "cannot be decoded"), (Path("gone.mp4"), "No such file")):
        part["video"] = str(path)
        with pytest.raises(BrokenMedium, match=f"{path.name}: .*{reason}.*write the rows again"):
            media_in_the_agent_loop(messages, processor)


def test_sft_refuses_a_row_whose_placeholders_and_media_differ(sft_dataset: Any) -> None:
    row = sft_dataset.dataframe.iloc[0].to_dict()
    with pytest.raises(ValueError, match="more placeholders <video> than media"):
        sft_dataset._build_messages(row | {"videos": []})
    with pytest.raises(ValueError, match="more media than placeholders"):
        sft_dataset._build_messages(row | {"messages": [{"role": "user", "content": "No mark."}]})
