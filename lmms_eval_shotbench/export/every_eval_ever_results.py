"""The file of results of Every Eval Ever: who evaluated which model on what, how, and every accuracy.

Scores are shares (0 to 1), one result for each dimension and one over all questions, by strict and by official grading.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lmms_eval_shotbench import __version__
from lmms_eval_shotbench.export.deviations import deviations, remarks
from lmms_eval_shotbench.export.exported_run import OVERALL, ExportedRun, Result
from lmms_eval_shotbench.export.graded_questions import evaluated_at
from lmms_eval_shotbench.grading.grade import PROTOCOLS, Protocol
from lmms_eval_shotbench.prompts import CLOSING, DIRECT, prompt_style
from lmms_eval_shotbench.runs.scores_schema import BadRun

SCHEMA_VERSION = "0.3.0"
METRICS: dict[Protocol, tuple[str, str, str]] = {  # id, name and description
    "strict": ("accuracy", "Accuracy", "Share of multiple-choice questions answered correctly; undecided is wrong"),
    "official": (
        "shotbench.official_accuracy",
        "Accuracy (ShotBench's rules)",
        "The same by the answer extraction of ShotBench's own script, without its judge and its random guess",
    ),
}
CLUSTERED = "analytic, clustered by medium"
IN_PROCESS = ("transformers", "vllm")  # engines that this package runs itself


def benchmark(run: ExportedRun) -> str:
    """Return the name of what was asked, e.g. `shotbench` or `shotbench_mirrored`: variants are other evaluations."""
    return "_".join(filter(None, (run.dataset_name.lower(), run.run.variant)))


def evaluation_id(run: ExportedRun) -> str:
    """Return the id of the evaluation: benchmark, model and time."""
    return f"{benchmark(run)}/{run.model}/{_timestamp(run)}"


def result_ids(run: ExportedRun) -> dict[tuple[Protocol, str], tuple[str, str]]:
    """Return evaluation name and id of each result, by protocol and task."""
    found = {}
    for protocol in PROTOCOLS:
        for one in run.results(protocol):
            name = f"{benchmark(run)}.{'overall' if one.task == OVERALL else one.task}"
            found[protocol, one.task] = name, f"{name}/{METRICS[protocol][0]}"
    return found


def results_file(run: ExportedRun) -> dict[str, Any]:
    """Return the contents of the file, without the reference to the samples; raises `BadRun` for what is not known."""
    request = run.request
    if not request.organization:
        raise BadRun("Every Eval Ever names who evaluated; give --organization NAME")
    if not request.relationship:
        raise BadRun("Every Eval Ever states whose model was evaluated; give --relationship, e.g. third_party")
    ids = result_ids(run)
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": evaluation_id(run),
        "evaluation_timestamp": _timestamp(run),
        "retrieved_timestamp": _timestamp(run),
        "source_metadata": {
            "source_name": request.source_name or "lmms-eval-shotbench",
            "source_type": "evaluation_run",
            "source_organization_name": request.organization,
            "evaluator_relationship": request.relationship,
            **({"additional_details": {"source_url": request.source_url}} if request.source_url else {}),
        },
        "eval_library": _library(run),
        "model_info": _model(run),
        "evaluation_results": [
            _result(run, protocol, one, *ids[protocol, one.task])
            for protocol in PROTOCOLS
            for one in run.results(protocol)
        ],
    }


def _library(run: ExportedRun) -> dict[str, Any]:
    versions = dict(run.versions)
    if "lmms-eval" not in versions:  # responses without a record were scored by this package alone
        return {"name": "lmms-eval-shotbench", "version": __version__}
    return {"name": "lmms-eval", "version": versions.pop("lmms-eval"), "additional_details": versions}


def _model(run: ExportedRun) -> dict[str, Any]:
    engine, version = _engine(run)
    details = {
        "deployment_type": "self_deployed" if engine in IN_PROCESS else "unknown",
        "model_availability": f"{run.request.weights}_weights" if run.request.weights else "unknown",
        "revision": run.revision,
        "lmms_eval_model": str(run.how.get("model") or ""),
    }
    return {
        "name": run.model.rpartition("/")[2],
        "id": run.model,
        "developer": run.model.partition("/")[0],
        **({"inference_engine": {"name": engine, "version": version or "unknown"}} if engine else {}),
        "additional_details": {name: value for name, value in details.items() if value},
    }


def _engine(run: ExportedRun) -> tuple[str, str]:
    """Return name and version of what generated the responses; both empty if unknown, or if there were several."""
    engines = list((run.how.get("engines") or {}).values())
    names = {str(one.get("server") or one.get("engine") or "") for one in engines}
    name, _, version = names.pop().partition(" ") if len(names) == 1 else ("", "", "")
    return name, version or run.versions.get(name, "")


def _result(run: ExportedRun, protocol: Protocol, one: Result, name: str, result_id: str) -> dict[str, Any]:
    metric_id, metric_name, description = METRICS[protocol]
    found = {
        "evaluation_result_id": result_id,
        "evaluation_name": name,
        "source_data": {
            "dataset_name": run.dataset_name,
            "source_type": "hf_dataset",
            "hf_repo": run.dataset,
            "hf_split": run.split,
            "samples_number": one.n,
            **({"additional_details": {"revision": revision}} if (revision := run.request.dataset_revision) else {}),
        },
        "evaluation_timestamp": _timestamp(run),
        "metric_config": {
            "evaluation_description": description,
            "metric_id": metric_id,
            "metric_name": metric_name,
            "metric_kind": "accuracy",
            "metric_unit": "proportion",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
        },
        "score_details": {
            "score": one.value,
            "details": dict(_details(run, protocol, one)),
            "uncertainty": {
                **({"standard_error": {"value": one.stderr, "method": CLUSTERED}} if one.stderr is not None else {}),
                "confidence_interval": {
                    "lower": one.low,
                    "upper": one.high,
                    "confidence_level": 0.95,
                    "method": "Wilson at the effective sample size of the clustered standard error",
                },
                "num_samples": one.n,
            },
        },
    }
    return found | ({"generation_config": generation} if (generation := _generation(run)) else {})


def _details(run: ExportedRun, protocol: Protocol, one: Result) -> Iterator[tuple[str, str]]:
    yield "protocol", protocol
    yield "dimension", one.name
    if one.task == OVERALL:
        macro = (run.scores(protocol) or {})["accuracy"]["macro"]
        yield from (
            (f"macro_{name}", repr(macro[name])) for name in ("value", "low", "high", "stderr") if name in macro
        )
    if notes := [*deviations(run), *remarks(run, protocol)]:
        yield "notes", "; ".join(notes)


def _generation(run: ExportedRun) -> dict[str, Any] | None:
    """Return the settings of the generation; the schema admits no others in `generation_args`."""
    if not (settings := run.generation):
        return None
    arguments: dict[str, Any] = {
        "temperature": settings.temperature,
        "max_tokens": settings.max_new_tokens,
        "execution_command": run.command,
    }
    if run.prompt_style:
        style = prompt_style(run.prompt_style)
        arguments["reasoning"] = style is not DIRECT
        arguments["prompt_template"] = f"{style.system}\n\nQuestion: {{question}}\nOptions:\n{{options}}\n{CLOSING}"
    details = {"prompt_style": run.prompt_style, "samples": settings.samples, "seed": settings.seed, **settings.other}
    stated = {name: str(value) for name, value in details.items() if value not in ("", None)}
    return {"generation_args": arguments, "additional_details": stated}


def _timestamp(run: ExportedRun) -> str:
    return str(int(evaluated_at(run).timestamp()))
