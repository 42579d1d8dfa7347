"""Start or resume a training run: write the rows, run the preflight checks, then run verl's trainer in a subprocess.

This module builds the trainer's command and the Hydra overrides that depend on the run: data files, model, folders, Ray
cluster. Recipes are Hydra configurations (`config/`, `recipes.py`); the checks before a run are in
`preflight/preflight.py`, the layout of the run folder in `run_folder.py`.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lmms_eval_shotbench import prompts
from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.progress import subprocess_environment
from verl_recipes.inside_verl.stop_request import StopRequest
from verl_recipes.run import checkpoints
from verl_recipes.run.failure_reason import failure_reason
from verl_recipes.run.run_folder import RunFolder, TrainingRequest, is_run
from verl_recipes.run.warm_start import PY_EXECUTABLE, terminate_with_parent

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from verl_recipes.preflight.preflight import Report

SPLITS = {"sft": "sft", "cot_sft": "sft", "grpo": "grpo"}  # training split of each method
STYLES = {"sft": prompts.DIRECT, "cot_sft": prompts.REASONING, "grpo": prompts.REASONING}
VALIDATION = "dev"
WORKER_KEY = "ray_kwargs.ray_init.runtime_env.py_executable"  # what Ray runs to start a worker
RESUMES = "the same command resumes the run"
TINY_BASE = Path(__file__).parents[1] / "tiny_base" / "model"  # base model of the tiny recipes


class TrainingFailed(RuntimeError):
    """The trainer failed; the message names its log file."""

    exit_status = 1  # of the command; that of a refusal is 2


class TrainingStopped(RuntimeError):
    """The run was requested to stop before its last step."""

    exit_status = os.EX_TEMPFAIL  # 75: the same command continues


@dataclass(frozen=True)
class Prepared:
    """Command, environment variables, composed configuration and preflight report of a run that was not started yet."""

    command: list[str]
    environment: dict[str, str]
    config: DictConfig
    report: Report


def prepare(order: TrainingRequest) -> Prepared:
    """Compose the configuration, write the rows and run all preflight checks.

    A run folder given as the model is merged first (`merge.py`).

    Raises:
        WrongVerl, UnknownRecipe, BadOverride: from `recipes.compose`.
        PreflightFailed: A setting has the wrong type or is out of range.
        NoCheckpoint, MergeFailed: from `merge.merge_run`.
        DatasetNotFound, RowsRefused: from `training_rows.write_training_rows`.
    """
    from omegaconf import OmegaConf

    from verl_recipes import recipes
    from verl_recipes.preflight import preflight
    from verl_recipes.preflight.model_folder import model_settings
    from verl_recipes.run.merge import merge_run

    folder = RunFolder(order.out)
    overrides = [*_own_overrides(order, folder), *order.overrides]
    config = recipes.compose(order.method, order.recipe, overrides)  # first, so that its errors come before any work
    preflight.check_settings(config, order.method).raise_for_problems()
    if os.environ.get("RAY_ADDRESS") and config.trainer.device == "cpu":  # CPU recipes do not join a cluster by default
        overrides.insert(0, "ray=cpu_joined")
        config = recipes.compose(order.method, order.recipe, overrides)
    if not model_settings(config, order.method).path:
        overrides.append(f"{_model_key(order.method)}={TINY_BASE}")
        OmegaConf.update(config, _model_key(order.method), str(TINY_BASE))
    if order.model and is_run(trained := Path(order.model).expanduser()):
        merge_run(trained)
    _write_rows(order, folder)
    local = Path(order.data).expanduser()
    report = preflight.check(config, order.method, shards=str(local) if local.is_dir() else None)
    entry = "verl.trainer.main_ppo" if order.method == "grpo" else "verl_recipes.inside_verl.main_sft"
    name = recipes.config_name(order.method, order.recipe)
    command = [sys.executable, "-m"]
    if config.trainer.device == "cpu" and OmegaConf.select(config, "ray_kwargs.ray_init.address") == "local":
        command.append("verl_recipes.run.warm_start")
        overrides.append(f"++{WORKER_KEY}={json.dumps(PY_EXECUTABLE)}")
        OmegaConf.update(config, WORKER_KEY, PY_EXECUTABLE, force_add=True)
    command += [entry, "--config-dir", str(recipes.CONFIG_FOLDER), "--config-name", name, *overrides]
    return Prepared(command, recipes.environment(config), config, report)


def train(order: TrainingRequest, attempts: int = 1) -> None:
    """Train, or resume an interrupted run; does nothing if the run is finished.

    Args:
        order: Settings of the run.
        attempts: Maximum number of times the trainer is started by this call, retries after a failure included.

    Raises:
        RunRefused: The folder is in use, or holds a run with other settings.
        PreflightFailed: The run would fail; the message lists all problems.
        TrainingFailed: The trainer failed in every attempt.
        TrainingStopped: The run was requested to stop, by a signal (`stop_request.py`) or a file.

    Also raises what `prepare` raises.
    """
    folder = RunFolder(order.out)
    stop = StopRequest(folder.path)
    with folder.claimed(order), stop.created_by_signal():
        if folder.finished.exists():
            print_status(f"{folder.path} is trained already")
            return
        prepared = prepare(order)
        prepared.report.raise_for_problems()
        print_status(prepared.report.text())
        for left in reversed(range(attempts)):
            if stop.exists():
                raise TrainingStopped(f"stopped before a start of the trainer; {RESUMES}")
            if not _one_attempt(folder, prepared):
                if step := stop.stopped_step():
                    raise TrainingStopped(f"stopped after step {step}, whose checkpoint was saved; {RESUMES}")
                folder.finished.touch()
                return
            log = folder.log(folder.next_attempt() - 1)
            failed = f"the trainer failed: {reason}" if (reason := failure_reason(log)) else "the trainer failed"
            print_status(f"{failed}; {left} attempts left")
        raise TrainingFailed(f"{failed}; see the end of {log}. The same command resumes from the last checkpoint")


def _one_attempt(folder: RunFolder, prepared: Prepared) -> int:
    from omegaconf import OmegaConf

    from verl_recipes.preflight import estimates

    step = checkpoints.prepare_resume(folder.checkpoints)
    if keep := estimates.most_kept(prepared.config):
        checkpoints.prune(folder.checkpoints, keep)
    print_status(f"resuming from step {step}" if step else "training from the start")
    attempt = folder.next_attempt()
    metrics, log = folder.metrics(attempt).absolute(), folder.log(attempt)
    for path in (metrics, log):
        path.parent.mkdir(parents=True, exist_ok=True)
    command = [*prepared.command, f"++ray_kwargs.ray_init.runtime_env.env_vars.VERL_FILE_LOGGER_PATH={metrics}"]
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


def recipe_model(order: TrainingRequest) -> str:
    """Path or Hub id of the recipe's default start model, for an order without a model."""
    from verl_recipes import recipes
    from verl_recipes.preflight.model_folder import model_settings

    config = recipes.compose(order.method, order.recipe, order.overrides)
    return str(model_settings(config, order.method).path or TINY_BASE)


