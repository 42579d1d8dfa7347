"""What is exported is what the run's scores and record say, and nothing is guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lmms_eval_shotbench.export.exported_run import OVERALL, ExportRequest, read_exported_run
from lmms_eval_shotbench.grading.grade import PROTOCOLS, Protocol
from lmms_eval_shotbench.runs.score import SCORES_FILES
from lmms_eval_shotbench.runs.scores_schema import BadRun
from tests.support.exported_runs import CHECKPOINT, DATASET, exported, make_run


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_results_are_the_estimates_of_the_scores(tmp_path: Path, protocol: Protocol) -> None:
    run = make_run(tmp_path)
    accuracy = json.loads((run / SCORES_FILES[protocol]).read_text())["accuracy"]
    found = {one.task: one._asdict() for one in exported(run).results(protocol)}
    estimates = accuracy["by_dimension"] | {OVERALL: accuracy["micro"]}
    assert list(found) == [*accuracy["by_dimension"], OVERALL]
    assert {task: {name: one[name] for name in estimates[task]} for task, one in found.items()} == estimates


def test_an_overall_result_needs_all_dimensions_of_the_set(tmp_path: Path) -> None:
    stills_only = make_run(tmp_path, slice(0, None, 3))
    assert [one.task for one in exported(stills_only).results()] == ["shot_size"]


def test_the_model_is_the_recorded_checkpoint_unless_another_name_is_given(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert exported(run).model == CHECKPOINT
    assert exported(run, model="our/model").model == "our/model"


@pytest.mark.parametrize(
    "how",
    [
        {"checkpoint": "runs/grpo/merged", "revision": "folder 0123456789abcdef"},
        {"checkpoint": "/work"},
        {"passes": {}},
    ],
    ids=["local by its revision", "local on this machine", "no checkpoint"],
)
def test_a_model_without_a_public_name_must_be_named(tmp_path: Path, how: dict[str, object]) -> None:
    with pytest.raises(BadRun, match="--model ORG/MODEL"):
        _ = exported(make_run(tmp_path, **how)).model  # type: ignore[arg-type]


def test_the_given_name_replaces_a_local_checkpoint_in_the_command(tmp_path: Path) -> None:
    command = "shotbench eval --model shotvl --model_args pretrained=/home/me/merged"
    run = make_run(tmp_path, checkpoint="/home/me/merged", revision="folder 0123", command=command)
    assert exported(run, model="our/model").command == "shotbench eval --model shotvl --model_args pretrained=our/model"
    assert exported(run).command == "shotbench eval --model shotvl --model_args pretrained=merged"


def test_the_benchmark_is_shotbench_for_its_questions_and_must_be_named_for_others(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert exported(run, dataset="").dataset == "Vchitect/ShotBench"
    for file in run.glob("scores*.json"):
        file.write_text(file.read_text().replace("shotbench-0", "studio-0"))
    assert exported(run).dataset == DATASET
    with pytest.raises(BadRun, match="--dataset ORG/NAME"):
        _ = exported(run, dataset="").dataset


def test_generation_settings_are_those_asked_for(tmp_path: Path) -> None:
    plain = exported(make_run(tmp_path / "a")).generation
    assert plain is not None
    assert (plain.temperature, plain.max_new_tokens, plain.samples, plain.seed, plain.other) == (0, 1024, 1, None, {})
    given = ["--gen_kwargs", "temperature=0.6,max_new_tokens=4096,top_p=0.9"]
    sampled = exported(make_run(tmp_path / "b", passed_on=given, seed=3)).generation
    assert sampled is not None
    assert (sampled.temperature, sampled.max_new_tokens, sampled.seed) == (0.6, 4096, 3)
    assert sampled.other == {"top_p": "0.9"}


def test_responses_without_a_record_are_exported_with_what_is_known(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    pair = [str(tmp_path / "test.tsv"), str(run / "samples.jsonl")]
    found = read_exported_run(pair, ExportRequest(model="our/model", dataset=DATASET))
    assert found.results() == exported(run).results()
    assert (found.generation, found.command, found.revision, found.versions, found.date) == (None, "", "", {}, "")


def test_one_run_is_exported_at_a_time(tmp_path: Path) -> None:
    run = str(make_run(tmp_path))
    with pytest.raises(BadRun, match="one run is exported at a time, got 2"):
        read_exported_run([run, run], ExportRequest())
