"""A training run's folder: where its parts lie, what was ordered, and that one process at a time writes to it.

RUN/
  order.json           what was ordered: the same order goes on where it stopped, another one is refused
  config.yaml          verl's whole configuration of the last attempt
  command.txt          the command of the last attempt, to be run by hand
  rows/                what verl trains on (`training_rows.py`)
  checkpoints/         verl's own, see `checkpoints.py`
  metrics/0001.jsonl   verl's file logger, one file an attempt; verl empties the file it is given
  logs/0001.log        all that was printed, one file an attempt
  model/               the trained model, merged (`merge.py`)
      finished             there once the trainer came to its end
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.file_lock import open_locked


class RunRefused(RuntimeError):
    """A folder that this order must not train in."""


@dataclass(frozen=True)
class TrainingOrder:
    """What is to be trained, how, on what, and where it goes."""

    method: str  # one of recipes.METHODS
    recipe: str  # such as 3b
    data: str  # shard folder or Hub id
    out: Path
    model: str | None = None  # Hub id, checkpoint folder or run folder; None: the recipe's own
    overrides: tuple[str, ...] = ()  # hydra's key=value

    def to_json(self) -> str:
        """What decides the result; where it lies does not."""
        told = dataclasses.asdict(self) | {"out": None, "overrides": list(self.overrides)}
        return json.dumps({name: value for name, value in told.items() if value is not None}, indent=1)


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run."""

    path: Path

    @property
    def order(self) -> Path:
        return self.path / "order.json"

    @property
    def rows(self) -> Path:
        return self.path / "rows"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def command(self) -> Path:
        return self.path / "command.txt"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def finished(self) -> Path:
        return self.path / "finished"

    def metrics(self, attempt: int) -> Path:
        """What verl logs in one attempt."""
        return self.path / "metrics" / f"{attempt:04}.jsonl"

    def log(self, attempt: int) -> Path:
        """What one attempt prints."""
        return self.path / "logs" / f"{attempt:04}.log"

    def next_attempt(self) -> int:
        """The number of the attempt that has no log yet."""
        return 1 + max((int(path.stem) for path in self.path.glob("logs/*.log")), default=0)

    @contextmanager
    def claimed(self, order: TrainingOrder) -> Iterator[None]:
        """Hold the folder for one order.

        Raises:
            RunRefused: another order has begun here, or another process is at work.
        """
        try:
            lock = open_locked(self.path / ".lock")
        except BlockingIOError:
            raise RunRefused(f"another process trains in {self.path}; wait for it or choose another --out") from None
        try:
            self._keep_to(order)
            yield
        finally:
            os.close(lock)

    def _keep_to(self, order: TrainingOrder) -> None:
        begun = self.order.read_text(encoding="utf-8") if self.order.exists() else None
        if begun == order.to_json():
            return
        if begun and self.next_attempt() > 1:
            before, now = json.loads(begun), json.loads(order.to_json())
            differs = [
                f"{name} was {before.get(name)!r}, is {now.get(name)!r}"
                for name in {**before, **now}
                if before.get(name) != now.get(name)
            ]
            raise RunRefused(
                f"{self.path} holds a run begun with other settings ({'; '.join(differs)}); "
                "repeat its command to go on, or choose another --out"
            )
        shutil.rmtree(self.rows, ignore_errors=True)  # of an order that was refused before it began
        write_atomic(self.order, order.to_json())


def read_metrics(run: Path) -> dict[int, dict[str, float]]:
    """What was logged, by step. Steps that an attempt lost, because it died before a checkpoint, do not count."""
    logged: dict[int, dict[str, float]] = {}
    for path in sorted((run / "metrics").glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines if line.endswith("\n")]  # the last may be cut by a kill
        if not rows:
            continue
        first = rows[0]["step"]
        logged = {step: values for step, values in logged.items() if step <= first}
        for row in rows:
            logged[row["step"]] = logged.get(row["step"], {}) | row["data"]
    return logged


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a training run."""
    return (folder / "order.json").is_file() and os.access(folder, os.R_OK)
