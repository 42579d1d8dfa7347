"""Qwen3-VL and Qwen3.5, whose prompts write the times of a clip, see the same in SFT, GRPO, rollout and evaluation."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.verl
pytest.importorskip("verl")
import pyarrow
import pyarrow.parquet as parquet
import torch
from verl.utils.dataset import multiturn_sft_dataset
from verl.utils.tokenizer import build_multimodal_processor_inputs, hf_processor

from lmms_eval_shotbench.media.clips import CLIP_MAX_PIXELS, sampled_frames
from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.qwen.inputs import MediaLimits, Patches, PatchRule, Prompt, clip_patches, still_patches
from lmms_eval_shotbench.qwen.pixel_values import vision_inputs
from lmms_eval_shotbench.qwen.qwen3_vl import Qwen3VL
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.film_rows import Medium, film_lessons, film_prompts, film_rows, media_in_the_agent_loop, noisy_still
from tests.support.rendered_clips import Rendering, render
from tests.support.tiny_families.trainable import Trainable, make_trainable
from verl_recipes.cpu.request_inputs import RequestInputs
from verl_recipes.inside_verl import sft_positions
from verl_recipes.inside_verl.qwen3_vl import vllm_clip_prompts
from verl_recipes.training_rows import Purpose

FILM, VIDEO = Fraction(24000, 1001), Fraction(25)
STILL: Medium = (MediaKind.STILL, noisy_still(90, 60))
CASES: dict[str, tuple[Medium, float]] = {  # medium, and the rate at which it is sampled
    "still": (STILL, 0.0),
    "2 fps": ((MediaKind.CLIP, render(Rendering(100, VIDEO, (96, 64)))), 2.0),
    "12 fps": ((MediaKind.CLIP, render(Rendering(61, FILM, (64, 96)))), 12.0),
    "23.976 fps": ((MediaKind.CLIP, render(Rendering(29, FILM, (96, 64)))), float(FILM)),
    "one frame": ((MediaKind.CLIP, render(Rendering(1, VIDEO, (96, 64)))), 12.0),
    "long": ((MediaKind.CLIP, render(Rendering(150, VIDEO, (96, 64)))), 12.0),  # smaller frames, as all are limited
}
FRAMES = {"2 fps": (100, VIDEO), "12 fps": (61, FILM), "23.976 fps": (29, FILM), "one frame": (1, VIDEO)}
FRAMES |= {"long": (150, VIDEO)}


class Shown(NamedTuple):
    """What a model gets of a row."""

    ids: list[int]
    positions: torch.Tensor  # (3, length)
    media: dict[str, torch.Tensor]


class Architecture(NamedTuple):
    """A checkpoint as verl loads it, with training rows of all cases."""

    model: Any  # transformers' model without its head
    processor: Any
    rows: dict[Purpose, Path]

    def lesson(self, number: int) -> Shown:
        """A row of SFT."""
        row = film_lessons(self.rows["sft"], self.processor)[number]
        return Shown(row["input_ids"].tolist(), row["position_ids"][1:], row["multi_modal_inputs"])

    def prompt(self, number: int) -> Shown:
        """A prompt of GRPO as the rollout engine `hf` and the actor prepare it, by the same methods."""
        messages = film_prompts(self.rows["grpo"], self.processor)[number]["raw_prompt"]
        media = media_in_the_agent_loop(messages, self.processor)
        text = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = build_multimodal_processor_inputs(self.processor, text=[text], **media)["input_ids"][0].tolist()
        ready = RequestInputs(self.processor).ready_prompt(ids, **media)
        return Shown(ids, ready.positions[:, :-1], ready.media)

    def evaluated_prompt(self, number: int, patches: Patches) -> dict[str, torch.Tensor]:
        """The same prompt as prepared by the evaluation."""
        messages = film_prompts(self.rows["grpo"], self.processor)[number]["raw_prompt"]
        text = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        prompt = Prompt(self.processor.tokenizer(text)["input_ids"], [patches])
        return Qwen3VL.of(self.model.config, self.processor).padded([prompt])

    def own_positions(self, shown: Shown) -> torch.Tensor:
        """Positions (3, length) by transformers' own function."""
        ids = torch.tensor(shown.ids)[None]
        kinds = torch.tensor(self.processor.create_mm_token_type_ids(ids))
        grids = {name: values for name, values in shown.media.items() if name.endswith("grid_thw")}
        positions: torch.Tensor = self.model.get_rope_index(ids, kinds, **grids)[0]
        return positions[:, 0]

    def patches(self, medium: Medium, fps: float) -> Patches:
        """Patches of a medium in the evaluation."""
        kind, encoded = medium
        size, rule = self.processor.image_processor.size, PatchRule.of(self.processor)
        limits = MediaLimits(size["shortest_edge"], size["longest_edge"], clip_max=CLIP_MAX_PIXELS, fps=fps)
        return (
            clip_patches(encoded, limits, rule)
            if kind is MediaKind.CLIP
            else still_patches(open_still(encoded), limits, rule)
        )


