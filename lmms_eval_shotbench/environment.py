"""The SHOTBENCH_ variables that the package reads: their names, defaults, and what is in use. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path

DATA_VARIABLE = "SHOTBENCH_DATA"  # where the lmms-eval tasks find their questions: a folder, a TSV or a Hub id
SPLIT_VARIABLE = "SHOTBENCH_SPLIT"  # which split they ask; "test" unless given
REFINED_VARIABLE = "SHOTBENCH_REFINED"  # RefineShot's published test.tsv; without it its questions are rebuilt
CACHE_VARIABLE = "SHOTBENCH_CACHE"  # folder of derived files: clips, task files, questions, a judge's verdicts
RESAMPLE_VARIABLE = "SHOTBENCH_RESAMPLE_CLIPS"  # set by `shotbench eval` for models that accept no frame rate
RESPONSES_VARIABLE = "SHOTBENCH_RESPONSES"  # set by it to a folder where a model may keep responses as they come

DEFAULT_DATASET = "Vchitect/ShotBench"  # the official release; it must be imported once, its tars are no shards
DEFAULT_SPLIT = "test"
DEFAULT_CACHE = "~/.cache/shotbench"


def dataset_in_use(given: str | None = None) -> str:
    """The dataset a command or task should use: what was given, else $SHOTBENCH_DATA, else the official release."""
    return given or os.environ.get(DATA_VARIABLE) or DEFAULT_DATASET


def split_in_use(given: str | None = None) -> str:
    """The split a command or task should use: what was given, else $SHOTBENCH_SPLIT, else test."""
    return given or os.environ.get(SPLIT_VARIABLE) or DEFAULT_SPLIT


def refined_in_use(given: Path | None = None) -> str:
    """The file of published refined questions: what was given, else $SHOTBENCH_REFINED, else "": they are rebuilt."""
    return str(given or os.environ.get(REFINED_VARIABLE) or "")


def clips_are_resampled() -> bool:
    """Whether clips are handed over as copies at the protocol's rate and size: $SHOTBENCH_RESAMPLE_CLIPS is set."""
    return bool(os.environ.get(RESAMPLE_VARIABLE))


def responses_in_use(given: str | Path | None = None) -> Path | None:
    """The folder where a model keeps its responses: what was given, else $SHOTBENCH_RESPONSES, else none."""
    folder = given or os.environ.get(RESPONSES_VARIABLE)
    return Path(folder).expanduser() if folder else None


def cache_root() -> Path:
    """Folder of all derived files, $SHOTBENCH_CACHE or ~/.cache/shotbench; it may not exist."""
    return Path(os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE).expanduser()


def cache_folder(name: str) -> Path:
    """A folder of derived files, created where it is missing; safe to delete at any time."""
    folder = cache_root() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
