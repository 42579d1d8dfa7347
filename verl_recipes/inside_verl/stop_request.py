"""A request to stop a training run early: the trainer ends after its current step with a checkpoint of that step.

The request is a file in the run folder, since the trainer may be a process on another node. `shotbench train` creates
it on `STOP_SIGNAL`, a person or a script with `touch RUN/stop_requested`. A trainer that stops because of it writes
the step into the file.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.atomic_file import write_atomic

STOP_SIGNAL = signal.SIGUSR1  # what schedulers send before a time limit


@dataclass(frozen=True)
class StopRequest:
    """The request to stop the run in a folder."""

    run: Path

    @property
    def path(self) -> Path:
        """The file that is the request."""
        return self.run / "stop_requested"

    def exists(self) -> bool:
        """Whether the run is to stop."""
        return self.path.exists()

    def stopped_step(self) -> int | None:
        """Step after which the trainer stopped, or None if it was not requested or has not stopped."""
        try:
            return int(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def record_stop(self, step: int) -> None:
        """Record that the trainer stops after `step`."""
        write_atomic(self.path, str(step))

    @contextmanager
    def created_by_signal(self) -> Iterator[None]:
        """Discard the request of an earlier attempt, and create one when this process receives `STOP_SIGNAL`."""
        self.path.unlink(missing_ok=True)
        before = signal.signal(STOP_SIGNAL, lambda *_: self.path.touch())
        try:
            yield
        finally:
            signal.signal(STOP_SIGNAL, before)
            self.path.unlink(missing_ok=True)


def stop_request_of(config: Any) -> StopRequest:
    """The request of the run that a trainer with this configuration belongs to."""
    return StopRequest(Path(config.trainer.default_local_dir).parent)


class Stopped(Exception):
    """The SFT trainer has stopped as requested."""


def stop_sft_when_requested(trainer: Any) -> None:
    """Make verl's SFT trainer, once requested, save after the current step and raise `Stopped`.

    In the last step of the run the request has no effect.
    """
    request = stop_request_of(trainer.config)
    train_batch, save_checkpoint = trainer.training_client.train_batch, trainer.ckpt_handler.save_checkpoint

    def train_and_check(data: Any) -> Any:
        output = train_batch(data)
        output.get()  # the step is finished; the trainer calls this again and gets the same
        if request.exists():
            trainer.save_freq = 1
        return output

    def save_and_stop(step: int) -> None:
        save_checkpoint(step=step)
        if step < trainer.total_training_steps and request.exists():
            request.record_stop(step)
            raise Stopped

    trainer.training_client.train_batch = train_and_check
    trainer.ckpt_handler.save_checkpoint = save_and_stop


def stop_ppo_when_requested(trainer: Any) -> None:
    """Make verl's PPO trainer, once requested, save after the current step and leave its training loop.

    Call it at the end of a step's training, before the trainer decides whether to save. In the last step of the run it
    has no effect.
    """
    request = stop_request_of(trainer.config)
    if trainer.global_steps < trainer.total_training_steps and request.exists():
        trainer.config.trainer.save_freq = 1
        trainer.total_training_steps = trainer.global_steps  # condition of the loop; no validation follows
        request.record_stop(trainer.global_steps)
