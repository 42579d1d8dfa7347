"""Checkpoints as verl's FSDP engine writes them: which are whole, and where a run resumes.

    checkpoints/
      latest_checkpointed_iteration.txt    the step verl resumes from
      global_step_N/[actor/]model_world_size_W_rank_R.pt, optim_…, extra_state_…, fsdp_config.json, huggingface/
      global_step_N/data.pt | data_0.pt    where the order of the rows stands; written last

verl writes the tracker after everything else, so it never names a checkpoint that a kill cut short. But a PPO run
writes it in place: a kill at that moment leaves it empty, and verl then fails. A full disk cuts files, too. So before a
run, the tracker is set to the newest checkpoint that is whole.
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
    """A run without a checkpoint to go on from or to merge."""


def step_folder(checkpoints: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return checkpoints / f"global_step_{step}"


def engine_folder(checkpoint: Path) -> Path:
    """Where the weights lie: PPO keeps its actor's apart, SFT has only one model."""
    return checkpoint / "actor" if (checkpoint / "actor").is_dir() else checkpoint


def steps_begun(checkpoints: Path) -> list[int]:
    """Steps that have a folder, whole or not."""
    names = (_STEP.fullmatch(path.name) for path in checkpoints.glob("global_step_*"))
    return sorted(int(name[1]) for name in names if name)


def whole_steps(checkpoints: Path) -> list[int]:
    """Steps whose checkpoint is whole."""
    return [step for step in steps_begun(checkpoints) if not fault_of(step_folder(checkpoints, step))]


def fault_of(checkpoint: Path) -> str | None:
    """Why a checkpoint cannot be resumed from; None where it can."""
    if not checkpoint.is_dir():
        return "there is none"
    engine = engine_folder(checkpoint)
    if not (engine / "fsdp_config.json").is_file():  # rank 0 writes it after its own shards
        return "the first worker had not finished"
    try:
        workers = json.loads((engine / "fsdp_config.json").read_text(encoding="utf-8"))["world_size"]
    except (ValueError, KeyError):
        return "fsdp_config.json is cut short"
    kinds = {found[1] for found in map(_OF_RANK_0.fullmatch, _names(engine)) if found}
    if "model" not in kinds:
        return "it holds no weights"
    shards = [engine / f"{kind}_world_size_{workers}_rank_{rank}.pt" for kind in kinds for rank in range(workers)]
    orders = [*checkpoint.glob("data*.pt")]
    if not orders:
        return "the order of the rows was not written"
    broken = next((path for path in [*shards, *orders] if not _is_whole(path)), None)
    return f"{broken.relative_to(checkpoint)} is missing or cut short" if broken else None


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _is_whole(path: Path) -> bool:
    """torch writes zip files, whose table of contents comes last: a file cut short has none."""
    return path.is_file() and zipfile.is_zipfile(path)


def settle(checkpoints: Path) -> int | None:
    """Point verl at the newest whole checkpoint and remove what a kill cut short; return its step, None for a start.

    A folder up to the tracker's step is left alone, whole or not: verl once finished it, and where nodes keep
    checkpoints on disks of their own, other parts of it lie elsewhere.

    Raises:
        NoCheckpoint: the tracker names a step, but nothing whole is here; to begin anew in silence would lose a run.
    """
    tracked = _tracked(checkpoints)
    whole = whole_steps(checkpoints)
    if tracked and not whole:
        raise NoCheckpoint(
            f"{checkpoints} says that step {tracked} was saved, but holds no whole checkpoint "
            f"({fault_of(step_folder(checkpoints, tracked))}); all nodes must see this folder. "
            "To train from the start, remove it"
        )
    for step in steps_begun(checkpoints):
        if step > (tracked or 0) and step not in whole:
            shutil.rmtree(step_folder(checkpoints, step))
    if not whole:
        (checkpoints / TRACKER).unlink(missing_ok=True)
        return None
    if tracked != whole[-1]:
        write_atomic(checkpoints / TRACKER, str(whole[-1]))
    return whole[-1]


def _tracked(checkpoints: Path) -> int | None:
    try:
        return int((checkpoints / TRACKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def chosen_step(checkpoints: Path, step: int | None) -> int:
    """The step asked for, or the newest; raises `NoCheckpoint` naming those there are."""
    whole = whole_steps(checkpoints)
    if not whole:
        raise NoCheckpoint(f"{checkpoints} holds no whole checkpoint; train first, or longer than trainer.save_freq")
    if step is not None and step not in whole:
        fault = fault_of(step_folder(checkpoints, step))
        raise NoCheckpoint(f"step {step} of {checkpoints}: {fault}; whole are {', '.join(map(str, whole))}")
    return step if step is not None else whole[-1]


def prune(checkpoints: Path, keep: int) -> None:
    """Remove all whole checkpoints but the newest: verl forgets those of earlier attempts and would keep them all."""
    for step in whole_steps(checkpoints)[:-keep]:
        shutil.rmtree(step_folder(checkpoints, step))
