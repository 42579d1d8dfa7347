"""Models this package adds to lmms-eval, registered through the entry point `lmms_eval.models`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmms_eval.models.registry_v2 import ModelManifest


def manifests() -> list[ModelManifest]:
    """Tell lmms-eval which models there are; nothing is imported before one is asked for."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return [
        ModelManifest("shotvl", chat_class_path="lmms_eval_shotbench.models.shotvl.ShotVL"),
        ModelManifest("replay", simple_class_path="lmms_eval_shotbench.models.replay.Replay"),
    ]
