"""`shotvl` on vLLM's CPU build: its inputs and greedy responses are those on transformers."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.vllm
pytest.importorskip("vllm")
pytest.importorskip("torch")
import torch

from lmms_eval_shotbench import prompts
from lmms_eval_shotbench.media.stored_medium import StoredMedium
from lmms_eval_shotbench.models.chats import Chat, read_chat
from lmms_eval_shotbench.models.engine import EngineUnavailable
from lmms_eval_shotbench.models.engines import EngineSettings, open_engine
from lmms_eval_shotbench.models.planning import Planner
from lmms_eval_shotbench.models.vllm_engine import VllmEngine
from lmms_eval_shotbench.models.vllm_start import VllmArguments, expected_inputs
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.qwen.input_rules import read_input_rules
from lmms_eval_shotbench.qwen.inputs import MediaLimits, Prompt
from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from lmms_eval_shotbench.runs.response_store import Failure, Response
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.engine_answers import engine_answers
from tests.support.tiny_families.trainable import make_trainable

CPU = torch.device("cpu")
SMALL = MediaLimits(still_min=3136, still_max=30_000, clip_min=784, clip_max=8_000)
RATES = (2.0, 8.0, 12.0, 23.976)
ARGUMENTS = {"enforce_eager": True, "kv_cache_memory_bytes": 200_000_000, "max_num_seqs": 8}
FAMILIES = ("qwen2_5_vl", "qwen3_vl")
DTYPES = ("float32", "bfloat16")
NAMES = {MediaKind.STILL: "image", MediaKind.CLIP: "video"}


class Opened(NamedTuple):
    """vLLM with a checkpoint."""

    folder: Path
    dtype: str
    engine: VllmEngine

    def with_limits(self, limits: MediaLimits) -> tuple[VllmEngine, Planner]:
        """The same vLLM for media of other sizes or rates."""
        planner = Planner(read_input_rules(str(self.folder)), limits, workers=1)
        arguments = VllmArguments(str(self.folder), None, CPU, getattr(torch, self.dtype), ARGUMENTS)
        engine = VllmEngine(arguments, planner)
        engine.llm = self.engine.llm
        return engine, planner

    def answers(self, chats: Sequence[Chat], limits: MediaLimits = SMALL) -> list[Any]:
        return engine_answers(*self.with_limits(limits), chats)


@pytest.fixture(scope="module")
def shards(studio_shards: Path) -> ShardFolder:
    return ShardFolder(studio_shards)


@pytest.fixture(scope="module")
def items(shards: ShardFolder) -> list[QAItem]:
    """Eight questions on stills, and four on clips."""
    found = list(shards.items())
    stills, clips = ([item for item in found if item.media_kind is kind] for kind in MediaKind)
    return [*stills[:: len(stills) // 8][:8], *clips[:: len(clips) // 4][:4]]


@pytest.fixture(scope="module", params=[(family, dtype) for family in FAMILIES for dtype in DTYPES], ids="-".join)
def opened(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    items: list[QAItem],
    shards: ShardFolder,
) -> Iterator[Opened]:
    family, dtype = request.param
    folder = TINY_SHOTVL if family == "qwen2_5_vl" else make_trainable("qwen3_vl", tmp_path_factory.mktemp(family))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # in this process, as a start of others takes long
        settings = EngineSettings(str(folder), None, CPU, dtype, {}, ARGUMENTS)
        engine, planner = open_engine("vllm", settings, lambda rules: Planner(rules, SMALL, workers=1))
        assert isinstance(engine, VllmEngine)
        engine.start([planner.plan(chats_on(items, shards))])
        yield Opened(folder, dtype, engine)
        engine.llm.llm_engine.engine_core.shutdown()
    gc.collect()


def chats_on(items: Sequence[QAItem], shards: ShardFolder, **generation: Any) -> list[Chat]:
    chats = []
    for item in items:
        medium = StoredMedium.of(item.media_kind, "", partial(shards.media, item.item_id))
        messages = prompts.messages(item, prompts.REASONING, [{"type": NAMES[item.media_kind], "url": medium}])
        chats.append(read_chat(messages, {"max_new_tokens": 24} | generation))
    return chats


def transformers_answers(opened: Opened, chats: Sequence[Chat], limits: MediaLimits) -> list[Any]:
    settings = EngineSettings(str(opened.folder), None, CPU, opened.dtype, {"batch_tokens": None}, {})
    engine, planner = open_engine("transformers", settings, lambda rules: Planner(rules, limits, workers=1))
    return engine_answers(engine, planner, chats)


@pytest.mark.parametrize("fps", RATES)
def test_pixels_and_positions_are_those_of_transformers(
    opened: Opened, items: list[QAItem], shards: ShardFolder, fps: float
) -> None:
    chats = chats_on(items if fps == RATES[0] else items[-4:], shards, max_new_tokens=1)
    engine, planner = opened.with_limits(SMALL._replace(fps=fps, clip_min=784 + int(fps)))  # not yet in a cache
    assert engine.llm is not None
    engine.llm.collective_rpc("record_inputs")
    answers = engine_answers(engine, planner, chats)
    (recorded,) = engine.llm.collective_rpc("recorded_inputs")
    ids, rules = planner.plan(chats).ids, planner.rules
    expected = [
        expected_inputs(Prompt(ids[index], [planner.patches(chat.media[0])]), rules, getattr(torch, opened.dtype))
        for index, chat in enumerate(chats)
    ]
    assert all(isinstance(answer, Response) for answer in answers)
    for name in ("media", "positions"):
        assert sorted(map(repr, recorded[name])) == sorted({repr(one[name][0]) for one in expected})


def test_greedy_responses_are_those_of_transformers(opened: Opened, items: list[QAItem], shards: ShardFolder) -> None:
    chats = chats_on(items, shards)
    found, wanted = opened.answers(chats), transformers_answers(opened, chats, SMALL)
    assert len({answer.text for answer in wanted}) > 2
    differing = [index for index, (ours, theirs) in enumerate(zip(found, wanted, strict=True)) if ours != theirs]
    # The random Qwen3-VL often has several tokens of equal logits in bfloat16.
    most = 0 if opened.dtype == "float32" else 2 if opened.folder == TINY_SHOTVL else 6
    assert len(differing) <= most, differing


@pytest.mark.parametrize("opened", [("qwen2_5_vl", "float32")], indirect=True, ids="-".join)
class TestRequests:
    """What is the same for all checkpoints."""

    def test_a_broken_medium_fails_alone(self, opened: Opened, items: list[QAItem], shards: ShardFolder) -> None:
        valid = chats_on(items[:2], shards)
        broken = valid[0]._replace(media=[StoredMedium.of(MediaKind.STILL, "", lambda: b"no picture")])
        cut_short = valid[0]._replace(
            media=[StoredMedium.of(MediaKind.STILL, "", lambda: shards.media(items[0].item_id)[:900])]
        )
        answers = opened.answers([valid[0], broken, cut_short, valid[1]])
        assert [type(answer) for answer in answers] == [Response, Failure, Failure, Response]
        assert [answers[0], answers[3]] == opened.answers(valid)

    def test_a_prompt_that_does_not_fit_fails_alone(
        self, opened: Opened, items: list[QAItem], shards: ShardFolder
    ) -> None:
        (valid,) = chats_on(items[:1], shards)
        messages = [*valid.messages[:-1], {"role": "user", "content": [{"type": "text", "text": "shot " * 40_000}]}]
        long, answered = opened.answers([valid._replace(messages=messages, media=[]), valid])
        assert isinstance(long, Failure) and long.reason.startswith("vLLM refuses the prompt: ")
        assert isinstance(answered, Response)

    def test_text_only_and_several_media_are_answered_as_by_transformers(
        self, opened: Opened, items: list[QAItem], shards: ShardFolder
    ) -> None:
        still, other, clip = chats_on([items[0], items[1], items[-1]], shards)
        *before, user = still.messages
        text = user["content"][-1:]
        parts = [{"type": "image"}, {"type": "video"}, {"type": "image"}, *text]
        several = still._replace(
            messages=[*before, {"role": "user", "content": parts}],
            media=[still.media[0], clip.media[0], still.media[0]],
        )
        plain = other._replace(messages=[*before, {"role": "user", "content": text}], media=[])
        chats = [several, plain, other]
        assert opened.answers(chats) == transformers_answers(opened, chats, SMALL)

    def test_stop_strings_and_the_limit_of_tokens_are_those_of_transformers(
        self, opened: Opened, items: list[QAItem], shards: ShardFolder
    ) -> None:
        (whole,) = opened.answers(chats_on(items[:1], shards))
        word = whole.text.split()[2]
        for generation in ({"until": [word]}, {"max_new_tokens": 3}):
            chats = chats_on(items[:3], shards, **generation)
            assert opened.answers(chats) == transformers_answers(opened, chats, SMALL)

    def test_samples_depend_on_the_seed_and_the_question_only(
        self, opened: Opened, items: list[QAItem], shards: ShardFolder
    ) -> None:
        first, second = (chats_on(items, shards, temperature=2.0, seed=seed) for seed in (1, 2))
        drawn = opened.answers(first)
        assert opened.answers(first[::-1])[::-1] == drawn
        assert opened.answers(second) != drawn

    def test_a_temperature_that_vllm_does_not_have_is_refused_at_once(
        self, opened: Opened, items: list[QAItem], shards: ShardFolder
    ) -> None:
        with pytest.raises(EngineUnavailable, match="temperature=3: vLLM samples at temperatures up to 2"):
            opened.answers(chats_on(items[:1], shards, temperature=3.0, seed=1))

    def test_blank_media_have_their_size_and_give_the_same_response(
        self, opened: Opened, items: list[QAItem], shards: ShardFolder
    ) -> None:
        (chat, *_) = chats_on(items[:1], shards)
        chats = [chat._replace(media=one.media) for one in chats_on(items[:8], shards)]
        seen, blank = opened.answers(chats), opened.answers(chats, SMALL._replace(blank=True))
        assert [one.input_tokens for one in seen] == [one.input_tokens for one in blank]
        assert len({one.text for one in blank}) <= len({one.input_tokens for one in blank})
        assert blank == transformers_answers(opened, chats, SMALL._replace(blank=True))

    def test_the_time_of_the_engine_is_divided_among_the_responses(
        self, opened: Opened, items: list[QAItem], shards: ShardFolder
    ) -> None:
        engine, planner = opened.with_limits(SMALL)
        plan, started = planner.plan(chats_on(items, shards)), perf_counter()
        found = [answer for some in engine.answers(plan) for answer in some.values()]
        elapsed = perf_counter() - started
        seconds = [one.seconds for one in found if isinstance(one, Response) and one.seconds]
        assert len(seconds) == len(items)
        assert sum(seconds) <= elapsed
