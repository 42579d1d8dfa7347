"""Small runs for the formats of `shotbench export`, with everything that a run may contain."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.export.exported_run import ExportedRun, ExportRequest, read_exported_run
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from tests.support.report_runs import write_questions, write_run

STATED = ExportRequest(
    model="Example/Looker-1B",
    dataset="Example/Shots",
    date="2026-11-30T12:00:00+01:00",
    organization="Example Lab",
    relationship="third_party",
    weights="open",
)
RECORD = {
    "command": "shotbench eval --tasks shotbench",
    "prompt_style": "reasoning",
    "revision": "0123abc",
    "versions": {"lmms-eval-shotbench": "1.0", "lmms-eval": "0.7.3", "transformers": "5.5.0"},
    "engines": {"stills": {"engine": "transformers", "time_positions": "checked"}},
    "passes": {"stills": {"tasks": "shotbench", "model_args": "pretrained=Example/Looker-1B"}},
}
KNOWN = {"finish_reason": "stop", "input_tokens": 300, "output_tokens": 20, "seconds": 0.5, "wall_seconds": 0.7}


def sees_some(item: QAItem) -> str:
    """Who is right, wrong, undecided and refuses in turn; with characters that are not ASCII."""
    wrong = "ABCD"["ABCD".index(item.answer) - 1]
    return (
        f"<think>I look.\u2028So it is\u0085…</think><answer>{item.answer}</answer>",
        f"<think>Ich schaue.</think><answer>{wrong}</answer>",
        "Both A and B \ud83c",  # half of a character
        "I'm sorry, I cannot see the image.",
    )[item.source_index // 2 % 4]


def recorded_run(folder: Path, variant: str = "", **stated: Any) -> ExportedRun:
    """A run as `shotbench eval` leaves it, with its record, tokens and times."""
    questions = write_questions(folder / "questions.tsv", n=20)
    items = read_questions(questions, "test")
    run = write_run(folder / "run", items, sees_some, questions, variant, known=KNOWN, **RECORD)
    return read_exported_run([str(run)], replace(STATED, **stated))


def sampled_run(folder: Path, k: int = 3, **stated: Any) -> ExportedRun:
    """Stored responses without a record: `k` samples of each question, of which some requests failed."""
    questions = write_questions(folder / "questions.tsv", n=20)
    rows = []
    for item in read_questions(questions, "test"):
        for sample in range(1, k + 1):
            row: dict[str, Any] = {"index": item.source_index, "sample": sample}
            if (item.source_index + sample) % 7 == 0:
                row["unanswered"] = "the server is gone"
            else:
                row["response"] = "ABCD"[(item.source_index + sample // 2) % 4]
            rows.append(row)
    responses = folder / "responses.jsonl"
    responses.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_exported_run([str(questions), str(responses)], replace(STATED, **stated))


def without_standard_errors(run: ExportedRun) -> ExportedRun:
    """The run with scores as earlier versions wrote them."""

    def older(scores: Any) -> Any:
        if isinstance(scores, dict):
            return {name: older(value) for name, value in scores.items() if name != "stderr"}
        return scores

    return replace(run, run=replace(run.run, scores=older(run.run.scores), official=older(run.run.official)))


def write_files(folder: Path, files: dict[str, str] | dict[str, bytes]) -> list[Path]:
    """Write the files of a format; returns their paths."""
    paths = []
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        paths.append(path)
    return paths
