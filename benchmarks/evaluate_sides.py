"""The sides of `evaluate.py`, each run in a process of its own, with the time that it spends on each step."""

from __future__ import annotations

import importlib.util
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from threading import Lock, main_thread
from threading import current_thread as this_thread
from typing import Any, NamedTuple
from unittest.mock import patch

import psutil
from evaluate_setting import MIN_PIXELS, Setting
from plain_loop import STYLE, PlainLoop

from lmms_eval_shotbench import prompts
from lmms_eval_shotbench.media.clips import CLIP_FPS, CLIP_MAX_PIXELS
from lmms_eval_shotbench.media.stored_medium import StoredMedium
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import MediaKind

FORWARD, WAITING, DECODING, SCALING = "forward passes", "waiting for media", "decoding", "scaling"
PACKAGE = "lmms_eval_shotbench"
Answers = dict[str, str]  # by item
KV_CACHE_BYTES = 2_000_000_000  # of vLLM on a CPU
os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # its engine is in the process that is measured


class Run(NamedTuple):
    """Measurements of one side."""

    answers: Answers
    seconds: float
    cpu_seconds: float
    peak_mb: float
    loaded_mb: float  # memory before the first item
    steps: dict[str, float]  # wall seconds of the main thread
    in_threads: dict[str, float]  # processor seconds of the media threads

    @property
    def waits(self) -> float:
        """Share of the wall time in which the model waits for media."""
        alone = sum(self.steps.get(name, 0.0) for name in (WAITING, DECODING, SCALING))
        return alone / self.seconds


