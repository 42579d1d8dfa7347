"""Deprecated alias of `lmms_eval_shotbench.harness.lm_eval_functions`, for task files of version 0.1, until 0.3."""

from typing import Any

from lmms_eval_shotbench.harness import lm_eval_functions


def __getattr__(name: str) -> Any:  # some names are computed on access
    return getattr(lm_eval_functions, name)
