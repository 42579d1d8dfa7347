"""The samples of an Inspect log: one for each response, with what the model was asked, its answer and its scores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from lmms_eval_shotbench.export.exported_run import ExportedRun
from lmms_eval_shotbench.export.graded_questions import GradedAnswer, GradedQuestion, graded_questions
from lmms_eval_shotbench.prompts import prompt_style, user_text
from lmms_eval_shotbench.runs.responses import StoredResponse

Json = dict[str, Any]
CORRECT, INCORRECT, NO_ANSWER = "C", "I", "N"  # Inspect's values; the latter two count 0
STOP_REASONS = ("stop", "content_filter")  # that have the same name there


def inspect_samples(run: ExportedRun, spec: Mapping[str, Any]) -> Iterator[Json]:
    """Yield the samples in the order of the questions; the responses to one are its epochs.

    Args:
        run: The exported run.
        spec: `eval` of the log.
    """
    system = prompt_style(run.prompt_style).system if run.prompt_style else ""
    for question in graded_questions(run):
        for epoch in range(1, len(question.responses) + 1):
            yield _sample(question, epoch, system, spec)


def _sample(question: GradedQuestion, epoch: int, system: str, spec: Mapping[str, Any]) -> Json:
    item, response = question.item, question.responses[epoch - 1]
    identity = f"{spec['eval_id']} {item.item_id} {epoch}"
    asked = [{"role": "system", "content": system}] if system else []
    asked.append({"role": "user", "content": user_text(item), "source": "input"})
    output = _output(response, spec["model"])
    return {
        "id": item.item_id,
        "epoch": epoch,
        "input": item.question,
        "choices": list(item.options),
        "target": item.answer,
        "messages": [*asked, *(choice["message"] for choice in output["choices"])],
        "output": output,
        "scores": {protocol: _score(answer, epoch, item.answer) for protocol, answer in question.answers.items()},
        "metadata": question.metadata,
        "store": {},
        "events": [],
        "attachments": {},
        "role_usage": {},
        "model_usage": {spec["model"]: output["usage"]} if "usage" in output else {},
        "uuid": hashlib.sha256(identity.encode()).hexdigest()[:22],
        **({"total_time": response.seconds} if response.seconds is not None else {}),
    }


def _output(response: StoredResponse, model: str) -> Json:
    if response.unanswered:
        return {"model": model, "choices": [], "completion": "", "error": response.unanswered}
    reason = "max_tokens" if response.cut_at_limit else response.finish_reason
    message = {"role": "assistant", "content": response.text, "source": "generate", "model": model}
    found: Json = {
        "model": model,
        "choices": [
            {"message": message, "stop_reason": reason if reason in (*STOP_REASONS, "max_tokens") else "unknown"}
        ],
        "completion": response.text,
    }
    if response.input_tokens is not None and response.output_tokens is not None:
        total = response.input_tokens + response.output_tokens
        found["usage"] = {
            "input_tokens": response.input_tokens,
            "output_tokens": response.output_tokens,
            "total_tokens": total,
        }
    return found | ({"time": response.seconds} if response.seconds is not None else {})


def _score(answer: GradedAnswer, epoch: int, correct: str) -> Json:
    letter = answer.letters[epoch - 1]
    value = CORRECT if letter == correct else INCORRECT if letter else NO_ANSWER
    rule = answer.rule if len(answer.letters) == 1 else ""  # of several samples, only the rule of one is stored
    return {
        "value": value,
        **({"answer": letter} if letter else {}),
        **({"explanation": rule} if rule else {}),
        "history": [],
    }


def summary(sample: Json) -> Json:
    """Return what the viewer lists of a sample before it is opened."""
    names = ("id", "epoch", "input", "choices", "target", "metadata", "scores", "model_usage", "total_time", "uuid")
    found = {name: sample[name] for name in names if name in sample}
    return found | {"completed": True, "message_count": len(sample["messages"])}
