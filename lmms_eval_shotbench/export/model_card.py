"""Results in a model card: a section with a table and the command, and entries of `model-index` in the metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lmms_eval_shotbench.export.card_file import updated_card
from lmms_eval_shotbench.export.deviations import deviations, remarks
from lmms_eval_shotbench.export.exported_run import OVERALL, ExportedRun, Result
from lmms_eval_shotbench.grading.grade import PROTOCOLS, Protocol
from lmms_eval_shotbench.report.gather import one_line
from lmms_eval_shotbench.report.markdown import SPECIAL, percent_cell
from lmms_eval_shotbench.vocabulary import DIMENSIONS, MediaKind

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

CARD = "README.md"
DECIMALS = 4  # of a percentage
CLIP_TASKS = {one.slug for one in DIMENSIONS if one.media_kind is MediaKind.CLIP}


def model_card(run: ExportedRun) -> dict[str, str]:
    """Return the card of the request, or a new one, with the results of the run."""
    results = [one for protocol in PROTOCOLS for one in card_results(run, protocol)]
    name = run.model.rpartition("/")[2]
    return {CARD: updated_card(run.request.card, run.key, card_section(run), results, name)}


def card_results(run: ExportedRun, protocol: Protocol) -> list[EvalResult]:
    """Return entries of `model-index`, in percent; [] without scores of the protocol.

    Stills and clips are two tasks of the Hub (image-text-to-text, video-text-to-text). The name of a metric has all
    that distinguishes it from others of the same data set.
    """
    from huggingface_hub import EvalResult

    prompt = f"{run.prompt_style} prompt" if run.prompt_style else ""
    return [
        EvalResult(
            task_type=f"{'video' if one.task in CLIP_TASKS else 'image'}-text-to-text",
            task_name=f"{run.dataset_name}, clips" if one.task in CLIP_TASKS else run.dataset_name,
            dataset_type=run.dataset,
            dataset_name=run.dataset_name,
            dataset_split=run.split,
            dataset_revision=run.request.dataset_revision or None,
            metric_type="accuracy",
            metric_value=round(100 * one.value, DECIMALS),
            metric_name=", ".join(filter(None, (one.name, f"{protocol} grading", prompt, run.run.variant))),
            metric_args=_arguments(run, one, protocol),
            source_url=run.request.source_url or None,
            source_name=run.request.source_name or None,
        )
        for one in run.results(protocol)
    ]


def _arguments(run: ExportedRun, one: Result, protocol: Protocol) -> dict[str, object]:
    bounds = [round(100 * bound, DECIMALS) for bound in (one.low, one.high)]
    notes = [one_line(note, 500) for note in (*deviations(run), *remarks(run, protocol))]
    return {"unit": "percent", "interval_95": bounds, "questions": one.n} | ({"notes": notes} if notes else {})


def card_section(run: ExportedRun) -> str:
    """Return the section in Markdown."""
    return "\n".join([f"## {_title(run)}", "", *_table(run), "", *_facts(run), *_reproduction(run)])


def _title(run: ExportedRun) -> str:
    details = [f"{run.prompt_style.replace('_', ' ')} prompt"] if run.prompt_style else []
    details += [f"{run.run.variant} questions"] if run.run.variant else []
    return f"Results on {run.dataset_name}" + (f" ({', '.join(details)})" if details else "")


def _table(run: ExportedRun) -> Iterator[str]:
    columns = [{one.task: one._asdict() for one in run.results(protocol)} for protocol in PROTOCOLS]
    yield "| accuracy, % (95 % interval) | questions | strict grading | official protocol |"
    yield "|---|---:|---:|---:|"
    for one in run.results():
        name = "**all questions (micro)**" if one.task == OVERALL else one.name
        yield f"| {name} | {one.n:,} | {' | '.join(percent_cell(column.get(one.task)) for column in columns)} |"
    if OVERALL in columns[0]:
        macro = [(run.scores(protocol) or {}).get("accuracy", {}).get("macro") for protocol in PROTOCOLS]
        yield f"| **mean over dimensions (macro)** | – | {' | '.join(map(percent_cell, macro))} |"


def _facts(run: ExportedRun) -> Iterator[str]:
    yield "An undecided response counts as wrong. Intervals are clustered by picture or clip."
    yield ""
    if found := deviations(run):
        yield f"- **Not a result of the complete benchmark:** {_escaped('; '.join(found))}"
    for protocol in PROTOCOLS:
        yield from (f"- {protocol}: {_escaped(note)}" for note in remarks(run, protocol))
    split = f"split {run.split}" + (f", SHA-256 {run.data_sha256}" if run.data_sha256 else "")
    yield f"- questions: [{run.dataset}](https://huggingface.co/datasets/{run.dataset}), {_escaped(split)}"
    facts = {
        "model": ", revision ".join(filter(None, (run.model, run.revision))),
        "generation": _generation(run),
        "date": run.date,
        "evaluated by": run.request.organization,
        "versions": ", ".join(f"{name} {version}" for name, version in run.versions.items()),
    }
    yield from (f"- {name}: {_escaped(fact)}" for name, fact in facts.items() if fact)
    if url := run.request.source_url:
        yield f"- source: [{_escaped(run.request.source_name or url)}](<{url}>)"


def _generation(run: ExportedRun) -> str:
    if (asked := run.generation) is None:
        return ""
    facts = [f"temperature {asked.temperature:g}", f"at most {asked.max_new_tokens:,} new tokens"]
    facts += [f"seed {asked.seed}"] if asked.seed is not None else []
    return ", ".join([*facts, *(f"{name} {value}" for name, value in asked.other.items())])


def _reproduction(run: ExportedRun) -> Iterator[str]:
    if run.command:
        line = one_line(run.command, 4000)
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", line)), default=0))
        yield from (
            "",
            "Evaluated with lmms-eval-shotbench by",
            "",
            f"{fence}bash",
            line,
            fence,
        )


def _escaped(text: str) -> str:
    return one_line(text, 2000).translate(SPECIAL)
