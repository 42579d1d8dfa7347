"""The folder of a training run: its layout, its recorded order, and its lock against concurrent writers.

RUN/
  order.json           the order: the same order resumes, another one is refused
  config.yaml          verl's complete configuration of the last attempt
  command.txt          the command of the last attempt, to run by hand
  rows/                training and validation rows (`training_rows.py`)
  checkpoints/         written by verl, see `checkpoints.py`
  metrics/0001.jsonl   verl's file logger, one file per attempt, as verl truncates an existing file
  logs/0001.log        all output, one file per attempt
  model/               the trained model, merged (`merge.py`)
  finished             empty; created when the trainer has ended successfully
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
    """The run folder is in use or holds a run with other settings."""


@dataclass(frozen=True)
class TrainingOrder:
    """Settings of one training run: method, recipe, data, start model, overrides and run folder."""

    method: str  # one of recipes.METHODS
    recipe: str  # such as 3b
    data: str  # shard folder or Hub id
    out: Path
    model: str | None = None  # Hub id, checkpoint folder or run folder; None: the recipe's default
    overrides: tuple[str, ...] = ()  # Hydra's key=value

    def to_json(self) -> str:
        """JSON of the settings that determine the result; the run folder is left out."""
        settings = dataclasses.asdict(self) | {"out": None, "overrides": list(self.overrides)}
        return json.dumps({name: value for name, value in settings.items() if value is not None}, indent=1)


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
        """Metrics that verl logs in one attempt."""
        return self.path / "metrics" / f"{attempt:04}.jsonl"

    def log(self, attempt: int) -> Path:
        """Output of one attempt."""
        return self.path / "logs" / f"{attempt:04}.log"

    def next_attempt(self) -> int:
        """Number of the next attempt: one more than the last that has a log."""
        return 1 + max((int(path.stem) for path in self.path.glob("logs/*.log")), default=0)

    @contextmanager
    def claimed(self, order: TrainingOrder) -> Iterator[None]:
        """Lock the folder for one order.

        Raises:
            RunRefused: the folder holds a run with other settings, or another process trains in it.
        """
        try:
            lock = open_locked(self.path / ".lock")
        except BlockingIOError:
            raise RunRefused(f"another process trains in {self.path}; wait for it or choose another --out") from None
        try:
            self._record(order)
            yield
        finally:
            os.close(lock)

    def _record(self, order: TrainingOrder) -> None:
        recorded = self.order.read_text(encoding="utf-8") if self.order.exists() else None
        if recorded == order.to_json():
            return
        if recorded and self.next_attempt() > 1:
            before, now = json.loads(recorded), json.loads(order.to_json())
            differs = [
                f"{name} was {before.get(name)!r}, is {now.get(name)!r}"
                for name in {**before, **now}
                if before.get(name) != now.get(name)
            ]
            raise RunRefused(
                f"{self.path} holds a run started with other settings ({'; '.join(differs)}); "
                "repeat its command to resume it, or choose another --out"
            )
        shutil.rmtree(self.rows, ignore_errors=True)  # of an order that failed before its first attempt
        write_atomic(self.order, order.to_json())


def read_metrics(run: Path) -> dict[int, dict[str, float]]:
    """Logged metrics by step and name; steps after the checkpoint from which a later attempt resumed are replaced."""
    logged: dict[int, dict[str, float]] = {}
    for path in sorted((run / "metrics").glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines if line.endswith("\n")]  # a kill may truncate the last line
        if not rows:
            continue
        first = rows[0]["step"]
        logged = {step: values for step, values in logged.items() if step <= first}
        for row in rows:
            logged[row["step"]] = logged.get(row["step"], {}) | row["data"]
    return logged


def is_run(folder: Path) -> bool:
    """Whether a folder is the folder of a training run."""
    return (folder / "order.json").is_file() and os.access(folder, os.R_OK)
