"""An Inspect log: its layout, and every number is that of scores.json.

`test_format_readers.py` reads it with Inspect.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.export.exported_run import ExportedRun
from lmms_eval_shotbench.export.inspect_log import inspect_log
from lmms_eval_shotbench.grading.grade import PROTOCOLS, Protocol
from lmms_eval_shotbench.runs.scores_schema import BadRun
from tests.support.format_runs import recorded_run, sampled_run, without_standard_errors

RUNS: dict[str, Callable[..., ExportedRun]] = {"recorded": recorded_run, "sampled": sampled_run}


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> ExportedRun:
    return RUNS[request.param](tmp_path)


def members(run: ExportedRun) -> dict[str, Any]:
    """The parsed files of the log by name."""
    (content,) = inspect_log(run).values()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def samples_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [value for name, value in found.items() if name.startswith("samples/")]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_metrics_are_those_of_scores_json(run: ExportedRun, protocol: Protocol) -> None:
    accuracy = (run.scores(protocol) or {})["accuracy"]
    (metrics,) = [one["metrics"] for one in members(run)["header.json"]["results"]["scores"] if one["name"] == protocol]
    slugs = accuracy["by_dimension"]
    assert metrics.keys() == {"accuracy", "stderr", "macro", *slugs, *(f"{slug}_stderr" for slug in slugs)}
    for name, expected in {"accuracy": accuracy["micro"], "macro": accuracy["macro"], **slugs}.items():
        assert metrics[name]["value"] == expected["value"]
        assert {key: metrics[name]["metadata"][key] for key in ("low", "high", "stderr", "n")} == {
            key: expected[key] for key in ("low", "high", "stderr", "n")
        }
    assert metrics["stderr"]["value"] == accuracy["micro"]["stderr"]
    assert all(metrics[f"{slug}_stderr"]["value"] == slugs[slug]["stderr"] for slug in slugs)


def test_scores_of_earlier_versions_have_no_metric_of_standard_errors(run: ExportedRun) -> None:
    slugs = run.run.scores["accuracy"]["by_dimension"].keys()
    for score in members(without_standard_errors(run))["header.json"]["results"]["scores"]:
        assert score["metrics"].keys() == {"accuracy", "macro", *slugs}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_response_is_a_sample_with_its_score(run: ExportedRun, protocol: Protocol) -> None:
    found, scores = samples_of(members(run)), run.scores(protocol) or {}
    values = Counter(one["scores"][protocol]["value"] for one in found)
    assert len(found) == len(run.items) * len(run.samples)
    assert values["C"] == scores["correct"] and values["I"] and values["N"]
    assert (values["C"] + values["I"]) / len(found) == scores["answered_rate"]
    by_key = {(one["id"], one["epoch"]): one for one in found}
    for item in run.items:
        for epoch, responses in enumerate(run.samples, start=1):
            sample, response = by_key[item.item_id, epoch], responses[item.source_index]
            assert (sample["target"], sample["choices"]) == (item.answer, list(item.options))
            assert sample["metadata"]["media"] == item.media_path and sample["metadata"]["medium"] == item.medium
            if response.unanswered:
                assert sample["output"]["error"] == response.unanswered and not sample["output"]["choices"]
                assert sample["scores"][protocol]["value"] == "N"
            else:
                assert sample["output"]["completion"] == response.text.replace("\ud83c", "?")
                assert sample["messages"][-1] == sample["output"]["choices"][0]["message"]


def test_the_summaries_are_of_the_samples(run: ExportedRun) -> None:
    found = members(run)
    samples, summaries = samples_of(found), found["summaries.json"]
    for name in ("id", "epoch", "input", "target", "scores", "metadata", "uuid"):
        assert [one[name] for one in summaries] == [one[name] for one in samples]
    assert len({one["uuid"] for one in samples}) == len(samples)


def test_what_the_model_was_asked_and_how_is_in_the_log(tmp_path: Path) -> None:
    found = members(recorded_run(tmp_path))
    header, sample = found["header.json"], samples_of(found)[0]
    assert [message["role"] for message in sample["messages"]] == ["system", "user", "assistant"]
    assert header["plan"]["steps"][0]["params"]["template"] == sample["messages"][0]["content"]
    assert (
        sample["input"] in sample["messages"][1]["content"] and sample["choices"][0] in sample["messages"][1]["content"]
    )
    assert header["eval"]["model"] == "Example/Looker-1B" and header["eval"]["packages"]["lmms-eval"] == "0.7.3"
    assert header["plan"]["config"] == {"temperature": 0, "max_tokens": 1024}
    assert header["eval"]["metadata"]["command"].startswith("shotbench eval")
    assert header["stats"]["model_usage"]["Example/Looker-1B"]["total_tokens"] == 20 * 320
    assert datetime.fromisoformat(header["eval"]["created"]).isoformat() == "2026-11-30T11:00:00+00:00"
    assert header["eval"]["config"]["epochs"] == 1 and "epochs_reducer" not in header["eval"]["config"]


def test_several_samples_are_epochs(tmp_path: Path) -> None:
    found = members(sampled_run(tmp_path))
    config = found["header.json"]["eval"]["config"]
    assert (config["epochs"], config["epochs_reducer"]) == (3, ["mean"])
    assert {one["epoch"] for one in samples_of(found)} == {1, 2, 3}


def test_a_run_has_the_same_bytes_and_another_run_has_another_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    run = recorded_run(tmp_path / "a")
    assert inspect_log(run) == inspect_log(recorded_run(tmp_path / "b"))
    later = replace(run, request=replace(run.request, date="2026-12-01"))
    assert inspect_log(run).keys() != inspect_log(later).keys()


def test_a_log_of_questions_that_are_not_on_the_hub_names_their_folder(tmp_path: Path) -> None:
    run = recorded_run(tmp_path, dataset="")
    own = [replace(item, item_id=f"own-{item.source_index}") for item in run.items]
    stored = replace(run.run.stored, items=[replace(one, item_id=f"own-{one.index}") for one in run.run.stored.items])
    found = members(replace(run, run=replace(run.run, items=own, stored=stored)))
    assert found["header.json"]["eval"]["dataset"]["name"] == run.run.data


def test_a_variant_is_another_task_with_a_note(tmp_path: Path) -> None:
    header = members(recorded_run(tmp_path, variant="mirrored"))["header.json"]
    assert header["eval"]["task"] == "shots-mirrored"
    assert "variant mirrored of the questions" in header["eval"]["metadata"]["notes"]


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_a_date_is_required(tmp_path: Path, date: str) -> None:
    with pytest.raises(BadRun, match="--date"):
        inspect_log(recorded_run(tmp_path, date=date))


def test_the_command_writes_a_log_of_any_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded_run(tmp_path, variant="mirrored")
    asked = ["export", str(tmp_path / "run"), "--format", "inspect", "--date", "2026-11-30"]
    assert main([*asked, "--out", str(tmp_path / "logs")]) == 0
    (log,) = (tmp_path / "logs").iterdir()
    assert capsys.readouterr().out == f"{log}: written\n" and zipfile.is_zipfile(log)
    assert main(asked) == 2 and "--out FOLDER" in capsys.readouterr().err
