"""Clips in vLLM's own processing of Qwen2.5-VL; needs vLLM, but no GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.verl
pytest.importorskip("vllm")

# In a subprocess: the patch of vLLM is permanent, and the test also needs the original.
SCRIPT = """
import json, sys
from types import SimpleNamespace
model, patched = sys.argv[1:]
if patched == "patched":
    from verl_recipes.inside_verl import time_positions
    time_positions.install()
import torch
from vllm.config import ModelConfig
from vllm.model_executor.models.qwen2_5_vl import Qwen2_5_VLForConditionalGeneration as Model
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.processing.context import TimingContext
from vllm.multimodal.processing.inputs import ProcessorInputs

settings = ModelConfig(model=model, dtype="float32", max_model_len=8192)
processor, config = MULTIMODAL_REGISTRY.create_processor(settings), settings.hf_config
frames = torch.randint(0, 256, (24, 3, 112, 140), dtype=torch.uint8)
rate = {"fps": 30.0, "total_num_frames": 61, "frames_indices": list(range(24))}
ids = [5, config.vision_start_token_id, config.video_token_id, config.vision_end_token_id, 7]
clips = processor.info.parse_mm_data({"video": [(frames, rate)]})
prompt = processor.apply(ProcessorInputs(prompt=ids, mm_data_items=clips), TimingContext(enabled=False))
data, position = prompt["mm_kwargs"]["video"][0], prompt["mm_placeholders"]["video"][0]
owner = SimpleNamespace(config=config)
owner.iter_mm_grid_thw = lambda features: Model.iter_mm_grid_thw(owner, features)
clip = SimpleNamespace(modality="video", data=data, mm_position=position)
positions, _ = Model.get_mrope_input_positions(owner, prompt["prompt_token_ids"], [clip])
measured = processor.apply(
    processor.dummy_inputs.get_dummy_processor_inputs(4096, {"video": 1}, {}), TimingContext(enabled=False)
)
print(json.dumps([data["video_grid_thw"].data.tolist(), prompt["prompt_token_ids"], positions.tolist(),
                  len(measured["prompt_token_ids"])]))
"""


def in_vllm(model: Path, patched: str) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(model), patched], capture_output=True, text=True, check=True
    )
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_vllm_gives_a_clip_the_positions_of_the_evaluation(tiny_model: Path) -> None:
    import torch
    from transformers import AutoConfig

    from lmms_eval_shotbench.qwen.qwen2_5_vl import position_rule
    from lmms_eval_shotbench.qwen.rope_positions import Grid, prompt_positions

    rule = position_rule(AutoConfig.from_pretrained(tiny_model))
    grid, ids, positions, measured = in_vllm(tiny_model, "patched")
    expected = prompt_positions(torch.tensor(ids), [Grid(*grid)._replace(fps=24 / 61 * 30)], rule).tolist()
    assert positions == expected
    assert measured > len(ids)  # the largest clip, used by vLLM's memory profiling, is still processed
    assert in_vllm(tiny_model, "original")[2] != expected  # else remove the patch
