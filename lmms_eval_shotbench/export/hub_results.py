"""`.eval_results/NAME.yaml` of a model's repository, which the Hub shows on the model's page and in leaderboards.

The format is described at https://huggingface.co/docs/hub/eval-results; it is written and read back by
`huggingface_hub`'s own classes. One entry a dimension and one over all questions, in percent: the format has no unit,
so the notes state it, with everything else that the figure depends on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmms_eval_shotbench.export.deviations import deviations, remarks
from lmms_eval_shotbench.export.exported_run import ExportedRun, Result
from lmms_eval_shotbench.report.gather import one_line
from lmms_eval_shotbench.runs.scores_schema import BadRun

if TYPE_CHECKING:
    from huggingface_hub import EvalResultEntry

FOLDER = ".eval_results"
VERSIONS = ("lmms-eval-shotbench", "lmms-eval", "transformers")  # of the notes
DECIMALS = 4  # of a percentage


def hub_results(run: ExportedRun) -> dict[str, str]:
    """Return the file for the model's repository; named after the benchmark, so that new results replace old ones."""
    import yaml

    try:
        from huggingface_hub import eval_result_entries_to_yaml, parse_eval_result_entries
    except ModuleNotFoundError:
        raise
    except ImportError:
        raise BadRun("huggingface_hub is older than 1.4: pip install 'lmms-eval-shotbench[export]'") from None
    entries = hub_entries(run)
    text: str = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True, width=1000)
    if parse_eval_result_entries(yaml.safe_load(text)) != entries:
        raise RuntimeError("the entries read back differ from those written; please report this")
    name = "-".join(filter(None, (run.dataset_name.lower(), run.run.variant)))
    return {f"{FOLDER}/{name}.yaml": text}


def hub_entries(run: ExportedRun) -> list[EvalResultEntry]:
    """Return the entries of one protocol, in the paper's order of the dimensions, then over all questions."""
    from huggingface_hub import EvalResultEntry

    results = run.results(run.request.protocol)
    if not results:
        raise BadRun(
            f"{run.run.stored.name}: has no scores of the {run.request.protocol} protocol; give its questions as --data"
        )
    if run.request.source_name and not run.request.source_url:
        raise BadRun("--source-name belongs to an address in this format; give it as --source-url")
    shared = _shared_notes(run)
    return [
        EvalResultEntry(
            dataset_id=run.dataset,
            task_id=one.task,
            value=round(100 * one.value, DECIMALS),
            dataset_revision=run.request.dataset_revision or None,
            date=run.date or None,
            source_url=run.request.source_url or None,
            source_name=run.request.source_name or None,
            notes=f"{_interval(one)}; {shared}",
        )
        for one in results
    ]


def _interval(one: Result) -> str:
    return f"percent of {one.n:,} questions, 95 % interval {100 * one.low:.1f} – {100 * one.high:.1f}"


def _shared_notes(run: ExportedRun) -> str:
    facts = [f"{run.request.protocol} grading"]
    facts += [f"prompt {run.prompt_style}"] if run.prompt_style else []
    facts += [*deviations(run), *remarks(run, run.request.protocol)]
    facts += [f"{name} {run.versions[name]}" for name in VERSIONS if name in run.versions]
    facts += [f"evaluated by {run.request.organization}"] if run.request.organization else []
    return one_line("; ".join(facts), 2000)
