"""Measure how many stills and clips a second a core prepares for a model, against decoding alone; no model runs.

    python benchmarks/media_rate.py [--stills 8] [--clips 3] [--seconds 5] [--repeat 3] [--threads 1 2] [--json]

Ours is all that `shotvl` with engine=vllm does with a medium on the CPU: read it from a shard, decode, resize, cut into
patches and normalise them to bfloat16 (which the other engine does on the GPU), at the limits of the released
checkpoints (stills up to 12,845,056 pixels; clips 12 frames a second of at most 230,400 pixels each).
Theirs is decoding alone of the same bytes: stills by Pillow, all frames of clips by decord. Media are drawn: stills of
720p, 1080p and 4K as JPEG, clips of 360p, 720p and 1080p, 24 frames a second, H.264.

Sides alternate; figures are medians per medium, in milliseconds of processor time (NAME_cpu_ms), which others on the
machine hardly change, and of wall time (NAME_ms). The last table is arithmetic, with the assumptions that
`gpu_arithmetic.py` states: the cores with which media keep 1 and 8 H100s busy.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from evaluate_setting import MAX_PIXELS, MIN_PIXELS, stand_in_shards
from gpu_arithmetic import MODELS, cores_needed, gpu_seconds
from machine import Figures, figure, machine, print_figure, print_json
from plain_loop import decode_clip, decode_still
from stand_in_release import MediaSettings

from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.models.media_threads import media_threads
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.qwen.inputs import MediaLimits, PatchRule, clip_patches, still_patches
from lmms_eval_shotbench.qwen.pixel_values import vision_inputs
from lmms_eval_shotbench.qwen.rope_positions import Grid, tokens_of
from lmms_eval_shotbench.vocabulary import MediaKind

SIZES = (  # of stills and clips of one shard folder
    ((1280, 720), (640, 360)),
    ((1920, 1080), (1280, 720)),
    ((3840, 2160), (1920, 1080)),
)
RULE = PatchRule(14, 2, 2, (122.8, 116.7, 104.1), (68.5, 66.6, 70.3))  # of Qwen2.5-VL
LIMITS = MediaLimits(MIN_PIXELS, MAX_PIXELS)
GPUS = (1, 8)
Prepare = Callable[[str], object]


class Cost(NamedTuple):
    """Milliseconds per medium."""

    wall: float
    cpu: float


class Case(NamedTuple):
    """Media of one kind and size in a shard folder."""

    name: str
    kind: MediaKind
    folder: ShardFolder
    ids: list[str]

    def ours(self, item_id: str) -> Grid:
        """All that is done with a medium before the GPU; returns its patch grid."""
        encoded = self.folder.media(item_id)
        clip = self.kind is MediaKind.CLIP
        medium = clip_patches(encoded, LIMITS, RULE) if clip else still_patches(open_still(encoded), LIMITS, RULE)
        vision_inputs([medium], RULE, torch.device("cpu"), torch.bfloat16)
        return medium.grid

    def raw(self, item_id: str) -> None:
        """Decoding alone."""
        (decode_clip if self.kind is MediaKind.CLIP else decode_still)(self.folder.media(item_id))


def make_cases(work: Path, counts: Mapping[MediaKind, int], seconds: float) -> list[Case]:
    """Draw media and import them to shards."""
    cases = []
    for number, (still, clip) in enumerate(SIZES):
        media = MediaSettings(still, (seconds, seconds), clip, clip_preset="fast")
        (work / str(number)).mkdir()
        folder = ShardFolder(stand_in_shards(work / str(number), dict(counts), media))
        for kind, (width, height) in ((MediaKind.STILL, still), (MediaKind.CLIP, clip)):
            ids = [item.item_id for item in folder.items() if item.media_kind is kind]
            cases.append(Case(f"{kind.value} of {width}x{height}", kind, folder, ids))
    return sorted(cases, key=lambda case: list(MediaKind).index(case.kind))


def cost(prepare: Prepare, ids: Sequence[str], threads: ThreadPoolExecutor) -> Cost:
    """Wall and processor time per medium of preparing all of them, each result being dropped."""
    begin, cpu = time.perf_counter(), time.process_time()
    deque(threads.map(prepare, ids), maxlen=0)
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    return Cost(1000 * wall / len(ids), 1000 * cpu / len(ids))


def measure(case: Case, threads: int, repeat: int) -> tuple[Cost, Cost]:
    """Median costs of both sides in so many threads."""
    pool = media_threads(threads)
    with pool:
        deque(pool.map(case.ours, case.ids[:1]), maxlen=0)  # compiles, and compares the resize with torch's
        rounds = [(cost(case.ours, case.ids, pool), cost(case.raw, case.ids, pool)) for _ in range(repeat)]
    ours, raw = (Cost(*map(median, zip(*side, strict=True))) for side in zip(*rounds, strict=True))
    return ours, raw


def print_cores(costs: Mapping[str, tuple[float, Grid]]) -> None:
    """Print the table by arithmetic, from the processor time and the patch grid of a medium of each case."""
    columns = [f"{name}, {gpus} H100" for name in MODELS for gpus in GPUS]
    print("by arithmetic: seconds of an H100 for a question, and cores that prepare media for 1 and 8 of them")
    print(f"{'':24} {'tokens':>7} {'core, s':>8}" + "".join(f" {name + ', s':>7}" for name in MODELS), end="")
    print("".join(f" {column:>11}" for column in columns))
    for label, (seconds, grid) in costs.items():
        times = [gpu_seconds(grid, model) for model in MODELS.values()]
        cores = [cores_needed(seconds, grid, model, gpus) for model in MODELS.values() for gpus in GPUS]
        print(f"{label:24} {tokens_of(grid, RULE.merge):7,} {seconds:8.3f}", end="")
        print("".join(f" {value:7.3f}" for value in times) + "".join(f" {value:11.2f}" for value in cores))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stills", type=int, default=8, help="number of each size (default: 8)")
    parser.add_argument("--clips", type=int, default=3, help="number of each size (default: 3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a clip (default: 5)")
    parser.add_argument("--repeat", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads (default: 1 2)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    args = parser.parse_args(arguments)
    print(machine())
    figures: Figures = {}
    cores: dict[str, tuple[float, Grid]] = {}
    with tempfile.TemporaryDirectory(prefix="media-rate-") as name:
        counts = {MediaKind.STILL: args.stills, MediaKind.CLIP: args.clips}
        for case in make_cases(Path(name), counts, args.seconds):
            for threads in args.threads:
                ours, raw = measure(case, threads, args.repeat)
                label = f"{case.name}, {threads} threads"
                figures |= {f"{label}, cpu_ms": figure(ours.cpu, raw.cpu), f"{label}, ms": figure(ours.wall, raw.wall)}
                rate = f"{1000 / ours.cpu:.1f} a second and core, {1000 / ours.wall:.1f} a second"
                print_figure(label, figures[f"{label}, cpu_ms"], rate)
                cores.setdefault(case.name, (ours.cpu / 1000, case.ours(case.ids[0])))
    print_cores(cores)
    if args.json:
        print_json(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
