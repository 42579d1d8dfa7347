"""Start or resume a training run: prepare it (`prepare.py`), then run verl's trainer in a subprocess.

The layout of the run folder is in `run_folder.py`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.progress import subprocess_environment
from lmms_eval_shotbench.runs.completions import KINDS
from verl_recipes.inside_verl.stop_request import StopRequest
from verl_recipes.run import checkpoints
from verl_recipes.run.failure_reason import failure_reason
from verl_recipes.run.prepare import Prepared, prepare
from verl_recipes.run.run_folder import RunFolder, TrainingRequest
from verl_recipes.run.warm_start import terminate_with_parent

RESUMES = "the same command resumes the run"


class TrainingFailed(RuntimeError):
    """The trainer failed; the message names its log file."""

    exit_status = 1  # of the command; that of a refusal is 2


class TrainingStopped(RuntimeError):
    """The run was requested to stop before its last step."""

    exit_status = os.EX_TEMPFAIL  # 75: the same command continues


def train(order: TrainingRequest, attempts: int = 1) -> None:
    """Train, or resume an interrupted run; does nothing if the run is finished.

    Args:
        order: Settings of the run.
        attempts: Maximum number of times the trainer is started by this call, retries after a failure included.

    Raises:
        RunRefused: The folder is in use, or holds a run that cannot resume with these settings.
        PreflightFailed: The run would fail; the message lists all problems.
        TrainingFailed: The trainer failed in every attempt.
        TrainingStopped: The run was requested to stop, by a signal (`stop_request.py`) or a file.

    Also raises what `prepare` raises.
    """
    folder = RunFolder(order.out)
    stop = StopRequest(folder.path)
    with folder.locked(), stop.created_by_signal():
        before = folder.recorded()
        if folder.finished.exists() and before and before.request.settings() == order.settings():
            print_status(f"{folder.path} is trained already")
            return
        prepared = prepare(order)
        if prepared.done:
            print_status(f"{folder.path} is trained already: step {prepared.step} of {prepared.report.steps}")
            folder.finished.touch()
            return
        prepared.report.raise_for_problems()
        print_status(prepared.report.text())
        folder.finished.unlink(missing_ok=True)  # it is extended
        if prepared.step is not None:
            folder.resume(prepared.record, prepared.step, prepared.changes)
        for left in reversed(range(attempts)):
            if stop.exists():
                raise TrainingStopped(f"stopped before a start of the trainer; {RESUMES}")
            if not _one_attempt(folder, prepared, first=left == attempts - 1):
                if step := stop.stopped_step():
                    raise TrainingStopped(f"stopped after step {step}, whose checkpoint was saved; {RESUMES}")
                folder.finished.touch()
                return
            log = folder.log(folder.next_attempt() - 1)
            failed = f"the trainer failed: {reason}" if (reason := failure_reason(log)) else "the trainer failed"
            print_status(f"{failed}; {left} attempts left")
        raise TrainingFailed(f"{failed}; see the end of {log}. The same command resumes from the last checkpoint")


def _one_attempt(folder: RunFolder, prepared: Prepared, *, first: bool) -> int:
    from omegaconf import OmegaConf

    from verl_recipes.preflight import checkpoint_space

    step = checkpoints.prepare_resume(folder.checkpoints)
    if keep := checkpoint_space.most_kept(prepared.config, prepared.record.request.method):
        checkpoints.prune(folder.checkpoints, keep)
    changed = prepared.changes_text() if first else ""
    print_status(f"resuming from step {step}{changed}" if step else "training from the start")
    attempt = folder.next_attempt()
    metrics, log = folder.metrics(attempt).absolute(), folder.log(attempt)
    for path in (metrics, log):
        path.parent.mkdir(parents=True, exist_ok=True)
    command = [*prepared.command, f"++ray_kwargs.ray_init.runtime_env.env_vars.VERL_FILE_LOGGER_PATH={metrics}"]
    if "completions" in prepared.config.trainer:
        command += [f"trainer.completions.{kind}={folder.completions(kind, attempt).absolute()}" for kind in KINDS]
    write_atomic(folder.config, OmegaConf.to_yaml(prepared.config, resolve=True))
    write_atomic(folder.command, shlex.join(command) + "\n")
    environment = {**os.environ, **subprocess_environment(), **prepared.environment}
    environment["VERL_FILE_LOGGER_PATH"] = str(metrics)
    with log.open("wb") as log_file:
        return run_and_copy(command, environment, folder.path, log_file)


def run_and_copy(command: list[str], environment: dict[str, str], folder: Path, log: BinaryIO) -> int:
    """Run a command in `folder`, copy its output to stderr and to `log`, and return its exit status.

    The command is terminated if this process is killed.
    """
    with subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=terminate_with_parent,
    ) as process:
        assert process.stdout is not None
        while chunk := os.read(process.stdout.fileno(), 65536):
            log.write(chunk)
            log.flush()
            sys.stderr.buffer.write(chunk)
            sys.stderr.flush()
    return process.returncode


def print_status(text: str) -> None:
    """Print a status line to stderr, next to verl's own output."""
    print(f"shotbench: {text}", file=sys.stderr, flush=True)
