"""The state of a training run as text for a terminal: its last figures and its last completions. It only reads.

Whether a trainer is running cannot be seen from the folder on every file system, so the age of its last output is
shown.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from lmms_eval_shotbench.runs.completions import KINDS, Completion, Kind, last_completions
from verl_recipes.run.last_figures import duration, figures, is_training_step
from verl_recipes.run.run_folder import RunFolder, is_run_folder, read_metrics

SILENT_SECONDS = 600  # without output, after which the run may have stopped
RESPONSE_LINES = 6  # of each completion
CLEAR = "\x1b[H\x1b[2J"  # of the terminal


class NothingToWatch(ValueError):
    """The folder is no training run; the message states what to do."""


def watched(run: Path, width: int = 80, completions: int = 2) -> str:
    """Return the state of a run.

    Args:
        run: Folder of the run.
        width: Maximum length of a line in characters.
        completions: Number of last completions of each kind: those with the lowest and the highest rewards.

    Raises:
        NothingToWatch: The folder is no training run.
    """
    if not is_run_folder(run):
        what = "there is no such folder" if not run.exists() else "this is no folder of a training run"
        raise NothingToWatch(f"{run}: {what}; give the --out of shotbench train sft, cot-sft or grpo")
    folder = RunFolder(run)
    logged = read_metrics(run)
    method = str(json.loads(folder.order.read_text(encoding="utf-8")).get("method"))
    lines = [f"{run.absolute().name}: {method}, {_state(folder)}"]
    if not any(is_training_step(values) for values in logged.values()):
        lines.append("no step of the training is finished yet")
    lines += figures(folder, logged) if logged else []
    for kind in KINDS:
        lines += _completions(kind, last_completions(run, kind), completions, width)
    if method == "grpo" and not any((run / "completions").glob("*/*.jsonl")):
        lines.append(f"no completions are kept{'' if folder.finished.exists() else ' yet'}")
    return "\n".join(_fitted(lines, width))


def states(run: Path, interval: float | None, completions: int) -> Iterator[str]:
    """Yield the state of a run; in a terminal again and again until the run is finished or the user interrupts.

    Args:
        run: Folder of the run.
        interval: Seconds between two refreshes; None for one state.
        completions: As in `watched`.

    Raises:
        NothingToWatch: The folder is no training run.
    """
    follows = interval is not None and sys.stdout.isatty()
    with suppress(KeyboardInterrupt):
        while True:
            finished = RunFolder(run).finished.exists()  # before reading, so that the last state is complete
            state = watched(run, shutil.get_terminal_size().columns, completions)
            yield CLEAR + state if follows else state
            if not follows or finished:
                return
            time.sleep(interval or 0)


def _state(folder: RunFolder) -> str:
    attempt = folder.next_attempt() - 1
    if folder.finished.exists():
        return "finished"
    if not attempt:
        return "not started"
    silent = max(time.time() - folder.log(attempt).stat().st_mtime, 0)
    if silent > SILENT_SECONDS:
        return f"no output for {duration(silent)}, so it may have stopped: see {folder.log(attempt)}"
    return f"start {attempt}, last output {duration(silent)} ago"


def _completions(kind: Kind, step: list[Completion], count: int, width: int) -> Iterator[str]:
    if not step or not count:
        return
    ranked = sorted(step, key=lambda one: one.score)
    chosen = ranked if len(ranked) <= count else [*ranked[: count // 2], *ranked[len(ranked) - (count + 1) // 2 :]]
    yield ""
    yield f"{kind} of step {step[0].step}: {len(chosen)} of {len(step)} kept, lowest and highest reward"
    for one in chosen:
        parts = ", ".join(f"{name} {value:g}" for name, value in one.rewards.items() if name != "score")
        length = f"{one.tokens:,} tokens{'' if one.finished else ', cut off'}"
        yield f"- reward {one.score:g} ({parts}), {length}, right answer {one.ground_truth}, {one.item_id}"
        response = textwrap.wrap(terminal_text(one.response), max(width - 4, 20)) or ["(an empty response)"]
        yield from (f"    {line}" for line in response[:RESPONSE_LINES])
        if len(response) > RESPONSE_LINES:
            yield "    …"


def terminal_text(text: str) -> str:
    """Text on one line; characters that control a terminal are replaced by blanks."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _fitted(lines: Iterable[str], width: int) -> Iterator[str]:
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())]
        yield from textwrap.wrap(
            terminal_text(line), width, initial_indent=indent, subsequent_indent=indent + "  "
        ) or [""]
