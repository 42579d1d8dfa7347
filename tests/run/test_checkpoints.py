"""Which checkpoints are complete, and where a run resumes after kills and full disks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.saved_checkpoints import save
from verl_recipes.run import checkpoints
from verl_recipes.run.checkpoints import (
    TRACKER,
    NoCheckpoint,
    chosen_step,
    complete_steps,
    fault_of,
    prepare_resume,
    prune,
    workers_of,
)


def truncate(path: Path) -> None:
    """Leave the first half of a file, as a kill or a full disk does."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("ppo", [True, False], ids=["grpo", "sft"])
def test_a_complete_checkpoint_has_no_fault(tmp_path: Path, ppo: bool) -> None:
    assert fault_of(save(tmp_path, 3, ppo=ppo)) is None
    assert prepare_resume(tmp_path) == 3
    assert workers_of(tmp_path / "global_step_3") == 2


@pytest.mark.parametrize(
    "name",
    ["model_world_size_2_rank_0.pt", "model_world_size_2_rank_1.pt", "optim_world_size_2_rank_1.pt", "../data.pt"],
)
@pytest.mark.parametrize("harm", ["truncated", "missing", "empty"])
def test_a_missing_or_truncated_file_is_a_fault(tmp_path: Path, name: str, harm: str) -> None:
    checkpoint = save(tmp_path, 3)
    path = checkpoint / "actor" / name
    if harm == "truncated":
        truncate(path)
    elif harm == "missing":
        path.unlink()
    else:
        path.write_bytes(b"")
    assert fault_of(checkpoint)


def test_a_checkpoint_truncated_by_a_kill_is_removed_and_the_previous_one_is_resumed(tmp_path: Path) -> None:
    save(tmp_path, 5)
    newer = save(tmp_path, 10, tracked=False)
    truncate(newer / "actor" / "optim_world_size_2_rank_1.pt")
    assert prepare_resume(tmp_path) == 5
    assert not newer.exists()
    assert (tmp_path / TRACKER).read_text() == "5"


def test_a_tracker_emptied_by_a_kill_is_rewritten(tmp_path: Path) -> None:
    save(tmp_path, 5)
    save(tmp_path, 10)
    (tmp_path / TRACKER).write_text("")
    assert prepare_resume(tmp_path) == 10
    assert (tmp_path / TRACKER).read_text() == "10"


def test_a_complete_checkpoint_that_is_not_tracked_yet_is_resumed(tmp_path: Path) -> None:
    save(tmp_path, 5)
    save(tmp_path, 10, tracked=False)
    assert prepare_resume(tmp_path) == 10


def test_a_run_killed_before_its_first_checkpoint_starts_again(tmp_path: Path) -> None:
    (tmp_path / "global_step_5" / "actor").mkdir(parents=True)
    assert prepare_resume(tmp_path) is None
    assert not (tmp_path / "global_step_5").exists()
    assert prepare_resume(tmp_path / "never") is None


def test_a_tracked_but_incomplete_checkpoint_raises_instead_of_restarting(tmp_path: Path) -> None:
    truncate(save(tmp_path, 5) / "actor" / "model_world_size_2_rank_0.pt")
    with pytest.raises(
        NoCheckpoint, match=r"step 5 was saved, but contains no complete checkpoint .*model_world_size_2_rank_0"
    ):
        prepare_resume(tmp_path)
    assert (tmp_path / "global_step_5").exists()


def test_a_step_can_be_chosen_and_an_unknown_step_lists_the_complete_ones(tmp_path: Path) -> None:
    with pytest.raises(NoCheckpoint, match="no complete checkpoint"):
        chosen_step(tmp_path, None)
    for step in (5, 10, 20):
        save(tmp_path, step)
    truncate(tmp_path / "global_step_20" / "data.pt")
    assert chosen_step(tmp_path, None) == 10
    assert chosen_step(tmp_path, 5) == 5
    with pytest.raises(NoCheckpoint, match=r"step 20 .*data\.pt is missing or truncated; complete are 5, 10"):
        chosen_step(tmp_path, 20)
    with pytest.raises(NoCheckpoint, match="there is no such checkpoint"):
        chosen_step(tmp_path, 7)


def test_pruning_keeps_the_newest_and_sorts_by_number(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        save(tmp_path, step)
    prune(tmp_path, 2)
    assert complete_steps(tmp_path) == checkpoints.started_steps(tmp_path) == [10, 100]


def test_pruning_removes_half_removed_and_emptied_checkpoints_but_no_newer_ones(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        save(tmp_path, step)
    (tmp_path / "global_step_5" / "actor" / "fsdp_config.json").unlink()  # a kill while it was removed
    (tmp_path / "global_step_7").mkdir()  # verl's own rotation leaves the folder around actor/
    truncate(tmp_path / "global_step_15" / "data.pt")
    prune(tmp_path, 2)
    assert checkpoints.started_steps(tmp_path) == [10, 15]


def test_nothing_is_pruned_if_no_checkpoint_is_complete_on_this_node(tmp_path: Path) -> None:
    for step in (5, 10):
        (save(tmp_path, step) / "actor" / "model_world_size_2_rank_1.pt").unlink()
    prune(tmp_path, 1)
    assert checkpoints.started_steps(tmp_path) == [5, 10]
