"""Strict grading of answers worded as today's models word them, judged by a person (`tests/golden`)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from lmms_eval_shotbench.grading.grade import grade
from tests.support import REPOSITORY
from tests.support.items import make_item

GOLDEN = REPOSITORY / "tests" / "golden" / "model_answers.jsonl"
LEAST_READ = 0.98  # of the answers that a person would read


def check(path: Path) -> None:
    """No letter that a person would not accept, in either position of the right answer, and nearly all others read."""
    wrong, read, readable = [], 0, 0
    for line in path.read_text(encoding="utf-8").splitlines():
        answer = json.loads(line)
        item = make_item(tuple(answer["options"].values()), "A", answer["dimension"])
        graded = grade(item, answer["response"])
        if graded.letter and graded.letter not in answer["accept"]:
            wrong.append((answer["response"], answer["accept"], graded.letter, graded.how))
        if None not in answer["accept"]:
            readable += 1
            read += graded.letter in answer["accept"]
    assert not wrong
    assert read >= LEAST_READ * readable, f"{read} of {readable}"


def test_no_letter_is_wrong_and_nearly_all_readable_answers_are_read() -> None:
    check(GOLDEN)


def test_the_same_is_true_of_the_other_set(real_data: Path) -> None:
    check(real_data / "model_answers" / "answers.jsonl")


def test_there_are_at_least_20_answers_of_each_kind() -> None:
    kinds = Counter(json.loads(line)["kind"] for line in GOLDEN.read_text(encoding="utf-8").splitlines())
    assert len(kinds) >= 5 and min(kinds.values()) >= 20


@pytest.mark.parametrize("letter", "ABCD")
def test_no_letter_depends_on_the_right_one(letter: str) -> None:
    for line in GOLDEN.read_text(encoding="utf-8").splitlines():
        answer = json.loads(line)
        options = tuple(answer["options"].values())
        if letter not in answer["options"]:
            continue
        first = grade(make_item(options, "A", answer["dimension"]), answer["response"])
        graded = grade(make_item(options, letter, answer["dimension"]), answer["response"])
        assert (graded.letter, graded.how) == (first.letter, first.how)
