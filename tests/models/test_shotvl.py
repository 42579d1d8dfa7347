"""The `shotvl` model: batch-independent answers; broken media and memory shortage do not end a run."""

from __future__ import annotations

import io
import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.host
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("lmms_eval")
from lmms_eval.api.instance import Instance
from PIL import Image

from lmms_eval_shotbench import prompts
from lmms_eval_shotbench.grading.strict import REQUEST_FAILED
from lmms_eval_shotbench.media.stored_medium import StoredMedium
from lmms_eval_shotbench.models.chats import Chat, UnsupportedRequest, parse_generation_settings, read_chat
from lmms_eval_shotbench.models.media_threads import media_threads
from lmms_eval_shotbench.models.shotvl import ShotVL
from lmms_eval_shotbench.prompts import PROMPT_STYLES, PromptStyle
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.qwen import checkpoint
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint, load_checkpoint
from lmms_eval_shotbench.qwen.input_rules import UnsupportedCheckpoint
from lmms_eval_shotbench.qwen.inputs import MediaLimits, Prompt
from lmms_eval_shotbench.runs.response_store import Answer, Failure, Response
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.engine_answers import transformers_answers

SMALL = MediaLimits(still_min=3136, still_max=30_000, clip_min=784, clip_max=8_000, fps=12.0)
NAMES = {MediaKind.STILL: "image", MediaKind.CLIP: "video"}


@pytest.fixture(scope="module")
def tiny_checkpoint(tiny_model_unconstrained: Path) -> Checkpoint:
    return load_checkpoint(str(tiny_model_unconstrained), device=torch.device("cpu"))


@pytest.fixture(scope="module")
def shard_folder(studio_shards: Path) -> ShardFolder:
    return ShardFolder(studio_shards)


def chats_on(
    shards: ShardFolder, items: Sequence[QAItem], style: PromptStyle = prompts.REASONING, **generation: Any
) -> list[Chat]:
    return [chat_on(item, partial(shards.media, item.item_id), style, **generation) for item in items]


def chat_on(item: QAItem, read: Any, style: PromptStyle = prompts.REASONING, **generation: Any) -> Chat:
    medium = StoredMedium.of(item.media_kind, "", read)
    messages = prompts.messages(item, style, [{"type": NAMES[item.media_kind], "url": medium}])
    return read_chat(messages, {"max_new_tokens": 8} | generation)


def answered(loaded: Checkpoint, chats: Sequence[Chat], batch_tokens: int) -> list[Answer]:
    return transformers_answers(loaded, SMALL, chats, batch_tokens, workers=2)


def mixed(shards: ShardFolder, each: int) -> list[QAItem]:
    """Return `each` stills and `each` clips, alternating."""
    items = list(shards.items())
    stills, clips = ([item for item in items if item.media_kind is kind][:each] for kind in MediaKind)
    return [item for pair in zip(stills, clips, strict=True) for item in pair]


# --------------------------------------------------------------------------------------- independence of the batch


@pytest.mark.parametrize("style", PROMPT_STYLES, ids=lambda style: style.name)
def test_answers_are_the_same_batched_and_unbatched(
    tiny_checkpoint: Checkpoint, shard_folder: ShardFolder, style: PromptStyle
) -> None:
    chats = chats_on(shard_folder, list(shard_folder.items()), style)
    batched, unbatched = answered(tiny_checkpoint, chats, 20_000), answered(tiny_checkpoint, chats, 1)
    assert batched == unbatched
    texts = Counter(answer.text for answer in unbatched if isinstance(answer, Response))
    assert texts.total() == len(chats) > 60
    assert len(texts) > 20, "identical responses to all prompts would prove nothing"


def test_answers_do_not_depend_on_the_prefill_group_size(
    tiny_checkpoint: Checkpoint, shard_folder: ShardFolder
) -> None:
    chats = chats_on(shard_folder, mixed(shard_folder, 6))
    groups = [replace(tiny_checkpoint, prefill_tokens=tokens) for tokens in (0, 1000, 100_000)]
    single, some, all_at_once = (answered(checkpoint, chats, 50_000) for checkpoint in groups)
    assert single == some == all_at_once


def test_rows_that_end_early_leave_the_batch_and_change_nothing(
    tiny_checkpoint: Checkpoint, shard_folder: ShardFolder
) -> None:
    chats = chats_on(shard_folder, mixed(shard_folder, 6), max_new_tokens=40)
    unbatched = answered(tiny_checkpoint, chats, 1)
    stops = [
        answer.text[12 * number :][:4]
        for number, answer in enumerate(unbatched[:5])
        if number and isinstance(answer, Response)
    ]
    chats = chats_on(shard_folder, mixed(shard_folder, 6), max_new_tokens=40, until=stops)
    batched, unbatched = answered(tiny_checkpoint, chats, 50_000), answered(tiny_checkpoint, chats, 1)
    assert batched == unbatched
    lengths = {answer.output_tokens for answer in batched if isinstance(answer, Response)}
    assert len(lengths) > 2, "rows should end at different steps"
    assert all(not any(stop in answer.text for stop in stops) for answer in batched if isinstance(answer, Response))


