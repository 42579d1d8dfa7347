"""Finished runs that are extended with other settings: what may change, which checkpoints stay, the disk space used."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lmms_eval_shotbench.cli import main
from tests.support.folder_peak import folder_bytes, sampled_peak
from tests.support.split_shards import write_split_shards
from verl_recipes.inside_verl.checkpoint_rotation import started_steps
from verl_recipes.preflight.checkpoint_space import Disk
from verl_recipes.run.checkpoints import complete_steps
from verl_recipes.run.merge import merge_run
from verl_recipes.run.prepare import prepare
from verl_recipes.run.run_folder import RunFolder, TrainingRequest, read_metrics

pytestmark = [pytest.mark.verl, pytest.mark.ray, pytest.mark.timeout(1500)]
FIXED = {
    "sft": ("data.train_batch_size=8", "data.max_length=1600", "trainer.test_freq=-1", "trainer.save_freq=1"),
    "grpo": (
        "data.train_batch_size=4", "data.max_prompt_length=1600", "data.max_response_length=8",
        "actor_rollout_ref.rollout.n=2", "trainer.val_before_train=false", "trainer.test_freq=-1",
        "trainer.save_freq=1",
    ),
}  # fmt: skip
# Two steps keeping one checkpoint; up to the fourth keeping two, with data that moved; up to the sixth keeping all.
PARTS = {
    "sft": (
        ("trainer.total_training_steps=2", "trainer.max_ckpt_to_keep=1", "data.micro_batch_size_per_gpu=8"),
        ("trainer.max_ckpt_to_keep=2", "data.micro_batch_size_per_gpu=4", "optim.lr=1e-4"),  # lr: the recipe's value
        (
            "trainer.total_epochs=2", "trainer.total_training_steps=6", "trainer.max_ckpt_to_keep=null",
            "data.micro_batch_size_per_gpu=4", "model.enable_gradient_checkpointing=true",
        ),
    ),
    "grpo": (
        ("trainer.total_training_steps=2", "trainer.max_actor_ckpt_to_keep=1"),
        ("trainer.max_actor_ckpt_to_keep=2", "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=4096"),
        (
            "trainer.total_epochs=2", "trainer.total_training_steps=6", "trainer.max_actor_ckpt_to_keep=null",
            "actor_rollout_ref.rollout.max_num_seqs=64",
        ),
    ),
}  # fmt: skip


@dataclass
class Extended:
    """A run that was trained in three parts, and what was measured of each."""

    request: TrainingRequest  # of the last part
    kept: list[list[int]] = field(default_factory=list)  # steps that have a checkpoint at its end
    peaks: list[int] = field(default_factory=list)  # of the checkpoints, in bytes
    estimates: list[Disk] = field(default_factory=list)
    output: list[str] = field(default_factory=list)

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.request.out)


@pytest.fixture(scope="module")
def split_shards(studio_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_split_shards(studio_shards, tmp_path_factory.mktemp("films") / "shards")


@pytest.fixture(scope="module", params=["sft", "grpo"])
def extended(
    request: pytest.FixtureRequest,
    split_shards: Path,
    tiny_model_unconstrained: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Extended:
    method, folder = request.param, tmp_path_factory.mktemp("extended")
    shutil.copytree(split_shards, folder / "moved")
    first = TrainingRequest(method, "tiny", str(split_shards), folder / "run", str(tiny_model_unconstrained))
    result = Extended(first)
    for overrides in PARTS[method]:
        result.request = replace(result.request, overrides=(*FIXED[method], *overrides))
        disk = prepare(result.request).report.disk
        assert disk
        with sampled_peak(result.folder.checkpoints) as peak:
            status, output = trained(result.request)
        assert status == 0, output
        result.estimates.append(disk)
        result.peaks.append(peak.bytes)
        result.kept.append(started_steps(result.folder.checkpoints))
        result.output.append(output)
        result.request = replace(result.request, data=str(folder / "moved"))
    return result


def trained(request: TrainingRequest) -> tuple[int, str]:
    """Exit status and stderr of the command of a request."""
    command = ["train", request.method, "--recipe", request.recipe, "--data", request.data, "--out", str(request.out)]
    stderr = io.TextIOWrapper(
        io.BytesIO(), write_through=True
    )  # with a buffer, to which the trainer's output is copied
    with contextlib.redirect_stderr(stderr):
        status = main([*command, "--model", str(request.model), *request.overrides])
    stderr.seek(0)
    return status, stderr.read()


def test_a_finished_run_that_is_asked_for_more_steps_goes_on(extended: Extended) -> None:
    assert list(read_metrics(extended.request.out)) == [1, 2, 3, 4, 5, 6]
    attempts = [path.read_text().splitlines() for path in sorted(extended.request.out.glob("metrics/*"))]
    assert [{json.loads(line)["step"] for line in lines} for lines in attempts] == [{1, 2}, {3, 4}, {5, 6}]


def test_the_limit_on_checkpoints_holds_for_those_of_earlier_starts(extended: Extended) -> None:
    assert extended.kept == [[2], [3, 4], [3, 4, 5, 6]]
    assert complete_steps(extended.folder.checkpoints) == [3, 4, 5, 6]


def test_the_disk_estimate_is_the_peak_while_training_and_merging(extended: Extended) -> None:
    for estimate, peak, kept in zip(extended.estimates, extended.peaks, extended.kept, strict=True):
        most = estimate.checkpoint * estimate.most
        assert peak < 1.04 * most
        if len(kept) == estimate.most:  # with a limit of 1 there are two for an instant that no sample may catch
            assert peak == pytest.approx(most, rel=0.04)
    assert [estimate.most for estimate in extended.estimates] == [2, 2, 4]
    merge_run(extended.request.out)
    used = folder_bytes(extended.folder.checkpoints) + folder_bytes(extended.folder.model)
    assert extended.estimates[-1].total == pytest.approx(used, rel=0.04)


def test_changes_are_recorded_with_their_step_and_shown(extended: Extended) -> None:
    lines = [json.loads(line) for line in extended.folder.changes.read_text().splitlines()]
    changed = {(line["step"], line["setting"]): (line["before"], line["now"]) for line in lines}
    assert changed[2, "trainer.total_training_steps"] == (2, None)
    assert changed[4, "trainer.total_epochs"] == (1, 2)
    assert changed[2, "data.path"][1] == extended.request.data
    assert not any("optim" in setting for _, setting in changed), "an override that repeats the default is no change"
    (line,) = (line for line in extended.output[2].splitlines() if "resuming from step 4; changed since: " in line)
    assert "trainer.total_epochs 1 → 2" in line
    assert ("follows the schedule of 6 steps" in line) == (extended.request.method == "sft"), "GRPO's is constant"


def test_a_finished_run_is_not_trained_again(extended: Extended) -> None:
    status, output = trained(extended.request)
    assert (status, "is trained already" in output) == (0, True)