@pytest.fixture(scope="module", params=["qwen3_vl", "qwen3_5"])
def architecture(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Architecture:
    from transformers import AutoModelForImageTextToText

    family: Trainable = request.param
    folder = make_trainable(family, tmp_path_factory.mktemp(family) / "model")
    rows: dict[Purpose, Path] = {}
    for purpose in ("sft", "grpo"):
        rows[purpose] = film_rows(tmp_path_factory.mktemp(purpose), purpose, [medium for medium, _ in CASES.values()])
        set_rates(rows[purpose])
    model = AutoModelForImageTextToText.from_pretrained(folder).model
    return Architecture(model, hf_processor(str(folder)), rows)


def set_rates(path: Path) -> None:
    """Set the frame rates of the rows to those of the cases."""
    table = parquet.read_table(path)
    rows = table.to_pylist()
    for row, (_, fps) in zip(rows, CASES.values(), strict=True):
        for clip in row["videos"]:
            clip["fps"] = fps
    parquet.write_table(pyarrow.Table.from_pylist(rows, table.schema), path)


@pytest.fixture
def patched_sft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiturn_sft_dataset, sft_positions.FUNCTION, sft_positions.row_positions)


@pytest.mark.parametrize("purpose", ["lesson", "prompt"])
@pytest.mark.parametrize("name", CASES)
def test_positions_are_transformers_own_and_pixels_and_times_those_of_the_evaluation(
    architecture: Architecture, patched_sft: None, name: str, purpose: str
) -> None:
    number, (medium, fps) = list(CASES).index(name), CASES[name]
    shown: Shown = getattr(architecture, purpose)(number)
    assert torch.equal(shown.positions, architecture.own_positions(shown))
    patches = architecture.patches(medium, fps)
    rule = PatchRule.of(architecture.processor)
    if purpose == "prompt":
        evaluated = architecture.evaluated_prompt(number, patches)
        assert evaluated["input_ids"][0].tolist() == shown.ids
        assert torch.equal(evaluated["position_ids"][:, 0], shown.positions)
    for key, values in vision_inputs([patches], rule, torch.device("cpu"), torch.float32).items():
        assert torch.equal(shown.media[key], values), key
    text = architecture.processor.tokenizer.decode(shown.ids)
    assert re.findall(r"<([^<]*) seconds><\|vision_start\|>", text) == written_times(name, fps)
    tokens = patches.grid.patches // rule.merge**2
    pads = {architecture.processor.image_token_id, architecture.processor.video_token_id}
    assert sum(token in pads for token in shown.ids) == tokens


def written_times(name: str, fps: float) -> list[str]:
    """Times of a clip's pairs of frames in seconds, half way between both."""
    if name not in FRAMES:
        return []
    frames, rate = FRAMES[name]
    indices = sampled_frames(frames, float(rate), fps)
    pairs = [(indices[start], indices[start + 1 :][:1] or indices[-1:]) for start in range(0, len(indices), 2)]
    return [f"{float((first + second) / 2 / rate):.1f}" for first, (second,) in pairs]


def test_the_frames_of_a_long_clip_are_smaller(architecture: Architecture) -> None:
    (medium, fps), (short, _) = CASES["long"], CASES["23.976 fps"]
    long, other = architecture.patches(medium, fps).grid, architecture.patches(short, float(FILM)).grid
    assert long.height * long.width < other.height * other.width
    assert long.patches * 2 * 16**2 <= architecture.processor.video_processor.size["longest_edge"]


def test_the_patches_of_verl_are_still_needed(architecture: Architecture) -> None:
    assert sft_positions.still_needed(architecture.processor), "remove inside_verl/sft_positions.py"
    assert vllm_clip_prompts.still_needed(architecture.processor), "remove inside_verl/qwen3_vl/vllm_clip_prompts.py"


def clip_metadata(frames: int, fps: float) -> tuple[None, dict[str, Any]]:
    return None, {"fps": fps, "total_num_frames": frames, "frames_indices": list(range(frames))}


def expanded(processor: Any, text: str, clips: list[tuple[Any, dict[str, Any]]]) -> list[int]:
    """Tokens of a prompt with these clips, as the processor writes them."""
    frames = [torch.zeros((len(shown["frames_indices"]), 3, 64, 96), dtype=torch.uint8) for _, shown in clips]
    inputs = build_multimodal_processor_inputs(
        processor, text=[text], videos=[(clip, shown) for clip, (_, shown) in zip(frames, clips, strict=True)]
    )
    ids: list[int] = inputs["input_ids"][0].tolist()
    return ids


def test_vllm_gets_one_placeholder_per_clip(architecture: Architecture) -> None:
    processor, mark = architecture.processor, "<|vision_start|><|video_pad|><|vision_end|>"
    clips = [clip_metadata(2, 12.0), clip_metadata(7, 12.0), clip_metadata(40, 2.0)]
    text = f"user\n{mark}{mark}Which of them?\n{mark} <1.0 seconds>"
    collapsed = vllm_clip_prompts.collapse_clips(expanded(processor, text, clips), clips, processor)
    assert collapsed == processor.tokenizer(text)["input_ids"]


def test_a_prompt_with_other_times_than_vllm_will_write_is_refused(architecture: Architecture) -> None:
    processor, mark = architecture.processor, "<|vision_start|><|video_pad|><|vision_end|>"
    ids = expanded(processor, mark, [clip_metadata(8, 12.0)])
    with pytest.raises(vllm_clip_prompts.UnknownPrompt, match=r"instead of '<0\.1 seconds>'"):
        vllm_clip_prompts.collapse_clips(ids, [clip_metadata(8, 6.0)], processor)


def test_prompts_of_qwen2_5_vl_are_not_changed(tiny_model: Path) -> None:
    processor = hf_processor(str(tiny_model))
    assert vllm_clip_prompts.collapse_clips([5, processor.video_token_id, 6], [clip_metadata(8, 12.0)], processor) == [
        5, processor.video_token_id, 6,
    ]  # fmt: skip
