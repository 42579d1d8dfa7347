"""Clips of Qwen3-VL in vLLM's own processing; needs vLLM, but no GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.verl, pytest.mark.vllm]
pytest.importorskip("vllm")

import torch
from transformers import AutoConfig
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLModel
from verl.utils.tokenizer import build_multimodal_processor_inputs, hf_processor
from verl.workers.rollout.utils import qwen2_5_vl_dedup_image_tokens

from tests.support.tiny_families.trainable import make_trainable
from verl_recipes.inside_verl.qwen3_vl.vllm_clip_prompts import collapse_clips

RATES = (2.0, 8.0, 12.0, 23.976)
FRAMES = 14
# In a subprocess, as vLLM changes the settings of its process.
SCRIPT = """
import json, sys
from types import SimpleNamespace
import torch
from vllm.config import ModelConfig
from vllm.model_executor.models.qwen3_vl import Qwen3VLForConditionalGeneration as Model
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.processing.context import TimingContext
from vllm.multimodal.processing.inputs import ProcessorInputs

settings = ModelConfig(model=sys.argv[1], dtype="bfloat16", max_model_len=4096)
processor, config = MULTIMODAL_REGISTRY.create_processor(settings), settings.hf_config
found = []
for ids, metadata in json.loads(sys.argv[2]):
    frames = torch.zeros((len(metadata["frames_indices"]), 3, 64, 96), dtype=torch.uint8)
    clips = processor.info.parse_mm_data({"video": [(frames, metadata)]})
    prompt = processor.apply(ProcessorInputs(prompt=ids, mm_data_items=clips), TimingContext(enabled=False))
    clip = SimpleNamespace(modality="video", data=prompt["mm_kwargs"]["video"][0],
                           mm_position=prompt["mm_placeholders"]["video"][0])
    owner = SimpleNamespace(config=config, _get_mrope_input_positions=Model._get_mrope_input_positions)
    positions, _ = Model.get_mrope_input_positions(owner, prompt["prompt_token_ids"], [clip])
    found.append([prompt["prompt_token_ids"], torch.as_tensor(positions).tolist()])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_trainable("qwen3_vl", tmp_path_factory.mktemp("qwen3_vl") / "model")


def in_vllm(model: Path, prompts: list[tuple[list[int], dict[str, Any]]]) -> list[list[Any]]:
    """Tokens and positions of prompts with one clip each."""
    command = [sys.executable, "-c", SCRIPT, str(model), json.dumps(prompts)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: list[list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_vllm_has_the_tokens_and_positions_of_the_actor(model: Path) -> None:
    processor, config = hf_processor(str(model)), AutoConfig.from_pretrained(model)
    frames = torch.zeros((FRAMES, 3, 64, 96), dtype=torch.uint8)
    text = "user\n<|vision_start|><|video_pad|><|vision_end|>What is it?"
    of_actor, sent, sent_by_verl = [], [], []
    for rate in RATES:
        metadata = {"fps": rate, "total_num_frames": FRAMES, "frames_indices": list(range(FRAMES))}
        inputs = build_multimodal_processor_inputs(processor, text=[text], videos=[(frames, metadata)])
        kinds = inputs["mm_token_type_ids"]
        owner = type("Owner", (), {"config": config, "get_vision_position_ids": processor.get_vision_position_ids})()
        positions, _ = Qwen3VLModel.get_rope_index(
            owner, inputs["input_ids"], kinds, video_grid_thw=inputs["video_grid_thw"]
        )
        ids = inputs["input_ids"][0].tolist()
        of_actor.append([ids, positions[:, 0].tolist()])
        sent.append((collapse_clips(ids, [(frames, metadata)], processor), metadata))
        sent_by_verl.append((qwen2_5_vl_dedup_image_tokens(ids, processor), metadata))
    *found, unpatched = in_vllm(model, [*sent, sent_by_verl[0]])
    assert found == of_actor
    assert unpatched[0] != of_actor[0][0], "verl's own prompt is now right: remove vllm_clip_prompts.py"
