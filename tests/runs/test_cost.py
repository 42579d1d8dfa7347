"""The cost of a run: sums over what is known, stated for how many responses, and nothing that was not measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.runs.cost import Prices, clock, cost_json, cost_line, with_prices
from lmms_eval_shotbench.runs.scores_schema import scores_schema
from lmms_eval_shotbench.runs.stored_response import StoredResponse
from tests.runs.test_scores_schema import closed
from tests.support.report_runs import write_questions


def response(tokens_in: int | None = None, tokens_out: int | None = None, **more: Any) -> StoredResponse:
    return StoredResponse("A", input_tokens=tokens_in, output_tokens=tokens_out, **more)


KNOWN = [response(1000, 10, seconds=0.5, wall_seconds=1.0), response(3000, 30, seconds=1.5, wall_seconds=1.0)]
FREE = response(0, 0, seconds=0.0, wall_seconds=0.0)  # the response to an identical question, used again
FAILED = StoredResponse.absent("HTTP 500", seconds=9.0)


def cost(*responses: StoredResponse, prices: Prices | None = None) -> dict[str, Any]:
    found = cost_json(responses, prices)
    assert found is not None
    return found


def test_amounts_are_summed_over_the_responses_that_exist() -> None:
    found = cost(*KNOWN, FREE, FAILED)
    assert found["responses"] == 3
    assert found["input_tokens"] == {"total": 4000, "mean": pytest.approx(4000 / 3), "known": 3}
    assert found["output_tokens"]["total"] == 40
    assert found["seconds"]["total"] == found["wall_seconds"]["total"] == 2.0
    assert found["responses_per_second"] == 1.5
    assert "money" not in found


def test_an_amount_that_is_unknown_for_some_is_of_the_others_and_says_so() -> None:
    found = cost(*KNOWN, response(None, 5))
    assert found["input_tokens"]["known"] == 2 and found["output_tokens"]["known"] == 3
    assert found["wall_seconds"] == {"total": 2.0, "mean": 1.0, "known": 2} and found["responses_per_second"] == 1.0
    line = cost_line(found)
    assert line.count("(of 2 of 3 responses)") == 3 and "2,000 in and 15 out tokens a response" in line


def test_a_line_needs_no_amount_that_is_optional_in_scores_json() -> None:
    found = cost(*KNOWN)
    del found["tokens_counted"], found["responses_per_second"]
    assert cost_line(found) == "cost: 2,000 in and 20 out tokens a response; 1 s a response, 2 s of the model"


def test_nothing_is_stated_about_responses_of_which_nothing_is_known() -> None:
    assert cost_json([response(), FAILED]) is None and cost_line(None) == ""


def test_money_is_the_price_of_all_tokens_or_unknown() -> None:
    prices = Prices(2.0, 50.0, "EUR")
    money = cost(*KNOWN, FREE, prices=prices)["money"]
    assert money["total"] == pytest.approx((4000 * 2 + 40 * 50) / 1e6) and money["known"] == 3
    assert money["prices"] == {"input": 2.0, "output": 50.0, "currency": "EUR"}
    assert with_prices(cost(*KNOWN, FREE), prices)["money"] == money, "prices may be given afterwards"
    assert "EUR 0.01" in cost_line(cost(*KNOWN, FREE, prices=prices))
    for responses in ([*KNOWN, response(None, 5)], [response(seconds=1.0)], [response()]):
        found = cost(*responses, prices=prices)
        assert found["money"] | {"prices": None} == {"total": None, "mean": None, "known": 0, "prices": None}
        assert "price unknown" in cost_line(found)
    assert cost(*KNOWN, prices=Prices(0, 0))["money"]["total"] == 0


def test_the_schema_describes_a_cost_and_refuses_money_without_its_prices() -> None:
    schema = scores_schema()
    part = {"$ref": "#/$defs/numbers/properties/cost", "$defs": schema["$defs"]}
    valid, described = Draft202012Validator(part), Draft202012Validator(closed(part))
    for found in (cost(*KNOWN), cost(response(None, 5)), cost(*KNOWN, FREE, prices=Prices(1, 2))):
        assert described.is_valid(found)
    assert not described.is_valid(found | {"new": 1}) and valid.is_valid(found | {"new": 1})
    del found["money"]["prices"]
    assert not valid.is_valid(found)


def test_times_are_formatted_for_people() -> None:
    assert [clock(seconds) for seconds in (0.0123, 59, 60, 3725.4)] == ["0.0123 s", "59 s", "0:01:00", "1:02:05"]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return write_questions(tmp_path / "test.tsv", n=3)


def stored(path: Path, *fields: dict[str, Any]) -> Path:
    rows = ({"index": index, "response": "B"} | more for index, more in enumerate(fields))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def scored(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["score", *map(str, arguments), "--format", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_cost_is_computed_from_stored_responses_and_with_any_prices(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"input_tokens": 1000, "output_tokens": 10, "seconds": 0.5, "tokens_counted": True}
    path = stored(tmp_path / "r.jsonl", known, known, {"input_tokens": "many", "output_tokens": True, "seconds": -1})
    found = scored(capsys, questions, path)["cost"]
    assert (found["responses"], found["input_tokens"]["known"], found["output_tokens"]["known"]) == (3, 2, 2)
    assert (found["tokens_counted"], found["wall_seconds"]["known"], found["responses_per_second"]) == (2, 0, None)
    money = scored(capsys, questions, path, "--price-in", 1, "--price-out", 0)["cost"]["money"]
    assert (money["total"], money["known"], money["prices"]["currency"]) == (pytest.approx(0.002), 2, "USD")
    assert main(["score", str(questions), str(path), "--price-in", "1", "--price-out", "10"]) == 0
    assert "out tokens a response (counted) (of 2 of 3 responses)" in capsys.readouterr().out


def test_responses_of_earlier_versions_have_the_scores_they_had(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = stored(tmp_path / "r.jsonl", {}, {}, {})
    assert "cost" not in scored(capsys, questions, path)
    assert main(["score", str(questions), str(path)]) == 0
    assert "cost:" not in capsys.readouterr().out
    with_output_only = stored(tmp_path / "old.jsonl", *[{"output_tokens": 4, "finish_reason": "stop"}] * 3)
    found = scored(capsys, questions, with_output_only)["cost"]
    assert (found["input_tokens"]["known"], found["output_tokens"]["total"], found["seconds"]["known"]) == (0, 12, 0)


def test_the_cost_of_several_samples_is_that_of_all_of_them(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"input_tokens": 10, "output_tokens": 2, "seconds": 0.5}
    paths = [stored(tmp_path / f"{number}.jsonl", known, known, known) for number in range(2)]
    found = scored(capsys, questions, *paths)["cost"]
    assert (found["responses"], found["input_tokens"]["total"], found["seconds"]["mean"]) == (6, 60, 0.5)


def test_one_price_is_refused(questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = stored(tmp_path / "r.jsonl", {}, {}, {})
    for given in (["--price-in", "1"], ["--price-out", "1"], ["--currency", "EUR"]):
        assert main(["score", str(questions), str(path), *given]) == 2
        assert "give both --price-in and --price-out" in capsys.readouterr().err
    for wrong in ("-1", "nan", "inf"):
        assert main(["score", str(questions), str(path), f"--price-in={wrong}", "--price-out", "1"]) == 2
        assert "not a price" in capsys.readouterr().err
