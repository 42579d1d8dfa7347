"""Time positions of clips in vLLM's own processing of Qwen2.5-VL; needs vLLM, but no GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = [pytest.mark.verl, pytest.mark.vllm]
pytest.importorskip("vllm")

import torch
from transformers import AutoConfig

from lmms_eval_shotbench.media.clips import sampled_frames, sampled_rate
from lmms_eval_shotbench.qwen.qwen2_5_vl import position_rule
from lmms_eval_shotbench.qwen.rope_positions import Grid, prompt_positions

NTSC = Fraction(24000, 1001)
CLIPS = [  # frames, frames per second of the file and of the samples
    (61, Fraction(30), 12.0),
    (200, Fraction(24), 2.0),
    (840, Fraction(25), 1.0),
    (200, Fraction(25), 8.0),
    (763, NTSC, 12.0),
    (763, NTSC, float(NTSC)),
]
# In a subprocess: the patch of vLLM is permanent, and the test also needs the original.
SCRIPT = """
import json, sys
from types import SimpleNamespace
model, patched = sys.argv[1:]
clips = json.load(sys.stdin)
if patched == "patched":
    from verl_recipes.inside_verl.qwen2_5_vl import time_positions
    time_positions.install()
import torch
from vllm.config import ModelConfig
from vllm.model_executor.models.qwen2_5_vl import Qwen2_5_VLForConditionalGeneration as Model
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.processing.context import TimingContext
from vllm.multimodal.processing.inputs import ProcessorInputs

def show(processor, config, metadata):
    frames = torch.zeros(len(metadata["frames_indices"]), 3, 56, 84, dtype=torch.uint8)
    ids = [5, config.vision_start_token_id, config.video_token_id, config.vision_end_token_id, 7]
    items = processor.info.parse_mm_data({"video": [(frames, metadata)]})
    prompt = processor.apply(ProcessorInputs(prompt=ids, mm_data_items=items), TimingContext(enabled=False))
    data, position = prompt["mm_kwargs"]["video"][0], prompt["mm_placeholders"]["video"][0]
    owner = SimpleNamespace(config=config)
    owner.iter_mm_grid_thw = lambda features: Model.iter_mm_grid_thw(owner, features)
    clip = SimpleNamespace(modality="video", data=data, mm_position=position)
    positions, _ = Model.get_mrope_input_positions(owner, prompt["prompt_token_ids"], [clip])
    return data["video_grid_thw"].data.tolist(), prompt["prompt_token_ids"], positions.tolist()

found = {}
for dtype in ("float32", "bfloat16"):
    settings = ModelConfig(model=model, dtype=dtype, max_model_len=16384)
    processor = MULTIMODAL_REGISTRY.create_processor(settings)
    largest = processor.dummy_inputs.get_dummy_processor_inputs(4096, {"video": 1}, {})
    measured = processor.apply(largest, TimingContext(enabled=False))
    cast = processor.info.ctx._postprocess_output({"seconds": torch.ones(1)})["seconds"].dtype
    shown = [show(processor, settings.hf_config, clip) for clip in clips]
    found[dtype] = shown, len(measured["prompt_token_ids"]), str(cast)
print(json.dumps(found))
"""


class Shown(NamedTuple):
    """Clips as vLLM shows them to a model of one type."""

    clips: list[tuple[list[int], list[int], list[list[int]]]]  # grid, token ids, positions
    largest: int  # tokens of the largest clip, with which vLLM measures memory
    cast: str  # type in which vLLM passes floats of the processor's output on

    def expected(self, model: Path) -> list[list[list[int]]]:
        """Positions of the clips in the evaluation."""
        rule, positions = position_rule(AutoConfig.from_pretrained(model)), []
        for (grid, ids, _), (frames, rate, fps) in zip(self.clips, CLIPS, strict=True):
            shown = sampled_rate(len(sampled_frames(frames, rate, fps)), frames, rate)
            positions.append(prompt_positions(torch.tensor(ids), [Grid(*grid[:3], shown)], rule).tolist())
        return positions

    def positions(self) -> list[list[list[int]]]:
        """Positions of the clips in vLLM."""
        return [positions for _, _, positions in self.clips]


def in_vllm(model: Path, patched: str) -> dict[str, Shown]:
    """The clips in vLLM by type of the model."""
    clips = [
        {"fps": float(rate), "total_num_frames": frames, "frames_indices": sampled_frames(frames, rate, fps)}
        for frames, rate, fps in CLIPS
    ]
    command = [sys.executable, "-c", SCRIPT, str(model), patched]
    done = subprocess.run(command, input=json.dumps(clips), stdout=subprocess.PIPE, text=True, check=True)
    return {dtype: Shown(*shown) for dtype, shown in json.loads(done.stdout.splitlines()[-1]).items()}


def test_vllm_gives_clips_the_positions_of_the_evaluation_in_every_type(tiny_model: Path) -> None:
    for dtype, shown in in_vllm(tiny_model, "patched").items():
        assert shown.positions() == shown.expected(tiny_model), dtype
        assert shown.largest > min(len(ids) for _, ids, _ in shown.clips)  # without metadata, it is still processed


def test_the_patch_is_still_needed(tiny_model: Path) -> None:
    for dtype, shown in in_vllm(tiny_model, "original").items():
        assert shown.positions()[0] != shown.expected(tiny_model)[0]
        assert shown.cast == f"torch.{dtype}"  # if bfloat16 is no longer used, the seconds need not be set again
