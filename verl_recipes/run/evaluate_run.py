"""Evaluate a trained model on the benchmark's own tasks: one `shotbench eval` process per prompt style."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.harness.run_record import data_sha256
from lmms_eval_shotbench.model_args import format_model_args
from lmms_eval_shotbench.questions.question_files import locate_questions
from lmms_eval_shotbench.qwen.revision import revision_in_use
from lmms_eval_shotbench.runs.score import SCORES_FILES
from verl_recipes.run.preloaded_process import run_preloaded

TASKS = ("shotbench", "shotbench_reasoning")  # direct and reasoning style; training in one changes both scores


class EvaluationFailed(RuntimeError):
    """`shotbench eval` failed; the message contains its last lines of output."""


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
    """Evaluate a checkpoint on each task; return the content of each task's `scores.json`, by task.

    Args:
        model: Model folder or Hub id.
        data: Shard folder or Hub id.
        out: Folder for the results; each task has a subfolder.
        tasks: Names of tasks of `shotbench eval`.
        split: Split of the shards.
        blank: Replace every still and clip with uniform grey, to measure how well the model guesses.
        max_new_tokens: Maximum number of tokens per response; None for the protocol's default.
        reuse: Keep existing scores in `out` if the same command computed them for the same weights and questions.

    Raises:
        EvaluationFailed: The evaluation of a task failed.
    """
    scores = {}
    for task in tasks:
        target = out / (f"{task}.blank" if blank else task)
        command = ["eval", "--tasks", task, "--data", data]
        command += ["--split", split, "--out", str(target), "--model", "shotvl"]
        arguments = {"pretrained": model} | ({"blank": True} if blank else {})
        command += ["--model_args", format_model_args(arguments), "--verbosity", "WARNING"]
        if max_new_tokens:
            command += ["--gen_kwargs", f"max_new_tokens={max_new_tokens}"]
        path = target / SCORES_FILES["strict"]
        if not (reuse and _is_current(path, command, model, data)):
            _run_command(command)
        scores[task] = json.loads(path.read_text(encoding="utf-8"))
    return scores


def _is_current(path: Path, command: Sequence[str], model: Path | str, data: str) -> bool:
    """Whether the scores exist and were computed by this command for the current weights and questions."""
    if not path.is_file():
        return False
    run = json.loads(path.read_text(encoding="utf-8")).get("run") or {}
    expected = (
        shlex.join(["shotbench", *command]),
        revision_in_use(format_model_args({"pretrained": model})),
        data_sha256(locate_questions(data)),
    )
    return bool(expected == (run.get("command"), run.get("revision"), run.get("data_sha256")))


def _run_command(command: list[str]) -> None:
    """Run `shotbench COMMAND` in a process of its own."""
    status, output = run_preloaded(_exit_with_command, command, os.environ)
    if status:
        last = "\n".join(output.strip().splitlines()[-8:])
        raise EvaluationFailed(f"shotbench {shlex.join(command)} ended with status {status}:\n{last}")


def _exit_with_command(command: list[str]) -> None:
    from lmms_eval_shotbench.cli import main

    sys.exit(main(command))
