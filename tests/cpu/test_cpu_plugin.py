"""verl's CPU path without a run: the platform, the need for every patch, and responses compared with transformers."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import pytest

pytestmark = pytest.mark.verl
pytest.importorskip("verl")
torch = pytest.importorskip("torch")

from PIL import Image
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl, processing_qwen2_5_vl

from lmms_eval_shotbench.qwen.decoding import Sampling
from tests.support.warm_runs import execute
from verl_recipes.cpu import PATCHES, equal_lengths
from verl_recipes.cpu.answers import RolloutRequest, Unanswered
from verl_recipes.cpu.generation import ResponseSettings, SampledResponse, sample_tokens
from verl_recipes.cpu.hf_server import HFServer, RequestRefused, ServerSettings, load_weights
from verl_recipes.cpu.request_inputs import MEDIA
from verl_recipes.cpu.seeded_agent_loop import response_seed
from verl_recipes.inside_verl import patch_on_import as hooks
from verl_recipes.inside_verl.qwen2_5_vl import time_positions
from verl_recipes.run.preloaded_process import run_preloaded

NEW_TOKENS = 12
GREEDY = ResponseSettings(NEW_TOKENS, Sampling())
ENVIRONMENT = {
    "VERL_USE_EXTERNAL_MODULES": "verl_recipes.plugin",
    "VERL_PLATFORM": "cpu",
    "VERL_ENGINE_DEVICE": "cuda",
    "OMP_NUM_THREADS": "1",
}


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.__name__.rpartition(".")[2])
def test_every_patch_is_still_needed(patch: ModuleType) -> None:
    assert patch.still_needed(), f"this release no longer needs {patch.__name__}: remove it"


PROBE = """
import verl, sys
heavy = {"verl.workers.rollout.replica", "verl.experimental.agent_loop", "verl.trainer.ppo.v1"} & set(sys.modules)
assert not heavy, heavy
import torch.distributed, os
from torch.distributed.fsdp import CPUOffloadPolicy
from verl.utils.device import get_device_name
from verl.utils.distributed import initialize_global_process_group_ray
from verl.workers.rollout.base import get_rollout_class
from verl.workers.rollout.replica import get_rollout_replica_class
from verl.experimental.agent_loop.agent_loop import _agent_loop_registry
from verl.workers.engine_workers import maybe_fix_3d_position_ids
from verl.workers.engine import EngineRegistry
initialize_global_process_group_ray()
total = torch.ones(1)
torch.distributed.all_reduce(total)
print(get_device_name(), torch.distributed.get_backend(), CPUOffloadPolicy(pin_memory=True).pin_memory,
      get_rollout_class("hf").__name__, get_rollout_replica_class("hf").__name__,
      "seeded_single_turn" in _agent_loop_registry, maybe_fix_3d_position_ids.__module__)
