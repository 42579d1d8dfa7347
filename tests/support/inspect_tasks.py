"""Ask the tasks of a Hub dataset's `eval.yaml`, offline: `python inspect_tasks.py hf/ORG/NAME` in the environment of
`make test-formats`, in a folder that holds the dataset as ORG/NAME. A model answers A, and what it was shown is printed
as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from inspect_ai import eval as evaluate
from inspect_ai.model import ChatMessage, ModelOutput, ModelUsage, get_model

shown: list[dict[str, str]] = []


def answer(messages: list[ChatMessage], *_: Any) -> ModelOutput:
    parts = {part.type: part for part in messages[-1].content}
    shown.append({"text": parts["text"].text, "image": parts["image"].image if "image" in parts else ""})
    output = ModelOutput.from_content("mockllm/model", "ANSWER: A")
    output.usage = ModelUsage()  # else tokens are counted, with a file of the network
    return output


def main(task: str) -> None:
    logs = evaluate(task, model=get_model("mockllm/model", custom_outputs=answer), display="none", log_dir="logs")
    tasks = {
        log.eval.task: {
            "status": log.status,
            "questions": log.eval.dataset.samples,
            "accuracy": log.results.scores[0].metrics["accuracy"].value if log.results else None,
        }
        for log in logs
    }
    json.dump({"tasks": tasks, "shown": shown}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
