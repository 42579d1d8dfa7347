"""What was written by version 0.1 is still read: run folders, configurations, scripts and task files with old names."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lmms_eval_shotbench.harness import lm_eval_functions, task_functions
from tests.support import REPOSITORY
from verl_recipes.inside_verl import answer_reward
from verl_recipes.run.run_folder import Record, RunFolder, TrainingRequest

OLD_REWARDS = ("pkg://verl_recipes.answer_reward", str(REPOSITORY / "verl_recipes/answer_reward.py"))
# What 0.1.0 wrote into RUN/order.json.
OLD_ORDER = """{
 "method": "sft",
 "recipe": "tiny",
 "data": "films",
 "model": "base",
 "overrides": [
  "data.train_batch_size=8",
  "trainer.total_epochs=2"
 ]
}"""


# What the task files of 0.1.0 name, of the questions of each dimension one; those in capitals are looked up at access.
OLD_FUNCTIONS = {
    task_functions: "doc_to_visual doc_to_text doc_to_messages process_results mean_score all_rotations DATASET_KWARGS "
    "keep_shot_size blind_shot_size circular_shot_size mirrored_composition reversed_camera_movement refined_shot_size",
    lm_eval_functions: "text text_with_picture text_with_cue still letters process_results process_likelihoods "
    "QUESTIONS SHARDS keep_shot_size",
}


@pytest.mark.parametrize("current", OLD_FUNCTIONS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_task_files_with_old_names_get_the_same_functions(
    current: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOTBENCH_DATA", str(tmp_path))  # no dataset
    old = importlib.import_module(current.__name__.replace(".harness.", "."))
    for name in OLD_FUNCTIONS[current].split():
        if name.isupper():
            with pytest.raises(SystemExit, match="holds no shards"):
                getattr(old, name)
        else:
            assert repr(getattr(old, name)) == repr(getattr(current, name))


def test_the_record_of_a_run_begun_by_version_0_1_is_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.order.write_text(OLD_ORDER)
    overrides = ("data.train_batch_size=8", "trainer.total_epochs=2")
    assert folder.recorded() == Record(TrainingRequest("sft", "tiny", "films", tmp_path, "base", overrides))


@pytest.mark.parametrize("path", OLD_REWARDS)
def test_the_preflight_knows_our_reward_by_its_old_names(path: str) -> None:
    from omegaconf import OmegaConf

    from verl_recipes.preflight.gold_reward import is_ours

    assert is_ours(OmegaConf.create({"reward": {"custom_reward_function": {"path": path}}}))


@pytest.mark.verl
@pytest.mark.parametrize("path", OLD_REWARDS)
def test_verl_loads_the_reward_of_an_old_configuration(path: str) -> None:
    pytest.importorskip("verl")
    from verl.utils.import_utils import load_extern_object

    assert load_extern_object(path, "compute_score") is answer_reward.compute_score


@pytest.mark.verl
@pytest.mark.parametrize("name", ["FilmLessons", "FilmPrompts"])
def test_verl_loads_the_datasets_of_an_old_configuration(name: str) -> None:
    pytest.importorskip("verl")
    from verl.utils.import_utils import load_extern_object

    from verl_recipes.inside_verl import film_dataset

    assert load_extern_object("pkg://verl_recipes.film_dataset", name) is getattr(film_dataset, name)


@pytest.mark.verl
def test_the_sft_entry_of_an_old_script_still_starts() -> None:
    pytest.importorskip("verl")
    command = [sys.executable, "-m", "verl_recipes.main_sft", "--config-name", "sft_tiny", "--cfg", "job"]
    command += ["--config-dir", str(REPOSITORY / "verl_recipes" / "config")]
    printed = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert printed.returncode == 0, printed.stderr[-2000:]
    assert "path: pkg://verl_recipes.inside_verl.film_dataset" in printed.stdout
