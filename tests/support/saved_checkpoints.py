"""Checkpoints as verl writes them, with small files."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from verl_recipes.run.checkpoints import TRACKER


def save(folder: Path, step: int, *, tracked: bool = True, ppo: bool = True, workers: int = 2) -> Path:
    """A checkpoint as verl writes it: real torch files of each worker."""
    checkpoint = folder / f"global_step_{step}"
    engine = checkpoint / "actor" if ppo else checkpoint
    engine.mkdir(parents=True)
    for kind in ("model", "optim", "extra_state"):
        for rank in range(workers):
            torch.save({"step": torch.full((100,), step)}, engine / f"{kind}_world_size_{workers}_rank_{rank}.pt")
    (engine / "fsdp_config.json").write_text(json.dumps({"FSDP_version": 2, "world_size": workers}))
    torch.save({"given": step}, checkpoint / ("data.pt" if ppo else "data_0.pt"))
    if tracked:
        (folder / TRACKER).write_text(str(step))
    return checkpoint
