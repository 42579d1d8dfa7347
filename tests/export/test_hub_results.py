"""Entries of the Hub's evaluation results, as its own classes read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from huggingface_hub import EvalResultEntry, parse_eval_result_entries

from lmms_eval_shotbench.export.exported_run import OVERALL
from lmms_eval_shotbench.export.hub_results import hub_results
from lmms_eval_shotbench.grading.grade import PROTOCOLS, Protocol
from lmms_eval_shotbench.runs.score import SCORES_FILES
from tests.support.exported_runs import DATASET, exported, make_run


def entries(run: Path, **stated: object) -> list[EvalResultEntry]:
    (text,) = hub_results(exported(run, **stated)).values()
    return list(parse_eval_result_entries(yaml.safe_load(text)))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_values_are_the_accuracies_of_a_protocol_in_percent(tmp_path: Path, protocol: Protocol) -> None:
    run = make_run(tmp_path)
    accuracy = json.loads((run / SCORES_FILES[protocol]).read_text())["accuracy"]
    found = {one.task_id: one for one in entries(run, protocol=protocol)}
    for task, estimate in (accuracy["by_dimension"] | {OVERALL: accuracy["micro"]}).items():
        assert found[task].value == pytest.approx(100 * estimate["value"], abs=5e-5)
        interval = f"95 % interval {100 * estimate['low']:.1f} – {100 * estimate['high']:.1f}"
        assert f"percent of {estimate['n']} questions, {interval}; {protocol} grading" in str(found[task].notes)
    assert len(found) == len(accuracy["by_dimension"]) + 1


def test_an_entry_has_what_is_stated_and_nothing_else(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    plain = entries(run)[0]
    assert plain.dataset_id == DATASET
    assert {plain.dataset_revision, plain.date, plain.source_url, plain.source_name} == {None}
    stated = {"date": "2026-11-30", "source_url": "https://example.org", "source_name": "Logs"}
    full = entries(run, dataset_revision="a" * 40, organization="Our lab", **stated)[0]
    assert (full.date, full.source_url, full.source_name) == tuple(stated.values())
    assert full.dataset_revision == "a" * 40
    assert str(full.notes).endswith("; evaluated by Our lab")
    (text,) = hub_results(exported(run, **stated)).values()
    assert "date: '2026-11-30'" in text


def test_notes_have_prompt_and_versions(tmp_path: Path) -> None:
    (note, *_) = {str(one.notes).partition("strict grading")[2] for one in entries(make_run(tmp_path))}
    assert note == "; prompt direct; lmms-eval 0.7.3"


def test_the_file_is_named_after_the_benchmark_and_the_variant(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert list(hub_results(exported(run))) == [".eval_results/shots.yaml"]
    assert hub_results(exported(run)) == hub_results(exported(run))
    blind = make_run(tmp_path / "blind", variant="blind")
    assert list(hub_results(exported(blind))) == [".eval_results/shots-blind.yaml"]
