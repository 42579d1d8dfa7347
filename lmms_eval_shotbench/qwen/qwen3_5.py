"""Qwen3.5: the prompts of Qwen3-VL for a text model three quarters of whose layers keep a recurrent state."""

from __future__ import annotations

from lmms_eval_shotbench.qwen.qwen3_vl import Qwen3VL


class Qwen3_5(Qwen3VL):
    """Prompts of Qwen3.5."""

    forks = False
