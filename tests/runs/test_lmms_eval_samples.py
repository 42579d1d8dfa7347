"""Samples that lmms-eval stores, read without lmms-eval; `tests/harness/test_stored_responses.py` has it write them."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.grading.strict import has_response
from lmms_eval_shotbench.harness.task_files import all_tasks
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.questions.variants import variant_named
from lmms_eval_shotbench.runs.lmms_eval_samples import SampleFile, asked_variant
from lmms_eval_shotbench.runs.responses import BadResponses, StoredResponse, read_responses, read_samples
from tests.support.report_runs import write_questions

OLD, NEW = "20261129_235959", "20261130_000001"


def line(index: int, text: str | None, **more: Any) -> dict[str, Any]:
    """A line as lmms-eval 0.7.3 writes it, without the fields that are not read."""
    score = {"score": 0, "pred": None, "answer": "B", "index": index, "dimension": "shot_size", "medium": "m"}
    return {"doc_id": 0, "target": "B", "filtered_resps": text, "token_counts": [None], "shotbench_score": score} | more


def write_samples(folder: Path, task: str, *lines: dict[str, Any], date: str = NEW) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{date}_samples_{task}.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lines), encoding="utf-8")
    return path


def write_results(folder: Path, task: str, limit: int, model: str = "m", batch_size: object = 1) -> None:
    results = {
        "configs": {task: {"generation_kwargs": {"max_new_tokens": limit}}},
        "config": {"model": model, "batch_size": batch_size},
        "model_name": "",
    }
    (folder / f"{NEW}_results.json").write_text(json.dumps(results), encoding="utf-8")


@pytest.mark.parametrize("task", all_tasks(), ids=lambda task: task.name)
def test_the_name_of_the_file_states_group_and_variant_of_every_task(task: Any) -> None:
    file = SampleFile.named(Path("run", f"{NEW}_samples_{task.name}.jsonl"))
    assert file is not None and (file.task, file.group, file.variant) == (task.name, task.group, task.variant)


def test_the_response_is_the_one_that_lmms_eval_did_not_strip(tmp_path: Path) -> None:
    thought = "<think>C?</think>B"
    lines = (
        line(1, "A"),
        line(2, "B", resps=[thought]),
        line(3, None, filtered_resps=["B"], resps=[[thought]]),  # earlier versions
    )
    assert read_responses(write_samples(tmp_path, "shotbench_shot_size", *lines)) == {1: "A", 2: thought, 3: thought}


def test_failures_that_lmms_eval_stores_as_texts_are_unanswered(tmp_path: Path) -> None:
    failures = ("[LMMS_EVAL_REQUEST_FAILED after 5 retries] HTTP 500", "[LMMS_EVAL_BUDGET_EXCEEDED]")
    null = 'Error: can only concatenate str (not "NoneType") to str'
    lines = [line(index, text) for index, text in enumerate((*failures, null, None, "None", ""))]
    stored = read_samples(write_samples(tmp_path, "shotbench_shot_size", *lines))
    assert [bool(one.unanswered) for one in stored.values()] == [True] * 4 + [False] * 2
    assert [has_response(one.text) for one in stored.values()] == [False] * 4 + [True] * 2
    assert [one.unanswered for one in stored.values()][:2] == list(failures)


def test_the_token_limit_is_that_of_the_results_next_to_the_samples(tmp_path: Path) -> None:
    counts = ({"input_tokens": 9, "output_tokens": 8}, {"input_tokens": 9, "output_tokens": 7}, {"output_tokens": 8})
    lines = [line(index, "A", token_counts=[one]) for index, one in enumerate(counts)]
    path = write_samples(tmp_path, "shotbench_shot_size", *lines, line(3, "A", token_counts=None))
    unknown = StoredResponse("A")
    known = [StoredResponse("A", "length", 8, input_tokens=9), StoredResponse("A", "stop", 7, input_tokens=9)]
    assert list(read_samples(path).values()) == [
        *(one._replace(finish_reason="") for one in known),
        unknown,
        unknown,
    ]
    for batch_size, without_input in (
        (4, unknown),
        (1, known[0]._replace(input_tokens=None)),
    ):  # padded responses have no count of their own
        folder = tmp_path / str(batch_size)
        write_samples(folder, "shotbench_shot_size", *lines)
        write_results(folder, "shotbench_shot_size", 8, batch_size=batch_size)
        assert list(read_samples(folder).values()) == [*known, without_input]


def test_a_folder_gives_the_newest_samples_of_each_of_our_tasks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stills, clips = tmp_path / "stills" / "m", tmp_path / "clips" / "m"
    write_samples(stills, "shotbench_shot_size", line(1, "old"), line(2, "old"), date=OLD)
    write_samples(stills, "shotbench_shot_size", line(1, "new"))
    write_samples(clips, "shotbench_camera_movement", line(9, "C"), date=OLD)
    write_samples(clips, "mmmu_val", {"doc_id": 0, "filtered_resps": "A"})
    with caplog.at_level(logging.WARNING):
        assert read_responses(tmp_path) == {1: "new", 9: "C"}
    assert "the samples of 1 other tasks are ignored" in caplog.text


def test_samples_of_a_run_of_shotbench_eval_are_read_before_those_of_lmms_eval(tmp_path: Path) -> None:
    write_samples(tmp_path / "lmms_eval", "shotbench_shot_size", line(1, "A"))
    (tmp_path / "samples.jsonl").write_text('{"index": 1, "response": "B"}\n')
    assert read_responses(tmp_path) == {1: "B"} and asked_variant(tmp_path) is None


def test_folders_of_several_groups_or_models_or_of_none_are_refused(tmp_path: Path) -> None:
    def refusal(folder: str) -> str:
        with pytest.raises(BadResponses) as refused:
            read_samples(tmp_path / folder)
        return str(refused.value)

    for task in ("shotbench_shot_size", "shotbench_mirrored_reasoning_shot_size"):
        write_samples(tmp_path / "groups", task, line(1, "A"))
    assert "several task groups (shotbench, shotbench_mirrored_reasoning)" in refusal("groups")
    for model, task in (("a", "shotbench_shot_size"), ("b", "shotbench_lens_size")):
        write_samples(tmp_path / "models" / model, task, line(1, "A"))
        write_results(tmp_path / "models" / model, task, 8, model)
    assert "several models (a, b)" in refusal("models")
    write_samples(tmp_path / "others", "mmmu_val", line(1, "A"))
    assert "lmms-eval's samples of our tasks" in refusal("others") and "1 other tasks" in refusal("others")
    write_samples(tmp_path, "mmmu_val", {"doc_id": 0, "filtered_resps": "A"}).rename(tmp_path / "renamed.jsonl")
    assert "renamed.jsonl, line 1: a sample of lmms-eval or lm-eval without shotbench_score" in refusal("renamed.jsonl")


@pytest.mark.parametrize("variant", ["", "blind", "circular", "mirrored"])
def test_samples_of_a_variant_are_scored_and_compared_by_its_questions(
    variant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = write_questions(tmp_path / "test.tsv"), tmp_path / "run"
    questions = read_questions(data)
    asked = variant_named(variant).of(questions) if variant else questions
    for dimension in {item.dimension for item in asked}:
        lines = [line(item.source_index, item.answer) for item in asked if item.dimension == dimension]
        write_samples(run, "_".join(filter(None, ("shotbench", variant, dimension))), *lines)
    assert main(["score", str(data), str(run), "--format", "json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert (scores["correct"], scores["n"]) == (len(asked), len(asked))
    assert scores["run"].get("variant", "") == variant
    assert main(["compare", str(data), str(run), str(run), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["overall"]["a"] == 1.0
    assert main(["score", str(data), str(run), "--variant", "reversed"]) == 2
    assert f"lmms-eval's samples of {variant or 'the original questions'}" in capsys.readouterr().err


@pytest.mark.slow
def test_compare_and_report_take_a_folder_of_samples_and_an_array_of_responses_to_the_same_questions(
    tmp_path: Path,
) -> None:
    pytest.importorskip("jinja2")
    data, run, array = write_questions(tmp_path / "test.tsv"), tmp_path / "run", tmp_path / "b.json"
    sizes = [item for item in read_questions(data) if item.dimension == "shot_size"]
    write_samples(run, "shotbench_shot_size", *(line(item.source_index, item.answer) for item in sizes))
    array.write_text(json.dumps([{"index": item.source_index, "response": "B"} for item in sizes]))
    assert main(["compare", str(data), str(run), str(array)]) == 0
    page = tmp_path / "page" / "report.html"
    assert main(["report", str(data), str(run), str(array), "--out", str(page)]) == 0
    assert page.is_file()
