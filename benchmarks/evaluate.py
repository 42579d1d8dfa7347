"""Measure `--model shotvl` against a plain loop on the same checkpoint and items, and against a lower bound.

    python benchmarks/evaluate.py [--shards DIR] [--stills 200] [--clips 40] [--new-tokens 80] [--json]

Everything is measured in one run on the CPU in float32, each side in its own process:

  plain   `plain_loop.py`: one item at a time, as ShotBench's reference script does
  shotvl  `generate_until` of our model: planning, media in threads, batches
  bound   the same batches with all media prepared in advance; only forward passes are timed
  media   no model: our decoding and preprocessing, and raw decoding only of the same media in as many threads (PIL
          for stills, which decord does not open; decord for all frames of clips, from bytes or paths, whichever is
          faster)

Times are from the first item to the last response; imports, loading and a warm-up of two items are not timed. All
responses must be equal, or the exit status is 1; one question about several media shows that responses depend on the
medium. The inputs of both sides are in `evaluate_setting.py`.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, ParamSpec
from unittest.mock import patch

import psutil
from evaluate_setting import MAX_PIXELS, MIN_PIXELS, Setting, Value, prepare
from machine import Figures, figure, machine, print_figure, print_json
from plain_loop import STYLE, PlainLoop, decode_clip, decode_still

from lmms_eval_shotbench import prompts
from lmms_eval_shotbench.media.clips import CLIP_MAX_PIXELS
from lmms_eval_shotbench.media.stored_medium import StoredMedium
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.vocabulary import MediaKind

ROUNDS = 3  # of each decoder, alternating
SAME_QUESTION = {MediaKind.STILL: 8, MediaKind.CLIP: 4}  # number of media for the same question
Given = ParamSpec("Given")
Answers = dict[str, str]  # by item


class Run(NamedTuple):
    """Measurements of one side."""

    answers: Answers
    seconds: float
    cpu_seconds: float
    peak_mb: float
    loaded_mb: float  # memory before the first item


class Bound(NamedTuple):
    """Time of forward passes only, and responses to one question about several media."""

    answers: Answers
    seconds: float
    same_question: Answers


def in_new_process(function: Callable[Given, Value], *args: Given.args, **kwargs: Given.kwargs) -> Value:
    """Call a function in a new process, so that its peak memory is that of the function."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *args, **kwargs).result()


def run_plain(setting: Setting) -> Run:
    """Run the plain loop."""
    return _timed(setting, PlainLoop(setting.checkpoint, setting.files, (MIN_PIXELS, setting.max_pixels)).answers)


def run_shotvl(setting: Setting) -> Run:
    """Run the model as lmms-eval calls it."""
    return _timed(setting, ShotVLSide(setting).answers)


def _timed(setting: Setting, answers: Callable[[Sequence[QAItem], int], Answers]) -> Run:
    loaded = psutil.Process().memory_info().rss / 1e6
    _warm_up(setting, answers)
    begin, cpu = time.perf_counter(), time.process_time()
    found = answers(setting.items, setting.new_tokens)
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    return Run(found, seconds, cpu_seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, loaded)


def _warm_up(setting: Setting, answers: Callable[[Sequence[QAItem], int], Answers]) -> None:
    """Answer one still and one clip, with another number of tokens so that no cached response is used."""
    answers([setting.of_kind(kind)[0] for kind in MediaKind], setting.new_tokens + 1)


