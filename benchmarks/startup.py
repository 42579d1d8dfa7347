"""Measure how long the command line takes to start, against a bare Typer app and against an earlier version.

    python benchmarks/startup.py [--before FOLDER] [--repeat N] [--eval N] [--json]

*help*: `shotbench --help` against a Typer app of as many commands and groups, each a function with one argument and one
option. *score*: `shotbench score` of four questions; with --before, against the same command of the checkout in that
folder (`git worktree add FOLDER COMMIT`), otherwise against the import of Typer in a Python that does nothing else.

*eval* (with --eval): `shotbench eval --model dummy` of all real questions, from the start of the process to its exit,
against `import lmms_eval.evaluator`, by wall and by processor time, with a table by phase (`eval_phases.py`). The limit
we set ourselves is that import and 3 seconds.

Both sides of *help* print to a terminal, where both use Rich. Times are wall times, medians of --repeat rounds in which
both sides alternate; both run once in advance, so that neither compiles its imports.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

import typer
from eval_phases import REST, STARTED
from grading import real_data
from machine import Figures, bytecode_in, figure, machine, print_figure, print_json

REPOSITORY = Path(__file__).parents[1]
SHOTBENCH = (sys.executable, "-m", "lmms_eval_shotbench.cli")
QUESTIONS = 4
EVALUATION_LIMIT = 3.0  # seconds of an evaluation beyond the import of lmms-eval
IMPORT_ONLY = (sys.executable, "-c", "import lmms_eval.evaluator")
Phases = dict[str, list[float]]  # wall and processor time


def commands_by_group() -> dict[str, int]:
    """Number of commands of the root and of each group of `shotbench`."""
    from lmms_eval_shotbench.commands.root import root_command

    root = root_command()
    context = root.make_context("shotbench", ["x"], resilient_parsing=True)
    counts = {"": 0}
    assert isinstance(root, typer.core.TyperGroup)
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        if isinstance(command, typer.core.TyperGroup):
            counts[name] = len(command.list_commands(context))
        else:
            counts[""] += 1
    return counts


def bare_app(counts: dict[str, int]) -> Iterator[str]:
    """Lines of a Typer app with as many commands."""
    yield "from typing import Annotated\nimport typer\napp = typer.Typer()"
    for group, count in counts.items():
        name = group or "app"
        if group:
            yield f"{group} = typer.Typer(help='A group.')\napp.add_typer({group}, name={group!r})"
        for number in range(count):
            yield (
                f"@{name}.command('command-{number}')\n"
                f"def {name}_{number}(path: str, option: Annotated[int, typer.Option(help='A number')] = 1) -> None:\n"
                f"    'Do something.'"
            )
    yield "app()"


def write_questions(folder: Path) -> tuple[str, str]:
    """Write a few questions and responses; return their paths."""
    header = ("index", "type", "path", "question", "options", "answer", "category")
    options = json.dumps({"A": "Wide", "B": "Medium"})
    rows = [
        (str(index), '["image"]', f"['{index}.jpg']", "What is the shot size?", options, "A", "shot size")
        for index in range(QUESTIONS)
    ]
    (folder / "test.tsv").write_text("\n".join("\t".join(_quoted(row)) for row in (header, *rows)) + "\n")
    responses = (json.dumps({"index": index, "response": "A"}) + "\n" for index in range(QUESTIONS))
    (folder / "responses.jsonl").write_text("".join(responses))
    return str(folder / "test.tsv"), str(folder / "responses.jsonl")


def _quoted(row: Sequence[str]) -> Iterator[str]:
    return (f'"{cell}"'.replace('"', '""')[1:-1] if '"' in cell else cell for cell in row)


def seconds(command: Sequence[str], checkout: Path) -> float:
    """Wall time of a command that must succeed, in a terminal, with the packages of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "TERM": "xterm"}
    reading, writing = pty.openpty()
    begin = time.perf_counter()
    with subprocess.Popen(command, cwd="/", env=environment, stdout=writing) as process:
        os.close(writing)
        with suppress(OSError):  # raised once the terminal is closed
            while os.read(reading, 65536):
                pass
    took = time.perf_counter() - begin
    os.close(reading)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    return took