def test_a_response_ends_by_its_length_only_if_nothing_else_ended_it(
    tiny_checkpoint: Checkpoint, shard_folder: ShardFolder
) -> None:
    cut = answered(tiny_checkpoint, chats_on(shard_folder, mixed(shard_folder, 6), max_new_tokens=12), 50_000)
    texts = [answer.text for answer in cut if isinstance(answer, Response) and answer.output_tokens == 12]
    assert texts, "some response should be longer"
    for answer in cut:
        assert isinstance(answer, Response)
        assert answer.finish_reason == ("length" if answer.output_tokens == 12 else "stop")
    ending = texts[0][-3:]  # a stop string that is complete only with the last token
    chats = chats_on(shard_folder, mixed(shard_folder, 6), max_new_tokens=12, until=[ending])
    for answer in answered(tiny_checkpoint, chats, 50_000):
        assert isinstance(answer, Response)
        stopped = any(text.startswith(answer.text) and ending in text for text in texts)
        assert answer.finish_reason == ("stop" if stopped or answer.output_tokens < 12 else "length")


def test_greedy_answers_are_those_of_transformers_own_generate(
    tiny_checkpoint: Checkpoint, shard_folder: ShardFolder
) -> None:
    """Stills only: transformers before 5.11 has wrong time positions for clips."""
    stills = [item for item in shard_folder.items() if item.media_kind is MediaKind.STILL][:4]
    chats = chats_on(shard_folder, stills, max_new_tokens=20)
    ours = answered(tiny_checkpoint, chats, 50_000)
    processor = tiny_checkpoint.processor
    for chat, answer in zip(chats, ours, strict=True):
        text = processor.apply_chat_template(chat.messages, tokenize=False, add_generation_prompt=True)
        picture = Image.open(io.BytesIO(chat.media[0].read()))
        inputs = processor(
            text=[text],
            images=[picture],
            return_tensors="pt",
            images_kwargs={"min_pixels": SMALL.still_min, "max_pixels": SMALL.still_max},
        )
        with torch.inference_mode():
            tokens = tiny_checkpoint.model.generate(**inputs, max_new_tokens=20, do_sample=False)
        expected = processor.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert isinstance(answer, Response)
        assert answer.text[:12] == expected[:12]  # pixels differ by one level: PIL resizes here, torch there
        assert answer.input_tokens == inputs["input_ids"].shape[1]


def test_media_threads_use_one_core_each_and_the_model_keeps_its_own() -> None:
    previous = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        threads = media_threads(3)
        assert torch.get_num_threads() == 2
        assert {future.result() for future in [threads.submit(torch.get_num_threads) for _ in range(9)]} == {1}
        threads.shutdown()
    finally:
        torch.set_num_threads(previous)


# ---------------------------------------------------------------------------------------------------------- failures


def test_a_broken_medium_fails_only_its_own_item(tiny_checkpoint: Checkpoint, shard_folder: ShardFolder) -> None:
    items = mixed(shard_folder, 3)
    valid = chats_on(shard_folder, items)
    half_a_still = chat_on(items[0], lambda: shard_folder.media(items[0].item_id)[:3000])
    half_a_clip = chat_on(items[1], lambda: shard_folder.media(items[1].item_id)[:-800])
    no_medium = chat_on(items[2], lambda: b"no picture")
    answers = answered(tiny_checkpoint, [half_a_still, *valid, half_a_clip, no_medium], 20_000)
    assert [type(answer) for answer in answers] == [Failure, *[Response] * 6, Failure, Failure]
    assert answers[1:7] == answered(tiny_checkpoint, valid, 20_000)
    for failed, words in ((answers[0], "still cannot be decoded"), (answers[-1], "still cannot be decoded")):
        assert isinstance(failed, Failure)
        assert words in failed.reason


def test_a_picture_the_processor_rejects_fails_only_its_own_item(
    tiny_checkpoint: Checkpoint, shard_folder: ShardFolder
) -> None:
    items = mixed(shard_folder, 1)
    ribbon = io.BytesIO()
    Image.new("RGB", (2100, 10)).save(ribbon, "PNG")
    failed, *others = answered(
        tiny_checkpoint, [chat_on(items[0], ribbon.getvalue), *chats_on(shard_folder, items)], 20_000
    )
    assert isinstance(failed, Failure)
    assert "2100x10 pixels cannot be shown" in failed.reason
    assert all(isinstance(answer, Response) for answer in others)