"""


def test_the_plugin_installs_the_cpu_path_and_imports_nothing_it_does_not_need() -> None:
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    status, output = run_preloaded(execute, [PROBE], os.environ | ENVIRONMENT | address)
    assert status == 0, output[-2000:]
    printed = output.splitlines()[-1].split()
    assert printed == ["cpu", "cpu:gloo", "False", "HFAdapter", "HFReplica", "True", "verl_recipes.cpu.equal_lengths"]


@pytest.mark.parametrize("lengths", [(3, 3, 3), (3, 5), (4, 4), (4,), (2, 7, 4)], ids=str)
def test_position_ids_of_any_lengths_are_split_into_the_original_rows(lengths: tuple[int, ...]) -> None:
    from tensordict import TensorDict

    rows = [torch.randint(0, 99, (4, length)) for length in lengths]
    nested = torch.nested.as_nested_tensor(rows, layout=torch.jagged)
    data = TensorDict({"position_ids": nested}, batch_size=len(rows))
    equal_lengths.correct_position_ids(data)
    equal_lengths.correct_position_ids(data)  # verl calls it again in every mini-batch
    assert all(torch.equal(found, row) for found, row in zip(data["position_ids"].unbind(), rows, strict=True))


# ---- responses ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hf_server(tiny_model_unconstrained: Path) -> Any:
    """A server as in a run, in this process, with the patched positions of clips."""
    model, processor = modeling_qwen2_5_vl.Qwen2_5_VLModel, processing_qwen2_5_vl.Qwen2_5_VLProcessor
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(hooks, "_registered", set())
        patched.setattr(model, "get_rope_index", model.get_rope_index)
        patched.setattr(processor, "get_rope_index_kwargs", None, raising=False)
        time_positions.install()
        yield HFServer(
            ServerSettings(str(tiny_model_unconstrained), 1, "float32", "sdpa", False, NEW_TOKENS, 400, 64, 300)
        )


def picture(seed: int, height: int, width: int) -> Image.Image:
    noise = numpy.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=numpy.uint8)
    return Image.fromarray(noise)


def prompt(server: HFServer, kind: str, medium: Any) -> RolloutRequest:
    """A request about one medium, as from verl's agent loop."""
    from verl.utils.tokenizer import build_multimodal_processor_inputs

    processor = server.generator.inputs.processor
    chat = [{"role": "user", "content": [{"type": kind}, {"type": "text", "text": "What is it?"}]}]
    text = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    media: dict[str, Any] = {f"{kind}s": [medium]}
    ids = build_multimodal_processor_inputs(processor, text=[text], **media)["input_ids"][0]
    return RolloutRequest(tuple(ids.tolist()), GREEDY, **media)


@pytest.fixture(scope="module")
def generation_requests(hf_server: HFServer) -> list[RolloutRequest]:
    """Requests for two stills and a clip at 12 frames per second."""
    frames = torch.from_numpy(numpy.random.default_rng(5).integers(0, 256, (10, 3, 56, 84), dtype=numpy.uint8))
    clip = (frames, {"fps": 12.0, "total_num_frames": 10, "frames_indices": list(range(10))})
    stills = [prompt(hf_server, "image", picture(seed, 56 + 28 * seed, 84)) for seed in (1, 2)]
    return [*stills, prompt(hf_server, "video", clip)]


def sampled(requests: list[RolloutRequest], responses: int, temperature: float = 1.0) -> list[RolloutRequest]:
    """Requests for `responses` sampled responses to each prompt, with distinct seeds."""
    return [
        replace(request, settings=ResponseSettings(NEW_TOKENS, Sampling(temperature, seed=10 * index + number)))
        for index, request in enumerate(requests)
        for number in range(responses)
    ]


def answers(server: HFServer, requests: list[RolloutRequest]) -> list[SampledResponse]:
    found = server.generator.answer(requests)
    assert all(isinstance(answer, SampledResponse) for answer in found), found
    return found  # type: ignore[return-value]


def log_probabilities(server: HFServer, request: RolloutRequest, response: SampledResponse) -> Any:
    """Log-probabilities by one forward pass over the full sequence, as in the actor."""
    full = server.generator.inputs.ready_prompt([*request.ids, *response.ids], request.images, request.videos)
    with torch.inference_mode():
        logits = server.model(
            input_ids=torch.tensor([full.ids]), position_ids=full.positions[:, None, :-1], **full.media
        ).logits[0, len(request.ids) - 1 : -1]
    temperature = request.settings.sampling.temperature or 1.0
    shares = (logits.float() / temperature).log_softmax(-1)
    return shares.gather(1, torch.tensor(response.ids)[:, None])[:, 0]


