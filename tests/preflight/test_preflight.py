"""Problems of a training run are reported before it starts: each is a real problem in real files."""

# ruff: noqa: F811 (fixtures that are imported are named again as arguments)

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.verl
pytest.importorskip("verl")
pytest.importorskip("torch")

import pyarrow
import pyarrow.parquet as parquet

from tests.support.preflight_runs import Run, cut_off, grpo_run, make_run, sft_run, shards, training_rows  # noqa: F401
from verl_recipes import recipes
from verl_recipes.preflight import preflight
from verl_recipes.preflight.problem import Problem, merge_problems


@pytest.mark.parametrize("method", recipes.METHODS)
def test_a_valid_run_has_no_problems(make_run: Callable[[str], Run], shards: Path, method: str) -> None:
    valid = make_run(method)
    before = {path: path.read_bytes() for path in valid.rows.rglob("*") if path.is_file()}
    report = preflight.check(valid.config(), method, shards=str(shards))
    assert not report.problems, report.text()
    report.raise_for_problems()
    text = report.text()
    assert "rows: 4 to train on, 4 to validate on" in text
    assert "6 stills and 2 clips" in text
    for word in ("longest row", "parameters", "steps: 2 an epoch", "disk:", "memory of a worker", "Ray: 1 node"):
        assert word in text, word
    after = {path: path.read_bytes() for path in valid.rows.rglob("*") if path.is_file()}
    assert after == before, "it only reads"


def without_column(path: Path, name: str) -> None:
    parquet.write_table(parquet.read_table(path).drop([name]), path)


def with_text(path: Path, name: str) -> None:
    table = parquet.read_table(path)
    index = table.schema.names.index(name)
    parquet.write_table(table.set_column(index, name, pyarrow.array(["x"] * len(table))), path)


FILES: dict[str, tuple[Callable[[Run], object], str]] = {
    "no rows": (lambda run: run.train.unlink(), "there is no such file"),
    "rows cut off": (lambda run: cut_off(run.train), "cannot be read as parquet"),
    "no column": (lambda run: without_column(run.train, "reward_model"), "column reward_model is missing"),
    "column of text": (lambda run: with_text(run.train, "prompt"), "column prompt is string, verl expects a list of"),
    "medium gone": (lambda run: run.medium("0.png").unlink(), "it cannot be opened (No such file"),
    "medium empty": (lambda run: run.medium("0.png").write_bytes(b""), "the file is empty"),
    "png cut off": (lambda run: cut_off(run.medium("0.png")), "still cannot be decoded"),
    "jpeg cut off": (lambda run: cut_off(run.medium(".jpeg")), "still cannot be decoded: image file is truncated"),
    "clip cut off": (lambda run: cut_off(run.medium(".mp4"), 0.9), "clip c"),
    "no medium at all": (lambda run: run.medium("0.png").write_bytes(b"<html>"), "not a picture"),
}


@pytest.mark.parametrize(("break_it", "words"), FILES.values(), ids=FILES)
def test_files_that_are_missing_or_broken_are_named(
    grpo_run: Run, break_it: Callable[[Run], object], words: str
) -> None:
    break_it(grpo_run)
    problems = grpo_run.problems()
    found = [problem for problem in problems if words in problem.what]
    assert len(found) == 1, problems
    assert "film-grpo" in found[0].where or str(grpo_run.train) in found[0].where
    assert found[0].next_step
    assert len(problems) <= 2, "nothing else is blamed, but for a batch without rows"


