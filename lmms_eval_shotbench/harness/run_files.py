"""The files of a run in the output folder: never worse after a run that failed.

OUT                 the newest complete run: samples.jsonl, scores.json, scores.official.json
OUT/previous/001 …  earlier runs, oldest first; `report` and `compare` read them like OUT
OUT/incomplete      a later run with unanswered questions, while OUT holds a complete one
OUT/responses       responses as they came, from which the same command continues
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.runs.responses import SAMPLES
from lmms_eval_shotbench.runs.score import SCORES_FILES

PREVIOUS, INCOMPLETE = "previous", "incomplete"
FILES = (SAMPLES, *SCORES_FILES.values())
RESPONSES = "responses"  # folder of responses stored during a run, from which an interrupted run resumes


def is_complete(folder: Path) -> bool:
    """Whether the folder holds scores of a run in which every question was answered."""
    try:
        scores = json.loads((folder / SCORES_FILES["strict"]).read_text(encoding="utf-8"))
        return (folder / SAMPLES).is_file() and scores["unanswered"] == []
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_run(out: Path, files: Mapping[str, str], complete: bool) -> Path:
    """Write the files of a run, after what they replace has been copied to `OUT/previous`.

    Args:
        out: Output folder.
        files: Contents by name, of `FILES`.
        complete: Whether every question was answered; if not, a complete run in `out` stays.

    Returns:
        The folder of the run: `out`, or `OUT/incomplete`.
    """
    if not complete and is_complete(out):
        folder = out / INCOMPLETE
    else:
        folder = out
        files = _dated_as_before(out, files)
        _keep_previous(out, files)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_atomic(folder / name, text)
    if folder == out:
        shutil.rmtree(out / INCOMPLETE, ignore_errors=True)
    return folder


def _dated_as_before(out: Path, files: Mapping[str, str]) -> Mapping[str, str]:
    """Return the files; with the date of the present run, if it is the same run again."""
    present = _present(out)
    same = present.keys() == files.keys() and all(_undated(present[name]) == _undated(files[name]) for name in files)
    return present if same else files


def _undated(text: str) -> Any:
    """Return scores without the date of their run; another file as it is."""
    try:
        scores = json.loads(text)
        return {**scores, "run": {**scores["run"], "date": None}}
    except (ValueError, TypeError, KeyError):
        return text


def _present(out: Path) -> dict[str, str]:
    return {name: (out / name).read_text(encoding="utf-8") for name in FILES if (out / name).is_file()}


def _keep_previous(out: Path, files: Mapping[str, str]) -> None:
    """Copy the present run to the next number of `OUT/previous`, unless it is the same run again."""
    present = _present(out)
    if not present or all(files.get(name) == text for name, text in present.items()):
        return
    previous = out / PREVIOUS
    previous.mkdir(parents=True, exist_ok=True)
    numbers = [int(folder.name) for folder in previous.iterdir() if folder.name.isdigit()]
    target = previous / f"{max(numbers, default=0) + 1:03d}"
    draft = previous / f".{target.name}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    for name in present:
        shutil.copy2(out / name, draft / name)
    draft.rename(target)
