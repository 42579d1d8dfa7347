"""Which settings may change when a run resumes from a checkpoint."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytestmark = pytest.mark.verl
pytest.importorskip("verl")

from lmms_eval_shotbench.cli import main
from tests.support.saved_checkpoints import save
from verl_recipes import recipes
from verl_recipes.run.changed_settings import Change, config_changes
from verl_recipes.run.checksums import model_checksum
from verl_recipes.run.resume import changes_on_resume
from verl_recipes.run.run_folder import Record, RunFolder, RunRefused, TrainingRequest

CHECKSUMS = {"data": "d1", "model": "m1"}
Resume = Callable[..., list[Change]]


@pytest.fixture(params=["sft", "grpo"])
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def resume(method: str, tmp_path: Path) -> Resume:
    """Resume a run with overrides and a checkpoint of step 12; returns the changes."""
    return resume_function(method, tmp_path)


def resume_function(method: str, tmp_path: Path) -> Resume:
    folder = RunFolder(tmp_path / "run")
    request = TrainingRequest(method, "tiny", "films", folder.path, "base", ("trainer.save_freq=5",))
    with folder.locked():
        folder.begin(Record(request, CHECKSUMS))
    save(folder.checkpoints, 12, ppo=method == "grpo", workers=1)

    def resumed(*overrides: str, checksums: dict[str, str] = CHECKSUMS, **changes: str) -> list[Change]:
        now = replace(request, overrides=(*request.overrides, *overrides), **changes)
        config = recipes.compose(now.method, now.recipe, now.overrides)
        return changes_on_resume(folder, Record(now, checksums), config, 12)

    return resumed


ANY_METHOD = {  # overrides, and some of the changes as text
    "trainer.save_freq=10": "trainer.save_freq 5 → 10",
    "trainer.test_freq=-1": None,
    "trainer.total_epochs=7": "trainer.total_epochs 1 → 7",
    "trainer.total_training_steps=20": "trainer.total_training_steps null → 20",
    "trainer.logger=[console,file,tensorboard]": None,
    "trainer.project_name=films": None,
    "data.val_max_samples=10": None,
    "ray_kwargs.ray_init.num_cpus=24": None,
}
REWARD = "reward.custom_reward_function.reward_kwargs"  # what `answer_reward` sets
ONE_METHOD = {
    "sft": [
        "trainer.max_ckpt_to_keep=null", "data.micro_batch_size_per_gpu=2", "data.use_dynamic_bsz=true",
        "data.max_token_len_per_gpu=4096", "engine.param_offload=true", "engine.optimizer_offload=true",
        "model.enable_gradient_checkpointing=true", "checkpoint.save_contents=[model,optimizer,extra,hf_model]",
        "data.num_workers=2",
    ],
    "grpo": [
        "trainer.max_actor_ckpt_to_keep=5", "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=8192",
        "actor_rollout_ref.actor.fsdp_config.param_offload=true", "trainer.rollout_data_dir=rollouts",
        "actor_rollout_ref.ref.fsdp_config.param_offload=true", "trainer.val_before_train=false",
        "actor_rollout_ref.rollout.gpu_memory_utilization=0.4", "actor_rollout_ref.rollout.max_num_seqs=8",
        "actor_rollout_ref.model.enable_gradient_checkpointing=true", "actor_rollout_ref.rollout.val_kwargs.n=2",
    ],
}  # fmt: skip
REFUSED = {
    "sft": [
        "optim.lr=1e-6", "data.train_batch_size=8", "optim.lr_scheduler_type=constant", "trainer.seed=1",
        "optim.weight_decay=0", "model.lora_rank=8", "data.train_max_samples=100", "engine.model_dtype=bf16",
        "checkpoint.save_contents=[model]", "trainer.resume_mode=disable", "data.train_files=other.parquet",
    ],
    "grpo": [
        "actor_rollout_ref.actor.optim.lr=1e-6", "actor_rollout_ref.rollout.n=4", "data.train_batch_size=8",
        "actor_rollout_ref.actor.kl_loss_coef=0.1", "actor_rollout_ref.rollout.temperature=0.7", "data.seed=1",
        "answer_reward=paper", "data.max_response_length=32", "actor_rollout_ref.actor.ppo_epochs=2",
        "actor_rollout_ref.actor.clip_ratio=0.1", "algorithm.norm_adv_by_std_in_grpo=false",
    ],
}  # fmt: skip


def test_settings_without_an_effect_on_a_step_may_change(resume: Resume, method: str) -> None:
    overrides = [*ANY_METHOD, *ONE_METHOD[method]]
    changes = {change.setting: str(change) for change in resume(*overrides)}
    keys = {override.partition("=")[0] for override in overrides}
    assert changes.keys() == keys, "settings that follow from these are not listed"
    for override, text in ANY_METHOD.items():
        assert text is None or changes[override.partition("=")[0]] == text


def test_settings_that_determine_what_is_trained_are_refused(method: str, tmp_path: Path) -> None:
    refused = {
        change.setting
        for change in config_changes(*(recipes.compose(method, "tiny", given) for given in ((), REFUSED[method])))
        if not change.allowed
    }
    keys = {override.partition("=")[0].replace("answer_reward", REWARD) for override in REFUSED[method]}
    for key in keys:
        assert any(setting.startswith(key) for setting in refused), key
    assert all(setting.startswith(tuple(keys)) for setting in refused), "and no others"
    with pytest.raises(RunRefused, match="checkpoint of step 12 and cannot resume with other settings: ") as error:
        resume_function(method, tmp_path)("trainer.total_epochs=3", *REFUSED[method])
    listed = str(error.value).partition("other settings: ")[2].partition(". Repeat")[0].split("; ")
    assert {change.partition(" ")[0] for change in listed[:-1]} <= refused
    assert listed[-1] == f"and {len(refused) - len(listed) + 1} more"


def test_an_override_that_repeats_a_value_is_no_change(resume: Resume, method: str) -> None:
    rate = {"sft": "optim.lr=0.0001", "grpo": "actor_rollout_ref.actor.optim.lr=0.0003"}[method]
    linked = {"sft": "engine.seed=42", "grpo": "actor_rollout_ref.actor.ppo_mini_batch_size=16"}[method]
    assert resume("trainer.save_freq=50", "trainer.save_freq=5", rate, linked) == []


def test_moved_data_and_models_are_recorded_and_other_content_is_refused(resume: Resume) -> None:
    assert [str(change) for change in resume(data="moved", model="copy")] == [
        "data.path films → moved", "model.path base → copy",
    ]  # fmt: skip
    with pytest.raises(RunRefused, match="data films → others"):
        resume(data="others", checksums=CHECKSUMS | {"data": "d2"})
    with pytest.raises(RunRefused, match="content of the data films that of the start → another"):
        resume(checksums=CHECKSUMS | {"data": "d2"})
    with pytest.raises(RunRefused, match="content of the model base that of the start → another"):
        resume(checksums=CHECKSUMS | {"model": "m2"})


def test_another_method_or_recipe_is_refused(tmp_path: Path) -> None:
    resume = resume_function("sft", tmp_path)
    with pytest.raises(RunRefused, match="method sft → cot_sft"):
        resume(method="cot_sft")
    with pytest.raises(RunRefused, match=r"recipe tiny → 3b; .*; and \d+ more"):
        resume(recipe="3b")


def test_another_number_of_workers_is_refused_with_a_command_that_continues(resume: Resume, tmp_path: Path) -> None:
    (tmp_path / "run-2").mkdir()
    with pytest.raises(RunRefused, match="were written by 1 workers, and verl cannot load them with 2") as refused:
        resume("trainer.n_gpus_per_node=2")
    message = str(refused.value)
    assert "\n" not in message
    words = shlex.split(message[message.index("shotbench train") :])
    assert words[words.index("--model") + 1] == str(tmp_path / "run")
    assert words[words.index("--out") + 1] == str(tmp_path / "run-3")
    assert words[-2:] == ["trainer.save_freq=5", "trainer.n_gpus_per_node=2"]


def test_the_same_number_of_workers_on_more_nodes_resumes(tmp_path: Path) -> None:
    resume = resume_function("sft", tmp_path)
    folder = RunFolder(tmp_path / "run")
    save(folder.checkpoints, 14, ppo=False, workers=4)
    config = recipes.compose("sft", "tiny", ["trainer.n_gpus_per_node=4"])
    record = folder.recorded()
    assert record and resume() == []
    assert changes_on_resume(folder, record, config, 14) == []
    config.trainer.update(nnodes=2, n_gpus_per_node=2)
    assert changes_on_resume(folder, record, config, 14) == []


def test_a_run_without_recorded_checksums_resumes_under_the_same_paths_only(tmp_path: Path) -> None:
    resume = resume_function("sft", tmp_path)
    order = RunFolder(tmp_path / "run").order
    content = json.loads(order.read_text())
    del content["checksums"]
    order.write_text(json.dumps(content))
    assert resume() == []
    with pytest.raises(RunRefused, match="data films → copy"):
        resume(data="copy")


def test_the_command_refuses_before_anything_is_written(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path / "run")
    request = TrainingRequest("sft", "tiny", "films", folder.path, str(tiny_model))
    folder.path.mkdir()
    folder.begin(Record(request, CHECKSUMS | {"model": str(model_checksum(str(tiny_model)))}))
    save(folder.checkpoints, 12, ppo=False, workers=1)
    before = folder.order.read_text()
    command = ["train", "sft", "--recipe", "tiny", "--data", "films", "--out", str(folder.path), "--model"]
    assert main([*command, str(tiny_model), "optim.lr=1e-6"]) == 2
    assert "optim.lr 0.0001 → 1e-06" in capsys.readouterr().err
    assert main([*command, "nobody/not-on-this-machine"]) == 2
    assert f"model {tiny_model} → nobody/not-on-this-machine" in capsys.readouterr().err
    assert folder.order.read_text() == before
    assert not folder.rows.exists()
