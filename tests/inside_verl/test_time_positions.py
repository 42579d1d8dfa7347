"""Rollout, actor, SFT and evaluation give the same positions and log-probabilities for the same clip."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from fractions import Fraction
from itertools import product
from pathlib import Path
from types import MethodType, ModuleType
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.verl
pytest.importorskip("verl")
import torch
from tensordict import TensorDict
from tensordict.tensorclass import NonTensorStack
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl, processing_qwen2_5_vl
from verl.experimental.agent_loop.agent_loop import (
    AgentLoopMetrics,
    AgentLoopOutput,
    AgentLoopWorker,
)
from verl.utils import tensordict_utils
from verl.utils.tokenizer import build_multimodal_processor_inputs, hf_processor
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from lmms_eval_shotbench.media.clips import CLIP_MAX_PIXELS, sampled_frames, sampled_rate
from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint, load_checkpoint
from lmms_eval_shotbench.qwen.inputs import MediaLimits, Patches, Prompt, clip_patches, still_patches
from lmms_eval_shotbench.qwen.pixel_values import vision_inputs
from lmms_eval_shotbench.qwen.qwen2_5_vl import position_rule
from lmms_eval_shotbench.qwen.rope_positions import Grid, time_positions
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.film_rows import Medium, film_lessons, film_prompts, film_rows, media_in_the_agent_loop, noisy_still
from tests.support.rendered_clips import Rendering, render
from verl_recipes.inside_verl import patch_on_import as hooks
from verl_recipes.inside_verl.qwen2_5_vl import time_positions as patched
from verl_recipes.inside_verl.qwen2_5_vl.seconds_per_grid import exact_seconds, seconds_per_grid

NEW_TOKENS = 12
CLOSE = 1e-4
APART = 100 * CLOSE  # minimum effect of wrong times, or agreement would prove nothing


class ConsistencyCase(NamedTuple):
    """One checkpoint as loaded by verl and by the evaluation, with prompts and media."""

    processor: Any
    checkpoint: Checkpoint
    media: list[Medium]
    chats: list[list[dict[str, Any]]]  # from verl's dataset
    lessons: Any

    def patches(self, number: int) -> Patches:
        """Patches of a medium in the evaluation."""
        stills, clips = (part.size for part in (self.processor.image_processor, self.processor.video_processor))
        most = min(CLIP_MAX_PIXELS, clips["longest_edge"])
        shown = MediaLimits(stills["shortest_edge"], stills["longest_edge"], clip_max=most)
        kind, encoded = self.media[number]
        if kind is MediaKind.CLIP:
            return clip_patches(encoded, shown, self.checkpoint.patch_rule)
        return still_patches(open_still(encoded), shown, self.checkpoint.patch_rule)


@pytest.fixture
def patched_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the patches for one test."""
    model, processor = modeling_qwen2_5_vl.Qwen2_5_VLModel, processing_qwen2_5_vl.Qwen2_5_VLProcessor
    monkeypatch.setattr(hooks, "_registered", set())
    monkeypatch.setattr(model, "get_rope_index", model.get_rope_index)
    monkeypatch.setattr(processor, "get_rope_index_kwargs", None, raising=False)
    monkeypatch.setattr(processor, "__call__", processor.__call__)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    patched.install()


