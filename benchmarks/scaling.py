"""Measure what the compiled resize of frames (`qwen/scaling/`) saves an evaluation, against torch's own.

    python benchmarks/scaling.py [--stills 87] [--clips 13] [--new-tokens 8] [--repeat 3] [--json]

  frame_ms        resize one frame of 1280x720 to the protocol's size, in this process
  clip_ms         decode, resize and cut one clip, in this process
  resize_cpu_s    resizing of all frames inside a whole `shotbench eval --model shotvl`
  eval_cpu_s      that whole command, start-up included

All are processor time: others may use the machine. Both sides take turns; figures are medians. Media are drawn as for
`evaluate.py`, stills and clips by default in the benchmark's proportion; the model is the tiny random Qwen2.5-VL, with
which media have the largest share there can be. Theirs is the same code with `compiled_sums_agree` always false, which
is what it does where the compiled sums differ. Both must give the same bytes and the same responses.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

from evaluate_setting import MAX_PIXELS, MIN_PIXELS, Setting, prepare
from machine import Figures, figure, machine, print_figure, print_json

from lmms_eval_shotbench.vocabulary import MediaKind

SIDES = ("compiled", "torch")
FRAMES, TIMED_CLIPS = 20, 4  # timed in this process
INSIDE = "--inside"  # first argument of the process that is measured: side, file for its figures, then shotbench's own


class Run(NamedTuple):
    """One whole evaluation."""

    cpu_seconds: float
    resize_seconds: float
    responses: list[str]


@contextmanager
def resizing_by(side: str) -> Iterator[None]:
    """Resize frames by the compiled sums where they agree, or by torch always."""
    from lmms_eval_shotbench.qwen.scaling import scale

    agree = {"compiled": scale.compiled_sums_agree, "torch": lambda *_sizes: False}[side]
    with patch.object(scale, "compiled_sums_agree", agree):
        yield


def evaluate_inside(side: str, report: Path, arguments: Sequence[str]) -> int:
    """Run `shotbench` in this process; write to `report` the processor time its threads spent on resizing frames."""
    from lmms_eval_shotbench.cli import main as shotbench
    from lmms_eval_shotbench.qwen import inputs
    from lmms_eval_shotbench.qwen.scaling import scale

    spent, lock = [0.0], threading.Lock()

    def timed(*given: Any) -> Any:
        begin = time.thread_time()
        resized = scale.scaled_frames(*given)
        with lock:
            spent[0] += time.thread_time() - begin
        return resized

    with patch.object(inputs, "scaled_frames", timed), resizing_by(side):
        status = shotbench(list(arguments))
    report.write_text(json.dumps(spent[0]))
    return status


def evaluate(side: str, setting: Setting, out: Path) -> Run:
    """A whole `shotbench eval` in a process of its own."""
    out.mkdir(parents=True)
    report = out / "resize.json"
    command = [sys.executable, __file__, INSIDE, side, str(report), "eval", "--tasks", "shotbench"]
    command += ["--data", str(setting.shards), "--out", str(out / "run"), "--model", "shotvl"]
    command += ["--model_args", f"pretrained={setting.checkpoint},device=cpu"]
    command += ["--gen_kwargs", f"max_new_tokens={setting.new_tokens}"]
    before = os.times()
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    after = os.times()
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{run.stderr[-3000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    rows = map(json.loads, (out / "run" / "samples.jsonl").read_text(encoding="utf-8").splitlines())
    return Run(cpu, json.loads(report.read_text()), sorted(f"{row['item_id']} {row['response']}" for row in rows))


def compare_media(setting: Setting, repeat: int) -> Figures:
    """One frame, and whole clips, by turns in this process."""
    import numpy
    import torch
    from transformers import AutoProcessor

    from lmms_eval_shotbench.qwen.inputs import MediaLimits, PatchRule, clip_patches
    from lmms_eval_shotbench.qwen.scaling import scale
    from lmms_eval_shotbench.qwen.scaling.resampling import resized_like_torch

    torch.set_num_threads(1)  # as in the threads that prepare media
    rule = PatchRule.of(AutoProcessor.from_pretrained(setting.checkpoint))
    shown = MediaLimits(MIN_PIXELS, setting.max_pixels)
    frame = numpy.random.default_rng(0).integers(0, 256, (720, 1280, 3), numpy.uint8)
    size = rule.fitted(720, 1280, shown.clip_min, shown.clip_max)
    clips = [setting.files[item.item_id].read_bytes() for item in setting.of_kind(MediaKind.CLIP)[:TIMED_CLIPS]]
    ways = dict(zip(SIDES, (resized_like_torch, scale.resized_by_torch), strict=True))
    assert scale.compiled_sums_agree(720, 1280, *size), "the compiled sums differ from torch's on this machine"
    frame_ms: dict[str, list[float]] = {side: [] for side in SIDES}
    clip_ms: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(repeat):
        for side, resize in ways.items():
            with resizing_by(side):
                frame_ms[side] += [_milliseconds(partial(resize, frame, *size)) for _ in range(FRAMES)]
                clip_ms[side] += [_milliseconds(partial(clip_patches, clip, shown, rule)) for clip in clips]
    return {
        name: figure(*(median(taken[side]) for side in SIDES))
        for name, taken in (("frame_ms", frame_ms), ("clip_ms", clip_ms))
    }


def _milliseconds(call: Callable[[], Any]) -> float:
    begin = time.thread_time()
    call()
    return 1e3 * (time.thread_time() - begin)


def compare_evaluations(setting: Setting, repeat: int, work: Path) -> Figures:
    """Whole commands by turns; all responses must be equal."""
    runs: dict[str, list[Run]] = {side: [] for side in SIDES}
    for turn in range(repeat):
        for side in SIDES:
            runs[side].append(evaluate(side, setting, work / f"{side}{turn}"))
    assert all(run.responses == runs["torch"][0].responses for side in SIDES for run in runs[side]), "responses differ"
    resize = [median(run.resize_seconds for run in runs[side]) for side in SIDES]
    cpu = [median(run.cpu_seconds for run in runs[side]) for side in SIDES]
    return {"resize_cpu_s": figure(*resize), "eval_cpu_s": figure(*cpu)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == [INSIDE]:
        return evaluate_inside(given[1], Path(given[2]), given[3:])
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stills", type=int, default=87, help="number of stills (default: 87)")
    parser.add_argument("--clips", type=int, default=13, help="number of clips (default: 13)")
    parser.add_argument("--new-tokens", type=int, default=8, help="maximum number of tokens of an answer (default: 8)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each side (default: 3)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    args = parser.parse_args(given)
    os.environ["OMP_NUM_THREADS"] = "1"  # torch's threads would count their waiting as work
    wanted = {MediaKind.STILL: max(args.stills, 1), MediaKind.CLIP: max(args.clips, 1)}
    with tempfile.TemporaryDirectory(prefix="scaling-benchmark-") as folder:
        work = Path(folder)
        os.environ |= {"HF_HUB_OFFLINE": "1", "SHOTBENCH_CACHE": str(work / "cache")}
        setting = prepare(work, None, wanted, args.new_tokens, MAX_PIXELS)
        print(
            f"{machine()}\n{len(setting.items)} items, up to {args.new_tokens} new tokens; ours compiled, theirs torch"
        )
        figures = compare_media(setting, args.repeat) | compare_evaluations(setting, args.repeat, work)
    resize, whole = figures["resize_cpu_s"], figures["eval_cpu_s"]
    saved = 100 * (resize["theirs"] - resize["ours"]) / whole["ours"]
    remarks = {"resize_cpu_s": f"without compiling {saved:.0f} % of the evaluation's processor time more"}
    for name, values in figures.items():
        print_figure(name, values, remarks.get(name, ""))
    if args.json:
        print_json(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
