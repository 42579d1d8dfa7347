"""Finished runs that are extended with other settings, one of them while its rollout servers hang."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lmms_eval_shotbench.cli import main
from tests.run.conftest import attempt, command_of
from tests.support.failing_training import HANGING, environment
from tests.support.folder_peak import folder_bytes, sampled_peak
from verl_recipes.inside_verl.checkpoint_rotation import started_steps
from verl_recipes.preflight.checkpoint_space import Disk
from verl_recipes.run.checkpoints import complete_steps
from verl_recipes.run.merge import merge_run
from verl_recipes.run.prepare import prepare
from verl_recipes.run.run_folder import RunFolder, TrainingRequest, read_metrics

if TYPE_CHECKING:
    from verl_recipes.run.ablation import AblationPlan

pytestmark = [pytest.mark.verl, pytest.mark.ray, pytest.mark.timeout(3000)]
# Two steps more, from the end of an epoch: of SFT without a limit on checkpoints, of GRPO with a lower one.
EXTENDED = {
    "cot_sft": (
        "trainer.total_epochs=3", "trainer.total_training_steps=10", "trainer.max_ckpt_to_keep=null",
        "data.micro_batch_size_per_gpu=2", "model.enable_gradient_checkpointing=true",
        "optim.lr=1e-3",  # the recipe's value
    ),
    "grpo": (
        "trainer.total_epochs=2", "trainer.total_training_steps=6", "trainer.max_actor_ckpt_to_keep=1",
        "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=4096", "actor_rollout_ref.rollout.max_num_seqs=64",
        "trainer.rollout_timeout_s=30",
    ),
}  # fmt: skip
LOGGED = {"cot_sft": [9, 10], "grpo": [6]}  # steps; GRPO's trainer hung after it had saved step 5, before it logged it
CHECKPOINTS = {"cot_sft": [6, 8, 10], "grpo": [6]}  # at the end; those of SFT were saved every second step


@dataclass
class Extended:
    """An extended run, and what was measured of it."""

    request: TrainingRequest
    before: list[int]  # steps of the finished run
    peak: int  # of the checkpoints, in bytes
    estimate: Disk
    output: str

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.request.out)

    @property
    def last_attempt(self) -> dict[int, dict[str, Any]]:
        """Metrics of the last attempt, by step."""
        return attempt(self.request.out, self.folder.next_attempt() - 1)


def extend(
    run: Path, order: TrainingRequest, folder: Path, faults: Mapping[str, str], *, attempts: int = 1
) -> Extended:
    """Extend a copy of a finished run, with data that have moved."""
    shutil.copytree(run, folder / "run")
    shutil.copytree(order.data, folder / "moved")
    overrides = (*order.overrides, *EXTENDED[order.method])
    request = replace(order, out=folder / "run", data=str(folder / "moved"), overrides=overrides)
    disk = prepare(request).report.disk
    assert disk
    with sampled_peak(RunFolder(request.out).checkpoints) as peak, pytest.MonkeyPatch.context() as patch:
        for name, value in faults.items():
            patch.setenv(name, value)
        status, output = trained(request, attempts)
    assert status == 0, output
    return Extended(request, list(read_metrics(run)), peak.bytes, disk, output)


def trained(request: TrainingRequest, attempts: int = 1) -> tuple[int, str]:
    """Exit status and stderr of the command of a request."""
    stderr = io.TextIOWrapper(
        io.BytesIO(), write_through=True
    )  # with a buffer, to which the trainer's output is copied
    with contextlib.redirect_stderr(stderr):
        status = main(["train", *command_of(request), "--attempts", str(attempts)])
    stderr.seek(0)
    return status, stderr.read()


@pytest.fixture(scope="module")
def extended_sft(ablation_plan: AblationPlan, sft_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Extended:
    return extend(sft_run, ablation_plan.order(ablation_plan.rows[1], 1), tmp_path_factory.mktemp("sft"), {})


@pytest.fixture(scope="module")
def extended_grpo(ablation_plan: AblationPlan, grpo_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Extended:
    """A run one of whose rollout servers hangs, first while generating, then while it receives weights."""
    folder = tmp_path_factory.mktemp("grpo")
    faults = environment(folder, nan_updates=(1,), hanging=HANGING)
    result = extend(grpo_run, ablation_plan.order(ablation_plan.rows[2], 1), folder, faults, attempts=5)
    assert not [method for method in HANGING if (folder / method).exists()], "both hung"
    return result


@pytest.fixture(params=["cot_sft", "grpo"])
def extended(request: pytest.FixtureRequest) -> Extended:
    result: Extended = request.getfixturevalue({"cot_sft": "extended_sft", "grpo": "extended_grpo"}[request.param])
    return result


def test_a_finished_run_that_is_asked_for_more_steps_goes_on(extended: Extended) -> None:
    assert list(extended.last_attempt) == LOGGED[extended.request.method]
    assert list(read_metrics(extended.request.out)) == [*extended.before, *LOGGED[extended.request.method]]


def test_the_limit_on_checkpoints_holds_for_those_of_earlier_starts(extended: Extended) -> None:
    checkpoints = extended.folder.checkpoints
    assert complete_steps(checkpoints) == started_steps(checkpoints) == CHECKPOINTS[extended.request.method]


def test_the_disk_estimate_is_the_peak_while_training_and_merging(extended: Extended) -> None:
    estimate = extended.estimate
    assert estimate.most == {"cot_sft": 3, "grpo": 2}[extended.request.method]
    assert extended.peak == pytest.approx(estimate.checkpoint * estimate.most, rel=0.04)
    merge_run(extended.request.out)
    used = folder_bytes(extended.folder.checkpoints) + folder_bytes(extended.folder.model)
    assert estimate.checkpoint * estimate.kept + estimate.merged == pytest.approx(used, rel=0.04)
    assert estimate.total >= max(extended.peak, used) / 1.04


def test_changes_are_recorded_with_their_step_and_shown(extended: Extended) -> None:
    lines = [json.loads(line) for line in extended.folder.changes.read_text().splitlines()]
    changed = {line["setting"]: (line["before"], line["now"]) for line in lines}
    last = extended.before[-1]
    assert {line["step"] for line in lines} == {last}
    assert changed["trainer.total_training_steps"] == (None, last + 2)
    epochs = {"cot_sft": (2, 3), "grpo": (1, 2)}[extended.request.method]
    assert changed["trainer.total_epochs"] == epochs
    assert changed["data.path"][1] == extended.request.data
    assert not any("optim" in setting for setting in changed), "an override that repeats the default is no change"
    (line,) = (line for line in extended.output.splitlines() if f"resuming from step {last}; changed since: " in line)
    assert f"trainer.total_epochs {epochs[0]} → {epochs[1]}" in line
    assert ("follows the schedule of 10 steps" in line) == (extended.request.method == "cot_sft"), "GRPO's is constant"


def test_a_finished_run_is_not_trained_again(extended: Extended) -> None:
    status, output = trained(extended.request)
    assert (status, "is trained already" in output) == (0, True)


def test_a_run_whose_rollout_server_hangs_ends_in_time_and_resumes(extended_grpo: Extended) -> None:
    printed = extended_grpo.output
    assert "the trainer failed: no response was finished for 30 s: " in printed and "prompts are running" in printed
    assert "the trainer failed: sending the weights to the rollout servers took longer than 30 s" in printed
    assert "engine is not available" not in printed


def test_a_step_whose_gradient_is_not_finite_is_reported_and_the_run_goes_on(extended_grpo: Extended) -> None:
    assert extended_grpo.last_attempt[6]["train/nonfinite_steps"] == 1
    for step in (5, 6):  # the first update of each trainer that makes one
        assert f"step {step}: the gradient norm is nan, the update was skipped" in extended_grpo.output