def test_greedy_answers_are_those_of_transformers(
    hf_server: HFServer, generation_requests: list[RolloutRequest]
) -> None:
    for request, response in zip(generation_requests, answers(hf_server, generation_requests), strict=True):
        processor = hf_server.generator.inputs.processor
        ready = hf_server.generator.inputs.ready_prompt(request.ids, request.images, request.videos)
        ids = torch.tensor([ready.ids])
        config = hf_server.model.config
        kinds = (ids == config.image_token_id).long() + 2 * (ids == config.video_token_id).long()
        seconds = {"second_per_grid_ts": torch.tensor([2 / 12])} if request.videos else {}
        theirs = hf_server.model.generate(
            input_ids=ids, mm_token_type_ids=kinds, attention_mask=torch.ones_like(ids), do_sample=False,
            max_new_tokens=NEW_TOKENS, repetition_penalty=1.0, eos_token_id=sorted(hf_server.stops),
            suppress_tokens=hf_server.generator.suppressed.nonzero()[:, 0].tolist(),
            pad_token_id=processor.tokenizer.pad_token_id, **ready.media, **seconds,
        )  # fmt: skip
        assert response.ids == theirs[0, len(request.ids) :].tolist()


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_log_probabilities_are_those_of_one_pass_over_the_sequence(
    hf_server: HFServer, generation_requests: list[RolloutRequest], temperature: float
) -> None:
    pending = sampled(generation_requests, 3, temperature)
    for request, response in zip(pending, answers(hf_server, pending), strict=True):
        expected = log_probabilities(hf_server, request, response)
        assert torch.allclose(torch.tensor(response.log_probs), expected, atol=1e-5)


def test_responses_depend_on_their_seed_and_not_on_their_batch(
    hf_server: HFServer, generation_requests: list[RolloutRequest]
) -> None:
    requests = sampled(generation_requests, 4)
    batched = answers(hf_server, requests)
    order = list(range(len(requests)))
    random.Random(0).shuffle(order)
    shuffled = answers(hf_server, [requests[number] for number in order])
    assert [shuffled[order.index(number)].ids for number in range(len(requests))] == [answer.ids for answer in batched]
    assert [answers(hf_server, [request])[0].ids for request in requests] == [answer.ids for answer in batched]
    assert len({tuple(answer.ids) for answer in batched}) == len(requests)  # an untrained model repeats nothing


def test_prompts_are_prefilled_once_for_any_number_of_requests(
    hf_server: HFServer, generation_requests: list[RolloutRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    visual = hf_server.model.model.visual
    original = visual.forward
    monkeypatch.setattr(visual, "forward", lambda *a, **k: encoded.append(len(k["grid_thw"])) or original(*a, **k))
    answers(hf_server, sampled(generation_requests, 8))
    assert sum(encoded) == len(generation_requests)


def test_media_placeholders_are_never_sampled_and_keep_their_probability() -> None:
    logits = torch.tensor([[4.0, 1.0, 0.0]])
    suppressed = torch.tensor([True, False, False])
    drawn = [sample_tokens(logits, [Sampling(1.0)], [random.Random(seed)], suppressed) for seed in range(50)]
    assert {int(ids) for ids, _ in drawn} == {1, 2}
    for token, log_prob in drawn:
        assert float(log_prob) == pytest.approx(float(logits.log_softmax(-1)[0, int(token)]))


def test_tokens_are_sampled_by_their_probability() -> None:
    logits, count = torch.tensor([[0.0, 1.0, 2.0, -1.0]]), 4000
    randoms = [random.Random(seed) for seed in range(count)]
    suppressed = torch.zeros(4, dtype=torch.bool)
    ids, _ = sample_tokens(logits.expand(count, -1), [Sampling(0.5)] * count, randoms, suppressed)
    found = Counter(ids.tolist())
    for token, share in enumerate((logits[0] / 0.5).softmax(-1).tolist()):
        assert abs(found[token] / count - share) < 4 * (share * (1 - share) / count) ** 0.5


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(1.0, top_k=1), {2}),
        (Sampling(1.0, top_k=2), {1, 2}),
        (Sampling(1.0, top_p=0.5), {2}),
        (Sampling(1.0, top_p=0.7), {1, 2}),
        (Sampling(1.0, top_p=0.95, top_k=2), {1, 2}),
        (Sampling(0.0), {2}),
    ],
    ids=str,
)
def test_tokens_beyond_top_k_and_top_p_have_no_probability(sampling: Sampling, kept: set[int]) -> None:
    logits = torch.tensor([0.1, 0.25, 0.6, 0.05]).log()[None].expand(50, -1)
    suppressed = torch.zeros(4, dtype=torch.bool)
    ids, log_probs = sample_tokens(logits, [sampling] * 50, [random.Random(seed) for seed in range(50)], suppressed)
    assert set(ids.tolist()) == kept
    shares = {int(token): float(share) for token, share in zip(ids, log_probs.exp(), strict=True)}
    if sampling.temperature:
        assert sum(shares.values()) == pytest.approx(1)


