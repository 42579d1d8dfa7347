"""Checkpoints as verl's FSDP engine writes them: which are complete, and from which one a run resumes.

    checkpoints/
      latest_checkpointed_iteration.txt    the step verl resumes from
      global_step_N/[actor/]model_world_size_W_rank_R.pt, optim_…, extra_state_…, fsdp_config.json, huggingface/
      global_step_N/data.pt | data_0.pt    state of the data loader; written last

The tracker is `latest_checkpointed_iteration.txt`. verl writes it last, so it never names a checkpoint whose writing
was interrupted. But verl's PPO trainer does not write the tracker itself atomically: a kill at that moment leaves it
empty, and verl then fails to resume. A full disk also truncates files. So before each attempt the tracker is set to the
newest complete checkpoint.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path

from lmms_eval_shotbench.atomic_file import write_atomic
from verl_recipes.inside_verl.checkpoint_rotation import started_steps, step_folder

TRACKER = "latest_checkpointed_iteration.txt"
_OF_RANK_0 = re.compile(r"(\w+)_world_size_\d+_rank_0\.pt")


class NoCheckpoint(RuntimeError):
    """A run has no checkpoint to resume from or to merge."""


def engine_folder(checkpoint: Path) -> Path:
    """Folder of the weights in a checkpoint: `actor/` for PPO, the checkpoint folder itself for SFT."""
    return checkpoint / "actor" if (checkpoint / "actor").is_dir() else checkpoint


def complete_steps(checkpoints: Path) -> list[int]:
    """Steps whose checkpoint is complete, in ascending order."""
    return [step for step in started_steps(checkpoints) if not fault_of(step_folder(checkpoints, step))]


def workers_of(checkpoint: Path) -> int:
    """Number of workers that wrote a complete checkpoint."""
    return int(json.loads((engine_folder(checkpoint) / "fsdp_config.json").read_text(encoding="utf-8"))["world_size"])


def fault_of(checkpoint: Path) -> str | None:
    """The reason why a run cannot resume from a checkpoint, or None if it can."""
    if not checkpoint.is_dir():
        return "there is no such checkpoint"
    engine = engine_folder(checkpoint)
    if not (engine / "fsdp_config.json").is_file():  # rank 0 writes it after its own shards
        return "the first worker had not finished"
    try:
        workers = json.loads((engine / "fsdp_config.json").read_text(encoding="utf-8"))["world_size"]
    except (ValueError, KeyError):
        return "fsdp_config.json is truncated"
    kinds = {found[1] for found in map(_OF_RANK_0.fullmatch, _folder_names(engine)) if found}
    if "model" not in kinds:
        return "it contains no weights"
    shards = [engine / f"{kind}_world_size_{workers}_rank_{rank}.pt" for kind in kinds for rank in range(workers)]
    loader_states = [*checkpoint.glob("data*.pt")]
    if not loader_states:
        return "the state of the data loader was not written"
    broken = next((path for path in [*shards, *loader_states] if not _is_complete(path)), None)
    return f"{broken.relative_to(checkpoint)} is missing or truncated" if broken else None


def _folder_names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _is_complete(path: Path) -> bool:
    """Whether a file of `torch.save` is complete: it then ends with the central directory of a zip file."""
    return path.is_file() and zipfile.is_zipfile(path)


def resume_step(checkpoints: Path) -> int | None:
    """The step from which a run resumes, or None if it starts from the beginning.

    Raises:
        NoCheckpoint: The tracker names a step, but no checkpoint in this folder is complete. Starting again from
            step 0 without an error would discard the run.
    """
    tracked = _tracked(checkpoints)
    complete = complete_steps(checkpoints)
    if tracked and not complete:
        raise NoCheckpoint(
            f"{checkpoints} records that step {tracked} was saved, but contains no complete checkpoint "
            f"({fault_of(step_folder(checkpoints, tracked))}); all nodes must see this folder. "
            "To train from the start, remove it"
        )
    return complete[-1] if complete else None


def prepare_resume(checkpoints: Path) -> int | None:
    """Set the tracker to the newest complete checkpoint and remove incomplete checkpoints after the tracked step.

    Checkpoints up to the tracked step are kept even if they look incomplete: verl finished writing them, and if nodes
    write to local disks, the missing shards are on other nodes.

    Returns:
        The step of `resume_step`, which also raises.
    """
    newest = resume_step(checkpoints)
    tracked = _tracked(checkpoints)
    complete = complete_steps(checkpoints)
    for step in started_steps(checkpoints):
        if step > (tracked or 0) and step not in complete:
            shutil.rmtree(step_folder(checkpoints, step))
    if newest is None:
        (checkpoints / TRACKER).unlink(missing_ok=True)
    elif tracked != newest:
        write_atomic(checkpoints / TRACKER, str(newest))
    return newest


def _tracked(checkpoints: Path) -> int | None:
    try:
        return int((checkpoints / TRACKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def chosen_step(checkpoints: Path, step: int | None) -> int:
    """`step` if its checkpoint is complete, or the newest complete step if `step` is None.

    Raises:
        NoCheckpoint: There is no such checkpoint; the message lists the complete ones.
    """
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
    """Remove all checkpoints older than the newest `keep` complete ones, such as half removed ones."""
    kept = complete_steps(checkpoints)[-keep:]
    for step in started_steps(checkpoints):
        if kept and step < kept[0]:
            shutil.rmtree(step_folder(checkpoints, step))
