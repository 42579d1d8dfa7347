"""`eval.yaml`, which registers a dataset on the Hub as a benchmark: written for Inspect, and checked before a push.

The keys are those of huggingface/hub-docs, docs/hub/eval-results.md; the frameworks those of
huggingface/huggingface.js, packages/tasks/src/eval.ts at commit 0589d13; solvers, scorers and fields those of
inspect_ai 0.3, `_eval/task/hf.py`. Which tasks are declared is decided in `hub_benchmark.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

EVAL_YAML = "eval.yaml"
INSPECT = "inspect"  # folder of the files that only Inspect reads
INSPECT_FRAMEWORK = "inspect-ai"
FRAMEWORKS = frozenset({
    "apex-evals", "archipelago", "claw-eval", "exgentic", "harbor", INSPECT_FRAMEWORK, "math-arena", "mdpbench", "mteb",
    "nemo-evaluator", "olmocr-bench", "open-asr-leaderboard", "parsebench", "screenspot-pro", "swe-bench",
    "swe-bench-pro", "video-mme-v2", "wildclawbench", "yc-bench",
})  # fmt: skip
FIELDS = {"input": "question", "input_image": "image", "target": "answer", "choices": "options"}
SOLVERS = frozenset({
    "prompt_template", "system_message", "user_message", "chain_of_thought", "use_tools", "generate", "self_critique",
    "multiple_choice",
})  # fmt: skip
SCORERS = frozenset({
    "includes", "match", "pattern", "answer", "exact", "f1", "model_graded_qa", "model_graded_fact", "choice", "math",
})  # fmt: skip
DESCRIPTION = "Multiple-choice questions about the language of film, each about one still."


class BadEvalYaml(ValueError):
    """An `eval.yaml` that the Hub or Inspect would refuse; the message names the key and what is expected."""


def eval_yaml(title: str, comment: str, tasks: Sequence[str]) -> str:
    """Return the content of `eval.yaml`.

    Args:
        title: Name of the benchmark.
        comment: Lines with `#` that precede it.
        tasks: Ids of the tasks, which are also the configs of the split `test` that they ask.
    """
    import yaml

    content = {
        "name": title,
        "description": DESCRIPTION,
        "evaluation_framework": INSPECT_FRAMEWORK,
        "tasks": [
            {
                "id": task,
                "config": task,
                "split": "test",
                "field_spec": dict(FIELDS),
                "solvers": [{"name": "multiple_choice"}],
                "scorers": [{"name": "choice"}],
            }
            for task in tasks
        ],
    }
    return comment + str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def check_eval_yaml(text: str, configs: Mapping[str, Collection[str]]) -> None:
    """Raise `BadEvalYaml` unless the Hub accepts an `eval.yaml` and its tasks have questions.

    Args:
        text: The file's content.
        configs: Splits by config, of the dataset's card.
    """
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadEvalYaml(f"{EVAL_YAML} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise BadEvalYaml(f"{EVAL_YAML} is not a mapping with name, description, evaluation_framework and tasks")
    for key in ("name", "description"):
        _require(isinstance(content.get(key), str) and content[key].strip(), key, content.get(key), "a text")
    framework = content.get("evaluation_framework")
    known = isinstance(framework, str) and framework in FRAMEWORKS
    _require(known, "evaluation_framework", framework, f"one of {', '.join(sorted(FRAMEWORKS))}")
    tasks: Any = content.get("tasks")
    _require(isinstance(tasks, list) and tasks, "tasks", tasks, "a list of tasks")
    ids: set[str] = set()
    for number, task in enumerate(tasks):
        where = f"tasks[{number}]"
        _require(isinstance(task, dict), where, task, "a mapping")
        task_id = task.get("id")
        own = isinstance(task_id, str) and task_id and task_id not in ids
        _require(own, f"{where}.id", task_id, "a text that no other task has")
        ids.add(task_id)
        config, split = task.get("config", "default"), task.get("split", "test")
        _require(config in list(configs), f"{where}.config", config, f"a config of the card ({', '.join(configs)})")
        _require(split in configs[config], f"{where}.split", split, f"a split of {config}")
        if framework == INSPECT_FRAMEWORK:
            _check_inspect_task(task, where)


def _check_inspect_task(task: Mapping[str, Any], where: str) -> None:
    fields = task.get("field_spec")
    named = isinstance(fields, dict) and {"input", "target"} <= fields.keys() <= FIELDS.keys()
    _require(named, f"{where}.field_spec", fields, "input, target and optionally choices and input_image")
    for key, names in (("solvers", SOLVERS), ("scorers", SCORERS)):
        entries: Any = task.get(key)
        valid = isinstance(entries, list) and entries and all(isinstance(one, dict) for one in entries)
        valid = valid and all(str(one.get("name")) in names for one in entries)
        _require(valid, f"{where}.{key}", entries, f"a list of names of {', '.join(sorted(names))}")


def _require(valid: object, key: str, got: object, expected: str) -> None:
    if not valid:
        raise BadEvalYaml(f"{EVAL_YAML}: {key} is {got!r}, expected {expected}")
