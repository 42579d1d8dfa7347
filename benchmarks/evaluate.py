"""Measure `--model shotvl` on its engines against a plain loop on the same checkpoint and items.

    python benchmarks/evaluate.py [--shards DIR] [--stills 200] [--clips 40] [--new-tokens 80] [--json]

All sides run one after the other, each in its own process, in float32 on a CPU or in bfloat16 on a GPU if there is one:

  plain loop       `plain_loop.py`: one item at a time, as ShotBench's reference script does
  transformers     `generate_until` of our model: planning, media in threads, batches
  a core for media the same, but the model has one core less, which the media have for themselves (CPU)
  vLLM             the same model with engine=vllm, if vLLM is installed: run it in that environment
  lmms-eval        its `qwen2_5_vl` with `--batch` items at once; in bfloat16, so its responses may differ
  bound            the batches of transformers with all media prepared in advance; only forward passes are timed
  media            no model: our decoding and preprocessing, and raw decoding only of the same media in as many threads
                   (PIL for stills, which decord does not open; decord for all frames of clips, from bytes or paths,
                   whichever is faster)

Times are from the first item to the last response; imports, loading and a warm-up of two items are not timed. The table
has the wall time of the main thread by step, and the processor time of the threads that prepare media. vLLM's steps
include its scheduling. Responses of the first three sides and of vLLM must be equal on a CPU, or the exit status is 1;
one question about several media shows that responses depend on the medium. The inputs are in `evaluate_setting.py`, the
sides in `evaluate_sides.py`.
"""

from __future__ import annotations

import argparse
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

from evaluate_setting import MAX_PIXELS, MIN_PIXELS, Setting, Value, prepare
from evaluate_sides import (
    DECODING,
    FORWARD,
    SCALING,
    WAITING,
    Answers,
    Clock,
    Run,
    ShotVLSide,
    forward_passes_timed,
    run_lmms_eval,
    run_plain,
    run_shotvl,
    vllm_installed,
)
from machine import Figures, figure, machine, print_figure, print_json
from plain_loop import decode_clip, decode_still

from lmms_eval_shotbench.media.clips import CLIP_MAX_PIXELS
from lmms_eval_shotbench.vocabulary import MediaKind

ROUNDS = 3  # of each decoder, alternating
SAME_QUESTION = {MediaKind.STILL: 8, MediaKind.CLIP: 4}  # number of media for the same question
COLUMNS = ("side", "wall s", "items/s", FORWARD, WAITING, DECODING, SCALING, "rest", "in threads: decoding", "scaling")
MOST_WAITING = 5.0  # percent of the wall time, our aim if media have a core to spare
Given = ParamSpec("Given")


class Bound(NamedTuple):
    """Time of forward passes only, and responses to one question about several media."""

    answers: Answers
    seconds: float
    same_question: Answers


