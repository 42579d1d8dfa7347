"""All responses to a prompt by verl's own worker and by ours: one decoding instead of n, and the same rows.

Ray and TransferQueue are not started: the rows that the workers would send are recorded.
"""

from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.verl
pytest.importorskip("verl")
import torch
from omegaconf import OmegaConf
from verl.experimental.agent_loop import agent_loop
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop
from verl.trainer.ppo.v1 import agent_loop_tq
from verl.utils.tokenizer import hf_processor
from verl.workers.rollout.replica import TokenOutput

from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.film_rows import Medium, film_prompts, film_rows, noisy_still
from tests.support.rendered_clips import Rendering, render
from verl_recipes.inside_verl import media_references, sharing_agent_loop
from verl_recipes.inside_verl.film_dataset import FilmPrompts
from verl_recipes.inside_verl.sharing_agent_loop import AgentLoopWorkerTQ, SharingWorker, references_allowed

RESPONSES = 4
MEDIA: list[Medium] = [
    (MediaKind.STILL, noisy_still(90, 60)),
    (MediaKind.CLIP, render(Rendering(24, Fraction(24), (96, 64)))),
]
TENSORS = ("prompts", "responses", "input_ids", "position_ids", "loss_mask", "rollout_log_probs")
Rows = dict[str, dict[str, Any]]


class Counted:
    """A callable that counts its calls."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self._call(*args, **kwargs)


class Server:
    """verl's client of a rollout server whose responses differ in length; it records the media it was sent."""

    def __init__(self, failing: frozenset[int] = frozenset()) -> None:
        self.media: list[Any] = []
        self._failing = failing

    async def generate(self, request_id: str, *, prompt_ids: list[int], **request: Any) -> TokenOutput:
        number = len(self.media)
        self.media.append((request["image_data"], request["video_data"]))
        await asyncio.sleep(0)
        if number in self._failing:
            raise RuntimeError(f"response {number} failed")
        ids = list(range(10, 12 + number))
        return TokenOutput(token_ids=ids, log_probs=[-1.0] * len(ids), extra_fields={})


class Queue:
    """What a worker writes to TransferQueue."""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self.statuses: list[str] = []

    async def async_kv_put(self, key: str, partition_id: str, tag: dict[str, Any]) -> None:
        self.statuses.append(tag["status"])

    async def async_kv_batch_put(self, keys: list[str], fields: Any, tags: Any, partition_id: str) -> None:
        for number, key in enumerate(keys):
            self.rows[key] = {name: fields[number][name] for name in fields.keys()}  # noqa: SIM118  # a TensorDict


class Generated(NamedTuple):
    """The outcome of one prompt."""

    queue: Queue
    worker: Any
    server: Server
    decodings: int
    processed: int  # calls of the image and the video processor


@pytest.fixture(scope="module")
def processor(tiny_model: Path) -> Any:
    return hf_processor(str(tiny_model))


