"""Figures of `shotbench label score` for a page, with one dimension."""

from __future__ import annotations

from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT


def share(value: float) -> dict[str, float | int]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "stderr": 0.05, "n": 20}


NAMES = ("accuracy", "term_accuracy", "whole_accuracy", "coverage", "kept_accuracy", "labels_on_none")
BINS = [{"low": 0.5, "high": 0.7, "cells": 9, "confidence": 0.6, "accuracy": 0.55}]
OF_MOVEMENT = {
    "labelled_cells": 20, "none_cells": 4, "by_person": 0, **dict.fromkeys(NAMES, share(0.625)), "labels_on_none": None,
    "confusion": {"Pan left": {"Pan left": 5, "unsure": 2}, "none": {"Zoom in": 1}},
    "reliability": {"error_equal_count": 0.034, "certain_half": 0.91, "bins_equal_count": BINS},
}  # fmt: skip
SCORED = {
    "shots": {"labels": 30, "truth": 28, "matched": 27},
    "cuts": {"f1": 0.982, "true": 26, "found": 25, "false": 1},
    "macro": dict.fromkeys(NAMES, share(0.7)),
    "dimensions": {CAMERA_MOVEMENT.slug: OF_MOVEMENT},
}
