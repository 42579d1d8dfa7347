"""The SHOTBENCH_ environment variables: their names, defaults and resolved values. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path

DATA_VARIABLE = "SHOTBENCH_DATA"  # questions of the lmms-eval tasks: a folder, a TSV or a Hub id
SPLIT_VARIABLE = "SHOTBENCH_SPLIT"  # split that the tasks use (default: test)
REFINED_VARIABLE = "SHOTBENCH_REFINED"  # RefineShot's published test.tsv; if unset, its questions are rebuilt
CACHE_VARIABLE = "SHOTBENCH_CACHE"  # folder of derived files: clips, task files, questions, judge verdicts
RESAMPLE_VARIABLE = "SHOTBENCH_RESAMPLE_CLIPS"  # set by `shotbench eval` for models that accept no frame rate
RESPONSES_VARIABLE = "SHOTBENCH_RESPONSES"  # set by `shotbench eval`: folder where a model may store its responses
REASONING_TAGS_VARIABLE = "SHOTBENCH_REASONING_TAGS"  # further tags of thoughts, as in lmms-eval's --reasoning_tags

DEFAULT_DATASET = "Vchitect/ShotBench"  # the official release; its tars must first be imported as shards
DEFAULT_SPLIT = "test"
DEFAULT_CACHE = "~/.cache/shotbench"


def dataset_in_use(given: str | None = None) -> str:
    """Dataset to use: `given` if set, else $SHOTBENCH_DATA, else the official release."""
    return given or os.environ.get(DATA_VARIABLE) or DEFAULT_DATASET


def split_in_use(given: str | None = None) -> str:
    """Split to use: `given` if set, else $SHOTBENCH_SPLIT, else test."""
    return given or os.environ.get(SPLIT_VARIABLE) or DEFAULT_SPLIT


def refined_in_use(given: Path | None = None) -> str:
    """File of published refined questions: `given`, else $SHOTBENCH_REFINED, else "", and they are rebuilt."""
    return str(given or os.environ.get(REFINED_VARIABLE) or "")


def clips_are_resampled() -> bool:
    """Whether models get re-encoded clips at the protocol's rate and size: $SHOTBENCH_RESAMPLE_CLIPS is set."""
    return bool(os.environ.get(RESAMPLE_VARIABLE))


def responses_in_use(given: str | Path | None = None) -> Path | None:
    """Folder where a model stores its responses: `given`, else $SHOTBENCH_RESPONSES, else None."""
    folder = given or os.environ.get(RESPONSES_VARIABLE)
    return Path(folder).expanduser() if folder else None


def cache_root() -> Path:
    """Folder of all derived files, $SHOTBENCH_CACHE or ~/.cache/shotbench; it may not exist."""
    return Path(os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE).expanduser()


def cache_folder(name: str) -> Path:
    """Subfolder of `cache_root`, created if missing; safe to delete at any time."""
    folder = cache_root() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