class ShotVLSide:
    """`--model shotvl` with requests as lmms-eval creates them."""

    def __init__(self, setting: Setting) -> None:
        from lmms_eval_shotbench.models.shotvl import ShotVL

        self._folder = ShardFolder(setting.shards)
        self._model = ShotVL(str(setting.checkpoint), device="cpu", workers=setting.workers)

    def answers(self, items: Sequence[QAItem], new_tokens: int) -> Answers:
        """Responses to all items in one call, by item id."""
        from lmms_eval.api.instance import Instance

        self._model.task_dict = {"shotbench": {"test": items}}
        requests = []
        for number in range(len(items)):
            arguments = ("", self._messages, {"max_new_tokens": new_tokens}, number, "shotbench", "test")
            about = {"task": "shotbench", "doc_id": number, "repeats": 1}
            requests.append(Instance("generate_until", arguments, number, about))
        results = self._model.generate_until(requests)
        return {item.item_id: result.text for item, result in zip(items, results, strict=True)}

    def forward_passes(self, begin: Callable[..., None], end: Callable[..., None]) -> None:
        """Call `begin` before and `end` after each forward pass."""
        engine: Any = self._model._engine
        model = engine._checkpoint.model
        model.register_forward_pre_hook(begin)
        model.register_forward_hook(end)

    def stored(self, item: QAItem) -> StoredMedium:
        """The medium of an item as tasks pass it."""
        return StoredMedium.of(item.media_kind, item.media_sha256, lambda: self._folder.media(item.item_id))

    def _messages(self, item: QAItem) -> list[dict[str, Any]]:
        kind = {MediaKind.STILL: "image", MediaKind.CLIP: "video"}[item.media_kind]
        return prompts.messages(item, STYLE, [{"type": kind, "url": self.stored(item)}])


def run_bound(setting: Setting) -> Bound:
    """Answer from prepared media and time only the forward passes."""
    from lmms_eval_shotbench.models.planning import Planner

    side, prepare_one, spent, started = ShotVLSide(setting), _ours(setting), [0.0], [0.0]
    with ThreadPoolExecutor(setting.workers) as threads:
        prepared = threads.map(
            lambda item: prepare_one(item.media_kind, setting.files[item.item_id].read_bytes()), setting.items
        )
        ready = dict(zip((side.stored(item).sha256 for item in setting.items), prepared, strict=True))

    def begin(*_: Any) -> None:
        started[0] = time.perf_counter()

    def end(*_: Any) -> None:
        spent[0] += time.perf_counter() - started[0]

    side.forward_passes(begin, end)
    with patch.object(Planner, "patches", lambda _self, medium: ready[medium.sha256]):
        _warm_up(setting, side.answers)
        spent[0] = 0.0
        found = side.answers(setting.items, setting.new_tokens)
        seconds = spent[0]
        first, some = (
            setting.items[0],
            [item for kind, n in SAME_QUESTION.items() for item in setting.of_kind(kind)[:n]],
        )
        same_question = [replace(item, question=first.question, options=first.options) for item in some]
        return Bound(found, seconds, side.answers(same_question, setting.new_tokens))


def _ours(setting: Setting) -> Callable[[MediaKind, bytes], Any]:
    """The decoding and preprocessing of a medium in `shotvl`."""
    from transformers import AutoProcessor

    from lmms_eval_shotbench.media.stills import open_still
    from lmms_eval_shotbench.qwen.inputs import MediaLimits, Patches, PatchRule, clip_patches, still_patches

    limit = setting.max_pixels
    shown = MediaLimits(MIN_PIXELS, limit, clip_max=min(CLIP_MAX_PIXELS, limit))
    rule = PatchRule.of(AutoProcessor.from_pretrained(setting.checkpoint))

    def prepare_one(kind: MediaKind, encoded: bytes) -> Patches:
        if kind is MediaKind.CLIP:
            return clip_patches(encoded, shown, rule)
        return still_patches(open_still(encoded), shown, rule)

    return prepare_one


def run_media(setting: Setting) -> dict[MediaKind, dict[str, float]]:
    """Seconds per medium: the median of rounds in which our and raw decoding alternate."""
    ours = _ours(setting)
    raw = {MediaKind.STILL: decode_still, MediaKind.CLIP: decode_clip}
    seconds = {}
    for kind in MediaKind:
        paths = [setting.files[item.item_id] for item in setting.of_kind(kind)]
        encoded = [path.read_bytes() for path in paths]
        sides: dict[str, tuple[Callable[[Any], Any], Sequence[Any]]] = {
            "ours": (partial(ours, kind), encoded),
            "raw from bytes": (raw[kind], encoded),
            "raw from paths": (raw[kind], paths),
        }
        rounds = [{name: _each(*side, setting.workers) for name, side in sides.items()} for _ in range(1 + ROUNDS)]
        seconds[kind] = {name: median(one[name] for one in rounds[1:]) for name in sides}  # the first warms up
    return seconds


