"""Prepare a training run: compose the configuration, write the rows, run the preflight checks, build verl's command.

This module adds the Hydra overrides that depend on the run: data files, model, folders, Ray cluster. Recipes are Hydra
configurations (`config/`, `recipes.py`); whether an existing run resumes with them is decided in `resume.py`, the
checks before a run are in `preflight/preflight.py`. `launch.py` starts what is prepared here.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lmms_eval_shotbench import prompts
from lmms_eval_shotbench.questions.shards import DatasetNotFound
from verl_recipes.run import checkpoints
from verl_recipes.run.changed_settings import Change
from verl_recipes.run.checksums import data_checksum, model_checksum
from verl_recipes.run.run_folder import Record, RunFolder, TrainingRequest, is_run_folder
from verl_recipes.run.warm_start import PY_EXECUTABLE, WARM_START

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from verl_recipes.preflight.preflight import Report

SPLITS = {"sft": "sft", "cot_sft": "sft", "grpo": "grpo"}  # training split of each method
STYLES = {"sft": prompts.DIRECT, "cot_sft": prompts.REASONING, "grpo": prompts.REASONING}
VALIDATION = "dev"
WORKER_KEY = "ray_kwargs.ray_init.runtime_env.py_executable"  # what Ray runs to start a worker
LENGTH = ("trainer.total_epochs", "trainer.total_training_steps")
TINY_BASE = Path(__file__).parents[1] / "tiny_base" / "model"  # base model of the tiny recipes


@dataclass(frozen=True)
class Prepared:
    """What is known about a run before its trainer starts."""

    command: list[str]
    environment: dict[str, str]
    config: DictConfig  # composed
    report: Report  # of the preflight
    record: Record
    step: int | None  # of the checkpoint to resume from
    changes: list[Change]  # of settings, since the run was last started

    @property
    def done(self) -> bool:
        """Whether the last step is trained and saved."""
        return self.step is not None and 0 < self.report.steps <= self.step

    def changes_text(self) -> str:
        """The changes of settings as the end of a status line; empty without changes."""
        if not self.changes:
            return ""
        text = "; changed since: " + ", ".join(map(str, self.changes))
        config = self.config
        optimizer = config.actor_rollout_ref.actor.optim if self.record.request.method == "grpo" else config.optim
        if optimizer.lr_scheduler_type != "constant" and any(change.setting in LENGTH for change in self.changes):
            text += f". The learning rate follows the schedule of {self.report.steps} steps from here"
        return text


def prepare(order: TrainingRequest) -> Prepared:
    """Compose the configuration, write the rows and run all preflight checks.

    A run folder given as the model is merged first (`merge.py`).

    Raises:
        RunRefused: The folder has a checkpoint of a run that cannot resume with these settings.
        WrongVerl, UnknownRecipe, BadOverride: from `recipes.compose`.
        PreflightFailed: A setting has the wrong type or is out of range.
        NoCheckpoint: from `checkpoints.resume_step` and `merge.merge_run`.
        MergeFailed: from `merge.merge_run`.
        DatasetNotFound, RowsRefused: from `training_rows.write_training_rows`.
    """
    from omegaconf import OmegaConf

    from verl_recipes import recipes
    from verl_recipes.preflight import preflight
    from verl_recipes.preflight.model_folder import model_settings
    from verl_recipes.run.resume import changes_on_resume

    folder = RunFolder(order.out)
    step = checkpoints.resume_step(folder.checkpoints)
    overrides = [*_own_overrides(order, folder), *order.overrides]
    config = recipes.compose(order.method, order.recipe, overrides)  # first, so that its errors come before any work
    preflight.check_settings(config, order.method).raise_for_problems()
    if os.environ.get("RAY_ADDRESS") and config.trainer.device == "cpu":  # CPU recipes do not join a cluster by default
        overrides.insert(0, "ray=cpu_joined")
        config = recipes.compose(order.method, order.recipe, overrides)
    if not model_settings(config, order.method).path:
        overrides.append(f"{_model_key(order.method)}={TINY_BASE}")
        OmegaConf.update(config, _model_key(order.method), str(TINY_BASE))
    _merge_model(order, resuming=step is not None)
    record = _record(order, str(model_settings(config, order.method).path), folder.recorded() if step else None)
    if step is None:
        folder.begin(record)
    changes = [] if step is None else changes_on_resume(folder, record, config, step)
    _write_rows(order, folder)
    local = Path(order.data).expanduser()
    report = preflight.check(config, order.method, shards=str(local) if local.is_dir() else None)
    entry = "verl.trainer.main_ppo" if order.method == "grpo" else "verl_recipes.inside_verl.main_sft"
    name = recipes.config_name(order.method, order.recipe)
    command = [sys.executable, "-m"]
    if config.trainer.device == "cpu" and OmegaConf.select(config, "ray_kwargs.ray_init.address") == "local":
        command = list(WARM_START)
        overrides.append(f"++{WORKER_KEY}={json.dumps(PY_EXECUTABLE)}")
        OmegaConf.update(config, WORKER_KEY, PY_EXECUTABLE, force_add=True)
    command += [entry, "--config-dir", str(recipes.CONFIG_FOLDER), "--config-name", name, *overrides]
    return Prepared(command, recipes.environment(config), config, report, record, step, changes)


def _merge_model(order: TrainingRequest, *, resuming: bool) -> None:
    """Merge the run that is the start model. A resuming run keeps the merged model, as merging could replace it."""
    from verl_recipes.run.merge import merge_run

    if not order.model or not is_run_folder(trained := Path(order.model).expanduser()):
        return
    if not (resuming and RunFolder(trained).model.is_dir()):
        merge_run(trained)


def _record(order: TrainingRequest, model: str, before: Record | None) -> Record:
    """The record of a request; a run that resumes has its rows, so the shards need not exist any more."""
    known = before.checksums if before else {}
    data: str | None
    try:
        data = data_checksum(order.data)
    except DatasetNotFound:
        if before is None or before.request.data != order.data:
            raise
        data = known.get("data")
    start = model_checksum(model)
    if start is None and before and before.request.model == order.model:
        start = known.get("model")
    return Record(order, {"data": data, "model": start})


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
    if is_run_folder(path):
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
