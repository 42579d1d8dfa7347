"""Patch verl's handling of position ids in a batch whose sequences all have the same length.

Position ids of a Qwen-VL model are a nested tensor of shape (batch, 4, length), ragged in the last dimension. If all
lengths are equal (for example, short responses that all reach the limit), torch stacks the sequences and marks the
dimension of size 4 as ragged instead. verl then marks the last dimension as ragged without rearranging the values, so
splitting the batch fails or mixes up the sequences. This patch rearranges the values.

verl has this fault on any device. The patch is part of the CPU path because equal lengths are common only in tiny runs.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from verl_recipes.inside_verl.patch_on_import import unpatched

if TYPE_CHECKING:
    import torch

MODULE = "verl.utils.tensordict_utils"
AXES = 4  # kinds of positions: text, time, height, width
USERS = ("verl.workers.engine_workers", "verl.workers.engine.base")  # import the function by name
FUNCTION = "maybe_fix_3d_position_ids"


def apply(home: ModuleType) -> None:
    """Replace verl's `maybe_fix_3d_position_ids` with a version that also handles equal lengths."""
    if late := [name for name in USERS if name in sys.modules and not _is_ours(sys.modules[name])]:
        raise RuntimeError(f"{', '.join(late)} was imported before verl_recipes.plugin; let verl import the plugin")
    home.maybe_fix_3d_position_ids = correct_position_ids  # type: ignore[attr-defined]


def _is_ours(module: Any) -> bool:
    return getattr(module, FUNCTION) is correct_position_ids


def correct_position_ids(data: Any) -> None:
    """Make the last dimension of nested `position_ids` the ragged one, in place.

    Args:
        data: verl's batch, a TensorDict; `position_ids` is int64 (batch, 4, length). Others are left unchanged.
    """
    if "position_ids" not in data.keys():  # noqa: SIM118  # a TensorDict iterates over its rows
        return
    positions = data["position_ids"]
    if not (positions.is_nested and positions.dim() == 3):
        return
    if _is_ragged_in_its_axes(positions):
        from verl.utils.tensordict_utils import nested_tensor_from_tensor_list

        data["position_ids"] = nested_tensor_from_tensor_list(list(positions.values().split(AXES)), ragged_idx=2)
    else:
        positions._ragged_idx = 2  # as verl does


def _is_ragged_in_its_axes(positions: torch.Tensor) -> bool:
    values, offsets = positions.values(), positions.offsets()
    stacked = (
        values.dim() == 2 and values.shape[0] == AXES * positions.shape[0] and bool((offsets.diff() == AXES).all())
    )
    side_by_side = values.shape == (AXES, int(offsets[-1]))  # also possible if every sequence has four tokens
    return stacked and not side_by_side


def still_needed() -> bool:
    """Whether verl's own correction still mixes up sequences of equal length."""
    import torch
    from tensordict import TensorDict

    rows = [torch.arange(AXES * 3).reshape(AXES, 3) + 100 * row for row in range(2)]
    data = TensorDict({"position_ids": torch.nested.as_nested_tensor(rows, layout=torch.jagged)}, batch_size=2)
    getattr(unpatched(MODULE), FUNCTION)(data)
    try:
        return not all(torch.equal(found, row) for found, row in zip(data["position_ids"].unbind(), rows, strict=True))
    except RuntimeError:
        return True
