"""Kill a training run repeatedly at random times, and check that it ends like an uninterrupted run.

    python benchmarks/kill_training.py --data SHARDS --out DIR [--methods cot-sft grpo] [--kills 2] [--seed 0]

Each method is trained twice with the tiny recipe: once uninterrupted, and once with SIGKILL sent `--kills` times each
to the driver, to a training worker and (GRPO) to a rollout server, in random order, each at a random time of a random
step, counted from the start of the attempt, possibly before its first step. After each kill the same command is run
again. Then:

- every attempt must start one step after the newest complete checkpoint of its predecessor;
- every step of every attempt must be trained on the items of that step in the uninterrupted run, and the attempts
  together must cover all steps: no item is skipped, or trained twice in an epoch except after the last checkpoint;
- the final weights are compared with those of the uninterrupted run.

Exits with status 1 if one of the first two does not hold. SHARDS: `shotbench data studio`, as in `make train-tiny`.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from machine import machine

from verl_recipes.run.checkpoints import complete_steps
from verl_recipes.run.merge import merge_run
from verl_recipes.run.run_folder import RunFolder

SETTINGS = {
    "cot-sft": ["data.train_batch_size=8", "data.micro_batch_size_per_gpu=8", "trainer.save_freq=3"],
    "grpo": ["data.train_batch_size=8", "actor_rollout_ref.rollout.n=4", "trainer.save_freq=2"],
}
EPOCHS = 3
MOST_STEPS = 5  # of a killed attempt; some reach no checkpoint, some more than one
VICTIMS = {"cot-sft": ("driver", "worker"), "grpo": ("driver", "worker", "rollout server")}
RAY_NAMES = {"worker": ("WorkerDict", "TrainingWorker"), "rollout server": ("HFServer",)}  # in process titles
EXIT_TIMEOUT = 300.0  # seconds for a command to end after one of its processes was killed


class Attempt(NamedTuple):
    """Outcome of one run of the command."""

    killed: str  # the killed process; "" if the run finished
    after: float  # seconds from the start to the kill
    noticed: float  # seconds from the kill to the command's end
    resumable: int  # newest complete checkpoint on disk before the start


@dataclass(frozen=True)
class Training:
    """A training run of the tiny recipe."""

    method: str
    data: str
    run: Path

    @property
    def command(self) -> list[str]:
        settings = [*SETTINGS[self.method], f"trainer.total_epochs={EPOCHS}", "trainer.test_freq=-1"]
        if self.method == "grpo":
            settings += [
                f"trainer.rollout_data_dir={self.run.absolute() / 'rollouts'}",
                "trainer.val_before_train=false",
            ]
        given = ["train", self.method, "--recipe", "tiny", "--data", self.data, "--out", str(self.run), *settings]
        return [sys.executable, "-m", "lmms_eval_shotbench.cli", *given]

    def steps(self, number: int) -> dict[int, dict[str, float]]:
        """Metrics of an attempt by training step; the first attempt is number 1."""
        path = RunFolder(self.run).metrics(number)
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        rows = [json.loads(line) for line in lines if line.endswith("\n")]  # the last line may be truncated
        steps: dict[int, dict[str, float]] = {}
        for row in rows:
            if row.get("step", 0) > 0:  # validation has a separate row
                steps[row["step"]] = steps.get(row["step"], {}) | row["data"]
        return steps

    def items(self, number: int, step: int) -> object:
        """Identifies the items of a step: the prompts of its rollouts, or the tokens of its rows."""
        if self.method != "grpo":
            return self.steps(number)[step]["train/global_tokens"]
        rollouts = (self.run / "rollouts" / f"{step}.jsonl").read_text().splitlines()
        return sorted(json.loads(line)["input"] for line in rollouts)


def uninterrupted(training: Training) -> float:
    """Train to the end; return the duration in seconds."""
    start = time.monotonic()
    subprocess.run(training.command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


def interrupted(training: Training, step_seconds: float, kills: int, draw: random.Random) -> Iterator[Attempt]:
    """Run the command and kill one of its processes, until all kills are done; then let it finish."""
    victims = [victim for victim in VICTIMS[training.method] for _ in range(kills)]
    draw.shuffle(victims)
    for number, victim in enumerate([*victims, ""], start=1):
        resumable = max(complete_steps(RunFolder(training.run).checkpoints), default=0)
        steps, pause = draw.randint(0, MOST_STEPS), draw.uniform(0, step_seconds)
        yield _attempt(training, number, victim, steps, pause, resumable)


def _attempt(training: Training, number: int, victim: str, steps: int, pause: float, resumable: int) -> Attempt:
    """Run the command and kill the victim `pause` seconds after `steps` steps, or after its start."""
    process = subprocess.Popen(training.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    start = time.monotonic()
    try:
        while victim and process.poll() is None:
            target = _victim_process(process, victim) if len(training.steps(number)) >= steps else None
            if target:
                time.sleep(pause)
                target.send_signal(signal.SIGKILL)
                killed = time.monotonic()
                process.wait(EXIT_TIMEOUT)
                return Attempt(victim, killed - start, time.monotonic() - killed, resumable)
            time.sleep(0.05)
        if process.wait() != 0:
            raise RuntimeError(f"ended with status {process.returncode}; see {training.run / 'logs'}")
        return Attempt("", time.monotonic() - start, 0.0, resumable)
    finally:
        _kill_all(process)


def _victim_process(process: subprocess.Popen[bytes], victim: str) -> psutil.Process | None:
    """The process to kill, or None if it does not run yet."""
    try:
        children = psutil.Process(process.pid).children()
        if victim == "driver":
            return next((one for one in children if "verl" in " ".join(one.cmdline())), None)
        for one in psutil.Process(process.pid).children(recursive=True):
            if any(name in " ".join(one.cmdline()) for name in RAY_NAMES[victim]):
                return one
    except psutil.NoSuchProcess:
        pass
    return None


def _kill_all(process: subprocess.Popen[bytes]) -> None:
    remaining = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    for one in [*remaining, process]:
        one.kill()
    process.wait()


def faults(calm: Training, troubled: Training, attempts: Sequence[Attempt]) -> Iterator[str]:
    """Violations of the first two conditions."""
    expected = calm.steps(1)
    done: set[int] = set()
    for number, attempt in enumerate(attempts, start=1):
        steps = troubled.steps(number)
        if steps and min(steps) != attempt.resumable + 1:
            yield f"attempt {number} started at step {min(steps)}, the newest checkpoint was {attempt.resumable}"
        for step in steps:
            if troubled.method != "grpo" and troubled.items(number, step) != calm.items(1, step):
                yield f"attempt {number}, step {step}: other items than in the uninterrupted run"
        done |= {*steps, attempt.resumable} - {0}  # a kill between a checkpoint and its log loses a line, but no step
    if sum(not attempt.killed for attempt in attempts) > 1:
        yield "the run came to its end before all kills were done: give it more steps"
    if missing := set(expected) ^ done:
        yield f"steps {sorted(missing)} were done in one run only"
    if troubled.method == "grpo":
        logged = {step for number in range(1, len(attempts) + 1) for step in troubled.steps(number)}
        for step in logged:  # a repeated step has its latest rollouts
            if troubled.items(0, step) != calm.items(1, step):
                yield f"step {step}: other items than in the uninterrupted run"


def weight_difference(calm: Training, troubled: Training) -> float:
    """The maximum absolute difference of the weights."""
    first, second = (_weights(merge_run(one.run)) for one in (calm, troubled))
    return max(float((first[name].float() - second[name].float()).abs().max()) for name in first)


def _weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {name: value for path in sorted(folder.glob("*.safetensors")) for name, value in load_file(path).items()}


def compared(method: str, data: str, out: Path, kills: int, draw: random.Random) -> int:
    """Train one method both ways and print the outcome; return the number of faults."""
    shutil.rmtree(out / method, ignore_errors=True)
    calm, troubled = (Training(method, data, out / method / name) for name in ("calm", "troubled"))
    seconds = uninterrupted(calm)
    print(f"\n{method}: {max(calm.steps(1))} steps, {seconds:.0f} s uninterrupted", flush=True)
    attempts: list[Attempt] = []
    for one in interrupted(troubled, seconds / max(calm.steps(1)) / 2, kills, draw):
        attempts.append(one)
        print(f"  attempt {len(attempts)}: {_summary(one, troubled.steps(len(attempts)))}", flush=True)
    found = list(faults(calm, troubled, attempts))
    summary = f"like the uninterrupted run; weights differ by at most {weight_difference(calm, troubled):.2g}"
    print("\n".join(f"  {line}" for line in found or [summary]), flush=True)
    return len(found)


def _summary(attempt: Attempt, steps: Mapping[int, object]) -> str:
    reached = f"steps {min(steps)} to {max(steps)}" if steps else "no step"
    end = f"{attempt.killed} killed after {attempt.after:.0f} s, noticed in {attempt.noticed:.1f} s"
    return f"from checkpoint {attempt.resumable}, {reached}, {end if attempt.killed else 'finished'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", required=True, help="shards with splits sft, grpo and dev")
    parser.add_argument("--out", required=True, type=Path, help="folder for the runs; it is emptied")
    parser.add_argument("--methods", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--kills", type=int, default=2, help="of each part (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="of moments and order (default: 0)")
    args = parser.parse_args(arguments)
    print(machine())
    draw = random.Random(args.seed)
    bad = [compared(method, args.data, args.out, args.kills, draw) for method in args.methods]
    return 1 if any(bad) else 0


if __name__ == "__main__":
    sys.exit(main())