def _each(decode: Callable[[Any], Any], media: Sequence[Any], workers: int) -> float:
    begin = time.perf_counter()
    with ThreadPoolExecutor(workers) as threads:
        deque(threads.map(decode, media), maxlen=0)
    return (time.perf_counter() - begin) / len(media)


def compare(setting: Setting) -> tuple[Figures, str]:
    """Run all sides and print the figures; the second value names the first response that differs, if any."""
    plain, ours, bound = (
        in_new_process(run_plain, setting),
        in_new_process(run_shotvl, setting),
        in_new_process(run_bound, setting),
    )
    count, answers = len(setting.items), plain.answers
    equal = sum(answers[key] == text for key, text in ours.answers.items())
    print(f"answers: {equal} of {count} equal, {len(set(answers.values()))} of them distinct")
    print(f"one question about {len(bound.same_question)} media: {len(set(bound.same_question.values()))} answers")
    rows = {
        "wall": (ours.seconds, plain.seconds, f"items/s {count / ours.seconds:.2f} and {count / plain.seconds:.2f}"),
        "wall_cpu": (ours.cpu_seconds, plain.cpu_seconds, "processor time"),
        "peak_memory": (ours.peak_mb, plain.peak_mb, f"MB; loaded {ours.loaded_mb:,.0f} and {plain.loaded_mb:,.0f}"),
        "bound": (ours.seconds, bound.seconds, f"forward passes: {100 * bound.seconds / ours.seconds:.0f} % of wall"),
    }
    figures = {name: figure(*costs) for name, (*costs, _) in rows.items()}
    for name, (_, _, remark) in rows.items():
        print_figure(name, figures[name], remark)
    for kind, seconds in in_new_process(run_media, setting).items():
        ours_s, *raw = seconds.values()
        name = f"{kind.value}_decode"
        figures[name] = values = figure(ours_s, min(raw))
        print_figure(name, values, f"s a medium; {1 / ours_s:,.1f} a second, {100 * values['ratio']:.0f} % of raw")
    return figures, _first_difference(answers, {"shotvl": ours.answers, "bound": bound.answers})


def _first_difference(expected: Answers, sides: dict[str, Answers]) -> str:
    for name, answers in sides.items():
        for key, text in expected.items():
            if answers[key] != text:
                return f"{key}: plain loop {text!r}, {name} {answers[key]!r}"
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shards", type=Path, help="take items from these; without it some are drawn")
    parser.add_argument("--stills", type=int, default=200, help="default: 200")
    parser.add_argument("--clips", type=int, default=40, help="default: 40")
    # ShotVL-3B's public responses with reasoning have 348 characters on average.
    parser.add_argument("--new-tokens", type=int, default=80, help="of an answer (default: 80)")
    parser.add_argument("--max-pixels", type=int, default=MAX_PIXELS, help="of a still (default: as released)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    args = parser.parse_args(arguments)
    counts = {MediaKind.STILL: max(args.stills, 1), MediaKind.CLIP: max(args.clips, 1)}
    with tempfile.TemporaryDirectory(prefix="evaluate-benchmark-") as folder:
        setting = in_new_process(prepare, Path(folder), args.shards, counts, args.new_tokens, args.max_pixels)
        about = f"{len(setting.items)} items, up to {args.new_tokens} new tokens, {setting.workers} threads for media"
        print(f"{machine()}\n{about}; seconds from the first item to the last answer; theirs is the plain loop")
        figures, difference = compare(setting)
    if difference:
        print(f"ANSWERS DIFFER. {difference}")
    if args.json:
        print_json(figures)
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