@dataclass
class Clock:
    """Adds up the time of steps: wall time in the main thread, processor time in others."""

    steps: dict[str, float] = field(default_factory=dict)
    in_threads: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _open: list[str] = field(default_factory=list)  # steps of the main thread, of which the inner ones are not counted

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step."""
        alone = this_thread() is main_thread()
        if alone and self._open:
            yield
            return
        times, now = (self.steps, time.perf_counter) if alone else (self.in_threads, time.thread_time)
        self._open += [name] if alone else []
        begin = now()
        try:
            yield
        finally:
            with self._lock:
                times[name] = times.get(name, 0.0) + now() - begin
            self._open[:] = [] if alone else self._open

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose calls are timed."""

        @wraps(function)
        def wrapped(*arguments: Any, **named: Any) -> Any:
            with self.step(name):
                return function(*arguments, **named)

        return wrapped

    def timed_frames(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a generator function that yields decoded frames, each of which is timed."""

        @wraps(function)
        def wrapped(*arguments: Any, **named: Any) -> Iterator[Any]:
            frames = function(*arguments, **named)
            while True:
                with self.step(DECODING):
                    chunk = next(frames, None)
                if chunk is None:
                    return
                yield chunk

        return wrapped


def measured(setting: Setting, clock: Clock, answers: Callable[[Sequence[QAItem], int], Answers], loaded: float) -> Run:
    """Answer all items, after a warm-up of a still and a clip."""
    # With another number of tokens, so that no stored response is used
    answers([setting.of_kind(kind)[0] for kind in MediaKind], setting.new_tokens + 1)
    clock.steps.clear()
    clock.in_threads.clear()
    begin, cpu = time.perf_counter(), _cpu_seconds()
    found = answers(setting.items, setting.new_tokens)
    seconds, cpu_seconds = time.perf_counter() - begin, _cpu_seconds() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return Run(found, seconds, cpu_seconds, peak, loaded, dict(clock.steps), dict(clock.in_threads))


def _cpu_seconds() -> float:
    used = psutil.Process().cpu_times()
    return float(used.user + used.system)


def _loaded_mb() -> float:
    return float(psutil.Process().memory_info().rss / 1e6)


def run_plain(setting: Setting) -> Run:
    """Run the plain loop."""
    import qwen_vl_utils.vision_process as theirs
    import torchvision.transforms.functional as resizing
    from PIL import Image

    clock = Clock()
    loop = PlainLoop(setting.checkpoint, setting.files, (MIN_PIXELS, setting.max_pixels), setting.device)
    loaded = _loaded_mb()
    with (
        patch.dict(theirs.VIDEO_READER_BACKENDS, decord=clock.timed(DECODING, theirs.VIDEO_READER_BACKENDS["decord"])),
        patch.object(Image.Image, "convert", clock.timed(DECODING, Image.Image.convert)),
        patch.object(Image.Image, "resize", clock.timed(SCALING, Image.Image.resize)),
        patch.object(resizing, "resize", clock.timed(SCALING, resizing.resize)),
        patch.object(loop, "_processor", TimedProcessor(loop._processor, clock)),
        patch.object(loop._model, "generate", clock.timed(FORWARD, loop._model.generate)),
    ):
        return measured(setting, clock, loop.answers, loaded)


class TimedProcessor:
    """A processor whose calls count as scaling."""

    def __init__(self, processor: Any, clock: Clock) -> None:
        self._processor, self._clock = processor, clock

    def __call__(self, **inputs: Any) -> Any:
        with self._clock.step(SCALING):
            return self._processor(**inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)


class ShotVLSide:
    """`--model shotvl` with requests as lmms-eval creates them."""

    def __init__(self, setting: Setting, engine: str) -> None:
        from lmms_eval_shotbench.models.shotvl import ShotVL

        self._folder = ShardFolder(setting.shards)
        more: dict[str, Any] = {}
        if engine == "vllm" and setting.device == "cpu":
            more = {"enforce_eager": True, "kv_cache_memory_bytes": KV_CACHE_BYTES}
        self.model = ShotVL(
            str(setting.checkpoint), device=setting.device, workers=setting.workers, engine=engine, **more
        )

    def answers(self, items: Sequence[QAItem], new_tokens: int) -> Answers:
        """Responses to all items in one call, by item id."""
        return answers_of(self.model, items, new_tokens, self._messages)

    def stored(self, item: QAItem) -> StoredMedium:
        """The medium of an item as tasks pass it."""
        return StoredMedium.of(item.media_kind, item.media_sha256, lambda: self._folder.media(item.item_id))

    def _messages(self, item: QAItem) -> list[dict[str, Any]]:
        kind = {MediaKind.STILL: "image", MediaKind.CLIP: "video"}[item.media_kind]
        return prompts.messages(item, STYLE, [{"type": kind, "url": self.stored(item)}])


def answers_of(model: Any, items: Sequence[QAItem], new_tokens: int, messages: Callable[[QAItem], Any]) -> Answers:
    """Responses of a model of lmms-eval, by item id."""
    from lmms_eval.api.instance import Instance

    model.task_dict = {"shotbench": {"test": items}}
    requests = []
    for number in range(len(items)):
        arguments = ("", messages, {"max_new_tokens": new_tokens}, number, "shotbench", "test")
        about = {"task": "shotbench", "doc_id": number, "repeats": 1}
        requests.append(Instance("generate_until", arguments, number, about))
    results = model.generate_until(requests)
    return {item.item_id: result.text for item, result in zip(items, results, strict=True)}


def run_shotvl(setting: Setting, engine: str, core_for_media: bool = False) -> Run:
    """Run `shotvl` as lmms-eval calls it; `core_for_media` leaves the model one core less."""
    import torch

    from lmms_eval_shotbench.media.clips import Clip
    from lmms_eval_shotbench.media.stills import open_still
    from lmms_eval_shotbench.qwen import inputs
    from lmms_eval_shotbench.qwen.scaling.scale import scaled_frames, scaled_still

    clock = Clock()
    side = ShotVLSide(setting._replace(workers=1) if core_for_media else setting, engine)
    if core_for_media:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) - 1))
    loaded = _loaded_mb()
    with (
        patch.object(Clip, "read", clock.timed_frames(Clip.read)),
        patch(f"{PACKAGE}.models.planning.open_still", clock.timed(DECODING, open_still)),
        patch(f"{PACKAGE}.qwen.inputs.scaled_frames", clock.timed(SCALING, scaled_frames)),
        patch(f"{PACKAGE}.qwen.inputs.scaled_still", clock.timed(SCALING, scaled_still)),
        patch.object(inputs, "_cut", clock.timed(SCALING, inputs._cut)),
        patch.object(Future, "exception", clock.timed(WAITING, Future.exception)),
        forward_passes_timed(side.model._engine, clock),
    ):
        return measured(setting, clock, side.answers, loaded)


@contextmanager
def forward_passes_timed(engine: Any, clock: Clock) -> Iterator[None]:
    """Time the forward passes of an engine of `shotvl`; those of vLLM with its scheduling."""
    if hasattr(engine, "llm"):
        with patch.object(engine, "_step", clock.timed(FORWARD, engine._step)):
            yield
        return
    model = engine._checkpoint.model
    forward = model.forward

    def to_the_end(*arguments: Any, **named: Any) -> Any:
        import torch

        output = forward(*arguments, **named)
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        return output

    with patch.object(model, "forward", clock.timed(FORWARD, to_the_end)):
        yield


def run_lmms_eval(setting: Setting, batch_size: int) -> Run:
    """Run lmms-eval's `qwen2_5_vl` in batches: stills, then clips, since it has one limit of pixels for both."""
    from lmms_eval_shotbench.harness.lmms_eval import prepare_harness

    prepare_harness()
    from lmms_eval.models.chat.qwen2_5_vl import Qwen2_5_VL

    clock = Clock()
    # Its weights are in bfloat16 on any device.
    model = Qwen2_5_VL(
        str(setting.checkpoint),
        device=setting.device,
        device_map=setting.device,
        batch_size=batch_size,
        min_pixels=MIN_PIXELS,
        fps=CLIP_FPS,
    )
    loaded = _loaded_mb()

    def messages(item: QAItem) -> list[dict[str, Any]]:
        kind = {MediaKind.STILL: "image", MediaKind.CLIP: "video"}[item.media_kind]
        return prompts.messages(item, STYLE, [{"type": kind, "url": str(setting.files[item.item_id])}])

    def answers(items: Sequence[QAItem], new_tokens: int) -> Answers:
        found: Answers = {}
        for kind, most in ((MediaKind.STILL, setting.max_pixels), (MediaKind.CLIP, CLIP_MAX_PIXELS)):
            model.max_pixels = min(most, setting.max_pixels)
            found |= answers_of(model, [item for item in items if item.media_kind is kind], new_tokens, messages)
        return found

    with patch.object(model._model, "generate", clock.timed(FORWARD, model._model.generate)):
        return measured(setting, clock, answers, loaded)


def vllm_installed() -> bool:
    """Whether there is a vLLM in this environment."""
    return importlib.util.find_spec("vllm") is not None
