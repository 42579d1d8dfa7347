"""The architectures that `shotvl` runs, by `model_type` in a checkpoint's config.json."""

from __future__ import annotations

from lmms_eval_shotbench.qwen.architecture import Architecture
from lmms_eval_shotbench.qwen.qwen2_5_vl import Qwen2_5VL
from lmms_eval_shotbench.qwen.qwen3_5 import Qwen3_5
from lmms_eval_shotbench.qwen.qwen3_vl import Qwen3VL

ARCHITECTURES: dict[str, type[Architecture]] = {
    "qwen2_5_vl": Qwen2_5VL,
    "qwen3_vl": Qwen3VL,
    "qwen3_vl_moe": Qwen3VL,
    "qwen3_5": Qwen3_5,
    "qwen3_5_moe": Qwen3_5,
}
