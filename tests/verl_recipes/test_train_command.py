"""`shotbench train` before a run starts: its dry run and its error messages."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.qwen.tiny_qwen import make_tiny_qwen
from tests.support.saved_checkpoints import save
from tests.support.split_shards import write_split_shards
from verl_recipes import recipes
from verl_recipes.preflight import preflight
from verl_recipes.run import evaluate_run
from verl_recipes.run import prepare as preparation
from verl_recipes.run.merge import MergeFailed, merge_run
from verl_recipes.run.prepare import TINY_BASE, prepare
from verl_recipes.run.run_folder import RunFolder, TrainingRequest

pytestmark = pytest.mark.verl
pytest.importorskip("verl")
hydra = pytest.importorskip("hydra")
SMALL = ["data.train_batch_size=8", "data.max_prompt_length=1600"]
LONG_AGO = (1_000, 1_000)  # access and modification time in ns, which a rewritten file does not keep


@pytest.fixture(scope="module")
def split_shards(studio_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_split_shards(studio_shards, tmp_path_factory.mktemp("films") / "shards")


@pytest.fixture
def grpo_command(split_shards: Path, tiny_model: Path, tmp_path: Path) -> list[str]:
    command = ["train", "grpo", "--recipe", "tiny", "--data", str(split_shards), "--model", str(tiny_model)]
    return [*command, "--out", str(tmp_path / "run")]


def test_a_dry_run_prints_configuration_command_and_preflight_report(
    grpo_command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*grpo_command, "--dry-run", *SMALL]) == 0
    printed = capsys.readouterr().out
    assert "adv_estimator: grpo" in printed
    assert "VERL_PLATFORM=cpu" in printed
    assert "-m verl_recipes.run.warm_start verl.trainer.main_ppo --config-dir" in printed
    assert "no problems found" in printed
    assert not (tmp_path / "run" / "logs").exists()  # nothing was started


def test_a_configuration_is_composed_once(split_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compose, composed = hydra.compose, []

    def counted(name: str, overrides: list[str]) -> Any:
        composed.append(overrides)
        return compose(name, overrides)

    monkeypatch.setattr(hydra, "compose", counted)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(preparation, "PY_EXECUTABLE", "'/folder with spaces/python' -I forked_worker.py")
    prepared = prepare(TrainingRequest("grpo", "tiny", str(split_shards), tmp_path / "run", overrides=tuple(SMALL)))
    assert len([overrides for overrides in composed if set(SMALL) < set(overrides)]) == 1  # the other one is the recipe
    # The recipe names no model, so ours is added; verl composes the same configuration from the command.
    assert prepared.config.actor_rollout_ref.model.path == str(TINY_BASE)
    overrides = [part for part in prepared.command if "=" in part]
    assert recipes.compose("grpo", "tiny", overrides) == prepared.config


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_a_cpu_recipe_joins_the_cluster_at_ray_address(
    method: str, split_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    monkeypatch.setattr(preflight.cluster, "cluster_problems", lambda *_: ([], []))  # there is no such cluster
    prepared = prepare(TrainingRequest(method, "tiny", str(split_shards), tmp_path / "run"))
    assert "ray=cpu_joined" in prepared.command
    assert "verl_recipes.run.warm_start" not in prepared.command  # its workers would be forked on this host only


def test_a_dry_run_may_be_followed_by_another_order(grpo_command: list[str], tmp_path: Path) -> None:
    rows = tmp_path / "run" / "rows" / "grpo.parquet"
    assert main([*grpo_command, "--dry-run", *SMALL]) == 0
    os.utime(rows, ns=LONG_AGO)
    assert main([*grpo_command, "--dry-run", *SMALL, "data.seed=7"]) == 0
    assert rows.stat().st_mtime_ns != LONG_AGO[1]  # rows of another order are not reused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["data.max_prompt_length=200"], "the longest row does not fit: data.max_prompt_length is 200"),
        (["actor_rollout_ref.rollout.n=1"], "rollout.n"),
        (["data.sead=7"], "did you mean data.seed"),
        (["trainer.n_gpus_per_node=3"], "3"),
        (["trainer.total_epochs=two"], "trainer.total_epochs='two': it must be a whole number of 1 or more"),
        (["trainer=3"], "trainer=3: it must be a section of keys"),
        (["trainer.logger=[console,wandbb]"], "trainer.logger=wandbb: verl has no such logger. Choose among console"),
        (["actor_rollout_ref.rollout.temperature=0"], "responses to a prompt would all be the same"),
        (["--resume"], "no such option: --resume"),
    ],
)
def test_problems_are_reported_before_a_run_starts(
    grpo_command: list[str], tmp_path: Path, changes: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*grpo_command, *SMALL, *changes]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run" / "logs").exists()


def test_an_unknown_recipe_is_reported_with_the_known_ones(
    grpo_command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word if word != "tiny" else "13b" for word in grpo_command]) == 2
    assert "'13b' is not a recipe of grpo; use one of 3b, 3b_lora, 7b, qwen3vl_4b, " in capsys.readouterr().err


def test_training_on_films_of_the_test_split_is_refused(
    studio_shards: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace

    from data_pipeline.shards.row_writer import PendingRow
    from data_pipeline.shards.write_shards import write_shards
    from lmms_eval_shotbench.questions.shards import ShardFolder
    from tests.support.split_shards import ABOUT

    source = ShardFolder(studio_shards, "test")
    rows = [
        PendingRow.of(split, replace(item, item_id=f"{split}-{item.item_id}"), source.media(item.item_id))
        for split in ("sft", "test")
        for item in list(source.items())[:3]
    ]
    write_shards(rows, tmp_path / "leaky", ABOUT, splits=("sft", "test"))
    command = ["train", "sft", "--recipe", "tiny", "--data", str(tmp_path / "leaky"), "--model", str(tiny_model)]
    assert main([*command, "--out", str(tmp_path / "run")]) == 2
    assert "tests with" in capsys.readouterr().err


def test_an_ablation_with_shared_training_and_test_films_is_refused(
    split_shards: Path, studio_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "ablation", "--data", str(split_shards), "--test", str(studio_shards)]
    command += ["--out", str(tmp_path / "ablation")]
    assert main(command) == 2
    assert f"which {studio_shards} tests with" in capsys.readouterr().err
    assert not (tmp_path / "ablation").exists()


def test_scores_are_reused_only_for_the_same_weights_and_questions(
    studio_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_this_process(command: list[str]) -> None:
        assert main(command) == 0

    # The complete evaluation. Another process, as in test_training_runs.py, would take 7 s for imports.
    monkeypatch.setattr(evaluate_run, "_run_command", in_this_process)
    model = make_tiny_qwen(tmp_path / "model")
    options = {"tasks": ("shotbench_shot_size",), "max_new_tokens": 2, "reuse": True}

    scores = tmp_path / "eval" / "shotbench_shot_size" / "scores.json"

    def is_written(**changed: Any) -> bool:
        if scores.exists():
            os.utime(scores, ns=LONG_AGO)
        evaluate_run.evaluate_model(model, str(studio_shards), tmp_path / "eval", **(options | changed))
        return scores.stat().st_mtime_ns != LONG_AGO[1]

    assert is_written() and not is_written()
    assert is_written(max_new_tokens=3) and not is_written(max_new_tokens=3)
    os.utime(model / "model.safetensors", ns=LONG_AGO)  # as a resumed training does
    assert is_written(max_new_tokens=3)


def test_the_message_of_a_failed_evaluation_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(evaluate_run.EvaluationFailed, match=r"ended with status 2:\n(.*\n)*.*no-such-shards"):
        evaluate_run.evaluate_model("no-such-model", "./no-such-shards", Path("eval"), ("shotbench",))


def test_the_message_of_a_failed_merge_is_verls_and_no_model_is_left(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    save(run.checkpoints, 3)  # of no model
    with pytest.raises(MergeFailed, match=r"verl's merger failed on .*actor:\n(.*\n)*.*Error"):
        merge_run(run.path)
    assert not run.model.exists()
