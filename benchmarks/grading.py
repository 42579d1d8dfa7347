"""Measure the time our grader takes for a response, on all stored responses of real models.

    python benchmarks/grading.py [--limit N] [--repeat N] [--json]

*official*: "theirs" is a plain implementation of the reference's rules: the answer block by regular expression,
punctuation replaced by blanks with one `replace` per character, the options parsed from JSON for each response. Both
must give the same letters. Our grader takes parsed items, so there are three figures: each side as it is used, with the
options parsed in advance on both sides, and with ours also parsing the complete row (which validates it).
*strict* has no reference. "theirs" is lmms-eval's extraction for multiple choice: reasoning tags stripped, then
`extract_mcq_answer`. The letters differ, and the number of differences is printed.

Only the standard library and this package are needed, and lmms-eval for its side of strict. Times are processor times,
medians of --repeat rounds in which both sides alternate.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from machine import Figures, figure, machine, print_figure, print_json

if TYPE_CHECKING:
    from lmms_eval_shotbench.grading.grade import Protocol
    from lmms_eval_shotbench.qa_item import QAItem

REAL_DATA = Path(__file__).resolve().parents[1] / "../shared/data"
THINK_TAGS = [["<think>", "</think>"]]
Letters = list[str | None]


class Case(NamedTuple):
    """One stored response with its question, as our item and as the row it was parsed from."""

    item: QAItem
    row: dict[str, str]
    choices: dict[str, str]
    response: str


def reference_letter(options: str, response: str) -> str | None:
    """The letter by a plain implementation of the reference's rules; None if they are undecided."""
    return reference_rules({letter: text for letter, text in json.loads(options).items() if text}, response)


def reference_rules(choices: Mapping[str, str], response: str) -> str | None:
    """One lone letter among the words, else one option text contained; Z means no answer."""
    words = answer_block(response)
    for sign in ".()[],:;!*#{}":
        words = words.replace(sign, " ")
    parts = words.split()
    found = [letter for letter in choices if letter in parts]
    if len(found) == 1 or (not found and "Z" in parts):
        return found[0] if found else None
    lowered = answer_block(response).lower()
    found = [letter for letter, text in choices.items() if text.lower() in lowered]
    return found[0] if len(found) == 1 else None


def answer_block(response: str) -> str:
    """The text between the first answer tags, or the complete response."""
    block = re.search(r"<answer>\s*(.*?)\s*</answer>", response, re.IGNORECASE | re.DOTALL)
    return (block.group(1) if block else response).strip()


def real_data() -> Path:
    """Folder of the real questions and responses."""
    return Path(os.environ.get("SHOTBENCH_REAL_DATA", REAL_DATA))


def read_cases(data: Path, limit: int | None) -> list[Case]:
    """All stored responses, or the first `limit` of every file; file names begin with the question set."""
    cases = []
    for path in sorted((data / "responses").glob("*.jsonl.gz")):
        cases += _cases_of(data / path.name.partition(".")[0] / "test.tsv", path)[:limit]
    return cases


def _cases_of(questions: Path, responses: Path) -> list[Case]:
    from lmms_eval_shotbench.qa_item import QAItem
    from lmms_eval_shotbench.questions.question_files import tsv_rows
    from lmms_eval_shotbench.runs.responses import read_responses

    responses_by_index, cases = read_responses(responses), []
    for row in tsv_rows(questions):
        if (response := responses_by_index.get(int(row["index"]))) is not None:
            cases.append(Case(QAItem.from_release_row(row), row, json.loads(row["options"]), response))
    return cases


def ours(protocol: Protocol) -> Callable[[Case], str | None]:
    """Our grader."""
    from lmms_eval_shotbench.grading.grade import grade

    return lambda case: grade(case.item, case.response, protocol).letter


def ours_from_row(case: Case) -> str | None:
    """Our grader, parsing and validating the row for every response."""
    from lmms_eval_shotbench.grading.grade import grade
    from lmms_eval_shotbench.qa_item import QAItem

    return grade(QAItem.from_release_row(case.row), case.response, "official").letter