def test_batches_are_halved_when_memory_runs_out(
    tiny_checkpoint: Checkpoint,
    shard_folder: ShardFolder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The shortage is simulated: batches of more than three rows, and one long prompt, raise torch's own error."""
    items = mixed(shard_folder, 5)
    chats = [
        *chats_on(shard_folder, items),
        read_chat([{"role": "user", "content": [_text("word " * 900)]}], {"max_new_tokens": 8}),
    ]
    sizes = []

    def short_of_memory(self: Checkpoint, prompts: Sequence[Prompt], *rest: Any) -> Any:
        sizes.append(len(prompts))
        if len(prompts) > 3 or self.architecture.tokens(prompts[0]) > 900:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return answer(self, prompts, *rest)

    answer = Checkpoint.answer
    expected = answered(tiny_checkpoint, chats[:-1], 50_000)
    monkeypatch.setattr(Checkpoint, "answer", short_of_memory)
    with caplog.at_level(logging.WARNING):
        found = answered(tiny_checkpoint, chats, 50_000)
    assert found[:-1] == expected
    assert isinstance(found[-1], Failure)
    assert "more memory than there is" in found[-1].reason
    assert "batches are halved" in caplog.text
    assert sizes[-1] <= 3, "the smaller batch size holds for the rest of the run"


def test_other_errors_of_the_model_are_not_treated_as_out_of_memory(
    tiny_checkpoint: Checkpoint, shard_folder: ShardFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_given: Any) -> Any:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Checkpoint, "answer", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        answered(tiny_checkpoint, chats_on(shard_folder, mixed(shard_folder, 1)), 20_000)


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


# --------------------------------------------------------------------------------------------- as a model of lmms-eval


@pytest.fixture
def make_requests(shard_folder: ShardFolder) -> Iterator[Any]:
    """Make requests as lmms-eval does, for a model's own `task_dict`."""

    def make(model: ShotVL, chats: Sequence[list[dict[str, Any]]], **generation: Any) -> list[Instance]:
        model.task_dict["task"] = {"test": list(chats)}
        settings = {"max_new_tokens": 6, "until": [], "temperature": 0, "do_sample": False} | generation
        return [
            Instance(
                "generate_until",
                ("", lambda doc: doc, settings, index, "task", "test"),
                idx=0,
                metadata={"task": "task", "doc_id": index, "repeats": 1},
            )
            for index in range(len(chats))
        ]

    yield make


def stills_and_words(shards: ShardFolder) -> list[list[dict[str, Any]]]:
    """Chats as in tasks of others: a picture in memory, a path, no medium, a medium twice."""
    still, clip = (shards.media(item.item_id) for item in mixed(shards, 1))
    picture = Image.open(io.BytesIO(still))
    return [
        [{"role": "user", "content": [{"type": "image", "url": picture}, _text("What is it?")]}],
        [{"role": "user", "content": [{"type": "image", "url": picture}, _text("What is it?")]}],
        [{"role": "user", "content": [_text("What is it?")]}],
        [{"role": "user", "content": [{"type": "image", "url": picture}] * 2 + [_text("Which?")]}],
        [{"role": "user", "content": [{"type": "video", "url": clip}, _text("What moves?")]}],
    ]


def test_chats_of_any_task_are_answered_once_each(
    tiny_model_unconstrained: Path,
    shard_folder: ShardFolder,
    make_requests: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = ShotVL(str(tiny_model_unconstrained), device="cpu", responses=str(tmp_path / "kept"), batch_size=1)
    chats = stills_and_words(shard_folder)
    path = tmp_path / "clip.mp4"
    path.write_bytes(chats[-1][0]["content"][0]["url"])
    chats[-1][0]["content"][0]["url"] = str(path)
    texts = [result.text for result in model.generate_until(make_requests(model, chats))]
    assert texts[0] == texts[1]
    assert all(texts)
    kept = (tmp_path / "kept" / "rank-0.jsonl").read_text().splitlines()
    assert len(kept) == 4

    def must_not_run(*_given: Any) -> Any:
        raise AssertionError("the answer is stored")

    monkeypatch.setattr(Checkpoint, "answer", must_not_run)
    assert [result.text for result in model.generate_until(make_requests(model, chats))] == texts


def test_another_medium_prompt_or_setting_does_not_match_a_stored_response(
    tiny_model_unconstrained: Path, shard_folder: ShardFolder, make_requests: Any, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    chats = stills_and_words(shard_folder)[:1]
    still = Image.open(io.BytesIO(shard_folder.media(mixed(shard_folder, 2)[2].item_id)))

    def lines(model: ShotVL, messages: list[list[dict[str, Any]]], **generation: Any) -> int:
        model.generate_until(make_requests(model, messages, **generation))
        return len((kept / "rank-0.jsonl").read_text().splitlines())

    model = ShotVL(str(tiny_model_unconstrained), device="cpu", responses=str(kept))
    assert lines(model, chats) == lines(model, chats) == 1
    assert lines(model, chats, max_new_tokens=7) == 2
    other_words = [[{"role": "user", "content": [chats[0][0]["content"][0], _text("What is that?")]}]]
    assert lines(model, other_words) == 3
    other_still = [[{"role": "user", "content": [{"type": "image", "url": still}, _text("What is it?")]}]]
    assert lines(model, other_still) == 4
    assert (
        lines(ShotVL(str(tiny_model_unconstrained), device="cpu", responses=str(kept), max_pixels=20_000), chats) == 5
    )
    trained_on = tmp_path / "trained"
    shutil.copytree(tiny_model_unconstrained, trained_on)
    (trained_on / "model.safetensors").touch()
    assert lines(ShotVL(str(trained_on), device="cpu", responses=str(kept)), chats) == 6
    assert lines(ShotVL(str(tiny_model_unconstrained), device="cpu", dtype="bfloat16", responses=str(kept)), chats) == 7
    assert lines(ShotVL(str(tiny_model_unconstrained), device="cpu", responses=str(kept)), chats) == 7


def test_a_broken_medium_is_reported_as_a_failed_request(
    tiny_model_unconstrained: Path, make_requests: Any, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    model = ShotVL(str(tiny_model_unconstrained), device="cpu", responses=str(tmp_path / "kept"))
    chat = [{"role": "user", "content": [{"type": "image", "url": str(broken)}, _text("What is it?")]}]
    (result,) = model.generate_until(make_requests(model, [chat]))
    assert result.text.startswith(REQUEST_FAILED)
    assert result.token_counts.to_dict() == {}
    assert "still cannot be decoded" in result.text
    assert not list((tmp_path / "kept").iterdir())  # asked again once the medium is repaired


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"num_beams": 4}, "beam search"),
        ({"min_p": 0.1}, "min_p"),
        ({"max_new_tokens": -1}, "-1"),
    ],
)
def test_unsupported_generation_settings_are_refused(setting: dict[str, Any], words: str) -> None:
    with pytest.raises(UnsupportedRequest, match=words):
        parse_generation_settings(setting)


