"""Evaluate what was trained with the benchmark's own tasks: `shotbench eval`, a process for each prompt style."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.score import SCORES_FILES

TASKS = ("shotbench", "shotbench_reasoning")  # direct and reasoning: what a model was trained for shows in both


class EvaluationFailed(RuntimeError):
    """`shotbench eval` ended with an error; the message holds its last lines."""


def evaluate_model(
    model: Path | str,
    data: str,
    out: Path,
    tasks: Sequence[str] = TASKS,
    split: str = "test",
    *,
    blank: bool = False,
    max_new_tokens: int | None = None,
    reuse: bool = False,
) -> dict[str, dict[str, Any]]:
    """Evaluate a checkpoint by each task; return the content of OUT/TASK/scores.json by task.

    Args:
        blank: show plain grey in place of every medium: what is scored then was not seen.
        reuse: take scores that are at OUT already; only where the model there cannot have changed since.

    Raises:
        EvaluationFailed: a task could not be run to its end.
    """
    scores = {}
    for task in tasks:
        target = out / (f"{task}.blank" if blank else task)
        command = [sys.executable, "-m", "lmms_eval_shotbench.cli", "eval", "--tasks", task, "--data", data]
        command += ["--split", split, "--out", str(target), "--model", "shotvl"]
        command += ["--model_args", f"pretrained={model}" + ",blank=True" * blank, "--verbosity", "WARNING"]
        if max_new_tokens:
            command += ["--gen_kwargs", f"max_new_tokens={max_new_tokens}"]
        if not (reuse and (target / SCORES_FILES["strict"]).is_file()):
            _run(command)
        scores[task] = json.loads((target / SCORES_FILES["strict"]).read_text(encoding="utf-8"))
    return scores


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise EvaluationFailed(f"{' '.join(command[1:])} ended with status {done.returncode}:\n{last}")
