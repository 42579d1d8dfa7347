"""The limit on checkpoints, with those of earlier starts, and with a kill while one is saved."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("hydra")

from verl_recipes.inside_verl.checkpoint_rotation import rotated
from verl_recipes.inside_verl.main_sft import rotate_checkpoints


def write(folder: Path, *steps: int) -> None:
    for step in steps:
        (folder / f"global_step_{step}" / "actor").mkdir(parents=True)


def steps(folder: Path) -> set[int]:
    return {int(path.name.removeprefix("global_step_")) for path in folder.glob("global_step_*")}


@pytest.mark.parametrize(
    ("limit", "while_saving", "after"),
    [
        (1, {100}, {110}),  # the only one stays until the new one is complete
        (2, {100}, {100, 110}),
        (3, {90, 100}, {90, 100, 110}),
        (None, {9, 90, 100}, {9, 90, 100, 110}),
        (0, {9, 90, 100}, {9, 90, 100, 110}),
        (-1, {9, 90, 100}, {9, 90, 100, 110}),
    ],
)
def test_the_newest_checkpoints_stay(
    tmp_path: Path, limit: int | None, while_saving: set[int], after: set[int]
) -> None:
    write(tmp_path, 9, 90, 100)  # of earlier starts
    with rotated(tmp_path, limit):
        assert steps(tmp_path) == while_saving
        write(tmp_path, 110)
    assert steps(tmp_path) == after


def test_a_checkpoint_that_could_not_be_saved_costs_no_complete_one(tmp_path: Path) -> None:
    write(tmp_path, 100)
    with pytest.raises(OSError, match="full"), rotated(tmp_path, 1):
        write(tmp_path, 110)
        raise OSError("full")
    assert steps(tmp_path) == {100, 110}


def test_sft_saves_with_our_rotation_instead_of_verls(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    saved: list[int] = []
    handler = SimpleNamespace(default_local_dir=str(tmp_path), max_ckpt_to_keep=2, save_checkpoint=None)
    handler.save_checkpoint = lambda step: (saved.append(step), write(tmp_path, step))
    rotate_checkpoints(handler)
    assert handler.max_ckpt_to_keep is None
    handler.save_checkpoint(step=3)
    assert (saved, steps(tmp_path)) == ([3], {2, 3})
