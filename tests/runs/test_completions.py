"""Completions in a run's folder: what is read after kills and resumed attempts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lmms_eval_shotbench.runs.completions import Completion, Kind, last_completions, read_completions
from tests.support.kept_completions import COMPLETION, write_completions


def of_steps(*steps: int, response: str = "A") -> list[Completion]:
    return [replace(COMPLETION, step=step, response=response) for step in steps]


def responses(run: Path, kind: Kind) -> dict[int, list[str]]:
    return {step: [one.response for one in several] for step, several in read_completions(run)[kind].items()}


def test_completions_are_read_as_they_were_written(tmp_path: Path) -> None:
    unusual = replace(COMPLETION, response="line 1\nline 2\u2028 \x00 é", options=["Ünder", "}"])
    write_completions(tmp_path, "validation", 1, [COMPLETION, unusual])
    assert read_completions(tmp_path) == {"validation": {1: [COMPLETION, unusual]}, "rollouts": {}}


def test_a_lone_surrogate_in_a_response_can_be_written(tmp_path: Path) -> None:
    write_completions(tmp_path, "rollouts", 1, of_steps(1, response="a\ud800b"))
    assert responses(tmp_path, "rollouts") == {1: ["a?b"]}


def test_a_run_without_completions_has_none(tmp_path: Path) -> None:
    assert read_completions(tmp_path) == {"validation": {}, "rollouts": {}}
    assert last_completions(tmp_path, "rollouts") == []


def test_incomplete_lines_are_left_out_wherever_they_are(tmp_path: Path) -> None:
    path = write_completions(tmp_path, "rollouts", 1, of_steps(1, 2))
    complete = path.read_bytes()
    first, _ = complete.splitlines(keepends=True)
    for broken in (
        complete[:-1][: len(first) + 40],
        first + b'{"step": 7}\n',
        first + b"[]\n\n\xff\xfe\n" + first[:50],
    ):
        path.write_bytes(broken)
        assert responses(tmp_path, "rollouts") == {1: ["A"]}
        assert [one.step for one in last_completions(tmp_path, "rollouts")] == [1]


def test_steps_that_a_resumed_attempt_repeats_replace_the_earlier_ones(tmp_path: Path) -> None:
    write_completions(tmp_path, "rollouts", 1, of_steps(1, 2, 3, 4, response="before"))
    write_completions(tmp_path, "rollouts", 2, of_steps(3, response="after"))
    assert responses(tmp_path, "rollouts") == {1: ["before"], 2: ["before"], 3: ["after"]}
    assert [one.response for one in last_completions(tmp_path, "rollouts")] == ["after"]


def test_a_validation_of_discarded_weights_is_discarded_with_the_steps(tmp_path: Path) -> None:
    write_completions(tmp_path, "rollouts", 1, of_steps(*range(1, 6)))
    write_completions(tmp_path, "validation", 1, of_steps(0, 2, 4))
    write_completions(tmp_path, "rollouts", 2, of_steps(3))
    assert list(responses(tmp_path, "validation")) == [0, 2]
    write_completions(tmp_path, "validation", 2, of_steps(2, response="again"))  # before the resumed training
    assert responses(tmp_path, "validation") == {0: ["A"], 2: ["again"]}
    assert list(responses(tmp_path, "rollouts")) == [1, 2, 3]


def test_an_attempt_that_kept_nothing_changes_nothing(tmp_path: Path) -> None:
    write_completions(tmp_path, "rollouts", 1, of_steps(1, 2))
    write_completions(tmp_path, "rollouts", 2, [])
    assert list(responses(tmp_path, "rollouts")) == [1, 2]
    assert [one.step for one in last_completions(tmp_path, "rollouts")] == [2]


def test_the_last_step_is_found_at_the_end_of_a_large_file(tmp_path: Path) -> None:
    write_completions(tmp_path, "rollouts", 1, of_steps(*range(1, 200), response="x" * 10_000))
    assert [one.step for one in last_completions(tmp_path, "rollouts")] == [199]
