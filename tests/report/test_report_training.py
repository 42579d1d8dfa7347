"""A report on training runs: their completions by step and by reward."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.report.completions import REMARKS, remarks_of, sampled_completions
from lmms_eval_shotbench.report.rows import evenly_spaced
from lmms_eval_shotbench.runs.completions import by_step
from tests.support.kept_completions import COMPLETION, MEDIUM, WRONG, write_completions, write_grpo_run
from tests.support.parsed_page import Element, parsed
from tests.support.report_runs import always_b, write_questions, write_run

HOSTILE = "</script><script>alert(1)</script><!-- {{ 7 * 7 }} \x1b[31m"


def page_of(*arguments: object, out: Path) -> tuple[Element, dict[str, Any]]:
    assert main(["report", *map(str, arguments), "--out", str(out)]) == 0
    return parsed(out.read_text()), json.loads((out.parent / "scores.json").read_text())


def data_of(page: Element, name: str) -> Any:
    return json.loads("".join(page.by_id(name)._texts()))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_grpo_run(tmp_path / "grpo")


@pytest.mark.slow
def test_a_training_run_needs_no_scores_for_a_report(run: Path, tmp_path: Path) -> None:
    page, numbers = page_of(run, out=tmp_path / "page" / "report.html")
    assert numbers["runs"] == []
    assert [section.attributes["id"] for section in page.all("section")] == ["training", "completions"]
    assert "reward 1" in (tmp_path / "page" / "report.md").read_text()
    linked = [link.attributes["href"][1:] for link in page.all("a") if link.attributes["href"].startswith("#")]
    assert all(page.by_id(name) for name in linked)


@pytest.mark.slow
def test_a_training_run_is_shown_beside_runs_that_were_scored(run: Path, tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "test.tsv")
    scored = write_run(tmp_path / "b", read_questions(questions), always_b, questions)
    page, numbers = page_of(scored, run, "--training", run, out=tmp_path / "page" / "report.html")
    assert len(numbers["runs"]) == len(numbers["training"]) == 1
    assert {"headline", "training", "completions", "explorer"} <= {one.attributes["id"] for one in page.all("section")}
    assert len([one for one in page.all("script") if "type" not in one.attributes]) == 1


def test_a_report_has_numbers_of_completions_by_step(run: Path, tmp_path: Path) -> None:
    page, numbers = page_of(run, out=tmp_path / "page" / "report.html")
    kept = numbers["training"][0]["completions"]
    assert list(kept) == ["rollouts"] and kept["rollouts"]["n"] == 6
    assert kept["rollouts"]["steps"][0] == {
        "step": 1,
        "n": 2,
        "score": 1.0,
        "rewards": {"acc": 0.5, "format": 1.0},
        "remarks": {"wrong": 0.5, "malformed": 0.0, "unfinished": 0.0, "same": 0.0, "short": 0.0, "long": 0.0},
        "most_common": 0.5,
        "tokens": {"shortest": 9, "median": 9.0, "longest": 9},
    }
    table = page.by_id("completions-table-0-rollouts").parent
    assert table is not None
    first_row = list(table.all("tr"))[1]
    cells = [cell.text for cell in first_row.all("th", "td")]
    assert cells[:6] == ["1", "2", "1", "50.0", "100.0", "50.0"]
    for figure in page.by_id("training").all("data"):
        found: Any = numbers
        for step in figure.attributes["data-pointer"].split("/")[1:]:
            found = found[int(step)] if isinstance(found, list) else found[step]
        assert float(figure.attributes["value"]) == found


def test_completions_on_the_page_have_question_reward_and_picture(run: Path, tmp_path: Path) -> None:
    page, _ = page_of(run, out=tmp_path / "page" / "report.html")
    data, pictures = data_of(page, "completions-data"), data_of(page, "completions-thumbnails")
    assert len(data["completions"]) == 6 and len(data["items"]) == 1
    assert data["items"][0]["question"] == COMPLETION.question and data["items"][0]["options"] == COMPLETION.options
    wrong = [one for one in data["completions"] if one["score"] == WRONG.score]
    assert [one["step"] for one in wrong] == [1, 2, 3] and wrong[0]["remarks"] == ["wrong"]
    assert wrong[0]["rewards"] == {"acc": 0, "format": 1} and wrong[0]["response"] == WRONG.response
    assert list(pictures) == [MEDIUM] and pictures[MEDIUM][0].startswith("data:image/webp")
    assert "6 of 6" in page.by_id("completions").text
    offered = [option.text for option in page.by_id("completions").all("option")]
    assert {"rollouts", "1", "2", "3", "Shot Size", *REMARKS.values()} <= set(offered)


def test_text_of_completions_is_data_and_media_outside_the_run_are_not_read(run: Path, tmp_path: Path) -> None:
    (run / "rows" / "secret.png").write_bytes((run / "rows" / "media" / MEDIUM).read_bytes())
    text = replace(
        COMPLETION, step=4, response=HOSTILE, question=HOSTILE, options=[HOSTILE, "x"], rewards={HOSTILE: 1.0}
    )
    hostile = [
        replace(text, item_id="outside", medium="../secret.png"),
        replace(text, item_id="unknown", dimension=HOSTILE, medium="", media_kind="clip"),
        replace(text, item_id=HOSTILE, media_kind=HOSTILE),
    ]
    write_completions(run, "rollouts", 2, hostile)
    page, _ = page_of(run, out=tmp_path / "page" / "report.html")
    assert len([one for one in page.all("script") if "type" not in one.attributes]) == 1
    data = data_of(page, "completions-data")
    assert [one["response"] for one in data["completions"]][-3:] == [HOSTILE] * 3
    assert list(data_of(page, "completions-thumbnails")) == [MEDIUM]


def test_signs_of_an_exploited_reward_are_remarked() -> None:
    step = [replace(COMPLETION, item_id=f"film-{number}", response=str(number), tokens=100) for number in range(5)]
    step += [
        replace(WRONG, response="0", tokens=100),
        replace(WRONG, item_id="film-1", response="1", tokens=100),
        replace(COMPLETION, item_id="a", response="short", tokens=25),
        replace(COMPLETION, item_id="b", response="long", tokens=400, finished=False),
        replace(COMPLETION, item_id="c", rewards={"acc": 1.0, "format": 0.0}, tokens=100),
    ]
    assert remarks_of(step) == [
        ["same"], ["same"], [], [], [], ["wrong", "same"], ["wrong", "same"], ["short"], ["unfinished", "long"],
        ["malformed"],
    ]  # fmt: skip


def test_a_long_run_is_sampled_evenly_with_all_responses_to_a_question() -> None:
    kept = [
        replace(COMPLETION, step=step, item_id=f"film-{item}", sample=sample)
        for step in range(0, 1000, 10) for item in range(30) for sample in range(4)
    ]  # fmt: skip
    shown = [one for one, _ in sampled_completions(by_step(kept), 600)]
    steps = sorted({one.step for one in shown})
    assert len(shown) <= 600 and len(steps) > 10 and (steps[0], steps[-1]) == (0, 990)
    groups = {(one.step, one.item_id) for one in shown}
    assert len(shown) == 4 * len(groups)
    assert len({item for _, item in groups}) * len(steps) == len(groups)  # the same questions in every step


def test_a_step_with_more_responses_to_a_question_than_are_shown_is_shown_with_one_question() -> None:
    kept = [replace(COMPLETION, item_id=f"film-{item}", sample=sample) for item in range(2) for sample in range(64)]
    assert len(sampled_completions(by_step(kept), 50)) == 64


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_evenly_spaced_values_include_the_ends(count: int) -> None:
    chosen = evenly_spaced(range(count), 5)
    assert (chosen[0], chosen[-1], len(chosen)) == (0, count - 1, min(count, 5)) and sorted(set(chosen)) == chosen


@pytest.mark.slow
def test_long_responses_are_cut_to_the_size_of_the_page(run: Path, tmp_path: Path) -> None:
    several = [replace(COMPLETION, item_id=str(number), response="x" * 15_000) for number in range(400)]
    write_completions(run, "rollouts", 1, several)
    page, _ = page_of(run, out=tmp_path / "page" / "report.html")
    completions = data_of(page, "completions-data")["completions"]
    assert sum(len(one["response"]) for one in completions) <= 2_000_000
    assert all(len(one["response"]) + one["cut"] == 15_000 for one in completions) and completions[0]["cut"]
    assert "400 of 400" in page.by_id("completions").text
