"""Measure scoring a file of responses end to end, against a plain pandas row loop of the same rules.

    python benchmarks/scoring.py [--limit N] [--repeat N] [--json]

*in process*: ours reads test.tsv (every row validated) and the responses, grades officially and gives every dimension
its accuracy with its interval; theirs reads both with pandas, merges, iterates by `iterrows` with the options parsed
for each row, and groups by category, without intervals. *command*: `shotbench score … --protocol official --format
json` against a Python program that runs that loop and prints JSON, start-up and imports included on both sides. Both
must count the same number of correct responses. Both commands run once in advance, so that neither compiles its
imports. The reference also writes a spreadsheet, which is left out here, in its favour.

Times are wall times, medians of --repeat rounds in which both sides alternate; --limit sets the number of questions.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from grading import real_data, reference_letter
from machine import Figures, bytecode_in, figure, machine, print_figure, print_json

RESPONSES = "responses/shotbench.shotvl-3b.reasoning.run0.jsonl.gz"
Work = Callable[[], int]  # returns the number of correct responses


def score_ours(questions: Path, responses: Path) -> int:
    """Number of correct responses, scored with this package."""
    from lmms_eval_shotbench.questions.question_files import read_questions
    from lmms_eval_shotbench.runs.responses import match_responses, read_responses
    from lmms_eval_shotbench.runs.score import score_responses

    items = read_questions(questions)
    responses_by_item = match_responses(items, read_responses(responses), responses)
    return score_responses(items, responses_by_item, "official").scores.correct


def score_with_pandas(questions: Path, responses: Path) -> dict[str, Any]:
    """Score with a plain row loop: total, correct and accuracy by category and overall."""
    import pandas

    table = pandas.read_csv(questions, sep="\t").merge(pandas.read_json(responses, lines=True), on="index")
    hits = []
    for _, row in table.iterrows():
        hits.append(int(reference_letter(row["options"], row["response"]) == row["answer"]))
    table["hit"] = hits
    groups = table.groupby("category")["hit"].agg(total="count", correct="sum").reset_index()
    groups["accuracy"] = groups["correct"] / groups["total"]
    return {"groups": groups.to_dict("records"), "total": len(table), "correct": sum(hits)}


def command_ours(questions: Path, responses: Path) -> int:
    """Number of correct responses by `shotbench score`."""
    shotbench = str(Path(sys.executable).with_name("shotbench"))
    command = [shotbench, "score", str(questions), str(responses), "--protocol", "official", "--format", "json"]
    return int(_json_output(command)["correct"])


def command_theirs(questions: Path, responses: Path) -> int:
    """Number of correct responses by the plain program."""
    command = [sys.executable, __file__, "--plain", str(questions), str(responses)]
    return int(_json_output(command)["correct"])


def _json_output(command: Sequence[str]) -> dict[str, Any]:
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    scores: dict[str, Any] = json.loads(output)
    return scores


def alternate(ours: Work, theirs: Work, repeat: int) -> tuple[dict[str, float], int]:
    """Seconds of both sides, alternating, and their common number of correct responses."""
    times: tuple[list[float], list[float]] = ([], [])
    correct = set()
    for _ in range(repeat):
        for side, work in enumerate((ours, theirs)):
            begin = time.perf_counter()
            correct.add(work())
            times[side].append(time.perf_counter() - begin)
    assert len(correct) == 1, f"different numbers of correct responses: {sorted(correct)}"
    return figure(median(times[0]), median(times[1])), correct.pop()


def compare(questions: Path, responses: Path, repeat: int) -> Figures:
    """Both comparisons, in process and by command."""
    ways: dict[str, tuple[Work, Work]] = {
        "in_process_s": (
            lambda: score_ours(questions, responses),
            lambda: int(score_with_pandas(questions, responses)["correct"]),
        ),
        "command_s": (lambda: command_ours(questions, responses), lambda: command_theirs(questions, responses)),
    }
    for works in ways.values():  # imports are not timed in process
        assert works[0]() == works[1]()
    figures = {}
    for name, (ours, theirs) in ways.items():
        figures[name], correct = alternate(ours, theirs, repeat)
        print_figure(name, figures[name], f"{correct:,} correct by both")
    return figures


def first_lines(data: Path, limit: int, folder: Path) -> tuple[Path, Path]:
    """Write the first questions and their responses to separate files."""
    import gzip

    questions, responses = folder / "test.tsv", folder / "responses.jsonl.gz"
    lines = (data / "shotbench/test.tsv").read_text(encoding="utf-8").splitlines(keepends=True)[: limit + 1]
    questions.write_text("".join(lines), encoding="utf-8")
    indices = {line.partition("\t")[0] for line in lines}
    with (
        gzip.open(data / RESPONSES, "rt", encoding="utf-8") as source,
        gzip.open(responses, "wt", encoding="utf-8") as target,
    ):
        target.writelines(line for line in source if str(json.loads(line)["index"]) in indices)
    return questions, responses


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--limit", type=int, help="so many questions (default: all 3,572)")
    parser.add_argument("--repeat", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    parser.add_argument("--plain", type=Path, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.plain:
        print(json.dumps(score_with_pandas(*args.plain)))
        return 0
    data = real_data()
    if not (data / RESPONSES).is_file():
        parser.error(f"no {RESPONSES} in {data}; set SHOTBENCH_REAL_DATA")
    with tempfile.TemporaryDirectory(prefix="scoring-benchmark-") as folder:
        files = (data / "shotbench/test.tsv", data / RESPONSES)
        questions, responses = first_lines(data, args.limit, Path(folder)) if args.limit else files
        os.environ |= bytecode_in(Path(folder) / "bytecode")
        print(f"{machine()}\nscoring {args.limit or 3572:,} responses of ShotVL-3B by the official rules, seconds")
        figures = compare(questions, responses, args.repeat)
    if args.json:
        print_json(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
