"""Checkpoints as verl's FSDP engine writes them: which are complete, and where a run resumes.

    checkpoints/
      latest_checkpointed_iteration.txt    the step verl resumes from
      global_step_N/[actor/]model_world_size_W_rank_R.pt, optim_…, extra_state_…, fsdp_config.json, huggingface/
      global_step_N/data.pt | data_0.pt    state of the data loader; written last

verl writes the tracker after everything else, so it never names a checkpoint that a kill truncated. But a PPO run does
not write it atomically: a kill at that moment leaves it empty, and verl then fails. A full disk truncates files as
well. So before a run, the tracker is set to the newest complete checkpoint.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path

from lmms_eval_shotbench.atomic_file import write_atomic

TRACKER = "latest_checkpointed_iteration.txt"
_STEP = re.compile(r"global_step_(\d+)")
_OF_RANK_0 = re.compile(r"(\w+)_world_size_\d+_rank_0\.pt")


class NoCheckpoint(RuntimeError):
    """A run has no checkpoint to resume from or to merge."""


def step_folder(checkpoints: Path, step: int) -> Path:
    """Folder of the checkpoint of a step."""
    return checkpoints / f"global_step_{step}"


def engine_folder(checkpoint: Path) -> Path:
    """Folder of the weights: PPO has a subfolder for its actor, SFT has only one model."""
    return checkpoint / "actor" if (checkpoint / "actor").is_dir() else checkpoint


def started_steps(checkpoints: Path) -> list[int]:
    """Steps that have a folder, complete or not."""
    names = (_STEP.fullmatch(path.name) for path in checkpoints.glob("global_step_*"))
    return sorted(int(name[1]) for name in names if name)


def complete_steps(checkpoints: Path) -> list[int]:
    """Steps whose checkpoint is complete."""
    return [step for step in started_steps(checkpoints) if not fault_of(step_folder(checkpoints, step))]


def fault_of(checkpoint: Path) -> str | None:
    """Why a checkpoint cannot be resumed from, or None if it can."""
    if not checkpoint.is_dir():
        return "there is no such checkpoint"
    engine = engine_folder(checkpoint)
    if not (engine / "fsdp_config.json").is_file():  # rank 0 writes it after its own shards
        return "the first worker had not finished"
    try:
        workers = json.loads((engine / "fsdp_config.json").read_text(encoding="utf-8"))["world_size"]
    except (ValueError, KeyError):
        return "fsdp_config.json is truncated"
    kinds = {found[1] for found in map(_OF_RANK_0.fullmatch, _names(engine)) if found}
    if "model" not in kinds:
        return "it contains no weights"
    shards = [engine / f"{kind}_world_size_{workers}_rank_{rank}.pt" for kind in kinds for rank in range(workers)]
    loader_states = [*checkpoint.glob("data*.pt")]
    if not loader_states:
        return "the state of the data loader was not written"
    broken = next((path for path in [*shards, *loader_states] if not _is_complete(path)), None)
    return f"{broken.relative_to(checkpoint)} is missing or truncated" if broken else None


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _is_complete(path: Path) -> bool:
    """Whether a file has the central directory that torch's zip files end with; a truncated file has none."""
    return path.is_file() and zipfile.is_zipfile(path)


def prepare_resume(checkpoints: Path) -> int | None:
    """Point verl at the newest complete checkpoint and remove those that a kill truncated.

    Folders up to the tracker's step are kept, complete or not: verl once finished them, and where nodes store
    checkpoints on local disks, the other shards are on other nodes.

    Returns:
        The step to resume from, or None if the run starts from the beginning.

    Raises:
        NoCheckpoint: the tracker names a step, but no checkpoint here is complete; restarting silently would lose a
        run.
    """
    tracked = _tracked(checkpoints)
    complete = complete_steps(checkpoints)
    if tracked and not complete:
        raise NoCheckpoint(
            f"{checkpoints} records that step {tracked} was saved, but contains no complete checkpoint "
            f"({fault_of(step_folder(checkpoints, tracked))}); all nodes must see this folder. "
            "To train from the start, remove it"
        )
    for step in started_steps(checkpoints):
        if step > (tracked or 0) and step not in complete:
            shutil.rmtree(step_folder(checkpoints, step))
    if not complete:
        (checkpoints / TRACKER).unlink(missing_ok=True)
        return None
    if tracked != complete[-1]:
        write_atomic(checkpoints / TRACKER, str(complete[-1]))
    return complete[-1]


def _tracked(checkpoints: Path) -> int | None:
    try:
        return int((checkpoints / TRACKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def chosen_step(checkpoints: Path, step: int | None) -> int:
    """The requested step, or the newest; raises `NoCheckpoint` listing the complete ones."""
    complete = complete_steps(checkpoints)
    if not complete:
        raise NoCheckpoint(
            f"{checkpoints} contains no complete checkpoint; train first, or longer than trainer.save_freq"
        )
    if step is not None and step not in complete:
        fault = fault_of(step_folder(checkpoints, step))
        raise NoCheckpoint(f"step {step} of {checkpoints}: {fault}; complete are {', '.join(map(str, complete))}")
    return step if step is not None else complete[-1]


def prune(checkpoints: Path, keep: int) -> None:
    """Remove all complete checkpoints except the newest `keep`; verl removes only those of its own attempt."""
    for step in complete_steps(checkpoints)[:-keep]:
        shutil.rmtree(step_folder(checkpoints, step))
