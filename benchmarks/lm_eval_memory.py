"""Measure the cost of lm-eval's requests for all stills: time to build them, and memory before and after their use.

    python benchmarks/lm_eval_memory.py [--shards DIR] [--limit N] [--json]

lm-eval builds the requests of all questions before the first is answered. "ours" are the tasks `shotbench_stills`;
"theirs" the same tasks with decoded pictures in the requests, as in other tasks with pictures. Each side runs in its
own process: it builds all requests, then accesses every picture once as `hf-multimodal` does, and keeps the requests to
the end. Memory is the peak of the process (ru_maxrss), lm-eval and its libraries included. Without --shards a release
of the real questions on stills is drawn, 1280x720 each, and imported.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machine import Figures, figure, machine, print_figure, print_json
from stand_in_release import MediaSettings, make_release, real_questions

from lmms_eval_shotbench.environment import DATA_VARIABLE

OURS, THEIRS = "ours", "theirs"
GROUP = "shotbench_stills"


def measure(side: str) -> dict[str, float]:
    """Build all requests and access every picture once; return seconds and MB."""
    from lm_eval.tasks import TaskManager

    from lmms_eval_shotbench.harness import task_functions
    from lmms_eval_shotbench.lm_eval_tasks import FOLDER

    tasks = TaskManager(include_path=str(FOLDER), include_defaults=False).load([GROUP])["tasks"].values()
    if side == THEIRS:
        for task in tasks:
            task.set_config("doc_to_image", task_functions.doc_to_visual)
    before, begin = _peak_mb(), time.perf_counter()
    for task in tasks:
        task.build_all_requests()
    built, built_mb = time.perf_counter() - begin, _peak_mb()
    requests = sorted((request for task in tasks for request in task.instances), key=_length)
    begin = time.perf_counter()
    pictures = sum(_access(request) for request in requests)
    used = {"used_s": time.perf_counter() - begin, "used_mb": _peak_mb(), "pictures": float(pictures)}
    return {"before_mb": before, "build_s": built, "built_mb": built_mb} | used


def _length(request: Any) -> tuple[int, str]:
    """Sort key: lm-eval answers long questions first."""
    return -len(request.args[0]), request.args[0]


def _access(request: Any) -> int:
    """Access the request's pictures and their pixels, as `hf-multimodal` does."""
    return sum(len(picture.tobytes()) > 0 for picture in list(request.args[2]["visual"]))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def compare(shards: Path, work: Path) -> Figures:
    """Run both sides, each in its own process, and print their figures."""
    sides = {side: _in_own_process(side, shards, work) for side in (OURS, THEIRS)}
    ours, theirs = sides[OURS], sides[THEIRS]
    if ours["pictures"] != theirs["pictures"]:
        raise RuntimeError(f"{ours['pictures']:.0f} pictures against {theirs['pictures']:.0f}")
    remark = f"{ours['pictures']:.0f} stills; {ours['before_mb']:,.0f} MB before the first request"
    figures = {name: figure(ours[name], theirs[name]) for name in ("build_s", "built_mb", "used_s", "used_mb")}
    for name, values in figures.items():
        print_figure(name, values, remark if name == "build_s" else "")
    return figures


def _in_own_process(side: str, shards: Path, work: Path) -> dict[str, float]:
    caches = {name: str(work / "cache") for name in ("SHOTBENCH_CACHE", "HF_DATASETS_CACHE")}
    environment = os.environ | caches | {DATA_VARIABLE: str(shards), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--side", side]
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return measured


def draw_stills(questions: Path, folder: Path, limit: int | None) -> Path:
    """Create shards of the questions on stills, with drawn pictures."""
    head, *lines = questions.read_text(encoding="utf-8").splitlines(keepends=True)
    folder.mkdir(parents=True)
    (folder / "stills.tsv").write_text("".join([head, *(line for line in lines if "image" in line.split("\t")[1])]))
    make_release(folder / "stills.tsv", folder / "release", MediaSettings(), limit)
    shotbench = str(Path(sys.executable).with_name("shotbench"))
    command = [shotbench, "data", "import-shotbench", str(folder / "release"), "--out", str(folder / "shards")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "shards"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shards", type=Path, help="shards with stills; drawn without it")
    parser.add_argument("--limit", type=int, help="draw so many questions, spread over the file")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    parser.add_argument("--side", choices=(OURS, THEIRS), help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.side:
        print(json.dumps(measure(args.side)))
        return 0
    with tempfile.TemporaryDirectory(prefix="lm-eval-benchmark-") as folder:
        shards = args.shards or draw_stills(real_questions(), Path(folder) / "drawn", args.limit)
        print(machine())
        figures = compare(shards.resolve(), Path(folder))
    if args.json:
        print_json(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
