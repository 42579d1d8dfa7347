"""The folder of a training run: its layout, its recorded settings, and its lock against concurrent writers.

RUN/
  order.json           settings of the run (`TrainingRequest`), and checksums of its data and start model
  changes.jsonl        each setting that was changed when the run resumed, with the step; `resume.py` decides which may
  config.yaml          verl's complete configuration of the last attempt
  command.txt          the command of the last attempt, to run by hand
  rows/                training and validation rows (`training_rows.py`)
  checkpoints/         written by verl, see `checkpoints.py`
  metrics/0001.jsonl   output of verl's file logger, one file per attempt, because verl truncates an existing file
  completions/         validation/0001.jsonl, rollouts/0001.jsonl: responses that are kept, one file per attempt
  logs/0001.log        stdout and stderr of the trainer, one file per attempt
  model/               the trained model, merged (`merge.py`)
  stop_requested       file that makes the trainer stop after its current step (`inside_verl/stop_request.py`)
  finished             empty file; created when the trainer has exited with status 0

An attempt is one start of the trainer.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.file_lock import open_locked
from lmms_eval_shotbench.runs.completions import FOLDER, Kind
from verl_recipes.run.changed_settings import Change


class RunRefused(RuntimeError):
    """The run folder is in use, or holds a run that cannot resume with these settings."""


@dataclass(frozen=True)
class TrainingRequest:
    """Settings of one training run, as requested: method, recipe, data, start model, overrides and run folder."""

    method: str  # one of recipes.METHODS
    recipe: str  # such as 3b
    data: str  # shard folder or Hub id
    out: Path
    model: str | None = None  # Hub id, checkpoint folder or run folder; None: the recipe's default
    overrides: tuple[str, ...] = ()  # Hydra's key=value

    def settings(self) -> dict[str, Any]:
        """The settings that determine the result: all except the run folder."""
        settings = dataclasses.asdict(self) | {"out": None, "overrides": list(self.overrides)}
        return {name: value for name, value in settings.items() if value is not None}


@dataclass(frozen=True)
class Record:
    """The content of `order.json`: a request, and checksums of its data and model as far as they are known."""

    request: TrainingRequest
    checksums: Mapping[str, str | None] = field(default_factory=dict)  # of `data` and `model`

    def to_json(self) -> str:
        """Serialize the record; the run folder is not part of it."""
        known = {name: checksum for name, checksum in self.checksums.items() if checksum}
        return json.dumps(self.request.settings() | ({"checksums": known} if known else {}), indent=1)


@dataclass(frozen=True)
class RunFolder:
    """Paths in the folder of one run; see the module's docstring for the layout."""

    path: Path

    @property
    def order(self) -> Path:
        return self.path / "order.json"

    @property
    def changes(self) -> Path:
        return self.path / "changes.jsonl"

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
        """JSON lines file of the metrics that verl logs in one attempt."""
        return self.path / "metrics" / f"{attempt:04}.jsonl"

    def completions(self, kind: Kind, attempt: int) -> Path:
        """JSON lines file of the responses that are kept in one attempt (`lmms_eval_shotbench/runs/completions.py`)."""
        return self.path / FOLDER / kind / f"{attempt:04}.jsonl"

    def log(self, attempt: int) -> Path:
        """File of the trainer's output in one attempt."""
        return self.path / "logs" / f"{attempt:04}.log"

    def next_attempt(self) -> int:
        """Number of the next attempt: one more than the last that has a log."""
        return 1 + max((int(path.stem) for path in self.path.glob("logs/*.log")), default=0)

    def recorded(self) -> Record | None:
        """The record of the run, or None in a new folder; version 0.1 recorded no checksums."""
        if not self.order.exists():
            return None
        content = json.loads(self.order.read_text(encoding="utf-8"))
        named = {name: content[name] for name in ("method", "recipe", "data", "model") if name in content}
        request = TrainingRequest(out=self.path, overrides=tuple(content.get("overrides", ())), **named)
        return Record(request, content.get("checksums", {}))

    def begin(self, record: Record) -> None:
        """Record a run that has no checkpoint yet; rows of other settings are removed."""
        known = self.recorded()
        if known is None or known.to_json() != record.to_json():
            shutil.rmtree(self.rows, ignore_errors=True)
            write_atomic(self.order, record.to_json())

    def resume(self, record: Record, step: int, changes: Sequence[Change]) -> None:
        """Record the settings with which a run resumes from the checkpoint of `step`."""
        lines = [json.dumps({"step": step, **dataclasses.asdict(change)}) + "\n" for change in changes]
        if lines:
            earlier = self.changes.read_text(encoding="utf-8") if self.changes.exists() else ""
            write_atomic(self.changes, earlier + "".join(lines))
        write_atomic(self.order, record.to_json())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the folder, which is created.

        Raises:
            RunRefused: another process trains in the folder.
        """
        try:
            lock = open_locked(self.path / ".lock")
        except BlockingIOError:
            raise RunRefused(f"another process trains in {self.path}; wait for it or choose another --out") from None
        try:
            yield
        finally:
            os.close(lock)


def read_metrics(run: Path) -> dict[int, dict[str, float]]:
    """Read the metrics of all attempts: values by step and metric name.

    An attempt that resumes repeats the steps after its checkpoint. So steps after the first step that an attempt logged
    are taken from that attempt only.
    """
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


def is_run_folder(folder: Path) -> bool:
    """Whether a folder is a readable run folder, that is, contains an `order.json`."""
    return (folder / "order.json").is_file() and os.access(folder, os.R_OK)
