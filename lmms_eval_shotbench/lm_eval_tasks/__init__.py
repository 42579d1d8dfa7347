"""Templates and examples of our lm-eval tasks. `FOLDER` is the folder of all tasks, for lm-eval's `--include_path`."""

from __future__ import annotations

from pathlib import Path


def __getattr__(name: str) -> Path:
    """Return `FOLDER`, created on access."""
    if name == "FOLDER":
        from lmms_eval_shotbench.harness.task_folder import lm_eval_tasks_path

        return lm_eval_tasks_path()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
