"""Measure the peak memory of importing a release and of evaluating it with models that open every medium.

    python benchmarks/eval_memory.py [--standin DIR] [--shards DIR] [--limit N | --full] [--max-pixels P] [--json]

Three commands, each in its own process: `shotbench data import-shotbench`; `shotbench eval` on the stills with the
tiny Qwen2.5-VL (two tokens a response, `--limit` questions a task unless --full); `shotbench eval` on the clips with
lmms-eval's `dummy`, which decodes eight frames of each. Without --standin a small release is drawn (see
`stand_in_release.py`); with --shards those are evaluated instead of the imported ones. A still is always decoded at its
original size; --max-pixels resizes it for the model, which otherwise takes more than a second per still on a CPU.

"theirs" is not a measurement: it is the limit of 2,500 MB that we set ourselves, so the ratio is our margin. Memory is
resident: the larger of the polled memory of the process tree and the kernel's maximum of one process (ru_maxrss). Pages
that a child shares count proportionally (PSS): lmms-eval prints its tables through a pool of forks of the process.
Children younger than half a second are ignored: before exec, a child has its parent's memory. A command that takes
longer than --minutes is stopped, and its progress is printed.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
from machine import Figures, figure, machine, print_figure, print_json

from lmms_eval_shotbench.vocabulary import DIMENSIONS, MediaKind

LIMIT_MB = 2500.0  # our limit for every command on the full release
SMALL = 300  # questions of the release that is drawn
POLL_SECONDS = 0.05
YOUNG_SECONDS = 0.5  # a child of this age has called exec, if it does
SHOTBENCH = str(Path(sys.executable).with_name("shotbench"))


class Watched(NamedTuple):
    """Measurements of one command."""

    seconds: float
    tree_mb: float  # peak of the process tree, polled
    process_mb: float  # peak of the largest process, from the kernel
    finished: bool
    reached: str  # the last progress it printed, as "120/3108"

    @property
    def peak_mb(self) -> float:
        """The larger of both."""
        return max(self.tree_mb, self.process_mb)


def watch(command: Sequence[str], log: Path, minutes: float) -> Watched:
    """Run a command and poll its memory; raises if it fails without being stopped."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "SHOTBENCH_CACHE": str(log.parent / "cache")}
    begin, tree, stopped = time.perf_counter(), 0.0, False
    with log.open("w") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream, start_new_session=True)
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        tree = max(tree, _tree_mb(process.pid))
        if time.perf_counter() - begin > 60 * minutes and not stopped:
            os.killpg(process.pid, signal.SIGTERM)
            stopped = True
        time.sleep(POLL_SECONDS)
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    output = log.read_text(errors="replace")
    if process.returncode and not stopped:
        raise RuntimeError(f"{' '.join(command)} failed:\n{output[-3000:]}")
    seconds = time.perf_counter() - begin
    return Watched(seconds, tree, ended[2].ru_maxrss * 1024 / 1e6, not stopped, _last_progress(output))


def _tree_mb(pid: int) -> float:
    total, now = 0, time.time()
    try:
        parent = psutil.Process(pid)
        total = parent.memory_info().rss
        grown = [child for child in parent.children(recursive=True) if now - child.create_time() > YOUNG_SECONDS]
        total += sum(child.memory_full_info().pss for child in grown)
    except psutil.NoSuchProcess:  # ended between two polls
        pass
    return total / 1e6


def _last_progress(output: str) -> str:
    found = re.findall(r"(\d+/\d+) \[", output)
    return found[-1] if found else ""


def import_command(release: Path, shards: Path) -> list[str]:
    """Command that imports the release."""
    return [SHOTBENCH, "data", "import-shotbench", str(release), "--out", str(shards)]


def stills_command(shards: Path, model: Path, out: Path, limit: int | None, max_pixels: int | None) -> list[str]:
    """Command that evaluates the tiny model on stills."""
    arguments = f"pretrained={model},device=cpu,device_map=cpu,min_pixels=3136"
    arguments += f",max_pixels={max_pixels}" if max_pixels else ""
    command = _eval_command(shards, MediaKind.STILL, out, limit)
    return [*command, "--model", "qwen2_5_vl", "--model_args", arguments, "--gen_kwargs", "max_new_tokens=2"]


def clips_command(shards: Path, out: Path, limit: int | None) -> list[str]:
    """Command that evaluates lmms-eval's dummy on clips, resampled to the protocol's frame rate."""
    return [
        *_eval_command(shards, MediaKind.CLIP, out, limit),
        "--model",
        "dummy",
        "--model_args",
        "decode_num_frames=8",
    ]


def _eval_command(shards: Path, kind: MediaKind, out: Path, limit: int | None) -> list[str]:
    tasks = ",".join(f"shotbench_{dimension.slug}" for dimension in DIMENSIONS if dimension.media_kind is kind)
    command = [SHOTBENCH, "eval", "--tasks", tasks, "--data", str(shards), "--out", str(out)]
    return command if limit is None else [*command, "--limit", str(limit)]


def compare(args: argparse.Namespace, work: Path) -> Figures:
    """Run the three commands one after the other; without a release to import, the first is left out."""
    figures: Figures = {}
    release = args.standin or (None if args.shards else _draw_release(work / "release"))
    if release:
        figures |= _measured("import_peak_mb", import_command(release, work / "shards"), work, args.minutes)
    shards, limit = args.shards or work / "shards", None if args.full else args.limit
    subprocess.run([SHOTBENCH, "tiny-model", "--random", "--out", str(work / "tiny")], check=True, capture_output=True)
    stills = stills_command(shards, work / "tiny", work / "stills", limit, args.max_pixels)
    figures |= _measured("eval_stills_peak_mb", stills, work, args.minutes)
    return figures | _measured("eval_clips_peak_mb", clips_command(shards, work / "clips", limit), work, args.minutes)


def _measured(name: str, command: Sequence[str], work: Path, minutes: float) -> Figures:
    watched = watch(command, work / f"{name}.log", minutes)
    remark = f"{watched.seconds:,.0f} s, tree {watched.tree_mb:,.0f}, largest process {watched.process_mb:,.0f}"
    remark += "" if watched.finished else f", STOPPED at {watched.reached}"
    print_figure(name, figure(watched.peak_mb, LIMIT_MB), remark)
    return {name: figure(watched.peak_mb, LIMIT_MB)}


def _draw_release(folder: Path) -> Path:
    from stand_in_release import MediaSettings, make_release, real_questions

    make_release(real_questions(), folder, MediaSettings(), SMALL)
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--standin", type=Path, help="release folder to import; drawn without it")
    parser.add_argument("--shards", type=Path, help="evaluate these shards; without --standin nothing is imported")
    parser.add_argument("--limit", type=int, default=60, help="questions a task (default: 60)")
    parser.add_argument("--full", action="store_true", help="all questions")
    parser.add_argument("--max-pixels", type=int, help="of a still, for the tiny model (default: lmms-eval's)")
    parser.add_argument("--minutes", type=float, default=25, help="stop a command after so long (default: 25)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="memory-benchmark-") as folder:
        work = Path(folder)
        print(f"{machine()}\npeak resident memory in MB; 'theirs' is the limit we set ourselves, not a measurement")
        figures = compare(args, work)
    if args.json:
        print_json(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