def _own_overrides(order: TrainingRequest, folder: RunFolder) -> list[str]:
    """Hydra overrides of this run: data files, checkpoint folder, experiment name and model."""
    train_rows, validation_rows = (_rows_file(folder, split) for split in (SPLITS[order.method], VALIDATION))
    overrides = [
        f"data.train_files={train_rows}",
        f"data.val_files={validation_rows}",
        f"trainer.default_local_dir={folder.checkpoints.absolute()}",
        f"trainer.experiment_name={folder.path.absolute().name}",
    ]
    if order.model is not None:
        overrides.append(f"{_model_key(order.method)}={_model_path(order.model)}")
    return overrides


def _model_key(method: str) -> str:
    return "actor_rollout_ref.model.path" if method == "grpo" else "model.path"


def _model_path(model: str) -> str:
    """The order's model as verl expects it: an absolute path or a Hub id; for a run folder, its merged model."""
    path = Path(model).expanduser()
    if is_run(path):
        path = RunFolder(path).model
    elif not path.exists():
        return model
    return str(path.absolute())


def _rows_file(folder: RunFolder, split: str) -> Path:
    return (folder.rows / f"{split}.parquet").absolute()


def _write_rows(order: TrainingRequest, folder: RunFolder) -> None:
    """Write the training and validation rows; rows written by an earlier attempt are reused."""
    from verl_recipes.training_rows import Purpose, write_training_rows

    purpose: Purpose = "grpo" if order.method == "grpo" else "sft"
    for split in (SPLITS[order.method], VALIDATION):
        if not _rows_file(folder, split).exists():
            write_training_rows(order.data, split, folder.rows, purpose, STYLES[order.method])


def print_status(text: str) -> None:
    """Print a status line to stderr, next to verl's own output."""
    print(f"shotbench: {text}", file=sys.stderr, flush=True)
