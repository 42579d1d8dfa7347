"""SFT, GRPO, merge and evaluation by command, killed and resumed: verl's own trainers on real Ray workers."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.questions.shards import ShardFolder
from lmms_eval_shotbench.runs.completions import read_completions
from tests.run.conftest import MARK, attempt, command_of
from verl_recipes.inside_verl.checkpoint_rotation import started_steps
from verl_recipes.reward import score_response
from verl_recipes.run.ablation import AblationPlan, run_ablation
from verl_recipes.run.ablation_report import write_ablation_report
from verl_recipes.run.checkpoints import TRACKER, complete_steps
from verl_recipes.run.evaluate_run import TASKS
from verl_recipes.run.run_folder import RunFolder, read_metrics

pytestmark = [pytest.mark.verl, pytest.mark.ray, pytest.mark.host, pytest.mark.timeout(1500)]


def test_a_killed_sft_run_resumes_with_the_weights_and_rows_of_its_last_checkpoint(sft_run: Path) -> None:
    before, after = attempt(sft_run, 1), attempt(sft_run, 2)
    assert min(after) == 3  # saved every second step, killed after the third
    assert after[3]["train/global_tokens"] == before[3]["train/global_tokens"]
    assert after[3]["train/loss"] == pytest.approx(before[3]["train/loss"], rel=1e-5)


def test_a_requested_stop_saves_a_checkpoint_and_the_resumed_run_trains_each_further_step_once(sft_run: Path) -> None:
    stopped, resumed = attempt(sft_run, 2), attempt(sft_run, 3)
    assert list(stopped) == [3, 4]  # requested when step 4 was logged
    assert list(resumed) == [5, 6, 7, 8]  # 34 rows, 8 per step, two epochs
    assert list(read_metrics(sft_run)) == list(range(1, 9))


def test_two_workers_train_and_validate_on_stills_and_clips(sft_run: Path, grpo_run: Path) -> None:
    for run in (sft_run, grpo_run):
        kinds = {path.suffix for path in (RunFolder(run).rows / "media").iterdir()}
        assert ".mp4" in kinds and len(kinds) > 1
        assert list(RunFolder(run).checkpoints.glob("global_step_*/**/model_world_size_2_rank_1.pt"))
    assert math.isfinite(read_metrics(sft_run)[8]["val/loss"])
    assert {key.partition("/")[0] for key in read_metrics(grpo_run)[4]} >= {"val-core", "val-aux"}


def test_the_sft_loss_falls(sft_run: Path) -> None:
    losses = [values["train/loss"] for values in read_metrics(sft_run).values()]
    assert losses[-1] < losses[0]


def test_a_run_keeps_its_newest_checkpoints_and_they_are_complete(sft_run: Path) -> None:
    checkpoints = RunFolder(sft_run).checkpoints
    assert complete_steps(checkpoints) == started_steps(checkpoints) == [6, 8], "also those of before the kill count"
    assert (checkpoints / TRACKER).read_text() == "8"


def test_grpo_resumes_after_its_rollout_server_was_killed(grpo_run: Path) -> None:
    before, after = attempt(grpo_run, 1), attempt(grpo_run, 2)
    assert min(after) == max(before) + 1 or min(after) in before
    assert max(read_metrics(grpo_run)) == 4  # 17 rows, 4 per step
    checkpoints = RunFolder(grpo_run).checkpoints
    assert complete_steps(checkpoints) == started_steps(checkpoints) == [3, 4], "also those of before the kill count"


def test_rollout_and_actor_agree_on_log_probabilities(grpo_run: Path) -> None:
    for values in read_metrics(grpo_run).values():
        assert values["training/rollout_probs_diff_mean"] < 1e-3
        assert values["training/rollout_actor_probs_pearson_corr"] > 0.999


def test_accuracy_of_each_dimension_is_logged_while_training(grpo_run: Path) -> None:
    keys = {key for values in read_metrics(grpo_run).values() for key in values}
    assert "train/acc/camera_movement" in keys
    assert "train/acc/shot_size" in keys


def test_completions_of_validation_and_rollouts_are_kept_with_their_rewards(grpo_run: Path, split_shards: Path) -> None:
    kept, logged = read_completions(grpo_run), read_metrics(grpo_run)
    validated = {item.item_id: item for item in ShardFolder(split_shards, "dev").items()}
    assert list(kept["validation"]) == [4]
    assert {one.item_id for one in kept["validation"][4]} == set(validated)
    assert list(kept["rollouts"]) == [1, 2, 3, 4]
    for several in kept["rollouts"].values():
        assert [one.sample for one in several] == [0, 1] and len({one.item_id for one in several}) == 1
    for one in kept["validation"][4]:
        assert (one.question, one.ground_truth) == (validated[one.item_id].question, validated[one.item_id].answer)
        assert score_response(validated[one.item_id], one.response) == one.rewards and one.score == one.rewards["score"]
        assert one.tokens <= 8 and (one.finished or one.tokens == 8)
        assert (RunFolder(grpo_run).rows / "media" / one.medium).is_file()
    values = [value for key, value in logged[4].items() if key.startswith("val-core/") and "/acc/" in key]
    assert bool(sum(values)) == any(one.rewards["acc"] for one in kept["validation"][4])
    assert len(list(grpo_run.glob("completions/rollouts/*.jsonl"))) == 2  # attempts


def test_a_trained_run_can_be_watched_and_reported(
    grpo_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "watch", str(grpo_run)]) == 0
    printed = capsys.readouterr().out
    for expected in ("grpo, finished", "step 4 of 4, ", "rollouts of step 4: 2 of 2", "validation of step 4: 4 of "):
        assert expected in printed
    assert main(["report", str(grpo_run), "--out", str(tmp_path / "report.html")]) == 0
    numbers = json.loads((tmp_path / "scores.json").read_text())
    assert numbers["training"][0]["completions"]["rollouts"]["n"] == 8


def test_a_finished_run_is_not_trained_again(
    ablation_plan: AblationPlan, grpo_run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = command_of(ablation_plan.order(ablation_plan.rows[2], 1))
    assert main(["train", *command]) == 0
    assert "trained already" in capfd.readouterr().err
    assert main(["train", *command, "actor_rollout_ref.rollout.n=4"]) == 2
    assert "cannot resume with other settings: actor_rollout_ref.rollout.n 2 → 4" in capfd.readouterr().err


def test_the_ablation_reuses_trained_runs_and_scores_each_row(ablation_plan: AblationPlan, grpo_run: Path) -> None:
    trials = run_ablation(ablation_plan)
    assert [(trial.row.name, trial.seed) for trial in trials] == [
        ("baseline", None), ("CoT-SFT", 1), ("CoT-SFT then GRPO", 1),
    ]  # fmt: skip
    assert len({trial.scores["shotbench_reasoning"]["run"]["revision"] for trial in trials}) == 3
    lines = write_ablation_report(trials, ablation_plan.out).read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [trial.row.name for trial in trials]
    assert len(list(ablation_plan.out.glob("*/*/metrics/*.jsonl"))) == 5  # nothing was trained again


def test_a_trained_model_is_merged_and_scored_by_the_benchmark(grpo_run: Path, split_shards: Path) -> None:
    assert main(["train", "evaluate", str(grpo_run), "--data", str(split_shards), "--max-new-tokens", "8"]) == 0
    for task in TASKS:
        scores = json.loads((grpo_run / "eval" / task / "scores.json").read_text())
        assert scores["n"] == len(scores["items"]) > 0
    assert json.loads((grpo_run / "model" / "merged_from.json").read_text())["step"] == 4


@pytest.fixture(autouse=True)
def no_ray_process_left() -> Iterator[None]:
    """Ray must end with its driver, however the driver ended; other Ray processes on this machine are ignored."""
    yield
    psutil.wait_procs(ray_processes())


def ray_processes() -> list[psutil.Process]:
    """Ray daemons that these tests started."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() in ("raylet", "gcs_server") and process.environ().get(MARK) == str(os.getpid()):
                found.append(process)
    return found
