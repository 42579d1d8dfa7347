"""Models this package adds to lmms-eval, registered through the entry point `lmms_eval.models`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmms_eval.models.registry_v2 import ModelManifest


def manifests() -> list[ModelManifest]:
    """Return the manifests of the models this package adds to lmms-eval; a model is imported on first use.

    lmms-eval calls this before it indexes `--include_path`. The task files are completed here because that path may
    have been printed before the cache was deleted, or on another machine.
    """
    from lmms_eval.models.registry_v2 import ModelManifest

    try:
        from lmms_eval_shotbench.harness.task_folder import task_folder

        task_folder()
    except Exception as error:  # of any type, because the evaluation may be of other tasks
        logging.getLogger(__name__).warning("ShotBench tasks are not available: %s", error)
    return [
        ModelManifest("shotvl", chat_class_path="lmms_eval_shotbench.models.shotvl.ShotVL"),
        ModelManifest(
            "image_classifier", simple_class_path="lmms_eval_shotbench.models.image_classifier.ImageClassifier"
        ),
        ModelManifest("replay", simple_class_path="lmms_eval_shotbench.models.replay.Replay"),
    ]