@pytest.fixture(scope="module")
def position_sensitive_model(tiny_model_unconstrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint whose attention depends strongly on positions: its language weights are scaled up."""
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

    folder = tmp_path_factory.mktemp("sensitive")
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny_model_unconstrained, dtype=torch.float32)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() == 2 and "language_model" in name:
                weights.mul_(6)
    model.save_pretrained(folder)
    AutoProcessor.from_pretrained(tiny_model_unconstrained).save_pretrained(folder)
    return folder


@pytest.fixture
def consistency_case(
    patched_positions: None, position_sensitive_model: Path, studio_shards: Path, tmp_path: Path
) -> ConsistencyCase:
    """A studio clip, a longer clip and a still between them."""
    shards = ShardFolder(studio_shards, "test")
    films = [shards.media(item.item_id) for item in shards.items() if item.media_kind is MediaKind.CLIP]
    long = render(Rendering(130, Fraction(25), (96, 64)))
    media = [(MediaKind.CLIP, films[0]), (MediaKind.STILL, noisy_still(90, 60)), (MediaKind.CLIP, long)]
    processor = hf_processor(str(position_sensitive_model))
    prompts = film_prompts(film_rows(tmp_path / "grpo", "grpo", media), processor)
    lessons = film_lessons(film_rows(tmp_path / "sft", "sft", media), processor)
    checkpoint = load_checkpoint(str(position_sensitive_model), device=torch.device("cpu"))
    return ConsistencyCase(processor, checkpoint, media, [row["raw_prompt"] for row in prompts], lessons)


def unpatched_module() -> ModuleType:
    """A fresh copy of transformers' module of Qwen2.5-VL, without patches."""
    original = modeling_qwen2_5_vl
    spec = importlib.util.spec_from_file_location(f"{original.__name__}_unpatched", str(original.__file__))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


def use_original_positions(processor: Any) -> None:
    """Bind transformers' own position function to a processor, as verl does without our plugin."""
    model = unpatched_module().Qwen2_5_VLModel
    processor.get_rope_index = MethodType(model.get_rope_index, processor)
    processor.get_vision_position_ids = MethodType(model.get_vision_position_ids, processor)


def remove_hook(processor: Any) -> None:
    processor.get_rope_index_kwargs = None


class LoopPrompt(NamedTuple):
    """A prompt in verl's agent loop, before it goes to the rollout."""

    ids: list[int]
    media: dict[str, Any]


def loop_prompts(case: ConsistencyCase) -> list[LoopPrompt]:
    texts = [
        case.processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in case.chats
    ]
    media = [media_in_the_agent_loop(chat, case.processor) for chat in case.chats]
    inputs = [
        build_multimodal_processor_inputs(case.processor, text=[text], **one)
        for text, one in zip(texts, media, strict=True)
    ]
    return [LoopPrompt(one["input_ids"][0].tolist(), kept) for one, kept in zip(inputs, media, strict=True)]


def rollout(folder: Path, prompts: list[LoopPrompt]) -> list[Any]:
    """The responses of our rollout server to all prompts in one batch."""
    from verl_recipes.cpu.hf_server import HFServer, ServerSettings

    server = HFServer(ServerSettings(str(folder), 0, "float32", "sdpa", False, NEW_TOKENS, 4096, 8, 16384))
    sampling = {"temperature": 1.0, "ignore_eos": True, "logprobs": True}

    async def all_of_them() -> list[Any]:
        jobs = (
            server.generate(prompt.ids, dict(sampling), f"{number}", prompt.media["images"], prompt.media["videos"])
            for number, prompt in enumerate(prompts)
        )
        return await asyncio.gather(*jobs)

    return asyncio.run(all_of_them())


def actor_inputs(processor: Any, prompts: list[LoopPrompt], answers: list[Any]) -> dict[str, Any]:
    """Inputs of the actor and the reference, prepared by the methods of verl's agent loop and engine."""
    worker = object.__new__(AgentLoopWorker)
    worker.processor, worker.tokenizer, worker.mm_processor_kwargs = processor, processor.tokenizer, {}
    rows, positions, media = [], [], []
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = list(answer.token_ids)
        output = AgentLoopOutput(
            prompt_ids=prompt.ids, response_ids=ids, response_mask=[1] * len(ids),
            metrics=AgentLoopMetrics(), multi_modal_data=prompt.media,
        )  # fmt: skip
        rows.append(torch.tensor(prompt.ids + ids))
        media.append(worker._compute_multi_modal_inputs(output, rows[-1]))
        positions.append(worker._compute_position_ids(rows[-1][None], torch.ones_like(rows[-1])[None], media[-1])[0])
    batch = TensorDict(
        {
            "input_ids": torch.nested.as_nested_tensor(rows, layout=torch.jagged),
            "position_ids": ragged_positions(positions),
            "multi_modal_inputs": NonTensorStack(*media),
        },
        batch_size=len(rows),
    )
    tensordict_utils.assign_non_tensor(batch, use_remove_padding=False, temperature=1.0)
    engine = object.__new__(FSDPEngineWithLMHead)
    engine.use_ulysses_sp, engine.pad_to_length = False, None
    inputs, _ = engine.prepare_model_inputs(batch)
    return dict(inputs)


def ragged_positions(positions: list[torch.Tensor]) -> torch.Tensor:
    """Positions (4, length) of rows of different lengths as a nested tensor, as in verl."""
    values, lengths = torch.cat(positions, dim=1), torch.tensor([0] + [one.shape[1] for one in positions])
    return torch.nested.nested_tensor_from_jagged(values, lengths.cumsum(0), jagged_dim=2)


def answer_log_probs(logits: torch.Tensor, ids: torch.Tensor, starts: list[int]) -> list[torch.Tensor]:
    """Log-probabilities of the new tokens, which begin at `starts`."""
    every = logits.float().log_softmax(-1)[:, :-1].gather(2, ids[:, 1:, None])[..., 0]
    return [row[start - 1 : start - 1 + NEW_TOKENS] for row, start in zip(every, starts, strict=True)]


def actor_log_probs(case: ConsistencyCase, prompts: list[LoopPrompt], answers: list[Any]) -> list[torch.Tensor]:
    inputs = actor_inputs(case.processor, prompts, answers)
    with torch.no_grad():
        logits = case.checkpoint.model(**inputs).logits
    return answer_log_probs(logits, inputs["input_ids"], [len(prompt.ids) for prompt in prompts])


def evaluation_log_probs(case: ConsistencyCase, answers: list[Any]) -> list[torch.Tensor]:
    """Log-probabilities of the same responses, by the evaluation's model and prompts."""
    found = []
    for number, (chat, answer) in enumerate(zip(case.chats, answers, strict=True)):
        text = case.processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        prompt = Prompt(case.processor.tokenizer(text)["input_ids"] + list(answer.token_ids), [case.patches(number)])
        inputs = case.checkpoint.padded([prompt])
        start = inputs["input_ids"].shape[1] - NEW_TOKENS
        with torch.no_grad():
            logits = case.checkpoint.model(**inputs, **pixel_inputs(case, prompt.media)).logits
        found += answer_log_probs(logits, inputs["input_ids"], [start])
    return found


def pixel_inputs(case: ConsistencyCase, media: Any) -> dict[str, torch.Tensor]:
    return vision_inputs(media, case.checkpoint.patch_rule, torch.device("cpu"), torch.float32)


def differences(some: list[torch.Tensor], others: list[torch.Tensor]) -> list[float]:
    return [float((one - other).abs().max()) for one, other in zip(some, others, strict=True)]


def test_rollout_actor_and_evaluation_give_the_same_log_probabilities(
    consistency_case: ConsistencyCase, position_sensitive_model: Path
) -> None:
    prompts = loop_prompts(consistency_case)
    answers = rollout(position_sensitive_model, prompts)
    sampled = [torch.tensor(answer.log_probs) for answer in answers]
    actor, evaluation = (
        actor_log_probs(consistency_case, prompts, answers),
        evaluation_log_probs(consistency_case, answers),
    )
    assert max(differences(sampled, actor) + differences(sampled, evaluation)) < CLOSE
    use_original_positions(consistency_case.processor)
    remove_hook(consistency_case.processor)
    clip, still, long_clip = differences(sampled, actor_log_probs(consistency_case, prompts, answers))
    assert still < CLOSE
    assert min(clip, long_clip) > APART  # else the patch is no longer needed, or the model is insensitive to time


def test_position_function_and_hook_are_both_still_needed(
    consistency_case: ConsistencyCase, position_sensitive_model: Path
) -> None:
    """Fails with a release of transformers or verl that is correct without the patch: then remove it."""
    prompts = loop_prompts(consistency_case)
    answers = rollout(position_sensitive_model, prompts)
    right = actor_inputs(consistency_case.processor, prompts, answers)["position_ids"]
    remove_hook(consistency_case.processor)
    with pytest.raises(patched.UnknownFrameRate):
        actor_inputs(consistency_case.processor, prompts, answers)
    del consistency_case.processor.get_rope_index_kwargs  # the class has it
    use_original_positions(consistency_case.processor)
    theirs = actor_inputs(consistency_case.processor, prompts, answers)["position_ids"]
    assert [torch.equal(*pair) for pair in zip(right.unbind(1), theirs.unbind(1), strict=True)] == [False, True, False]


def test_sft_trains_at_the_positions_of_the_evaluation(consistency_case: ConsistencyCase) -> None:
    for number in range(len(consistency_case.media)):
        row, patches = consistency_case.lessons[number], consistency_case.patches(number)
        expected = full_positions(consistency_case, row["input_ids"], patches)
        assert torch.equal(row["position_ids"][1:], expected)
        assert row["position_ids"][0].tolist() == list(range(len(row["input_ids"])))


def full_positions(case: ConsistencyCase, ids: torch.Tensor, patches: Patches) -> torch.Tensor:
    mark = case.checkpoint.placeholders[patches.kind]
    kept = [token for index, token in enumerate(ids.tolist()) if token != mark or ids[index - 1] != mark]
    prompt = Prompt(kept, [patches])
    return case.checkpoint.padded([prompt])["position_ids"][:, 0]


def test_a_padded_batch_has_the_positions_of_the_evaluation(consistency_case: ConsistencyCase) -> None:
    checkpoint, patches = consistency_case.checkpoint, [consistency_case.patches(number) for number in range(3)]
    start, (still, clip) = checkpoint.model.config.vision_start_token_id, checkpoint.placeholders.values()
    batch = checkpoint.padded(
        [
            Prompt([5, start, clip, 6, start, still, 7, 8], [patches[0], patches[1]]),
            Prompt([start, still, start, clip, 9], [patches[1], patches[2]]),
            Prompt([5, 6, 7]),
        ]
    )
    stills, clips = [patches[1]] * 2, [patches[0], patches[2]]
    positions, excess = patched.rope_index(
        checkpoint.model,
        batch["input_ids"],
        image_grid_thw=torch.tensor([one.grid[:3] for one in stills]),
        video_grid_thw=torch.tensor([one.grid[:3] for one in clips]),
        second_per_grid_ts=torch.tensor([seconds_per_grid(one.grid, checkpoint.architecture.rule) for one in clips]),
        attention_mask=batch["attention_mask"],
    )
    assert torch.equal(positions, batch["position_ids"])
    ahead = batch["position_ids"].amax((0, 2)) + 1 - batch["attention_mask"].sum(1)
    assert excess[:, 0].tolist() == ahead.tolist()


@pytest.mark.parametrize(
    "rate", [Fraction(12), Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60)], ids=str
)
def test_a_clip_of_any_length_keeps_its_times_through_the_formulas_of_verl_and_vllm(
    config: Any, rate: Fraction
) -> None:
    rule = position_rule(config)
    for frames, fps in product([*range(4, int(20 * rate), 37), 200_000], (2.0, 8.0, 12.0)):
        indices = sampled_frames(frames, rate, fps)
        grid = Grid(-(-len(indices) // 2), 2, 2, sampled_rate(len(indices), frames, rate))
        metadata = {"fps": float(rate), "total_num_frames": frames, "frames_indices": indices}
        (seconds,) = exact_seconds([grid[:3]], [metadata], config)
        patches, expected = torch.arange(grid.time), time_positions(grid, rule)
        assert torch.equal((patches * seconds * rule.tokens_per_second).long(), expected), (frames, fps)
        assert torch.equal((patches * (seconds.item() * rule.tokens_per_second)).long(), expected), (frames, fps)
        restored = grid._replace(fps=rule.frames_a_patch / Fraction(seconds.item()))
        assert torch.equal(time_positions(restored, rule), expected), (frames, fps)


def test_the_processor_returns_seconds_that_give_the_exact_times(
    patched_positions: None, tiny_model_unconstrained: Path
) -> None:
    """840 frames at 25 a second, of which 32 are sampled: pair 15 is exactly at time 63."""
    processor = hf_processor(str(tiny_model_unconstrained))
    tokens_per_second = position_rule(processor.config).tokens_per_second
    metadata = {"fps": 25.0, "total_num_frames": 840, "frames_indices": sampled_frames(840, Fraction(25), 1.0)}
    clip = {
        "text": ["<|vision_start|><|video_pad|><|vision_end|>"],
        "videos": [torch.zeros(32, 3, 56, 56, dtype=torch.uint8)],
        "video_metadata": [metadata],
        "do_sample_frames": False,
        "return_tensors": "pt",
    }
    theirs = hooks.unpatched(patched.QWEN_PROCESSOR).Qwen2_5_VLProcessor.__call__
    calls = (type(processor).__call__, theirs)
    found = [int(15 * call(processor, **clip)["second_per_grid_ts"][0] * tokens_per_second) for call in calls]
    assert found == [63, 62]  # both 63: the wrapper is no longer needed


@pytest.fixture
def config(tiny_model_unconstrained: Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(tiny_model_unconstrained)


def test_a_clip_without_its_frame_rate_is_refused(consistency_case: ConsistencyCase) -> None:
    prompts = loop_prompts(consistency_case)[:1]
    ids = torch.tensor([prompts[0].ids])
    with pytest.raises(patched.UnknownFrameRate, match="film_dataset"):
        patched.rope_index(
            consistency_case.processor, ids, video_grid_thw=torch.tensor([consistency_case.patches(0).grid[:3]])
        )


def test_installing_imports_no_large_library_and_patches_later_imports() -> None:
    script = """
import sys
from verl_recipes.inside_verl.qwen2_5_vl import time_positions
time_positions.install()
time_positions.install()
assert not {"torch", "transformers", "verl", "vllm"} & set(sys.modules), "too heavy"
from transformers import Qwen2_5_VLModel, Qwen2_5_VLProcessor
assert Qwen2_5_VLModel.get_rope_index is time_positions.rope_index
assert Qwen2_5_VLProcessor.get_rope_index_kwargs(None, {"second_per_grid_ts": 3}) == {"second_per_grid_ts": 3}
"""
    subprocess.run([sys.executable, "-c", script], check=True)
