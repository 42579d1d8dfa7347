"""Every Eval Ever: valid by the published schemas, and every number is that of scores.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from jsonschema import Draft7Validator

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.export.every_eval_ever import every_eval_ever
from lmms_eval_shotbench.export.exported_run import ExportedRun
from lmms_eval_shotbench.grading.grade import PROTOCOLS, Protocol
from lmms_eval_shotbench.runs.scores_schema import BadRun
from tests.support.format_runs import recorded_run, sampled_run, without_standard_errors

SCHEMAS = Path(__file__).parent / "schemas" / "every_eval_ever"  # of every-eval-ever 0.3.0
RUNS: dict[str, Callable[..., ExportedRun]] = {"recorded": recorded_run, "sampled": sampled_run}


class Exported(NamedTuple):
    """The two files, parsed, and where they belong."""

    path: str
    results: dict[str, Any]
    rows: list[dict[str, Any]]
    samples: str


def exported(run: ExportedRun) -> Exported:
    """Export a run and parse the files."""
    (samples_path, samples), (path, results) = every_eval_ever(run).items()
    assert samples_path == path.replace(".json", "_samples.jsonl")
    return Exported(path, json.loads(results), list(map(json.loads, samples.splitlines())), samples)


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> ExportedRun:
    return RUNS[request.param](tmp_path)


def schema(name: str) -> Draft7Validator:
    return Draft7Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")))


def test_both_files_match_the_published_schemas(run: ExportedRun) -> None:
    found = exported(run)
    assert not list(schema("eval").iter_errors(found.results))
    of_rows = schema("instance_level_eval")
    assert not [error for row in found.rows for error in of_rows.iter_errors(row)]


def test_scores_of_earlier_versions_have_no_standard_error_and_are_valid(run: ExportedRun) -> None:
    found = exported(without_standard_errors(run))
    assert "standard_error" not in json.dumps(found.results)
    assert not list(schema("eval").iter_errors(found.results))


def results_of(found: Exported, protocol: Protocol) -> dict[str, dict[str, Any]]:
    """The results of a protocol by the last part of their evaluation's name."""
    return {
        one["evaluation_name"].rpartition(".")[2]: one["score_details"]
        for one in found.results["evaluation_results"]
        if one["score_details"]["details"]["protocol"] == protocol
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_results_are_those_of_scores_json(run: ExportedRun, protocol: Protocol) -> None:
    accuracy = (run.scores(protocol) or {})["accuracy"]
    found = results_of(exported(run), protocol)
    assert found.keys() == {*accuracy["by_dimension"], "overall"} and len(found) > 2
    for name, one in found.items():
        expected = accuracy["micro"] if name == "overall" else accuracy["by_dimension"][name]
        uncertainty = one["uncertainty"]
        interval = uncertainty["confidence_interval"]
        stated = one["score"], interval["lower"], interval["upper"], uncertainty["standard_error"]["value"]
        assert stated == tuple(expected[key] for key in ("value", "low", "high", "stderr"))
        assert uncertainty["num_samples"] == expected["n"]
    assert float(found["overall"]["details"]["macro_value"]) == accuracy["macro"]["value"]


def test_the_rows_of_a_result_average_to_its_score(run: ExportedRun) -> None:
    found = exported(run)
    for one in found.results["evaluation_results"]:
        scores = [
            row["evaluation"]["score"]
            for row in found.rows
            if row["evaluation_result_id"] == one["evaluation_result_id"]
        ]
        assert len(scores) == one["score_details"]["uncertainty"]["num_samples"]
        assert fmean(scores) == pytest.approx(one["score_details"]["score"], abs=1e-12)


def test_results_and_samples_refer_to_each_other(run: ExportedRun) -> None:
    found = exported(run)
    details = found.results["detailed_evaluation_results"]
    assert details["file_path"] == found.path.replace(".json", "_samples.jsonl")
    assert details["checksum"] == hashlib.sha256(found.samples.encode()).hexdigest()
    assert details["total_rows"] == len(found.rows)
    for name, expected in (
        ("evaluation_id", found.results["evaluation_id"]),
        ("model_id", found.results["model_info"]["id"]),
    ):
        assert {row[name] for row in found.rows} == {expected}
    ids = [one["evaluation_result_id"] for one in found.results["evaluation_results"]]
    assert len(set(ids)) == len(ids) and {row["evaluation_result_id"] for row in found.rows} == set(ids)


def test_a_run_has_one_name_and_another_run_has_another(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    run, again = recorded_run(tmp_path / "a"), recorded_run(tmp_path / "b")
    assert every_eval_ever(run) == every_eval_ever(again)
    others = [
        sampled_run(tmp_path / "c"),
        *(replace(run, request=replace(run.request, **{field: value})) for field, value in
          (("date", "2026-12-01"), ("model", "Example/Looker-2B"))),
    ]  # fmt: skip
    paths = [exported(one).path for one in (run, *others)]
    assert len(set(paths)) == len(paths)
    for path in paths:
        collection, developer, model, file = Path(path).parts[1:]
        assert (collection, developer, model.rpartition("-")[0]) == ("shots", "Example", "Looker")
        assert UUID(Path(file).stem).version == 4


def test_a_row_holds_the_question_the_response_and_its_grade(tmp_path: Path) -> None:
    run = recorded_run(tmp_path)
    rows = {row["sample_id"]: row for row in exported(run).rows if row["evaluation_name"].endswith(".overall")}
    assert len(rows) == len(run.items)
    for item, graded in zip(run.items, (run.scores("official") or {})["items"], strict=True):
        row, response = rows[item.item_id], run.samples[0][item.source_index]
        assert row["output"]["raw"] == [response.text.replace("\ud83c", "?")]
        assert row["input"]["reference"] == [item.answer] and row["input"]["choices"] == list(item.options)
        assert row["metadata"]["media"] == item.media_path
        assert [one["extracted_value"] for one in row["answer_attribution"]] == list(filter(None, [graded["letter"]]))
        assert row["token_usage"] == {"input_tokens": 300, "output_tokens": 20, "total_tokens": 320}
        assert row["performance"]["generation_time_ms"] == 500
        thought = response.text.partition("<think>")[2].partition("</think>")[0]
        assert [one.split() for one in row["output"].get("reasoning_trace", [])] == ([thought.split()] * bool(thought))


def test_a_failed_request_is_an_error_and_wrong(tmp_path: Path) -> None:
    rows = [row for row in exported(sampled_run(tmp_path, k=1)).rows if "error" in row]
    assert rows
    for row in rows:
        assert row["error"] == "the server is gone"
        assert row["output"]["raw"] == [""] and not row["answer_attribution"]
        assert row["evaluation"] == {"score": 0.0, "is_correct": False}


def test_the_record_of_the_run_is_stated(tmp_path: Path) -> None:
    found = exported(recorded_run(tmp_path)).results
    assert found["evaluation_timestamp"] == found["retrieved_timestamp"] == "1796036400"  # 11:00 UTC
    assert found["eval_library"]["name"] == "lmms-eval" and found["eval_library"]["version"] == "0.7.3"
    assert found["model_info"]["inference_engine"] == {"name": "transformers", "version": "5.5.0"}
    details = found["model_info"]["additional_details"]
    assert (details["deployment_type"], details["model_availability"]) == ("self_deployed", "open_weights")
    arguments = found["evaluation_results"][0]["generation_config"]["generation_args"]
    assert (arguments["temperature"], arguments["max_tokens"], arguments["reasoning"]) == (0, 1024, True)
    assert "film" not in arguments["prompt_template"] and "{question}" in arguments["prompt_template"]


def test_what_is_unknown_is_not_stated(tmp_path: Path) -> None:
    found = exported(sampled_run(tmp_path, weights="")).results
    details = found["model_info"]["additional_details"]
    assert details == {"deployment_type": "unknown", "model_availability": "unknown"}
    assert "inference_engine" not in found["model_info"]
    assert not any("generation_config" in one for one in found["evaluation_results"])


def test_a_variant_is_another_evaluation(tmp_path: Path) -> None:
    found = exported(recorded_run(tmp_path, variant="mirrored"))
    results = found.results["evaluation_results"]
    assert results and all(one["evaluation_name"].startswith("shots_mirrored.") for one in results)
    assert all("variant mirrored" in one["score_details"]["details"]["notes"] for one in results)


@pytest.mark.parametrize(
    ("field", "value", "option"),
    [
        ("date", "", "--date"),
        ("organization", "", "--organization"),
        ("relationship", "", "--relationship"),
        ("model", "looker", "--model DEVELOPER/MODEL"),
        ("model", "../looker", "--model"),
        ("model", "data/looker", "--model"),
        ("model", "aux/looker", "--model"),
        ("dataset", "Example/CON", "--dataset"),
    ],
)
def test_what_must_be_stated_is_asked_for(tmp_path: Path, field: str, value: str, option: str) -> None:
    with pytest.raises(BadRun, match=option):
        every_eval_ever(recorded_run(tmp_path, **{field: value}))


def test_a_run_without_its_responses_or_questions_is_refused(tmp_path: Path) -> None:
    run = recorded_run(tmp_path)
    without = replace(run, run=replace(run.run, samples=[]))
    with pytest.raises(BadRun, match="no responses"):
        every_eval_ever(without)
    without = replace(run, run=replace(run.run, items=[]))
    with pytest.raises(BadRun, match="--data"):
        every_eval_ever(without)


def test_the_command_writes_both_files_again_and_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded_run(tmp_path)
    stated = ["--date", "2026-11-30", "--organization", "Example Lab", "--relationship", "first_party"]
    options = ["--format", "every-eval-ever", "--dataset", "Example/Shots", *stated, "--out", str(tmp_path / "out")]
    for _ in range(2):
        assert main(["export", str(tmp_path / "run"), *options]) == 0
        samples, results = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())[::-1]
        assert capsys.readouterr().out == f"{samples}: written\n{results}: written\n"
    assert json.loads(results.read_text(encoding="utf-8"))["model_info"]["id"] == "Example/Looker-1B"


def test_the_command_asks_for_who_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded_run(tmp_path)
    options = ["--format", "every-eval-ever", "--dataset", "Example/Shots", "--date", "2026-11-30"]
    assert main(["export", str(tmp_path / "run"), *options, "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--organization" in line and not (tmp_path / "out").exists()