def in_new_process(function: Callable[Given, Value], *args: Given.args, **kwargs: Given.kwargs) -> Value:
    """Call a function in a new process, so that its peak memory is that of the function."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *args, **kwargs).result()


def run_bound(setting: Setting) -> Bound:
    """Answer from prepared media and time only the forward passes."""
    from lmms_eval_shotbench.models.planning import Planner

    side, prepare_one, clock = ShotVLSide(setting, "transformers"), _ours(setting), Clock()
    with ThreadPoolExecutor(setting.workers) as threads:
        prepared = threads.map(
            lambda item: prepare_one(item.media_kind, setting.files[item.item_id].read_bytes()), setting.items
        )
        ready = dict(zip((side.stored(item).sha256 for item in setting.items), prepared, strict=True))
    with (
        patch.object(Planner, "patches", lambda _self, medium: ready[medium.sha256]),
        forward_passes_timed(side.model._engine, clock),
    ):
        side.answers([setting.of_kind(kind)[0] for kind in MediaKind], setting.new_tokens + 1)
        clock.steps.clear()
        found = side.answers(setting.items, setting.new_tokens)
        seconds = clock.steps[FORWARD]
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


def compare(setting: Setting, batch: int) -> tuple[Figures, str]:
    """Run all sides and print the figures; the second value names the first response that differs, if any."""
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|", flush=True)
    sides = {"plain loop": _side("plain loop", run_plain, setting)}
    sides["transformers"] = _side("transformers", run_shotvl, setting, "transformers")
    if setting.device == "cpu":
        sides["a core for media"] = _side("a core for media", run_shotvl, setting, "transformers", True)
    if vllm_installed():
        sides["vLLM"] = _side("vLLM", run_shotvl, setting, "vllm")
    else:
        print("| vLLM | is not installed |", flush=True)
    lmms_eval = _side(f"lmms-eval, {batch} at once", run_lmms_eval, setting, batch)
    bound = in_new_process(run_bound, setting)
    plain = sides["plain loop"]
    for name, side in {**sides, "lmms-eval": lmms_eval}.items():
        equal = sum(plain.answers[key] == text for key, text in side.answers.items())
        print(f"{name}: {equal} of {len(setting.items)} responses are those of the plain loop")
    distinct, media = len(set(bound.same_question.values())), len(bound.same_question)
    print(f"{len(set(plain.answers.values()))} distinct responses; one question about {media} media: {distinct}")
    figures = _figures(sides, lmms_eval, bound)
    for kind, seconds in in_new_process(run_media, setting).items():
        ours_s, *raw = seconds.values()
        name = f"{kind.value}_decode"
        figures[name] = values = figure(ours_s, min(raw))
        print_figure(name, values, f"s a medium; {1 / ours_s:,.1f} a second, {100 * values['ratio']:.0f} % of raw")
    compared = {name: side.answers for name, side in sides.items()} if setting.device == "cpu" else {}
    return figures, _first_difference(plain.answers, compared | {"bound": bound.answers})


def _side(name: str, run: Callable[..., Run], *arguments: Any) -> Run:
    """Run a side in a process of its own and print its line of the table."""
    side = in_new_process(run, *arguments)
    steps = [side.steps.get(one, 0.0) for one in (FORWARD, WAITING, DECODING, SCALING)]
    cells = [side.seconds, len(side.answers) / side.seconds, *steps, side.seconds - sum(steps)]
    cells += [side.in_threads.get(one, 0.0) for one in (DECODING, SCALING)]
    print(f"| {name} | {' | '.join(f'{cell:.2f}' for cell in cells)} |", flush=True)
    return side


def _figures(sides: dict[str, Run], lmms_eval: Run, bound: Bound) -> Figures:
    plain, ours = sides["plain loop"], sides["transformers"]
    rows = {
        "wall_transformers": (ours.seconds, plain.seconds, "the plain loop"),
        "wall_lmms_eval": (ours.seconds, lmms_eval.seconds, "lmms-eval's qwen2_5_vl"),
        "cpu_transformers": (ours.cpu_seconds, plain.cpu_seconds, "processor time"),
        "peak_memory": (ours.peak_mb, plain.peak_mb, f"MB; loaded {ours.loaded_mb:,.0f} and {plain.loaded_mb:,.0f}"),
        "bound": (ours.seconds, bound.seconds, f"forward passes: {100 * bound.seconds / ours.seconds:.0f} % of wall"),
        "model_waits": (100 * ours.waits, 100 * plain.waits, "% of wall"),
    }
    if spare := sides.get("a core for media"):
        rows["model_waits_spare_core"] = (100 * spare.waits, MOST_WAITING, "% of wall; theirs is the aim")
    if on_vllm := sides.get("vLLM"):
        rows["wall_vllm"] = (on_vllm.seconds, plain.seconds, "the plain loop")
        rows["model_waits_vllm"] = (100 * on_vllm.waits, 100 * ours.waits, "% of wall; theirs is transformers")
        rows["peak_memory_vllm"] = (on_vllm.peak_mb, ours.peak_mb, "MB; theirs is transformers")
    figures = {name: figure(max(mine, 1e-9), theirs) for name, (mine, theirs, _) in rows.items()}
    for name, (_, _, remark) in rows.items():
        print_figure(name, figures[name], remark)
    return figures


def _first_difference(expected: Answers, sides: dict[str, Answers]) -> str:
    for name, answers in sides.items():
        for key, text in expected.items():
            if answers[key] != text:
                return f"{key}: plain loop {text!r}, {name} {answers[key]!r}"
    return ""


def has_gpu() -> bool:
    """Whether torch finds a GPU."""
    import torch

    return bool(torch.cuda.is_available())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shards", type=Path, help="take items from these; without it some are drawn")
    parser.add_argument("--stills", type=int, default=200, help="default: 200")
    parser.add_argument("--clips", type=int, default=40, help="default: 40")
    # ShotVL-3B's public responses with reasoning have 348 characters on average.
    parser.add_argument("--new-tokens", type=int, default=80, help="of an answer (default: 80)")
    parser.add_argument("--max-pixels", type=int, default=MAX_PIXELS, help="of a still (default: as released)")
    parser.add_argument("--batch", type=int, default=8, help="items at once in lmms-eval's model (default: 8)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    args = parser.parse_args(arguments)
    counts = {MediaKind.STILL: max(args.stills, 1), MediaKind.CLIP: max(args.clips, 1)}
    with tempfile.TemporaryDirectory(prefix="evaluate-benchmark-") as folder:
        setting = in_new_process(prepare, Path(folder), args.shards, counts, args.new_tokens, args.max_pixels)
        setting = setting._replace(device="cuda" if in_new_process(has_gpu) else "cpu")
        about = f"{len(setting.items)} items, up to {args.new_tokens} new tokens, {setting.workers} threads for media"
        print(f"{machine()}\non {setting.device}; {about}; seconds from the first item to the last response")
        figures, difference = compare(setting, args.batch)
    if difference:
        print(f"RESPONSES DIFFER. {difference}")
    if args.json:
        print_json(figures)
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
