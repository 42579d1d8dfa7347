"""`shotbench eval` killed at random moments, by five backends, compared with an undisturbed run.

    python benchmarks/kill_eval.py --kills 10

`qwen3_vl` and `qwen2_5_vl` are random tiny checkpoints, `openai` and `async_openai` ask a server on this machine four
requests at a time, `vllm` is lmms-eval's with a stand-in of vLLM's engine, and `shotvl` has engine=vllm, which is run
only if it is named and vLLM is installed. Every kill is a SIGKILL of the process,
after a random number of newly stored responses. The exit status is 1 if an item was asked twice that was not in flight
at a kill, or if samples.jsonl differs from that of the undisturbed run.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from machine import machine

sys.path.append(str(Path(__file__).parents[1]))

from tests.support.killed_evaluations import BACKENDS, ON_VLLM, Outcome, all_dimensions, killed_run, trial

COLUMNS = ("backend", "kills", "items", "asked", "asked twice", "in flight at the kills", "samples equal", "wall s")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "1"}


def row(backend: str, outcome: Outcome, seconds: float) -> str:
    """Format one line of the table."""
    in_flight = f"{sum(outcome.in_flight)} ({', '.join(map(str, outcome.in_flight))})"
    equal = "yes" if outcome.samples_equal else f"no, exit status {outcome.status}"
    cells = (backend, outcome.kills, outcome.items, outcome.asked, outcome.asked_twice, in_flight, equal)
    return f"| {' | '.join(map(str, cells))} | {seconds:.0f} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backends", nargs="+", choices=(*BACKENDS, ON_VLLM), default=BACKENDS)
    parser.add_argument("--kills", type=int, default=10, help="of each backend (default: 10)")
    parser.add_argument("--each", type=int, default=8, help="questions of each dimension (default: 8)")
    parser.add_argument("--batch_size", type=int, default=1, help="of the backends in this process (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    args = parser.parse_args(arguments)
    print(f"{machine()}\n\n| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|", flush=True)
    good = True
    for backend in args.backends:
        with tempfile.TemporaryDirectory() as folder:
            os.environ |= ENVIRONMENT | {"SHOTBENCH_CACHE": f"{folder}/cache"}
            started = time.perf_counter()
            numbers = all_dimensions(args.each, args.each)
            with trial(backend, Path(folder) / backend, numbers, args.batch_size) as one:
                outcome = killed_run(one, args.kills, random.Random(f"{args.seed} {backend}"))
        print(row(backend, outcome, time.perf_counter() - started), flush=True)
        good &= outcome.samples_equal and outcome.asked_twice == sum(outcome.in_flight)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
