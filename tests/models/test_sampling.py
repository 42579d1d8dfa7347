"""Sampled responses: reproducible by seed, independent of the batch, distributed as the model's probabilities."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

pytestmark = pytest.mark.host
torch = pytest.importorskip("torch")
pytest.importorskip("lmms_eval")

from lmms_eval_shotbench.models.chats import UnsupportedRequest, parse_generation_settings
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint
from lmms_eval_shotbench.qwen.decoding import Sampling, draw
from lmms_eval_shotbench.runs.response_store import Answer, Response
from tests.models.test_shotvl import answered, chats_on, mixed, shard_folder, tiny_checkpoint  # noqa: F401


def texts(answers: list[Answer]) -> list[str]:
    return [answer.text for answer in answers if isinstance(answer, Response)]


def test_a_seed_draws_the_same_responses_batched_and_unbatched(
    tiny_checkpoint: Checkpoint,  # noqa: F811
    shard_folder: ShardFolder,  # noqa: F811
) -> None:
    def sampled(seed: int, batch_tokens: int) -> list[str]:
        chats = chats_on(shard_folder, mixed(shard_folder, 6), max_new_tokens=12, temperature=1.0, top_p=0.9, seed=seed)
        return texts(answered(tiny_checkpoint, chats, batch_tokens))

    first = sampled(1, 1)
    assert len(first) == 12
    assert sampled(1, 50_000) == first
    assert sum(one != other for one, other in zip(first, sampled(2, 50_000), strict=True)) > 6
    greedy = texts(answered(tiny_checkpoint, chats_on(shard_folder, mixed(shard_folder, 6), max_new_tokens=12), 1))
    assert greedy != first


def test_tokens_are_drawn_by_their_probabilities_and_suppressed_ones_never() -> None:
    probabilities = [0.5, 0.0, 0.3, 0.2, 0.0]
    scores = torch.tensor([probabilities]).log().expand(10_000, -1)
    randoms = [Random(f"row {number}") for number in range(10_000)]
    drawn = Counter(draw(scores, randoms).tolist())
    assert set(drawn) == {0, 2, 3}
    assert all(abs(drawn[token] / 10_000 - probability) < 0.02 for token, probability in enumerate(probabilities))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"temperature": 0, "do_sample": False, "seed": 3}, None),
        ({"temperature": 0.0, "top_p": 1.0, "top_k": 5}, None),
        ({"temperature": 1.0, "seed": 3}, Sampling(1.0, 1.0, 0, 3)),
        ({"temperature": "0.7", "top_p": 0.9, "top_k": 20, "do_sample": True}, Sampling(0.7, 0.9, 20, 0)),
    ],
)
def test_the_temperature_decides_whether_to_sample(given: dict[str, Any], wanted: Sampling | None) -> None:
    assert parse_generation_settings(given).sampling == wanted


@pytest.mark.parametrize(
    "given", [{"temperature": -1}, {"temperature": 1, "top_p": 2}, {"temperature": 1, "top_k": -3}]
)
def test_invalid_sampling_settings_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedRequest, match="invalid sampling settings"):
        parse_generation_settings(given)
