"""Provenance of a run's responses: the `run` object of scores.json."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from lmms_eval_shotbench import __version__
from lmms_eval_shotbench.environment import refined_in_use
from lmms_eval_shotbench.grading.added_tags import added_tags
from lmms_eval_shotbench.harness.eval_plan import EvalRequest, Pass
from lmms_eval_shotbench.harness.task_files import Task
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import MANIFEST, file_sha256
from lmms_eval_shotbench.qwen.revision import revision_in_use

SECRET = re.compile(r"((?<![a-z])(?:[a-z_]*_)?(?:api_?key|token|secret|password)=)[^,\s'\"]+", re.IGNORECASE)


def describe_run(
    request: EvalRequest, data: Path, passes: Sequence[Pass], ours: Sequence[Task], left_out: Sequence[QAItem]
) -> dict[str, Any]:
    """Return date, command, model, revision, arguments, variant, tags, data checksum and versions, without secrets."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": without_secrets(shlex.join(request.command)),
        "preset": request.preset or None,
        "model": request.model,
        "revision": revision_in_use(request.model_args),
        "tasks": request.tasks,
        "prompt_style": ours[0].style.name,
        **variant_record(ours[0].variant, left_out, request.refined),
        **sampling_record(request),
        "reasoning_tags": [list(pair) for pair in added_tags()],
        "passes": {
            one.name: {
                "tasks": one.tasks,
                "model_args": without_secrets(one.model_args),
                "clips_resampled": one.resample_clips,
            }
            for one in passes
        },
        "data": request.data,
        "split": request.split,
        "data_sha256": data_sha256(data),
        "passed_on": [without_secrets(one) for one in request.passed_on],
        "versions": versions(),
    }


def without_secrets(arguments: str) -> str:
    """Replace the values of keys, tokens and passwords in arguments, because records are shared."""
    return SECRET.sub(r"\1***", arguments)


def data_sha256(data: Path) -> str:
    """Return the SHA-256 of the questions: of the TSV, or of the manifest with every shard's checksum."""
    return file_sha256(data if data.is_file() else data / MANIFEST)


def sampling_record(request: EvalRequest) -> dict[str, Any]:
    """Return number, temperature and first seed of sampled responses; nothing for the task's own settings."""
    if request.temperature is None:
        return {}
    return {"samples": request.samples, "temperature": request.temperature, "seed": request.seed}


def variant_record(variant: str, left_out: Sequence[QAItem], refined: Path | None = None) -> dict[str, Any]:
    """Return what is needed to recreate the variant's questions; `refined` as in `refined_in_use`."""
    return {
        "variant": variant,
        "left_out": [item.source_index for item in left_out],
        "refined": _refined(refined_in_use(refined)) if variant == "refined" else None,
    }


def _refined(file: str) -> dict[str, str]:
    """Identify the refined questions: path and checksum of the published file, both empty if they were rebuilt."""
    return {"file": file, "sha256": file_sha256(Path(file)) if file else ""}


def versions() -> dict[str, str]:
    """Return the versions of what determines a response, by package."""
    versions = {"lmms-eval-shotbench": __version__, "python": sys.version.split()[0]}
    for name in ("lmms-eval", "transformers", "torch", "qwen-vl-utils", "decord"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
