"""Runs to export, made without a model."""

from __future__ import annotations

from pathlib import Path

from lmms_eval_shotbench.export.exported_run import ExportedRun, ExportRequest, read_exported_run
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from tests.support.report_runs import always_right, write_questions, write_run

CHECKPOINT, DATASET = "Vchitect/ShotVL-3B", "film/shots"
UNANSWERED = "[LMMS_EVAL_REQUEST_FAILED: out of memory]"  # as lmms-eval stores a failed request


def half_right(item: QAItem) -> str:
    """Who answers every second question right, and the others A: the protocols differ in what that is."""
    return always_right(item) if item.source_index % 2 else "I think: A"


def make_run(folder: Path, asked: slice = slice(None), checkpoint: str = CHECKPOINT, **how: object) -> Path:
    """Return the folder of a run on some of 12 questions, 8 of them on stills; `how` as in `write_run`."""
    folder.mkdir(parents=True, exist_ok=True)
    data = write_questions(folder / "test.tsv")
    passes = {"all": {"tasks": ["shotbench"], "model_args": f"pretrained={checkpoint}"}}
    settings = {"says": half_right, "passes": passes, "versions": {"lmms-eval": "0.7.3", "python": "3.11.1"}} | how
    return write_run(folder / "run", read_questions(data)[asked], data=data, **settings)  # type: ignore[arg-type]


def exported(run: Path, **stated: object) -> ExportedRun:
    """The run as it is exported, of a benchmark that has exactly its questions."""
    return read_exported_run([str(run)], ExportRequest(**({"dataset": DATASET} | stated)))  # type: ignore[arg-type]
