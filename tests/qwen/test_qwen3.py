"""Qwen3-VL and Qwen3.5: prompts, pixels, positions and answers are those of transformers."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import pytest

pytestmark = [pytest.mark.host, pytest.mark.slow]
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
numpy = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")
os.environ.setdefault("FORCE_QWENVL_VIDEO_READER", "decord")  # read when qwen_vl_utils is imported
vision = pytest.importorskip("qwen_vl_utils")

from lmms_eval_shotbench.media.clips import Clip, sampled_frames
from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint, load_checkpoint
from lmms_eval_shotbench.qwen.decoding import decode, prefill
from lmms_eval_shotbench.qwen.input_rules import UnsupportedCheckpoint
from lmms_eval_shotbench.qwen.inputs import (
    MediaLimits,
    Patches,
    PatchRule,
    Prompt,
    clip_patches,
    grey_medium,
    grid_from_header,
    still_patches,
)
from lmms_eval_shotbench.qwen.pixel_values import vision_inputs
from lmms_eval_shotbench.qwen.prompt_tree import Branch, PromptTree
from lmms_eval_shotbench.vocabulary import MediaKind, View
from tests.support.plain_generation import plain_answer, plain_inputs, plain_model
from tests.support.rendered_clips import Rendering, render
from tests.support.tiny_families import make_tiny_family
from tests.support.tiny_families.trainable import Trainable, make_trainable

SMALL = MediaLimits(still_min=4096, still_max=16_384, clip_min=4096, clip_max=8192)
FILMED = Fraction(24000, 1001)
NEW_TOKENS = 8
CLOSE = {"rtol": 1e-3, "atol": 1e-3}  # of logits, a tenth of which are apart by 0.05 or more


def loaded(folder: Path) -> Checkpoint:
    return load_checkpoint(str(folder), device=torch.device("cpu"))


@pytest.fixture(scope="module", params=["qwen3_vl", "qwen3_5"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_trainable(cast(Trainable, request.param), tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return loaded(folder)


@pytest.fixture(scope="module")
def qwen3_vl(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return loaded(make_trainable("qwen3_vl", tmp_path_factory.mktemp("qwen3_vl_alone")))


def chat(checkpoint: Checkpoint, kinds: Sequence[MediaKind], before: str = "") -> str:
    """A chat with text before media, and a question after them."""
    names = {MediaKind.STILL: "image", MediaKind.CLIP: "video"}
    content = [{"type": "text", "text": before}] if before else []
    content += [{"type": names[kind]} for kind in kinds] + [{"type": "text", "text": "What moves?"}]
    messages = [{"role": "user", "content": content}]
    text: str = checkpoint.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text


def prompt_with(checkpoint: Checkpoint, media: Sequence[Patches], before: str = "") -> Prompt:
    text = chat(checkpoint, [one.kind for one in media], before)
    return Prompt(checkpoint.processor.tokenizer(text)["input_ids"], media)


def still(width: int, height: int) -> bytes:
    pixels = numpy.random.default_rng(width).integers(0, 256, (height, width, 3), dtype="uint8")
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    return encoded.getvalue()


# ------------------------------------------------------------------------------- what a clip and a still are shown as


@pytest.mark.parametrize("before", ["", "Look:"], ids=["clip first", "text before the clip"])
@pytest.mark.parametrize("fps", [2.0, 8.0, 12.0, float(FILMED)])
def test_a_clip_is_shown_as_by_the_processor_with_the_times_of_its_frames(
    qwen3_vl: Checkpoint, fps: float, before: str
) -> None:
    encoded = render(Rendering(64, FILMED, (96, 64)))
    limits = SMALL._replace(fps=fps)
    clip = clip_patches(encoded, limits, qwen3_vl.patch_rule)
    prompt = prompt_with(qwen3_vl, [clip], before)
    with Clip(encoded) as source:
        indices = source.sampled(fps)
        frames = torch.from_numpy(numpy.concatenate(list(source.read(indices)))).permute(0, 3, 1, 2)
    theirs = qwen3_vl.processor(
        text=[chat(qwen3_vl, [MediaKind.CLIP], before)],
        videos=[frames_of_size(frames, clip)],
        video_metadata=[{"fps": float(FILMED), "total_num_frames": 64, "frames_indices": list(indices)}],
        do_sample_frames=False,
        return_tensors="pt",
    )
    ours = qwen3_vl.padded([prompt]) | pixels_of(qwen3_vl, clip)
    for name in ("input_ids", "pixel_values_videos", "video_grid_thw"):
        assert torch.equal(ours[name], theirs[name]), name
    middles = [(first + last) / 2 / FILMED for first, last in zip(indices[::2], indices[1::2], strict=True)]
    written = re.findall(r"<([\d.]+) seconds>", qwen3_vl.processor.tokenizer.decode(ours["input_ids"][0]))
    assert written == [f"{float(middle):.1f}" for middle in middles]
    from_header = grid_from_header(MediaKind.CLIP, encoded, limits, qwen3_vl.patch_rule)
    estimate = len(prompt.ids) - 1 + qwen3_vl.architecture.medium_tokens(from_header)
    assert estimate == pytest.approx(ours["input_ids"].shape[1], abs=len(middles))


def frames_of_size(frames: torch.Tensor, clip: Patches) -> torch.Tensor:
    """Frames resized as the official script does."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import resize

    size = [clip.grid.height * 16, clip.grid.width * 16]
    return resize(frames, size, interpolation=InterpolationMode.BICUBIC, antialias=True)