def item_with(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(row: dict[str, Any]) -> None:
        row["extra_info"]["item"] = json.dumps(json.loads(row["extra_info"]["item"]) | changes)

    return change


def set_in(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(row: dict[str, Any]) -> None:
        for key in path[:-1]:
            row = row[key]
        row[path[-1]] = value

    return change


def unmarked(row: dict[str, Any]) -> None:
    row["prompt"][1]["content"] = row["prompt"][1]["content"].replace("<image>", "")


def marked_twice(row: dict[str, Any]) -> None:
    row["prompt"][1]["content"] += "<image>"


CONTENTS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "no mark": (unmarked, "0 <image> in the text for 1 in the media columns"),
    "two marks": (marked_twice, "2 <image> in the text for 1"),
    "unknown dimension": (item_with(dimension="mood"), "dimension is 'mood'"),
    "unknown source": (set_in("data_source", value="small/mood"), "data_source 'small/mood'"),
    "another dimension": (set_in("data_source", value="small/lighting_type"), "is not shot_size"),
    "no letter": (set_in("reward_model", "ground_truth", value="Q"), "'Q', not a letter of an option"),
    "another letter": (
        set_in("reward_model", "ground_truth", value="A"),
        "ground_truth is A, the answer of the question is B",
    ),
    "no question": (set_in("extra_info", "item", value="?"), "extra_info.item is not a question"),
    "answer not on offer": (item_with(answer="Z"), "answer is 'Z'"),
    "no such role": (lambda row: row["prompt"][0].update(role="director"), "the roles of the turns are not among"),
}


@pytest.mark.parametrize(("break_it", "words"), CONTENTS.values(), ids=CONTENTS)
def test_rows_that_are_wrong_are_named(grpo_run: Run, break_it: Callable[[dict[str, Any]], None], words: str) -> None:
    grpo_run.change(break_it)
    (problem,) = grpo_run.problems()
    assert words in problem.what
    assert problem.where == "grpo.parquet row 0"


def test_an_sft_row_without_an_answer_is_named(sft_run: Run) -> None:
    sft_run.change(lambda row: row["messages"].pop())
    (problem,) = sft_run.problems()
    assert "not an answer of the assistant" in problem.what


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_validation_and_test_data_must_not_be_trained_on(
    make_run: Callable[[str], Run], shards: Path, training_rows: Path, method: str
) -> None:
    broken = make_run(method)
    shutil.copy(broken.train, broken.rows / "dev.parquet")
    (problem,) = broken.problems()
    assert "training data is also in the validation rows" in problem.what
    assert ("film film-grpo" if method == "grpo" else "medium film-sft0") in problem.where
    other = run_on_tested_films(broken)
    (problem,) = other.problems(shards=str(shards))
    assert "training data is also in the test split" in problem.what
    assert f"film-{'test'}" in problem.where


def run_on_tested_films(run: Run) -> Run:
    """Rows of the test split under the name of a training split, which no command of ours writes."""
    folder = run.rows.with_name("tested")
    shutil.copytree(run.rows, folder)
    dev = parquet.read_table(folder / "dev.parquet")
    text = json.dumps(parquet.read_table(folder / run.train.name).to_pylist())
    own = f"film-{run.train.stem}"
    for path in list((folder / "media").glob(f"{own}*")):
        path.rename(path.with_name(path.name.replace(own, "film-test")))
    rows = json.loads(text.replace(own, "film-test").replace(str(run.rows), str(folder)))
    parquet.write_table(pyarrow.Table.from_pylist(rows, dev.schema), folder / run.train.name)
    (folder / "dev.parquet").unlink()
    validation = json.loads(text.replace(own, "film-dev").replace(str(run.rows), str(folder)))
    parquet.write_table(pyarrow.Table.from_pylist(validation, dev.schema), folder / "dev.parquet")
    return Run(run.method, folder, run.model)


LIMITS = [
    ("grpo", "data.max_prompt_length"),
    ("grpo", "actor_rollout_ref.rollout.max_model_len"),
    ("grpo", "actor_rollout_ref.actor.ppo_max_token_len_per_gpu"),
    ("sft", "data.max_length"),
]


@pytest.mark.parametrize(("method", "limit"), LIMITS)
def test_a_row_too_long_is_reported_with_the_minimum_limit_that_fits(
    make_run: Callable[[str], Run], method: str, limit: str
) -> None:
    valid = make_run(method)
    (problem,) = valid.problems(f"{limit}=100")
    assert limit in problem.what
    assert f"film-{valid.train.stem}" in problem.where or "film-dev" in problem.where
    least = int(problem.what.split("100, ")[1].split(" is the minimum")[0].replace(",", ""))
    assert not valid.problems(f"{limit}={least}")
    assert valid.problems(f"{limit}={least - 1}")


NUMBERS: dict[str, tuple[str, list[str], str]] = {
    "a group of one": ("grpo", ["actor_rollout_ref.rollout.n=1"], "a group of 1 has no mean"),
    "no step": ("grpo", ["data.train_batch_size=5"], "4 rows are fewer than one batch of 5"),
    "no step of SFT": ("sft", ["data.train_batch_size=6"], "4 rows are fewer than one batch of 6"),
    "nothing validated": ("sft", ["data.train_batch_size=4", "data.val_max_samples=2"], "reports nan"),
    "workers": (
        "grpo",
        ["trainer.n_gpus_per_node=3", "actor_rollout_ref.rollout.n=4"],
        "8 cannot be divided by 3",
    ),
    "workers of SFT": ("sft", ["trainer.n_gpus_per_node=3"], "divided by 3"),
    "micro batch": ("sft", ["data.train_batch_size=4", "data.micro_batch_size_per_gpu=3"], "4 cannot be divided by 3"),
    "tensor parallel": ("grpo", ["actor_rollout_ref.rollout.tensor_model_parallel_size=2"], "1 cannot be divided by 2"),
    "verl's own check": (
        "grpo",
        ["actor_rollout_ref.actor.use_dynamic_bsz=false", "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=2",
         "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=2",
         "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=2", "actor_rollout_ref.actor.ppo_mini_batch_size=4"],
        "verl refuses it: train_batch_size (2) must be >= actor.ppo_mini_batch_size (4)",
    ),
    "verl's classes": ("grpo", ["actor_rollout_ref.actor.loss_agg_mode=median"], "Invalid loss_agg_mode: median"),
    "no reward": ("grpo", ["reward.custom_reward_function.path=null"], "verl's default reward knows none"),
    "unknown weight": ("grpo", ["+reward.custom_reward_function.reward_kwargs.style=1"], "the reward refuses it"),
    "reward not there": ("grpo", ["reward.custom_reward_function.path=gone.py"], "the reward cannot be loaded"),
    "too few GPUs": ("grpo", ["ray_kwargs.ray_init.num_gpus=0"], "1 node(s) with 1 GPUs are requested, 0 of 1 have"),
    "too few nodes": ("grpo", ["trainer.nnodes=2"], "2 node(s) with 1 GPUs are requested, 1 of 1 have"),
    "too few CPUs": ("sft", ["ray_kwargs.ray_init.num_cpus=9"], "1 workers per node take 10 CPUs of Ray, a node has 9"),
    "no disk space": (
        "grpo",
        ["trainer.save_freq=1", "trainer.max_actor_ckpt_to_keep=null", "trainer.total_epochs=1000000000"],
        "GB are free and",
    ),
    "steps that no epoch reaches": (
        "grpo",
        ["trainer.total_epochs=2", "trainer.total_training_steps=5"],
        "5 steps are more than the 4 of 2 epochs",
    ),
    "steps that no epoch of SFT reaches": (
        "sft",
        ["data.train_batch_size=4", "trainer.total_epochs=3", "trainer.total_training_steps=4"],
        "4 steps are more than the 3 of 3 epochs",
    ),
}  # fmt: skip


@pytest.mark.parametrize("method", ["sft", "cot_sft", "grpo"])
def test_a_cpu_recipe_runs_on_two_workers_without_other_settings(make_run: Callable[[str], Run], method: str) -> None:
    batch = [] if method == "grpo" else ["data.micro_batch_size_per_gpu=1"]
    assert not make_run(method).problems("trainer.n_gpus_per_node=2", *batch)


@pytest.mark.parametrize(("method", "overrides", "words"), NUMBERS.values(), ids=NUMBERS)
def test_settings_that_cannot_work_are_named(
    make_run: Callable[[str], Run], method: str, overrides: list[str], words: str
) -> None:
    problems = make_run(method).problems(*overrides)
    assert [problem for problem in problems if words in problem.what], problems


def test_all_problems_are_reported_at_once_and_stop_the_run(grpo_run: Run) -> None:
    grpo_run.medium("0.png").unlink()
    grpo_run.medium("1.png").unlink()
    report = preflight.check(grpo_run.config("actor_rollout_ref.rollout.n=1", "trainer.nnodes=2"), "grpo")
    with pytest.raises(preflight.PreflightFailed, match="3 problems, nothing was started") as failed:
        report.raise_for_problems()
    assert "film-grpo0.png" in str(failed.value)
    assert "film-grpo1.png" in str(failed.value)
    assert "a group of 1" in str(failed.value)
    assert str(failed.value) in report.text()


def test_a_problem_of_many_rows_is_reported_once() -> None:
    many = [Problem("it is cut off", f"row {number}", "Fix it.") for number in range(1200)]
    (one,) = merge_problems(many)
    assert one.where == "row 0; row 1; row 2; and 1,197 more"