def alternate(ours: tuple[Sequence[str], Path], theirs: tuple[Sequence[str], Path], repeat: int) -> dict[str, float]:
    """Medians of both sides."""
    times: tuple[list[float], list[float]] = ([], [])
    for round_number in range(repeat + 1):
        for side, (command, checkout) in enumerate((ours, theirs)):
            took = seconds(command, checkout)
            if round_number:  # the first compiles the imports
                times[side].append(took)
    return figure(median(times[0]), median(times[1]))


def evaluation(folder: Path, repeat: int) -> tuple[Figures, Phases]:
    """Figures of *eval*, and the median times of each phase; both sides run once in advance."""
    questions = str(real_data() / "shotbench" / "test.tsv")
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "eval_phases.py"), "eval", "--model", "dummy"]
    command += ["--tasks", "shotbench", "--data", questions, "--out"]
    rounds: list[Phases] = []
    costs: tuple[list[list[float]], list[list[float]]] = ([], [])  # ours and theirs, (wall, processor) of each round
    for number in range(repeat + 1):
        printed, ours = _cost([*command, str(folder / f"out{number}")])
        phases: Phases = json.loads(printed.splitlines()[-1])
        for clock in (0, 1):
            phases[REST][clock] += ours[clock] - sum(times[clock] for times in phases.values())
        rounds.append(phases)
        costs[0].append(ours)
        costs[1].append(_cost(IMPORT_ONLY)[1])
    medians = map(_medians, costs)
    figures = {name: figure(*both) for name, *both in zip(("eval_s", "eval_cpu_s"), *medians, strict=True)}
    return figures, {name: _medians([phases[name] for phases in rounds]) for name in rounds[0]}


def _medians(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Median of each column, without the first round, which compiles the imports."""
    return list(map(median, zip(*rounds[1:], strict=True)))


def _cost(command: Sequence[str]) -> tuple[str, list[float]]:
    """Output, wall time and processor time of a command that must succeed."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), STARTED: str(time.time())}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout, [seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime]


def print_evaluation(figures: Figures, phases: Phases) -> None:
    """Print the figures of *eval* and the table by phase."""
    for label, values in figures.items():
        more = values["ours"] - values["theirs"]
        print_figure(label, values, f"{more:+.2f} s, limit {EVALUATION_LIMIT:+.0f} s")
    print(f"{'phase of the evaluation':34} {'wall, s':>10} {'processor, s':>13}")
    for name, (wall, processor) in phases.items():
        print(f"{name:34} {wall:10.2f} {processor:13.2f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--before", type=Path, help="checkout of the earlier version")
    parser.add_argument("--repeat", type=int, default=20, help="rounds (default: 20)")
    parser.add_argument("--eval", type=int, default=0, metavar="N", help="rounds of the evaluation (default: none)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    args = parser.parse_args(arguments)
    print(machine())
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="startup-benchmark-") as name:
        folder = Path(name)
        os.environ |= bytecode_in(folder / "bytecode")
        counts = commands_by_group()
        (folder / "bare.py").write_text("\n".join(bare_app(counts)))
        score = [*SHOTBENCH, "score", *write_questions(folder)]
        sides = {
            "help_s": ([*SHOTBENCH, "--help"], [sys.executable, str(folder / "bare.py"), "--help"], REPOSITORY),
            "score_s": (score, score, args.before.absolute())
            if args.before
            else (score, [sys.executable, "-c", "import typer"], REPOSITORY),
        }
        print(f"commands: {sum(counts.values())} in {len(counts)} groups; seconds")
        for label, (ours, theirs, checkout) in sides.items():
            figures[label] = alternate((ours, REPOSITORY), (theirs, checkout), args.repeat)
            more = figures[label]["ours"] - figures[label]["theirs"]
            print_figure(label, figures[label], f"{1000 * more:+.0f} ms")
        if args.eval:
            os.environ |= {"SHOTBENCH_CACHE": str(folder / "cache"), "HF_DATASETS_CACHE": str(folder / "datasets")}
            os.environ["HF_HUB_OFFLINE"] = "1"
            measured, phases = evaluation(folder, args.eval)
            print_evaluation(measured, phases)
            figures |= measured
    if args.json:
        print_json(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