def pixels_of(checkpoint: Checkpoint, medium: Patches) -> dict[str, torch.Tensor]:
    return vision_inputs([medium], checkpoint.patch_rule, torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("size", [(640, 360), (90, 60), (32, 300)], ids=str)
def test_a_still_equals_that_of_the_official_script(qwen3_vl: Checkpoint, size: tuple[int, int]) -> None:
    encoded = still(*size)
    ours = still_patches(open_still(encoded), SMALL, qwen3_vl.patch_rule)
    part = {"type": "image", "image": open_still(encoded), "min_pixels": SMALL.still_min, "max_pixels": SMALL.still_max}
    stills, _clips = vision.process_vision_info([{"role": "user", "content": [part]}], image_patch_size=16)
    theirs = qwen3_vl.processor(
        text=[chat(qwen3_vl, [MediaKind.STILL])], images=stills, do_resize=False, return_tensors="pt"
    )
    found = qwen3_vl.padded([prompt_with(qwen3_vl, [ours])]) | pixels_of(qwen3_vl, ours)
    for name in ("input_ids", "pixel_values", "image_grid_thw"):
        assert torch.equal(found[name], theirs[name]), name
    assert ours.grid == grid_from_header(MediaKind.STILL, encoded, SMALL, qwen3_vl.patch_rule)


def test_the_processor_itself_would_sample_other_frames(qwen3_vl: Checkpoint) -> None:
    """Its number of frames may be odd; the protocol's is a multiple of two, as for all models."""
    theirs = qwen3_vl.processor.video_processor.sample_frames
    metadata = transformers.video_utils.VideoMetadata(total_num_frames=50, fps=24.0)
    assert len(theirs(metadata, fps=12)) == 25
    assert len(sampled_frames(50, Fraction(24), 12.0)) == 24
    assert list(theirs(replace(metadata, total_num_frames=48), fps=12)) == sampled_frames(48, Fraction(24), 12.0)


@pytest.mark.parametrize("frames", [1, 4, 48, 110, 360, 768])
@pytest.mark.parametrize("size", [(360, 640), (1080, 1920), (1920, 800), (90, 160)], ids=str)
def test_the_processor_does_not_resize_frames_again(frames: int, size: tuple[int, int]) -> None:
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize

    most = 25_165_824  # of all frames of a clip, in the released checkpoints
    rule = PatchRule(16, 2, 2, (), (), clip_pixels=most)
    limits = MediaLimits(still_min=65_536, still_max=16_777_216)
    height, width = rule.fitted_frames(frames, *size, limits.clip_min, limits.clip_max)
    assert height * width <= limits.clip_max
    assert smart_resize(frames, height, width, min_pixels=4096, max_pixels=most) == (height, width)


# ------------------------------------------------------------------------------------------------------------ answers


@pytest.fixture(scope="module")
def prompts(checkpoint: Checkpoint) -> list[Prompt]:
    """Clips of different lengths and rates, reversed and mirrored, stills, several media, and none."""
    rule = checkpoint.patch_rule
    clips = [
        clip_patches(render(Rendering(frames, Fraction(rate), (96, 64))), SMALL, rule, view)
        for frames, rate, view in ((48, 24, View.AS_FILMED), (31, FILMED, View.REVERSED), (13, 25, View.MIRRORED))
    ]
    stills = [still_patches(open_still(still(*size)), SMALL, rule) for size in ((90, 60), (64, 128))]
    shown = [[clips[0]], [stills[0]], [clips[1]], [], [clips[2], stills[1]], [stills[1], clips[0], stills[0]]]
    return [prompt_with(checkpoint, media, "Look: " * (number % 2)) for number, media in enumerate(shown)]


def test_positions_are_those_of_transformers(checkpoint: Checkpoint, prompts: list[Prompt]) -> None:
    batch = checkpoint.padded(prompts)
    for row, prompt in enumerate(prompts):
        inputs = plain_inputs(checkpoint, prompt)
        grids = {name: inputs.get(name) for name in ("image_grid_thw", "video_grid_thw")}
        theirs, _delta = checkpoint.model.model.get_rope_index(
            inputs["input_ids"], mm_token_type_ids=inputs["mm_token_type_ids"], **grids
        )
        real = batch["attention_mask"][row].bool()
        assert torch.equal(batch["position_ids"][:, row, real], theirs[:, 0])
        assert torch.equal(batch["input_ids"][row, real], inputs["input_ids"][0])


def test_answers_and_logits_are_those_of_plain_generation_however_prompts_are_grouped(
    checkpoint: Checkpoint, prompts: list[Prompt], folder: Path
) -> None:
    model = plain_model(folder)
    expected = [plain_answer(model, plain_inputs(checkpoint, prompt), NEW_TOKENS) for prompt in prompts]
    tokens = [answer for answer, _logits in expected]
    assert len({tuple(answer) for answer in tokens}) > len(prompts) / 2, "equal answers would prove nothing"
    for size in (1, 2, len(prompts)):
        found = logits_in_groups(checkpoint, prompts, size, tokens)
        for ours, (_answer, theirs) in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs[: len(ours)], **CLOSE)
    if checkpoint.architecture.forks:  # a random Qwen3.5 rounds more, and may have ties
        assert [checkpoint.answer([prompt], NEW_TOKENS)[0] for prompt in prompts] == tokens
        for prefill_tokens in (0, 100_000):
            assert replace(checkpoint, prefill_tokens=prefill_tokens).answer(prompts, NEW_TOKENS) == tokens