def generic_extraction() -> Callable[[Case], str | None] | None:
    """lmms-eval's extraction of multiple-choice answers, or None if it is not installed."""
    extract, strip = _lmms_eval("tasks/_task_utils/mcq_extract.py"), _lmms_eval("api/reasoning.py")
    if extract is None or strip is None:
        return None

    def letter(case: Case) -> str | None:
        text = strip.strip_reasoning_tags(case.response, THINK_TAGS)
        return extract.extract_mcq_answer(text, list(case.choices)) or None

    return letter


def _lmms_eval(path: str) -> Any:
    """A module of lmms-eval, loaded without its parent packages, which would import torch."""
    from importlib import util

    package = util.find_spec("lmms_eval")
    if package is None or package.origin is None:
        return None
    spec = util.spec_from_file_location(Path(path).stem, Path(package.origin).parent / path)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def alternate(
    first: Callable[[Case], str | None], second: Callable[[Case], str | None], cases: Sequence[Case], repeat: int
) -> tuple[dict[str, float], Letters, Letters]:
    """Microseconds per response of both sides, alternating, and their letters."""
    times: tuple[list[float], list[float]] = ([], [])
    letters: list[Letters] = [[], []]
    for _ in range(repeat):
        for side, extract in enumerate((first, second)):
            begin = time.process_time()  # unaffected by other processes
            letters[side] = [extract(case) for case in cases]
            times[side].append(1e6 * (time.process_time() - begin) / len(cases))
    return figure(median(times[0]), median(times[1])), letters[0], letters[1]


def compare_official(cases: Sequence[Case], repeat: int) -> Figures:
    """Compare both sides of the official protocol; their letters must be equal."""
    figures: Figures = {}
    for name, mine, plain in (
        ("official_us", ours("official"), lambda case: reference_letter(case.row["options"], case.response)),
        ("official_options_parsed_us", ours("official"), lambda case: reference_rules(case.choices, case.response)),
        ("official_row_read_us", ours_from_row, lambda case: reference_letter(case.row["options"], case.response)),
    ):
        figures[name], own, reference = alternate(mine, plain, cases, repeat)
        assert own == reference, f"{name}: {_differing(own, reference)} letters differ from the reference's"
        print_figure(name, figures[name])
    print(f"official: {len(cases):,} letters, all equal")
    return figures


def compare_strict(cases: Sequence[Case], repeat: int) -> Figures:
    """Compare both sides of the strict protocol; their letters differ."""
    theirs = generic_extraction()
    if theirs is None:
        print("strict: lmms-eval is not installed, so there is nothing to compare with")
        return {}
    values, own, generic = alternate(ours("strict"), theirs, cases, repeat)
    print_figure("strict_us", values)
    print(f"strict: {_differing(own, generic):,} of {len(cases):,} letters differ; {_kinds(cases, own, generic)}")
    return {"strict_us": values}


def _differing(first: Letters, second: Letters) -> int:
    return sum(a != b for a, b in zip(first, second, strict=True))


def _kinds(cases: Sequence[Case], own: Letters, generic: Letters) -> str:
    kinds = Counter(
        "we leave undecided" if a is None else "only we read" if b is None else "read differently"
        for a, b in zip(own, generic, strict=True)
        if a != b
    )
    correct = [sum(c.item.answer == one for c, one in zip(cases, letters, strict=True)) for letters in (own, generic)]
    listed = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common())
    return (
        f"{listed or 'none'}. Correct: ours {correct[0]:,}, theirs {correct[1]:,} (a guess is correct one time in four)"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--limit", type=int, help="so many responses of every file")
    parser.add_argument("--repeat", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    args = parser.parse_args(arguments)
    cases = read_cases(real_data(), args.limit)
    if not cases:
        parser.error(f"no responses in {real_data()}; set SHOTBENCH_REAL_DATA")
    length = sum(len(case.response) for case in cases) / len(cases)
    print(
        f"{machine()}\ngrading {len(cases):,} real responses of {length:,.0f} characters on average, microseconds each"
    )
    figures = compare_official(cases, args.repeat) | compare_strict(cases, args.repeat)
    if args.json:
        print_json(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
