"""Old name of `lmms_eval_shotbench.harness.task_functions`, for task files of version 0.1; goes in version 0.3."""

from typing import Any

from lmms_eval_shotbench.harness import task_functions


def __getattr__(name: str) -> Any:  # some names are computed when they are asked for
    return getattr(task_functions, name)
