"""Responses recorded between lmms-eval and its models: what they are stored under, and what a failure costs."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = [pytest.mark.host, pytest.mark.timeout(900)]
pytest.importorskip("lmms_eval")
pytest.importorskip("torch")
pytest.importorskip("openai")

from loguru import logger as host_logger

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.harness.recorder import MOST_FAILURES, Asked, Recorder, RunStopped, SamplePlan
from lmms_eval_shotbench.harness.request_keys import determining
from lmms_eval_shotbench.media.stills import BrokenMedium
from lmms_eval_shotbench.runs.response_store import Answer, Failure, Response
from tests.harness.test_lmms_eval import isolated_caches, read_scores  # noqa: F401
from tests.support.killed_evaluations import stored_keys, tiny_model
from tests.support.openai_server import ANSWER, NULL, Endpoint, serve
from tests.support.ports import free_port
from tests.support.releases import still
from tests.support.small_shards import small_still, write_small_shards
from tests.support.timeless import timeless
from tests.support.warm_runs import WARM

TASK = "t"
Generate = Callable[[Sequence[Any]], list[Any]]


class Model:
    """A model of lmms-eval with the surface that the recorder uses; `say` answers one batch of numbers."""

    is_simple = True

    def __init__(self, say: Callable[[list[int]], list[Any]], count: int = 100) -> None:
        self.asked: list[list[int]] = []
        self.say = say
        self.task_dict = {TASK: {"test": list(range(count))}}

    def generate_until(self, requests: Sequence[Any]) -> list[Any]:
        numbers = [request.args[3] for request in requests]
        self.asked.append(numbers)
        return self.say(numbers)


class ClientModel(Model):
    """One that asks a server."""

    num_concurrent = 4


def request(number: int) -> SimpleNamespace:
    return SimpleNamespace(args=(f"question {number}", {"max_new_tokens": 9}, lambda _: [], number, TASK, "test"))


def answers(model: Model, count: int, folder: Path | None = None, batch_size: int = 1) -> dict[int, Answer]:
    """Ask a model `count` questions; return what became of each."""
    recorder = Recorder({}, folder, {TASK}, batch_size=str(batch_size))
    try:
        recorder.attach(model).generate_until([request(number) for number in range(count)])
    finally:
        model.generate_until = type(model).generate_until.__get__(model)  # type: ignore[method-assign]
    return {one.doc_id: timeless(answer) for one, answer in recorder.answers.items()}


def say_all_but(failing: Mapping[int, Exception]) -> Callable[[list[int]], list[str]]:
    def say(numbers: list[int]) -> list[str]:
        for number in numbers:
            if number in failing:
                raise failing[number]
        return [f"answer {number}" for number in numbers]

    return say


# ------------------------------------------------------------------------------------------------------- failures


def test_a_batch_that_fails_is_asked_one_by_one_and_loses_the_item_at_fault_only(tmp_path: Path) -> None:
    model = Model(say_all_but({5: RuntimeError("out of memory")}))
    found = answers(model, 10, tmp_path, batch_size=4)
    assert model.asked == [[0, 1, 2, 3], [4, 5, 6, 7], [4], [5], [6], [7], [8, 9]]
    assert found.pop(5) == Failure("RuntimeError: out of memory")
    assert found == {number: Response(f"answer {number}") for number in range(10) if number != 5}
    model.asked, model.say = [], say_all_but({})
    assert answers(model, 10, tmp_path, batch_size=4)[5] == Response("answer 5")
    assert model.asked == [[5]]


@pytest.mark.parametrize("kind", [Model, ClientModel])
def test_failures_in_a_row_stop_the_run_and_what_was_answered_before_is_kept(kind: type[Model], tmp_path: Path) -> None:
    model = kind(say_all_but(dict.fromkeys(range(10, 100), ValueError("gone"))))
    with pytest.raises(RunStopped, match=f"^{MOST_FAILURES} requests in a row failed, the last: ValueError: gone$"):
        answers(model, 100, tmp_path)
    asked = sum(map(len, model.asked))
    assert 10 + MOST_FAILURES <= asked <= 10 + MOST_FAILURES + 2 * ClientModel.num_concurrent
    model.say = say_all_but({})
    assert len(answers(model, 100, tmp_path)) == 100
    assert sum(map(len, model.asked)) == asked + 90


def test_broken_media_do_not_stop_a_run_and_do_not_hide_that_the_model_is_gone() -> None:
    model = Model(say_all_but(dict.fromkeys(range(99), BrokenMedium("still cannot be decoded"))))
    assert answers(model, 100)[0] == Failure("still cannot be decoded", broken_medium=True)
    by_turns = {n: BrokenMedium("no still") if n % 2 else ValueError("gone") for n in range(2 * MOST_FAILURES)}
    with pytest.raises(RunStopped, match=f"{MOST_FAILURES} requests in a row failed"):
        answers(Model(say_all_but(by_turns), count=100), 2 * MOST_FAILURES)


@pytest.mark.parametrize("kind", [Model, ClientModel])
@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (None, "the model returned no text"),
        ("[LMMS_EVAL_REQUEST_FAILED after 5 retries] no route", "no route"),
        ("[LMMS_EVAL_REQUEST_FAILED: clip cannot be decoded]", "clip cannot be decoded"),
        ("[LMMS_EVAL_BUDGET_EXCEEDED]", "the token budget (--max_tokens) was used up"),
        ("[SAFETY_BLOCKED:finish_reason=SAFETY]", "the server blocked the response: finish_reason=SAFETY"),
    ],
)
def test_texts_of_the_host_for_a_failed_request_are_no_responses(
    kind: type[Model], output: object, reason: str, tmp_path: Path
) -> None:
    assert answers(kind(lambda _: [output]), 1, tmp_path) == {0: Failure(reason)}
    assert answers(kind(lambda _: ["B"]), 1, tmp_path) == {0: Response("B")}


def test_a_thought_that_gemini_cut_at_the_limit_is_a_response_cut_at_the_limit() -> None:
    cut = answers(Model(lambda _: ["[SAFETY_BLOCKED:finish_reason=FinishReason.MAX_TOKENS]"]), 1)
    assert cut == {0: Response("", finish_reason="length")}


@pytest.mark.parametrize("kind", [Model, ClientModel])
def test_blank_text_after_an_error_that_the_model_only_logs_is_no_response(kind: type[Model]) -> None:
    def say(numbers: list[int]) -> list[str]:
        if numbers == [1]:
            host_logger.error("Error CUDA out of memory in generating\nTraceback …")
        return [""]

    found = answers(kind(say), 3)
    assert found[1] == Failure("Error CUDA out of memory in generating")
    assert found[0] == found[2] == Response("")


def test_the_same_request_is_asked_once(tmp_path: Path) -> None:
    model, recorder = Model(say_all_but({})), Recorder({}, tmp_path, {TASK})
    texts = recorder.attach(model).generate_until([request(3), request(4), request(3)])
    assert model.asked == [[3], [4]]
    assert [one.text for one in texts] == ["answer 3", "answer 4", "answer 3"]
    assert recorder.responses()[Asked(TASK, 3)].text == "answer 3"


def test_samples_differ_by_the_generators_of_this_process_and_a_model_of_transformers_gets_no_seed() -> None:
    from lmms_eval.api.instance import Instance

    class Strict(Model):
        """One that refuses settings it does not know, as `generate` of transformers does."""

        def generate_until(self, requests: Sequence[Any]) -> list[Any]:
            self.asked.append([one.args[3] for one in requests])
            if unknown := {name for one in requests for name in one.args[1]} - {"temperature", "do_sample"}:
                raise ValueError(f"not used by the model: {unknown}")
            return [str(random.random()) for _ in requests]

    def draw() -> tuple[list[Answer], Strict]:
        model, metadata = Strict(lambda numbers: numbers), {"task": TASK, "doc_id": 0, "repeats": 1}
        asked = [
            Instance("generate_until", (f"question {number}", {}, lambda _: [], number, TASK, "test"), 0, metadata)
            for number in range(4)
        ]
        recorder = Recorder({}, None, {TASK}, SamplePlan(2, 0.6), batch_size="2")
        recorder.attach(model).generate_until(asked)
        return list(map(timeless, recorder.answers.values())), model

    found, model = draw()
    assert model.asked == [[0, 1], [2, 3], [0, 1], [2, 3]]  # equal settings share a batch
    assert len(set(found)) == 8 and all(isinstance(one, Response) for one in found)
    assert draw()[0] == found


def ask_in_lockstep(rank: int, port: int, folder: Path, numbers: Sequence[int]) -> None:
    """Ask a model whose two ranks must generate equally often, or both wait; say what this rank has in the end."""
    import torch.distributed as distributed

    address = f"tcp://127.0.0.1:{port}"
    distributed.init_process_group("gloo", address, timedelta(seconds=60), world_size=2, rank=rank)

    def say(asked: list[int]) -> list[str]:
        distributed.barrier()
        return [f"answer {number}" for number in asked]

    model = Model(say)
    model.world_size, model.accelerator = 2, SimpleNamespace(distributed_type="DistributedType.FSDP")  # type: ignore[attr-defined]
    recorder = Recorder({}, folder, {TASK}, rank=rank)
    recorder.attach(model).generate_until([request(number) for number in numbers])
    texts = {one.doc_id: answer.text for one, answer in recorder.answers.items() if isinstance(answer, Response)}
    (folder / f"said-{rank}.json").write_text(json.dumps([model.asked, texts]))


def test_ranks_that_share_a_model_generate_equally_often_whatever_is_stored_of_each(tmp_path: Path) -> None:
    stored, port = 3, free_port()
    assert len(answers(Model(say_all_but({})), stored, tmp_path)) == stored
    shares = [[0, 2, 4, 6], [1, 3, 5, 7]]
    ranks = [WARM.Process(target=ask_in_lockstep, args=(rank, port, tmp_path, shares[rank])) for rank in (0, 1)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    asked, texts = zip(*(json.loads((tmp_path / f"said-{rank}.json").read_text()) for rank in (0, 1)), strict=True)
    assert asked == ([[4], [6], [0]], [[3], [5], [7]])  # one of the first is asked again, for the count
    assert texts[0] == texts[1] == {str(number): f"answer {number}" for number in range(8)}


# ------------------------------------------------------------------------------- what a response is stored under


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve(Endpoint()) as endpoint:
        yield endpoint


def run(data: Path, out: Path, model: str, arguments: str, *more: str, tasks: str = "shotbench") -> int:
    words = ["--model", model, "--model_args", arguments, "--data", str(data), "--out", str(out)]
    return main(["eval", *words, "--tasks", tasks, "--verbosity", "CRITICAL", *more])


def test_a_response_is_asked_again_if_what_determines_it_changes_and_only_then(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    numbers = {"shot_size": 2, "camera_movement": 1}
    data = write_small_shards(tmp_path / "shards", numbers)
    other = write_small_shards(tmp_path / "other", numbers, lambda number: small_still(number + 10))
    given = f"model=m,base_url={endpoint.url},api_key=none"
    stills, clips, none = [0, 1], [2], list[int]()

    def asked(arguments: str, *more: str, shards: Path = data, tasks: str = "shotbench") -> list[int]:
        before = len(endpoint.requests)
        assert run(shards, tmp_path / "out", "openai", arguments, *more, tasks=tasks) == 0
        texts = [request.text for request in endpoint.requests[before:]]
        return sorted(int(text.partition("(Number ")[2].partition(".")[0]) for text in texts)

    assert asked(given) == stills + clips
    assert asked(given) == none
    assert asked(f"{given},num_concurrent=1,timeout=20,max_retries=1", "--batch_size", "3") == none
    assert asked(given.replace("none", "another")) == none
    assert asked(given.replace("model=m", "model=n")) == stills + clips
    assert asked(given, tasks="shotbench_reasoning") == stills + clips
    assert asked(given, "--gen_kwargs", "max_new_tokens=7") == stills + clips
    assert asked(given, shards=other) == stills, "other stills, under the same ids; the clip is the same"
    assert asked(f"{given},max_frames_num=4") == stills + clips, "an argument of the model"
    assert asked(given) == none


def test_arguments_that_say_how_fast_a_model_is_asked_determine_no_response() -> None:
    assert determining("model=m,timeout=3,num_cpus=4,fps=12,api_key=x") == {"model": "m", "fps": "12"}


def test_a_timeout_that_is_no_number_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_small_shards(tmp_path / "shards", {"shot_size": 1})
    assert run(data, tmp_path / "out", "openai", "model=m,api_key=none,timeout=soon") == 2
    assert capsys.readouterr().err == "shotbench: --model_args timeout=soon: give a number of seconds\n"


# ------------------------------------------------------------------------------------------------ simple clients


@pytest.mark.parametrize(("model", "more"), [("gpt4v", ()), ("openai", ("--force_simple",))])
def test_a_simple_client_that_turns_a_failure_into_blank_text_has_no_response(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, more: tuple[str, ...]
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    monkeypatch.setattr("lmms_eval.models.simple.gpt4v.NUM_SECONDS_TO_SLEEP", 0)
    data, out = write_small_shards(tmp_path / "shards", {"shot_size": 3}), tmp_path / "out"
    says = {"(Number 0.)": NULL, "(Number 1.)": 400}
    endpoint.script = lambda request: next((act for text, act in says.items() if text in request.text), ANSWER)
    arguments = f"model=m,model_version=m,base_url={endpoint.url},api_key=none,retry_backoff_s=0"
    assert run(data, out, model, arguments, *more) == 1
    null, refused, answered = (json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines())
    assert "null content" in null["unanswered"] and "scripted 400" in refused["unanswered"]
    assert (answered["response"], answered["finish_reason"]) == ("B", "stop")
    endpoint.script, before = [ANSWER], len(endpoint.requests)
    assert run(data, out, model, arguments, *more) == 0
    assert len(endpoint.requests) == before + 2


# ------------------------------------------------------------------------------------------- a medium at fault


def test_a_still_that_the_model_cannot_take_costs_its_own_question_and_is_asked_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def encoded(number: int) -> bytes:
        return still(number, "PNG", (3000, 10)) if number == 4 else small_still(number)

    data, out = write_small_shards(tmp_path / "shards", {"shot_size": 11}, encoded), tmp_path / "out"
    arguments = f"pretrained={tiny_model('qwen3_vl', tmp_path)},device=cpu,device_map=cpu"
    limit = ("--gen_kwargs", "max_new_tokens=4")
    assert run(data, out, "qwen3_vl", arguments, *limit) == 1
    assert "no response for 1 items (index 4)" in capsys.readouterr().out
    rows = [json.loads(line) for line in (out / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["index"] for row in rows if "response" in row] == [*range(4), *range(5, 11)]
    assert "aspect ratio" in rows[4]["unanswered"] and len(rows) == 11
    assert read_scores(out)["unanswered"] == [4]
    kept = stored_keys(out)
    assert len(kept) == len(set(kept)) == 10

    module = pytest.importorskip("lmms_eval.models.chat.qwen3_vl")
    asked: list[int] = []
    generate = module.Qwen3_VL.generate_until
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            module.Qwen3_VL,
            "generate_until",
            lambda self, requests: asked.extend(one.args[3] for one in requests) or generate(self, requests),
        )
        assert run(data, out, "qwen3_vl", arguments, *limit) == 1
    assert asked == [4]
