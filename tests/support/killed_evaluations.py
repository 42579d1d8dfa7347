"""`shotbench eval` by several backends, killed at random moments and started again until it completes.

Every run is a process of its own that gets a real SIGKILL after a random number of newly stored responses. What the
model was asked is counted where it is asked: by the server, or by the process before it passes requests to the model.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, DIMENSIONS
from tests.support.openai_server import Endpoint, Request, serve
from tests.support.small_shards import write_small_shards
from tests.support.timeless import timeless_samples
from tests.support.tiny_families import make_tiny_family
from tests.support.warm_runs import Kill, warm

IN_PROCESS = ("qwen3_vl", "qwen2_5_vl", "vllm")  # vllm: a stand-in of its LLM
SERVED = ("openai", "async_openai")
BACKENDS = (*IN_PROCESS, *SERVED)
ON_VLLM = "shotvl"  # on vLLM itself
CONCURRENT = 4
SETTINGS = {
    "openai": f"num_concurrent={CONCURRENT}",
    "async_openai": f"num_cpus={CONCURRENT}",
    "vllm": "model=m",
}
VLLM = "enforce_eager=True,kv_cache_memory_bytes=200000000,max_num_seqs=4"
NUMBER = re.compile(r"\(Number (\d+)\.\)")
PAUSE = 0.03  # seconds that a stand-in takes for each request, so that there is something to kill


def answered(text: str) -> str:
    """What a stand-in answers to a question of `small_shards`: a letter, and the number of the question."""
    number = int(NUMBER.findall(text)[-1])
    return f"{'ABCD'[number % 4]}\n(to question {number})"


@dataclass(frozen=True)
class Trial:
    """A backend, its questions, and what it was asked so far."""

    backend: str
    folder: Path
    data: Path
    arguments: str
    more: Sequence[str] = ()
    endpoint: Endpoint | None = None
    kill: Kill | None = None  # called in each process first
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "log", self.folder / "log")

    def command(self, out: Path) -> list[str]:
        """The arguments of `shotbench`."""
        model = ["--model", self.backend, "--model_args", self.arguments, "--tasks", "shotbench"]
        return ["eval", *model, "--data", str(self.data), "--out", str(out), "--verbosity", "ERROR", *self.more]

    def start(self, out: Path) -> BaseProcess:
        """Start a run."""
        return warm(self.command(out), self.log, kill=self.kill)

    def run(self, out: Path) -> int | None:
        """Run to the end; returns the exit status."""
        process = self.start(out)
        process.join()
        return process.exitcode

    def asked(self) -> list[int]:
        """The numbers of all questions asked so far, in order."""
        if self.endpoint:
            return [int(NUMBER.findall(request.text)[-1]) for request in list(self.endpoint.requests)]
        path = self.folder / "asked"
        return [int(line) for line in path.read_text().split()] if path.exists() else []


@contextmanager
def trial(backend: str, folder: Path, numbers: Mapping[str, int], batch_size: int = 1) -> Iterator[Trial]:
    """Prepare questions and a model or a server; `numbers` are of questions by dimension."""
    folder.mkdir(parents=True, exist_ok=True)
    data = write_small_shards(folder / "shards", numbers)
    more = ["--gen_kwargs", "max_new_tokens=6", "--batch_size", str(batch_size)]
    if backend in SERVED:
        with serve(Endpoint(answer=lambda request: answered(request.text), delay=PAUSE)) as endpoint:
            arguments = f"model=m,base_url={endpoint.url},api_key=none,max_retries=1,{SETTINGS[backend]}"
            yield Trial(backend, folder, data, arguments, more, endpoint)
        return
    if backend == ON_VLLM:
        arguments = f"pretrained={TINY_SHOTVL},device=cpu,engine=vllm,{VLLM}"
        yield Trial(backend, folder, data, arguments, more, kill=partial(count_requests, folder / "asked"))
        return
    arguments = SETTINGS.get(backend) or f"pretrained={tiny_model(backend, folder)},device=cpu,device_map=cpu"
    yield Trial(backend, folder, data, arguments, more, kill=partial(count_questions, backend, folder / "asked"))


def tiny_model(family: str, folder: Path) -> Path:
    """Write a tiny checkpoint whose text depends on the medium."""
    model = make_tiny_family(family, folder / family)
    path = model / "generation_config.json"
    settings = {name: value for name, value in json.loads(path.read_text()).items() if "suppress" not in name}
    path.write_text(json.dumps(settings | {"repetition_penalty": 1.2}))
    return model


def count_questions(backend: str, path: Path) -> None:
    """Write down each question that this process passes to the model of a backend; replace vLLM by a stand-in."""
    from importlib import import_module

    from lmms_eval_shotbench.harness.lmms_eval import prepare_harness

    prepare_harness()  # before the model is imported
    if backend == "vllm":
        sys.modules["vllm"] = module_from_spec(ModuleSpec("vllm", None))
    module: Any = import_module(f"lmms_eval.models.chat.{backend}")
    model_class = next(one for one in vars(module).values() if getattr(one, "__module__", "") == module.__name__)
    if backend == "vllm":
        module.SamplingParams = dict
        simple: Any = import_module("lmms_eval.models.simple.vllm")
        simple.LLM = StandInLLM
    generate = model_class.generate_until

    def counted(self: Any, requests: Sequence[Any]) -> Any:
        numbers = (self.task_dict[task][split][doc]["source_index"] for *_, doc, task, split in _arguments(requests))
        with path.open("a") as stream:
            stream.write("".join(f"{number}\n" for number in numbers))
        time.sleep(PAUSE)
        return generate(self, requests)

    model_class.generate_until = counted


def count_requests(path: Path) -> None:
    """Write down each question that this process gives vLLM."""
    from vllm.v1.engine.llm_engine import LLMEngine

    add = LLMEngine.add_request

    def counted(self: Any, request_id: str, prompt: Any, *rest: Any, **named: Any) -> Any:
        text = self.get_tokenizer().decode(prompt["prompt_token_ids"])
        if numbers := NUMBER.findall(text):  # not in the check at the start
            with path.open("a") as stream:
                stream.write(f"{numbers[-1]}\n")
            time.sleep(PAUSE)
        return add(self, request_id, prompt, *rest, **named)

    LLMEngine.add_request = counted


def _arguments(requests: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    return (request.args for request in requests)


class StandInLLM:
    """Takes the place of `vllm.LLM`."""

    def __init__(self, **_: Any) -> None: ...

    def chat(self, messages: list[Any], **_: Any) -> list[Any]:
        """Answer each chat."""
        texts = [Request({"messages": chat}, {}).text for chat in messages]
        return [SimpleNamespace(outputs=[SimpleNamespace(text=answered(text))]) for text in texts]

    def get_metrics(self) -> list[Any]:
        """Return no metrics."""
        return []


def stored_keys(out: Path) -> list[str]:
    """The keys of all stored responses; an incomplete last line has none."""
    keys = []
    for path in sorted((out / "responses").glob("rank-*.jsonl")):
        for line in path.read_bytes().splitlines():
            try:
                keys.append(json.loads(line)["key"])
            except ValueError:
                continue
    return keys


class Outcome(NamedTuple):
    """What became of a run that was killed several times."""

    kills: int
    items: int
    asked: int
    asked_twice: int
    in_flight: list[int]  # at each kill: asked and not stored
    stored_twice: int
    status: int | None
    samples_equal: bool


def killed_run(one: Trial, kills: int, draw: random.Random) -> Outcome:
    """Run undisturbed, and again killed this often; both in `one.folder`."""
    calm, troubled = one.folder / "calm", one.folder / "troubled"
    if status := one.run(calm):
        raise RuntimeError(f"the undisturbed run ended with {status}:\n{one.log.read_text()[-3000:]}")
    expected = timeless_samples(calm)
    items, before = len(expected), len(one.asked())
    in_flight: list[int] = []
    for number in range(kills):
        known, asked = len(stored_keys(troubled)), len(one.asked())
        most = max((items - known) // (kills - number + 1), 1)  # leaves some for the kills to come
        _kill(one.start(troubled), troubled, known + draw.randint(1, most), draw)
        stored = len(stored_keys(troubled)) - known
        in_flight.append(len(one.asked()) - asked - stored)
    status = one.run(troubled)
    asked_in_all = Counter(one.asked()[before:])
    samples = timeless_samples(troubled) if status == 0 else []
    keys = stored_keys(troubled)
    return Outcome(
        kills=kills,
        items=items,
        asked=asked_in_all.total(),
        asked_twice=asked_in_all.total() - len(asked_in_all),
        in_flight=in_flight,
        stored_twice=len(keys) - len(set(keys)),
        status=status,
        samples_equal=samples == expected,
    )


def _kill(process: BaseProcess, out: Path, stored: int, draw: random.Random) -> None:
    while process.exitcode is None and len(stored_keys(out)) < stored:
        time.sleep(0.01)
    time.sleep(draw.uniform(0, PAUSE))
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    if process.exitcode != -signal.SIGKILL:
        raise RuntimeError(f"the run ended with {process.exitcode} before it was killed; give it more questions")


def all_dimensions(each: int, clips: int) -> dict[str, int]:
    """This number of questions in each dimension of stills, and so many on clips."""
    return {dimension.slug: each for dimension in DIMENSIONS} | {CAMERA_MOVEMENT.slug: clips}
