"""The report and the leaderboard show what runs cost, as far as it is known, and accuracy against it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.runs.cost import Prices
from tests.report.test_report import Report, report
from tests.support.report_runs import always_b, always_right, write_questions, write_run

TOKENS = {"input_tokens": 1500, "output_tokens": 250}
TIMES = {"seconds": 0.25, "wall_seconds": 0.5}
ITEMS = 12


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_questions(tmp_path_factory.mktemp("questions") / "test.tsv", n=ITEMS)


@pytest.fixture(scope="module")
def items(questions: Path) -> list[QAItem]:
    return read_questions(questions)


@pytest.fixture(scope="module")
def runs(questions: Path, items: list[QAItem], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run with all amounts, one whose backend reports no tokens, and one of an earlier version."""
    folder = tmp_path_factory.mktemp("runs")
    prices = Prices(2.0, 8.0, "EUR")
    return {
        "paid": write_run(folder / "paid", items, always_right, questions, known=TOKENS | TIMES, prices=prices),
        "timed": write_run(folder / "timed", items, always_b, questions, known={"seconds": 4.0}),
        "old": write_run(folder / "old", items, always_b, questions),
    }


def costs(found: Report) -> list[dict[str, Any] | None]:
    return [run["strict"].get("cost") for run in found.numbers["runs"]]


def axis(found: Report) -> str:
    """The description of the chart of the cost."""
    (description,) = re.findall(r'aria-label="Chart of accuracy over items, in percent, against ([^:]*):', found.html)
    return str(description)


@pytest.mark.slow
def test_the_page_has_the_costs_that_are_known_and_a_chart_of_them(runs: dict[str, Path], tmp_path: Path) -> None:
    found = report(tmp_path / "all", *runs.values())
    paid, timed, old = costs(found)
    assert paid and timed and old is None
    assert paid["money"]["total"] == pytest.approx(ITEMS * (1500 * 2 + 250 * 8) / 1e6)
    assert paid["responses_per_second"] == 2.0 and timed["responses_per_second"] is None
    (section,) = [one for one in found.page.all("section") if one.attributes.get("id") == "cost"]
    rows = [row.text.split()[0] for row in section.all("tr") if not row.text.startswith("Run")]
    assert rows == ["paid", "timed"] * 2
    assert axis(found) == "seconds of the model for a response", "what all of them have"
    assert "1,500 in and 250 out tokens a response" in found.card and "cost: EUR 0.0600" not in found.card


@pytest.mark.slow
def test_without_any_cost_there_is_no_section(runs: dict[str, Path], tmp_path: Path) -> None:
    found = report(tmp_path / "old", runs["old"])
    assert "Cost" not in [one.text for one in found.page.all("h2")] and 'href="#cost"' not in found.html


@pytest.mark.slow
def test_prices_of_the_report_replace_those_of_the_runs(runs: dict[str, Path], questions: Path, tmp_path: Path) -> None:
    assert axis(report(tmp_path / "recorded", runs["paid"])) == "EUR for 1,000 responses"
    found = report(tmp_path / "given", runs["paid"], "--price-in", 1, "--price-out", 0)
    (paid,) = costs(found)
    assert paid and paid["money"]["total"] == pytest.approx(ITEMS * 1500 / 1e6)
    assert axis(found) == "USD for 1,000 responses"
    pair = report(tmp_path / "pair", questions, runs["paid"] / "samples.jsonl", "--price-in", 1, "--price-out", 0)
    assert costs(pair) == costs(found), "responses that are graded here have the same cost"


@pytest.mark.slow
def test_a_run_of_an_earlier_version_has_the_cost_of_its_stored_responses(
    items: list[QAItem], questions: Path, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run", items, always_b, questions, known={"output_tokens": 9})
    scores = json.loads((run / "scores.json").read_text())
    del scores["cost"]
    (run / "scores.json").write_text(json.dumps(scores))
    found = report(tmp_path / "page", run)
    (cost,) = costs(found)
    assert cost and cost["output_tokens"] == {"total": 9 * ITEMS, "mean": 9, "known": ITEMS}
    assert axis(found) == "output tokens of a response"


def test_the_leaderboard_has_columns_of_what_is_known(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leaderboard", *map(str, runs.values()), "--no-published"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert re.split(r"\s{2,}", head)[-4:] == ["tokens in", "tokens out", "seconds", "cost"]
    cells = {line.split()[1]: re.split(r"\s{2,}", line)[-4:] for line in lines if line.startswith("* ") and "." in line}
    assert cells["paid"] == ["1,500", "250", "0.25", "0.005 EUR"]
    assert cells["timed"] == ["–", "–", "4", "–"] and cells["old"] == ["–"] * 4
    assert main(["leaderboard", str(runs["old"]), "--no-published"]) == 0
    assert "tokens" not in capsys.readouterr().out