@pytest.fixture(scope="module")
def chats(processor: Any, tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    dataset = film_prompts(film_rows(tmp_path_factory.mktemp("rows"), "grpo", MEDIA), processor)
    return [dataset[number]["raw_prompt"] for number in range(len(MEDIA))]


@pytest.fixture
def generate(processor: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that generates the responses to one prompt by a worker class."""
    settings = {
        "actor_rollout_ref": {
            "rollout": {
                "n": RESPONSES, "prompt_length": 2048, "response_length": 64, "val_kwargs": {"n": RESPONSES},
                "full_determinism": False, "name": "hf",
            }
        },
        "data": {}, "trainer": {"v1": {"trainer_mode": "sync"}}, "skip": {"rollout_tq": {"enable": False}},
    }  # fmt: skip
    config = OmegaConf.create(settings)

    async def put(value: Any) -> Any:
        return ("stored", value)

    for module in (sharing_agent_loop, media_references):
        monkeypatch.setattr(module, "put", put)

    async def run(worker_class: Any, chat: Any, server: Server, *, validate: bool, broken: bool) -> Generated:
        queue = Queue()
        monkeypatch.setattr(agent_loop_tq, "tq", queue)
        decode = Counted(FilmPrompts._process_multi_modal_info if not broken else _unreadable)
        parts = [Counted(part.__call__) for part in (processor.image_processor, processor.video_processor)]
        loop_class = type("Loop", (SingleTurnAgentLoop,), {})
        worker: Any = object.__new__(worker_class)
        vars(worker).update(
            config=config, rollout_config=config.actor_rollout_ref.rollout, llm_client=server, tools=[],
            reward_loop_worker_handles=None, tokenizer=processor.tokenizer, processor=processor,
            hf_model_type="qwen2_5_vl", dataset_cls=FilmPrompts, mm_processor_kwargs={}, distillation_enabled=False,
        )  # fmt: skip
        if worker_class is SharingWorker:
            sharing_agent_loop.share_in_agent_loops(loop_class)
            worker._prepare("agent_loop_worker_0")
        with monkeypatch.context() as patch:
            patch.setitem(agent_loop._agent_loop_registry, "test", {"_target_": f"{__name__}.new_loop"})
            patch.setattr(f"{__name__}.LOOP", loop_class)
            patch.setattr(FilmPrompts, "_process_multi_modal_info", decode)
            for part, counted in zip((processor.image_processor, processor.video_processor), parts, strict=True):
                patch.setattr(type(part), "__call__", lambda _self, *a, _c=counted, **k: _c(*a, **k))
            prompt = {"uid": "uid", "raw_prompt": chat, "agent_name": "test", "index": 0, "global_steps": 1}
            trajectory = {"step": 1, "sample_index": 0, "rollout_n": 0, "validate": validate}
            await asyncio.create_task(worker._run_prompt(prompt, {}, trajectory=trajectory))
        return Generated(queue, worker, server, decode.calls, sum(counted.calls for counted in parts))

    def responses(
        worker_class: Any, chat: Any, server: Server | None = None, *, validate: bool = False, broken: bool = False
    ) -> Generated:
        return asyncio.run(run(worker_class, chat, server or Server(), validate=validate, broken=broken))

    return responses


LOOP: Any = None


def new_loop(**arguments: Any) -> Any:
    """Create an agent loop of the class under test; verl finds this function by its name."""
    return LOOP(**arguments)


def _unreadable(*_: Any, **__: Any) -> Any:
    raise OSError("the file is truncated")


def by_length(generated: Generated) -> list[dict[str, Any]]:
    """The rows by the length of their responses; which response has which length depends on the order of requests."""
    return sorted(generated.queue.rows.values(), key=lambda row: len(row["responses"]))


def inputs_of(row: dict[str, Any]) -> Any:
    """Model inputs of a row as the actor gets them."""
    value = row["multi_modal_inputs"]
    return getattr(value, "data", value)


@pytest.mark.parametrize("number", range(len(MEDIA)), ids=["still", "clip"])
def test_ours_decodes_and_processes_once_and_writes_the_rows_that_verl_writes(
    number: int, chats: list[Any], generate: Any
) -> None:
    theirs, ours = generate(AgentLoopWorkerTQ, chats[number]), generate(SharingWorker, chats[number])
    # If verl's figures fall, verl shares media itself: remove this package's sharing.
    assert theirs.decodings == RESPONSES and theirs.processed == 2 * RESPONSES
    assert ours.decodings == 1 and ours.processed == 1
    assert ours.queue.statuses == theirs.queue.statuses == ["running", "finished"]
    assert sorted(ours.queue.rows) == sorted(theirs.queue.rows) == [f"uid_{index}_0" for index in range(RESPONSES)]
    for row, expected in zip(by_length(ours), by_length(theirs), strict=True):
        assert row.keys() == expected.keys()
        assert all(torch.equal(row[name], expected[name]) for name in TENSORS)
        found, wanted = dict(inputs_of(row).items()), dict(inputs_of(expected))
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_the_pixel_values_of_a_clip_are_in_no_other_column(chats: list[Any], generate: Any) -> None:
    def columns(generated: Generated) -> set[str]:
        row = generated.queue.rows["uid_0_0"]
        return {name for name, value in row.items() if "pixel_values_videos" in repr(getattr(value, "data", value))}

    assert "mm_processor_output" in columns(generate(AgentLoopWorkerTQ, chats[1]))  # verl 0.9.1 sends them twice
    assert columns(generate(SharingWorker, chats[1])) == set()


def test_the_server_gets_one_reference_for_all_responses(chats: list[Any], generate: Any) -> None:
    for number, part in ((0, 0), (1, 1)):
        sent = generate(SharingWorker, chats[number]).server.media
        assert len({id(media[part]) for media in sent}) == 1
        assert sent[0][part][0] == "stored"
        assert {media[1 - part] for media in sent} == {None}


def test_what_the_rows_refer_to_is_held_until_they_are_removed(chats: list[Any], generate: Any) -> None:
    worker = generate(SharingWorker, chats[1]).worker
    (reference,) = asyncio.run(worker.stored_inputs("uid"))
    assert set(reference[1]) == {"pixel_values_videos", "video_grid_thw", "second_per_grid_ts"}
    asyncio.run(worker.release([f"uid_{index}_0" for index in range(RESPONSES)]))
    assert len(worker._stored) == 0


def test_an_unreadable_medium_fails_the_prompt_once_and_leaves_nothing_behind(chats: list[Any], generate: Any) -> None:
    failed = generate(SharingWorker, chats[1], broken=True)
    assert failed.decodings == 1
    assert failed.queue.statuses == ["running", "failure"] and failed.queue.rows == {}
    assert len(failed.worker._stored) == 0


def test_the_rows_of_a_prompt_with_a_failed_response_are_still_readable_until_removed(
    chats: list[Any], generate: Any
) -> None:
    partly = generate(SharingWorker, chats[1], Server(frozenset({1})))
    assert partly.queue.statuses[-1] == "failure"
    assert len(partly.queue.rows) == RESPONSES - 1 and "uid" in partly.worker._stored
    asyncio.run(partly.worker.release(["uid", *partly.queue.rows]))
    assert len(partly.worker._stored) == 0
    assert len(generate(SharingWorker, chats[1], Server(frozenset(range(RESPONSES)))).worker._stored) == 0


def test_a_validation_stores_nothing(chats: list[Any], generate: Any) -> None:
    validated = generate(SharingWorker, chats[1], validate=True)
    assert validated.decodings == 1 and validated.queue.statuses == ["running", "finished"]
    assert len(validated.worker._stored) == 0


@pytest.mark.parametrize(
    ("changed", "allowed"),
    [({}, True), ({"trainer.v1.trainer_mode": "colocate_async"}, False), ({"skip.rollout_tq.enable": True}, False)],
    ids=str,
)
def test_rows_that_another_run_may_read_contain_the_values(changed: dict[str, Any], allowed: bool) -> None:
    config = OmegaConf.create({"trainer": {"v1": {"trainer_mode": "sync"}}, "skip": {"rollout_tq": {"enable": False}}})
    for key, value in changed.items():
        OmegaConf.update(config, key, value)
    assert references_allowed(config) is allowed


def test_removed_rows_are_released(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[tuple[list[str], str]] = []
    released: list[list[str]] = []

    def clear(keys: list[str], partition_id: str) -> None:
        removed.append((keys, partition_id))

    monkeypatch.setattr(sharing_agent_loop.transfer_queue, "kv_clear", clear)
    sharing_agent_loop.after_clearing(released.append)
    sharing_agent_loop.transfer_queue.kv_clear(keys=["a_0_0", "b_0_0"], partition_id="train")
    sharing_agent_loop.transfer_queue.kv_clear(keys="c", partition_id="val")
    assert removed == [(["a_0_0", "b_0_0"], "train"), (["c"], "val")]
    assert released == [["a_0_0", "b_0_0"], ["c"]]