# -------------------------------------------------------------------------------------------------- the checkpoint


@pytest.mark.parametrize(
    "grids", [[[1, 4, 4]], [[1, 26, 18], [1, 8, 8], [1, 2, 30]], [[9, 24, 44], [2, 10, 6]]], ids=str
)
def test_attention_by_length_equals_that_of_transformers(
    tiny_checkpoint: Checkpoint, tiny_model_unconstrained: Path, grids: list[list[int]]
) -> None:
    theirs = transformers.AutoModelForImageTextToText.from_pretrained(tiny_model_unconstrained, dtype=torch.float32)
    grid = torch.tensor(grids)
    pixels = torch.randn(int(grid.prod(dim=1).sum()), 3 * 2 * 14 * 14, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        seen = [model.model.visual(pixels, grid).pooler_output for model in (tiny_checkpoint.model, theirs)]
    torch.testing.assert_close(*seen, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_of_another_model_type_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2", "hidden_size": 8}))
    with pytest.raises(UnsupportedCheckpoint, match="is a qwen2; shotvl runs qwen2_5_vl"):
        load_checkpoint(str(tmp_path), device=torch.device("cpu"))
    with pytest.raises(UnsupportedCheckpoint, match="dtype=bf16"):
        checkpoint.chosen_dtype("bf16", torch.device("cpu"))


def test_a_model_that_ignores_our_time_positions_is_refused(
    tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulates a transformers release that ignores the given positions and computes its own."""
    forward = tiny_checkpoint.model.model.forward

    def forward_without_times(*given: Any, position_ids: Any = None, **rest: Any) -> Any:
        times = position_ids.clone()
        times[0] = times[1]
        return forward(*given, position_ids=times, **rest)

    checkpoint.check_positions(tiny_checkpoint)
    monkeypatch.setattr(tiny_checkpoint.model.model, "forward", forward_without_times)
    with pytest.raises(
        UnsupportedCheckpoint, match=r"time positions \[1, 1, 1, 1, .* instead of \[1, 1, 1, 2, 2, 2, 3"
    ):
        checkpoint.check_positions(tiny_checkpoint)


def test_dtype_and_attention_depend_on_the_device() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert checkpoint.chosen_dtype("auto", cpu) == torch.float32
    assert checkpoint.chosen_dtype("auto", cuda) == torch.bfloat16
    assert checkpoint.best_attention(cpu) == "sdpa"
    assert checkpoint.best_attention(cuda) in ("flash_attention_2", "sdpa")