# ---- the server -----------------------------------------------------------------------------------------------------


def ask(server: HFServer, requests: list[RolloutRequest], **params: Any) -> list[Any]:
    """Send requests concurrently, as verl does; exceptions are returned."""

    async def all_at_once() -> list[Any]:
        server._queue, server._model_lock = asyncio.Queue(), asyncio.Lock()  # of this event loop
        server._loop_task = None
        pending = (
            server.generate(request.ids, params, "x", image_data=request.images, video_data=request.videos)
            for request in requests
        )
        return await asyncio.gather(*pending, return_exceptions=True)

    return asyncio.run(all_at_once())


def test_a_request_that_cannot_be_answered_fails_alone(
    hf_server: HFServer, generation_requests: list[RolloutRequest]
) -> None:
    without_media = replace(generation_requests[0], images=None)
    other_size = replace(generation_requests[1], images=[picture(9, 28, 28)])
    found = ask(hf_server, [generation_requests[0], without_media, other_size, *generation_requests[1:]], temperature=0)
    assert isinstance(found[1], Unanswered) and isinstance(found[2], Unanswered)
    good = [found[0], *found[3:]]
    assert [answer.token_ids for answer in good] == [answer.ids for answer in answers(hf_server, generation_requests)]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_tokens": 400}, "do not fit into max_model_len=400"),
        ({"repetition_penalty": 1.1}, "no penalties"),
        ({"min_p": 0.1}, "the rollout engine hf supports"),
    ],
    ids=str,
)
def test_unsupported_requests_are_refused(
    hf_server: HFServer, generation_requests: list[RolloutRequest], params: dict[str, Any], message: str
) -> None:
    (refused,) = ask(hf_server, generation_requests[:1], **params)
    assert isinstance(refused, RequestRefused) and message in str(refused)


def test_requests_without_seeds_get_different_responses_that_are_reproducible(
    hf_server: HFServer, generation_requests: list[RolloutRequest]
) -> None:
    runs = []
    for _ in range(2):
        asyncio.run(hf_server.update_weights(hf_server.model.state_dict(), 7))
        runs.append([tuple(answer.token_ids) for answer in ask(hf_server, [generation_requests[2]] * 4)])
    assert sorted(runs[0]) == sorted(runs[1])
    assert len(set(runs[0])) == 4


def test_new_weights_change_the_responses_and_weights_of_another_model_are_refused(
    hf_server: HFServer, generation_requests: list[RolloutRequest]
) -> None:
    before = {name: value.clone() for name, value in hf_server.model.state_dict().items()}
    first = ask(hf_server, generation_requests, temperature=0)
    asyncio.run(hf_server.update_weights({name: -value for name, value in before.items()}, 3))
    second = ask(hf_server, generation_requests, temperature=0)
    assert [answer.token_ids for answer in first] != [answer.token_ids for answer in second]
    assert second[0].extra_fields == {"global_steps": 3}
    asyncio.run(hf_server.update_weights(before, 4))
    assert [answer.token_ids for answer in ask(hf_server, generation_requests, temperature=0)] == [
        answer.token_ids for answer in first
    ]
    with pytest.raises(ValueError, match="another model"):
        load_weights(hf_server.model, dict(list(before.items())[1:]))


def test_one_weight_is_enough_for_tied_parameters() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    load_weights(model, {"0.weight": torch.eye(2)})
    assert torch.equal(model[1].weight, torch.eye(2))


def test_media_inputs_have_the_names_of_the_models_forward_arguments() -> None:
    import inspect

    assert set(MEDIA) <= set(inspect.signature(modeling_qwen2_5_vl.Qwen2_5_VLModel.forward).parameters)


def test_every_response_of_a_run_has_a_distinct_seed() -> None:
    seeds = {
        response_seed(run, {"global_steps": step, "session_id": number, "index": 0, "extra_info": {"item": item}})
        for run in (1, 2) for step in (1, 2) for number in range(3) for item in ("a", "b")
    }  # fmt: skip
    assert len(seeds) == 2 * 2 * 3 * 2
