"""What determines a response: the key under which it is stored, so that it is never taken for another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmms_eval_shotbench.harness.replies import describe_error
from lmms_eval_shotbench.media.stored_medium import StoredMedium, media_undecoded
from lmms_eval_shotbench.model_args import parse_model_args
from lmms_eval_shotbench.runs.response_store import response_key

# Model arguments that do not determine a response: how fast, how often and with which key a model is asked
NOT_DETERMINING = {
    "adaptive_concurrency", "api_key", "batch_size", "gpu_memory_utilization", "max_num_seqs", "max_retries",
    "num_concurrent", "num_cpus", "prefix_aware_queue", "retry_backoff_s", "timeout",
}  # fmt: skip


def determining(model_args: str) -> dict[str, str]:
    """Return the model arguments that determine a response."""
    return {name: value for name, value in parse_model_args(model_args).items() if name not in NOT_DETERMINING}


def key_of(model: Any, request: Any, settings: Mapping[str, Any], sample: int | None) -> str:
    """Return the key of the response to a request.

    Args:
        model: The model of lmms-eval that is asked.
        request: The request, of one of our tasks.
        settings: What determines a response in addition to its request: model, arguments, versions.
        sample: Number of the sample, from 1; None if each question is asked once.
    """
    try:
        with media_undecoded():
            content = _content(model, request)
    except Exception as error:  # it cannot be read; asking it will fail, and is not stored
        content = {"unreadable": describe_error(error), "asked": request.args[3:5]}
    return response_key({**settings, **content, **({} if sample is None else {"sample": sample})})


def _content(model: Any, request: Any) -> dict[str, Any]:
    """Return what a request asks: text, checksums of its media, and generation settings."""
    first, second, third, doc_id, task, split = request.args
    doc = model.task_dict[task][split][doc_id]
    if model.is_simple:
        return {"text": first, "media": [_medium(one) for one in third(doc) or ()], "generation": second}
    messages = [
        {"role": message["role"], "content": [_part(part) for part in message["content"]]} for message in second(doc)
    ]
    return {"messages": messages, "generation": third}


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": part["type"], "shown": part["text"] if part["type"] == "text" else _medium(part["url"])}


def _medium(shown: StoredMedium) -> list[str]:
    return [shown.kind.value, shown.key]
