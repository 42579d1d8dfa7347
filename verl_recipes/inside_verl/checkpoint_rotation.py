"""Keep only the newest checkpoints of a run, also those that earlier starts of the trainer wrote.

verl rotates checkpoints itself, but each process counts only what it has written: a run that resumes with
`max_ckpt_to_keep=2` ends with four. With a limit of 1 it also removes the previous checkpoint before it has written the
state of the data loader and the tracker of the new one, so that a kill in between leaves nothing to resume from.

The limits are `trainer.max_ckpt_to_keep` of SFT and `trainer.max_actor_ckpt_to_keep` of GRPO.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "global_step_"


@contextmanager
def rotated(checkpoints: Path, limit: object) -> Iterator[None]:
    """Make space for the checkpoint that is saved in this context, and remove surplus ones once it is complete.

    At most `limit` checkpoints are on disk at a time, but 2 if the limit is 1: the only one stays until the new one is
    complete.

    Args:
        checkpoints: Folder of the checkpoints.
        limit: Maximum number of checkpoints; like in verl, anything but a positive integer means no limit.
    """
    if not isinstance(limit, int) or limit < 1:
        yield
        return
    _keep_newest(checkpoints, max(limit - 1, 1))
    yield
    _keep_newest(checkpoints, limit)


def _keep_newest(checkpoints: Path, count: int) -> None:
    for step in started_steps(checkpoints)[:-count]:
        shutil.rmtree(step_folder(checkpoints, step), ignore_errors=True)


def step_folder(checkpoints: Path, step: int) -> Path:
    """Folder of the checkpoint of a step."""
    return checkpoints / f"{PREFIX}{step}"


def started_steps(checkpoints: Path) -> list[int]:
    """Steps that have a checkpoint folder, complete or not, in ascending order."""
    numbers = (path.name.removeprefix(PREFIX) for path in checkpoints.glob(f"{PREFIX}*"))
    return sorted(int(number) for number in numbers if number.isdecimal())
