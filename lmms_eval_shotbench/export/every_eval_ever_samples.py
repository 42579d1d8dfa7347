"""Rows of the samples of Every Eval Ever: one for each question and each result that it counts in.

A question counts in four results: its dimension and all questions, by strict and by official grading. The schema wants
a row for each, so that a reader can join rows and results by `evaluation_result_id`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from lmms_eval_shotbench.export.exported_run import OVERALL, ExportedRun
from lmms_eval_shotbench.export.graded_questions import GradedAnswer, GradedQuestion, graded_questions
from lmms_eval_shotbench.grading.grade import Protocol
from lmms_eval_shotbench.prompts import user_text

ResultIds = Mapping[tuple[Protocol, str], tuple[str, str]]  # evaluation name and id of a result, by protocol and task


def sample_rows(run: ExportedRun, ids: ResultIds) -> Iterator[dict[str, Any]]:
    """Yield the rows in the order of the questions, without what is the same in all of them.

    Raises:
        BadRun: The questions or the responses are not available.
    """
    for question in graded_questions(run):
        shared = _shared(question)
        for protocol, answer in question.answers.items():
            for task in (question.item.dimension, OVERALL):
                if (protocol, task) in ids:
                    name, result_id = ids[protocol, task]
                    yield (
                        {"evaluation_name": name, "evaluation_result_id": result_id}
                        | shared
                        | _graded(question, protocol, answer)
                    )


def _shared(question: GradedQuestion) -> dict[str, Any]:
    """Return what does not depend on the grading."""
    item = question.item
    asked = {"raw": user_text(item), "reference": [item.answer]}
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"))  # as the format's own converters hash it
    failed = [one.unanswered for one in question.responses if one.unanswered]
    found = {
        "sample_id": item.item_id,
        "sample_hash": hashlib.sha256(canonical.encode()).hexdigest(),
        "interaction_type": "single_turn",
        "input": asked | {"choices": list(item.options)},
        "output": {"raw": ["" if one.unanswered else one.text for one in question.responses]}
        | ({"reasoning_trace": list(question.thoughts)} if any(question.thoughts) else {}),
        "token_usage": _tokens(question),
        "performance": _time(question),
        "error": "; ".join(failed),
    }
    return {name: value for name, value in found.items() if value}


def _graded(question: GradedQuestion, protocol: Protocol, answer: GradedAnswer) -> dict[str, Any]:
    facts = question.metadata | {"protocol": protocol, "rule": answer.rule}
    facts["finish_reason"] = ", ".join(one.finish_reason for one in question.responses if one.finish_reason)
    if len(answer.letters) > 1:
        facts["letters"] = ", ".join(letter or "undecided" for letter in answer.letters)
    attribution = {
        "turn_idx": 0,
        "source": "output.raw",
        "extracted_value": answer.letter,
        "extraction_method": answer.method,
        "is_terminal": True,
    }
    return {
        "answer_attribution": [attribution] if answer.letter else [],
        "evaluation": {"score": answer.share, "is_correct": answer.correct},
        "metadata": {name: str(value) for name, value in facts.items() if value != ""},
    }


def _tokens(question: GradedQuestion) -> dict[str, int] | None:
    """Return the tokens of all samples; None unless they are known of each."""
    given = [one.input_tokens for one in question.responses if one.input_tokens is not None]
    made = [one.output_tokens for one in question.responses if one.output_tokens is not None]
    if not len(given) == len(made) == len(question.responses):
        return None
    return {"input_tokens": sum(given), "output_tokens": sum(made), "total_tokens": sum(given) + sum(made)}


def _time(question: GradedQuestion) -> dict[str, Any] | None:
    """Return the model time of all samples: in a batch, each response's equal share, so it is no latency."""
    seconds = [one.seconds for one in question.responses if one.seconds is not None]
    if len(seconds) < len(question.responses):
        return None
    meaning = "model time, divided equally among the requests answered at the same time"
    return {"generation_time_ms": 1000 * sum(seconds), "additional_details": {"generation_time_ms": meaning}}
