"""Which checkpoints are whole, and where a run resumes after kills and full disks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from verl_recipes.run import checkpoints
from verl_recipes.run.checkpoints import TRACKER, NoCheckpoint, chosen_step, fault_of, prune, settle, whole_steps

WORKERS = 2


def save(folder: Path, step: int, *, tracked: bool = True, ppo: bool = True) -> Path:
    """A checkpoint as verl leaves it: real torch files of two workers."""
    place = folder / f"global_step_{step}"
    engine = place / "actor" if ppo else place
    engine.mkdir(parents=True)
    for kind in ("model", "optim", "extra_state"):
        for rank in range(WORKERS):
            torch.save({"step": torch.full((100,), step)}, engine / f"{kind}_world_size_{WORKERS}_rank_{rank}.pt")
    (engine / "fsdp_config.json").write_text(json.dumps({"FSDP_version": 2, "world_size": WORKERS}))
    torch.save({"given": step}, place / ("data.pt" if ppo else "data_0.pt"))
    if tracked:
        (folder / TRACKER).write_text(str(step))
    return place


def cut(path: Path) -> None:
    """What a kill or a full disk leaves of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("ppo", [True, False], ids=["grpo", "sft"])
def test_a_whole_checkpoint_has_no_fault(tmp_path: Path, ppo: bool) -> None:
    assert fault_of(save(tmp_path, 3, ppo=ppo)) is None
    assert settle(tmp_path) == 3


@pytest.mark.parametrize(
    "name",
    ["model_world_size_2_rank_0.pt", "model_world_size_2_rank_1.pt", "optim_world_size_2_rank_1.pt", "../data.pt"],
)
@pytest.mark.parametrize("harm", ["cut", "missing", "empty"])
def test_a_file_missing_or_cut_short_is_a_fault(tmp_path: Path, name: str, harm: str) -> None:
    place = save(tmp_path, 3)
    path = place / "actor" / name
    if harm == "cut":
        cut(path)
    elif harm == "missing":
        path.unlink()
    else:
        path.write_bytes(b"")
    assert fault_of(place)


def test_a_checkpoint_cut_short_by_a_kill_is_removed_and_the_one_before_is_resumed(tmp_path: Path) -> None:
    save(tmp_path, 5)
    newer = save(tmp_path, 10, tracked=False)
    cut(newer / "actor" / "optim_world_size_2_rank_1.pt")
    assert settle(tmp_path) == 5
    assert not newer.exists()
    assert (tmp_path / TRACKER).read_text() == "5"


def test_a_tracker_emptied_by_a_kill_is_written_anew(tmp_path: Path) -> None:
    save(tmp_path, 5)
    save(tmp_path, 10)
    (tmp_path / TRACKER).write_text("")
    assert settle(tmp_path) == 10
    assert (tmp_path / TRACKER).read_text() == "10"


def test_a_checkpoint_that_was_whole_before_its_step_was_noted_is_resumed(tmp_path: Path) -> None:
    save(tmp_path, 5)
    save(tmp_path, 10, tracked=False)
    assert settle(tmp_path) == 10


def test_a_kill_before_the_first_checkpoint_means_a_start(tmp_path: Path) -> None:
    (tmp_path / "global_step_5" / "actor").mkdir(parents=True)
    assert settle(tmp_path) is None
    assert not (tmp_path / "global_step_5").exists()
    assert settle(tmp_path / "never") is None


def test_a_tracked_checkpoint_that_is_not_here_is_refused_rather_than_begun_anew(tmp_path: Path) -> None:
    cut(save(tmp_path, 5) / "actor" / "model_world_size_2_rank_0.pt")
    with pytest.raises(
        NoCheckpoint, match=r"step 5 was saved, but holds no whole checkpoint .*model_world_size_2_rank_0"
    ):
        settle(tmp_path)
    assert (tmp_path / "global_step_5").exists()


def test_a_step_can_be_chosen_and_a_wrong_one_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(NoCheckpoint, match="no whole checkpoint"):
        chosen_step(tmp_path, None)
    for step in (5, 10, 20):
        save(tmp_path, step)
    cut(tmp_path / "global_step_20" / "data.pt")
    assert chosen_step(tmp_path, None) == 10
    assert chosen_step(tmp_path, 5) == 5
    with pytest.raises(NoCheckpoint, match=r"step 20 .*data\.pt is missing or cut short; whole are 5, 10"):
        chosen_step(tmp_path, 20)
    with pytest.raises(NoCheckpoint, match="there is none"):
        chosen_step(tmp_path, 7)


def test_pruning_keeps_the_newest_and_sorts_by_number(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        save(tmp_path, step)
    prune(tmp_path, 2)
    assert whole_steps(tmp_path) == checkpoints.steps_begun(tmp_path) == [10, 100]
