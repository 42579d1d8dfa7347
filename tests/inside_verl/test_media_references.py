"""Media by reference: what is pickled is small, what is read is equal, and what nobody refers to is freed."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

pytestmark = pytest.mark.verl
pytest.importorskip("verl")
import torch
from tensordict.tensorclass import NonTensorData
from transfer_queue.utils.serial_utils import decode, encode
from verl.utils.model import extract_multi_modal_inputs
from verl.utils.tensordict_utils import index_select_tensor_dict, list_of_dict_to_tensordict

from verl_recipes.inside_verl import media_references
from verl_recipes.inside_verl.media_references import PromptInputs, StoredInputs, _with_arrays

RESPONSES = 3


def inputs(number: int) -> dict[str, torch.Tensor]:
    """Model inputs of a clip."""
    values = torch.arange(4 * 1176, dtype=torch.float32).reshape(4, 1176) + number
    return {"pixel_values_videos": values, "video_grid_thw": torch.tensor([[1, 2, 2]])}


def test_tensors_are_read_without_a_copy_of_their_memory() -> None:
    frames = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).reshape(2, 3, 4, 4).transpose(2, 3)
    value = [(frames, {"fps": 12.0}), {"half": torch.ones(3, dtype=torch.bfloat16)}, "text"]
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(_with_arrays(value), protocol=5, buffer_callback=buffers.append)
    (read, metadata), half, text = pickle.loads(pickled, buffers=buffers)
    assert torch.equal(read, frames) and metadata == {"fps": 12.0} and text == "text"
    assert torch.equal(half["half"], torch.ones(3, dtype=torch.bfloat16))
    assert read.data_ptr() in {torch.frombuffer(buffer, dtype=torch.uint8).data_ptr() for buffer in buffers}


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was fetched from agent loop workers; each prompt's number is its id."""
    calls: list[tuple[str, str]] = []

    def fetch(owner: str, uid: str) -> dict[str, torch.Tensor]:
        calls.append((owner, uid))
        return inputs(int(uid))

    monkeypatch.setattr(media_references, "fetch", fetch)
    return calls


def through_the_queue(rows: list[dict[str, Any]]) -> tuple[Any, int]:
    """Rows as TransferQueue returns them, and the bytes it sends for them."""
    frames = encode(list_of_dict_to_tensordict(rows).get("multi_modal_inputs").tolist())
    values = decode([bytes(frame) for frame in frames])
    batch = list_of_dict_to_tensordict([{"multi_modal_inputs": value} for value in values])
    return batch, sum(memoryview(frame).nbytes for frame in frames)


def test_rows_refer_to_their_prompts_and_the_actor_gets_the_same_inputs(fetched: list[tuple[str, str]]) -> None:
    plain = [inputs(prompt) for prompt in (1, 2) for _ in range(RESPONSES)]
    references = [PromptInputs("worker", str(prompt), inputs(prompt)) for prompt in (1, 2) for _ in range(RESPONSES)]
    batch, size = through_the_queue([{"multi_modal_inputs": value} for value in references])
    assert size < 200 * len(plain)
    assert not fetched
    some = index_select_tensor_dict(batch, [4, 0, 1])  # as micro batches are selected
    expected = extract_multi_modal_inputs([plain[4], plain[0], plain[1]])
    found = extract_multi_modal_inputs(some["multi_modal_inputs"])
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert sorted(fetched) == [("worker", "1"), ("worker", "1"), ("worker", "2")]


def test_equal_references_in_a_column_stay_one_per_row(fetched: list[tuple[str, str]]) -> None:
    batch, _ = through_the_queue([{"multi_modal_inputs": PromptInputs("worker", "1", inputs(1))}] * RESPONSES)
    column = batch.get("multi_modal_inputs")
    assert len(column) == RESPONSES
    assert not isinstance(column, NonTensorData)


def test_a_response_removes_values_from_its_own_inputs_only() -> None:
    shared = inputs(1) | {"mm_token_type_ids": torch.zeros(1)}
    first, second = PromptInputs("worker", "1", shared), PromptInputs("worker", "1", shared)
    assert first.pop("mm_token_type_ids") is not None
    assert first.pop("mm_token_type_ids", None) is None
    assert "mm_token_type_ids" in second and "mm_token_type_ids" in shared
    assert first.get("video_grid_thw") is shared["video_grid_thw"]


def test_inputs_are_held_until_the_last_row_has_left_the_queue() -> None:
    stored = StoredInputs()
    stored.add("a", "reference a")
    stored.written("a", ["a_0_0"])
    stored.written("a", ["a_1_0"])
    stored.end("a")  # all responses are finished
    stored.release(["a", "a_0_0", "other_0_0"])  # verl removes the key of the prompt itself earlier
    assert stored.reference("a") == "reference a"
    stored.release(["a_0_0", "a_1_0"])
    assert len(stored) == 0
    with pytest.raises(KeyError):
        stored.reference("a")


def test_inputs_of_a_prompt_whose_responses_all_failed_are_freed_at_its_end() -> None:
    stored = StoredInputs()
    stored.add("a", "reference")
    stored.end("a")
    stored.end("text only")
    assert "a" not in stored and len(stored) == 0


@pytest.mark.ray
@pytest.mark.usefixtures("two_workers")  # a running Ray
def test_a_worker_that_is_gone_is_named_with_what_to_do() -> None:
    with pytest.raises(media_references.InputsUnavailable, match=r"prompt 7 .*agent_loop_worker_0.*resume the run"):
        media_references.fetch("agent_loop_worker_0", "7")
