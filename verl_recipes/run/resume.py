"""Decide whether a run resumes with the settings of a request, and with which changes.

Data and model are compared by checksum, all other settings in the composed configuration (`changed_settings.py`). A run
without a complete checkpoint may be started again with any settings.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from verl_recipes import recipes
from verl_recipes.inside_verl.checkpoint_rotation import step_folder
from verl_recipes.run.changed_settings import Change, config_changes
from verl_recipes.run.checkpoints import workers_of
from verl_recipes.run.run_folder import Record, RunFolder, RunRefused, TrainingRequest

if TYPE_CHECKING:
    from omegaconf import DictConfig

MOST_LISTED = 5  # changes in a message


def changes_on_resume(folder: RunFolder, record: Record, config: DictConfig, step: int) -> list[Change]:
    """Changes of the settings since the run was recorded.

    Args:
        folder: The run.
        record: What is requested now.
        config: Composed configuration of the request.
        step: Step of the checkpoint from which the run resumes.

    Raises:
        RunRefused: The run cannot resume with these settings; the message contains a command that continues from its
            model in a new folder.
    """
    before = folder.recorded() or record  # a folder whose record was removed
    changes = [*_content_changes(before, record), *_setting_changes(before.request, record.request)]
    if refused := [change for change in changes if not change.allowed]:
        if before.request.recipe != record.request.recipe:
            refused.insert(0, Change("recipe", before.request.recipe, record.request.recipe))
        listed = "; ".join(map(str, refused[:MOST_LISTED]))
        if len(refused) > MOST_LISTED:
            listed += f"; and {len(refused) - MOST_LISTED} more"
        raise RunRefused(
            f"{folder.path} has a checkpoint of step {step} and cannot resume with other settings: {listed}. Repeat "
            f"its command, choose another --out, or continue from its model in a new folder: {_continuing(record)}"
        )
    _refuse_other_workers(folder, record, config, step)
    return changes


def _content_changes(before: Record, now: Record) -> Iterator[Change]:
    """Data and model that have moved (allowed), or have another content (refused)."""
    names = {"data": (before.request.data, now.request.data), "model": (before.request.model, now.request.model)}
    for name, (old, new) in names.items():
        known, found = before.checksums.get(name), now.checksums.get(name)
        same = known == found if known and found else old == new
        if old != new:
            yield Change(f"{name}.path" if same else name, old, new)
        elif not same:
            yield Change(f"content of the {name} {old or 'of the recipe'}", "that of the start", "another")


def _setting_changes(before: TrainingRequest, now: TrainingRequest) -> list[Change]:
    if before.method != now.method:
        return [Change("method", before.method, now.method)]
    if (before.recipe, before.overrides) == (now.recipe, now.overrides):
        return []
    old, new = (recipes.compose(request.method, request.recipe, request.overrides) for request in (before, now))
    return config_changes(old, new)


def _refuse_other_workers(folder: RunFolder, record: Record, config: DictConfig, step: int) -> None:
    """Raise `RunRefused` if the checkpoint was written by another number of workers.

    verl's FSDP checkpoints have one file for each worker, with its shard of each tensor; verl opens the file that is
    named for the current number of workers.
    """
    saved, requested = workers_of(step_folder(folder.checkpoints, step)), recipes.workers(config)
    if saved != requested:
        raise RunRefused(
            f"the checkpoints of {folder.path} were written by {saved} workers, and verl cannot load them with "
            f"{requested}. Set trainer.nnodes times trainer.n_gpus_per_node to {saved}, or continue from its model in "
            f"a new folder, with a new optimizer: {_continuing(record)}"
        )


def _continuing(record: Record) -> str:
    """Command that starts the requested run from the model of the run folder, in a new folder."""
    request = record.request
    free = (Path(f"{request.out}-{number}") for number in range(2, 1000))
    out = next(path for path in free if not path.exists())
    options = ["--recipe", request.recipe, "--data", request.data, "--model", str(request.out), "--out", str(out)]
    return shlex.join(["shotbench", "train", request.method.replace("_", "-"), *options, *request.overrides])
