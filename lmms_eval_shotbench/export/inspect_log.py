"""An Inspect log (https://inspect.aisi.org.uk): one `.eval` file for `inspect view`, `inspect score` and data frames.

The file is written to the log format, version 2, without the package `inspect_ai`: a zip of JSON files, of which the
viewer reads a sample when it is opened, so logs of many samples open at once. The package could not be an extra: it
requires an fsspec older than that of `constraints.txt`. The format has stayed readable across its releases, whose
additions are optional. This module writes the header and the zip, `inspect_samples.py` the samples.

Each protocol is a scorer. Its metrics are those that Inspect computes from the samples (accuracy, the standard error
clustered by medium, both for each dimension, and the mean over dimensions), so recomputing them gives the same numbers;
intervals are in the metadata of the metrics. Several samples of a question are epochs.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from lmms_eval_shotbench import __version__
from lmms_eval_shotbench.export.deviations import deviations, remarks
from lmms_eval_shotbench.export.exported_run import ExportedRun
from lmms_eval_shotbench.export.graded_questions import evaluated_at, require_samples, run_digest
from lmms_eval_shotbench.export.inspect_samples import inspect_samples, summary
from lmms_eval_shotbench.export.local_paths import without_folders
from lmms_eval_shotbench.grading.grade import PROTOCOLS, Protocol
from lmms_eval_shotbench.prompts import prompt_style
from lmms_eval_shotbench.runs.scores_schema import BadRun

LOG_VERSION = 2
REDUCER = "mean"  # of the epochs of a sample
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # time of the zip's members: the same run gives the same bytes
Json = dict[str, Any]


def inspect_log(run: ExportedRun) -> dict[str, bytes]:
    """Return the log under a name by which Inspect finds it in a folder of logs.

    Raises:
        BadRun: The model, the date, the questions or the responses are not known.
    """
    require_samples(run)
    header = inspect_header(run)
    created = re.sub(r"[:+]", "-", header["eval"]["created"])
    summaries: list[Json] = []
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        start = {name: header[name] for name in ("version", "eval", "plan")}
        _add(archive, "_journal/start.json", start)
        for sample in inspect_samples(run, header["eval"]):
            _add(archive, f"samples/{sample['id']}_epoch_{sample['epoch']}.json", sample)
            summaries.append(summary(sample))
        _add(archive, "summaries.json", summaries)
        _add(archive, "header.json", header)
    return {f"{created}_{header['eval']['task']}_{header['eval']['task_id']}.eval": content.getvalue()}


def _add(archive: zipfile.ZipFile, name: str, value: object) -> None:
    member = zipfile.ZipInfo(name, LONG_AGO)
    archive.writestr(member, json.dumps(value), zipfile.ZIP_DEFLATED)


def inspect_header(run: ExportedRun) -> Json:
    """Return the log without its samples."""
    protocols = [protocol for protocol in PROTOCOLS if run.scores(protocol)]
    k, n = run.run.stored.samples, len(run.run.stored.items)
    written, cost = evaluated_at(run), run.run.scores.get("cost") or {}
    started = written - timedelta(seconds=cost.get("wall_seconds", {}).get("total") or 0)
    spec = _spec(run, written.isoformat(), protocols)
    return {
        "version": LOG_VERSION,
        "status": "success",
        "eval": spec,
        "plan": _plan(run),
        "results": {
            "total_samples": k * n,
            "completed_samples": k * n,
            "scores": [_score(run, protocol) for protocol in protocols],
        },
        "stats": {
            "started_at": started.isoformat(),
            "completed_at": written.isoformat(),
            "model_usage": _usage(cost, run.model),
            "role_usage": {},
        },
        "invalidated": False,
        "tags": [],
        "metadata": spec["metadata"],
    }


def _spec(run: ExportedRun, created: str, protocols: list[Protocol]) -> Json:
    digest, k = run_digest(run), run.run.stored.samples
    dataset = _dataset(run)
    name = "_".join(filter(None, (dataset.rstrip("/").rpartition("/")[2].lower(), run.run.variant)))
    facts = {
        "command": run.command,
        "revision": run.revision,
        "checkpoint": without_folders(run.checkpoint),
        "prompt_style": run.prompt_style,
        "variant": run.run.variant,
        "data_sha256": run.data_sha256,
        "dataset_revision": run.request.dataset_revision,
        "source": run.request.source_url,
        "organization": run.request.organization,
        "notes": [*deviations(run), *(remark for protocol in protocols for remark in remarks(run, protocol))],
    }
    return {
        "eval_id": digest[:22],
        "run_id": digest[:22],
        "task_id": digest[22:44],
        "created": created,
        "task": re.sub(r"[^\w-]", "-", name).replace("_", "-"),
        "task_display_name": name,
        "task_version": 0,
        "task_args": {},
        "dataset": {
            "name": dataset,
            "location": dataset,
            "samples": len(run.items),
            "sample_ids": [item.item_id for item in run.items],
            "shuffled": False,
        },
        "model": run.model,
        "model_args": {},
        "model_generate_config": _generation(run),
        "config": {"epochs": k, **({"epochs_reducer": [REDUCER]} if k > 1 else {}), "log_images": False},
        "packages": dict(run.versions) or {"lmms-eval-shotbench": __version__},
        "metadata": {key: value for key, value in facts.items() if value},
        "scorers": [{"name": protocol, "options": {}, "metrics": METRICS, "metadata": {}} for protocol in protocols],
    }


def _dataset(run: ExportedRun) -> str:
    """Return the Hub id of the questions, otherwise where they were read."""
    try:
        return run.dataset
    except BadRun:
        return run.run.data


def _metric(name: str, **options: object) -> Json:
    return {"name": f"inspect_ai/{name}", "options": options}


def _grouped(metric: str, params: Json, **options: object) -> Json:
    inner = {"type": "metric", "name": metric, "params": params}
    return _metric("grouped", metric=inner, group_key="dimension", **options)


CLUSTER = {"cluster": "medium"}  # key of the samples' metadata
MACRO = "macro"
METRICS = [
    _metric("accuracy"),
    _metric("stderr", **CLUSTER),
    _grouped("accuracy", {}, all="groups", all_label=MACRO),
    _grouped("stderr", CLUSTER, all=False, name_template="{group_name}_stderr"),
]


def _score(run: ExportedRun, protocol: Protocol) -> Json:
    metrics = {key: {"name": key, "params": {}} | metric for key, metric in _metrics(run, protocol)}
    return {
        "name": protocol,
        "scorer": protocol,
        **({"reducer": REDUCER} if run.run.stored.samples > 1 else {}),
        "scored_samples": len(run.items),
        "unscored_samples": 0,
        "params": {},
        "metrics": metrics,
    }


def _metrics(run: ExportedRun, protocol: Protocol) -> Iterator[tuple[str, Json]]:
    """Yield the metrics by the names that Inspect gives them."""
    accuracy = (run.scores(protocol) or {})["accuracy"]
    if accuracy["micro"] is None:
        raise BadRun(f"{run.run.stored.name}: too many refusals to measure anything; there is nothing to export")
    yield "accuracy", _value(accuracy["micro"])
    if "stderr" in accuracy["micro"]:  # not in scores of earlier versions
        yield "stderr", {"value": accuracy["micro"]["stderr"], "params": CLUSTER}
    for slug, estimate in (accuracy["by_dimension"] | {MACRO: accuracy["macro"]}).items():
        yield slug, _value(estimate) | {"group": "grouped"}
    for slug, estimate in accuracy["by_dimension"].items():
        if "stderr" in estimate:
            yield f"{slug}_stderr", {"value": estimate["stderr"], "group": "grouped"}


def _value(estimate: Mapping[str, Any]) -> Json:
    known = {name: estimate[name] for name in ("low", "high", "stderr", "n") if name in estimate}
    return {"value": estimate["value"], "metadata": known | {"level": 0.95}}


def _generation(run: ExportedRun) -> Json:
    if not (settings := run.generation):
        return {}
    found = {"temperature": settings.temperature, "max_tokens": settings.max_new_tokens, "seed": settings.seed}
    return {name: value for name, value in found.items() if value is not None}


def _plan(run: ExportedRun) -> Json:
    steps = [{"solver": "generate", "params": {}}]
    if run.prompt_style:
        system = {"template": prompt_style(run.prompt_style).system}
        steps.insert(0, {"solver": "system_message", "params": system})
    return {"name": "plan", "steps": steps, "config": _generation(run)}


def _usage(cost: Mapping[str, Any], model: str) -> Json:
    """Return the tokens of all responses whose number is known."""
    given, made = ((cost.get(name) or {}).get("total") for name in ("input_tokens", "output_tokens"))
    if given is None or made is None:
        return {}
    return {model: {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}}