def logits_in_groups(
    checkpoint: Checkpoint, prompts: list[Prompt], size: int, answers: list[list[int]]
) -> list[torch.Tensor]:
    """Logits of each token of given answers, with prompts prefilled in groups and decoded together.

    Each answer is cut two tokens after the one before it, so that rows leave the batch.
    """
    batch = checkpoint.padded(prompts)
    start, seen = batch["input_ids"].shape[1], [list[torch.Tensor]() for _ in prompts]
    lengths = [min(2 * row + 1, len(answer)) for row, answer in enumerate(answers)]

    def step(ids: torch.Tensor, logits: torch.Tensor, rows: list[int]) -> tuple[torch.Tensor, list[bool]]:
        number = ids.shape[1] - start
        for row, one in zip(rows, logits, strict=True):
            if number < lengths[row]:  # a row that has ended may stay in the batch
                seen[row].append(one)
        chosen = torch.tensor([answers[row][min(number, lengths[row] - 1)] for row in rows])
        return torch.cat([ids, chosen[:, None]], dim=1), [number + 1 >= lengths[row] for row in rows]

    groups = (
        checkpoint.padded(some) | checkpoint._vision(some)
        for some in (prompts[first : first + size] for first in range(0, len(prompts), size))
    )
    with torch.inference_mode():
        decode(checkpoint.model, prefill(checkpoint.model, batch, groups, batch["position_ids"].amax((0, 2)) + 1), step)
    return [torch.stack(one) for one in seen]


@pytest.mark.parametrize("family", ["qwen3_vl_moe", "qwen3_5_moe"])
def test_mixtures_of_experts_answer_as_by_plain_generation(family: str, tmp_path: Path) -> None:
    folder = make_tiny_family(family, tmp_path / family)
    settings = json.loads((folder / "generation_config.json").read_text())
    free = {name: value for name, value in settings.items() if "suppress" not in name}
    (folder / "generation_config.json").write_text(json.dumps(free))
    checkpoint, model = loaded(folder), plain_model(folder)
    media = [grey_medium(kind, SMALL, checkpoint.patch_rule) for kind in MediaKind]
    prompts = [prompt_with(checkpoint, [one]) for one in media]
    expected = [plain_answer(model, plain_inputs(checkpoint, prompt), 4) for prompt in prompts]
    found = logits_in_groups(checkpoint, prompts, 1, [tokens for tokens, _ in expected])
    for ours, (_tokens, theirs) in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs[: len(ours)], **CLOSE)


# ---------------------------------------------------------------------------------------------------------- refusals


def test_a_recurrent_state_gives_no_probabilities_of_terms_and_says_so(tmp_path: Path) -> None:
    checkpoint = loaded(make_trainable("qwen3_5", tmp_path))
    grey = grey_medium(MediaKind.STILL, SMALL, checkpoint.patch_rule)
    tree = PromptTree([Branch(prompt_with(checkpoint, [grey]).ids, [[5]])])
    with pytest.raises(UnsupportedCheckpoint, match=r"a qwen3_5 gives no probabilities of terms: .* use --ask letter"):
        checkpoint.log_probabilities([grey], tree)


def test_a_clip_outside_of_its_tokens_is_refused(qwen3_vl: Checkpoint) -> None:
    clip = grey_medium(MediaKind.CLIP, SMALL, qwen3_vl.patch_rule)
    with pytest.raises(ValueError, match="correct the checkpoint's chat template"):
        qwen3_vl.padded([Prompt([5, qwen3_vl.placeholders[MediaKind.CLIP], 6], [clip])])


def test_a_processor_that_treats_stills_and_clips_differently_is_refused(tmp_path: Path) -> None:
    other = make_trainable("qwen3_vl", tmp_path)
    (path,) = other.glob("processor_config.json")
    settings = json.loads(path.read_text())
    settings["image_processor"]["image_mean"] = [0.4] * 3
    path.write_text(json.dumps(settings))
    with pytest.raises(UnsupportedCheckpoint, match=r"image_mean \(0.4, .* for stills and \(0.5, .* for clips"):
        loaded(other)
