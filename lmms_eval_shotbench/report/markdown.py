"""Markdown of a report, for a model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmms_eval_shotbench.report.rows import asked_dimensions
from lmms_eval_shotbench.runs.cost import cost_line
from lmms_eval_shotbench.vocabulary import dimension_named

# Escapes what Markdown and HTML would interpret, for `str.translate`
SPECIAL = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]()#+!|~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


def report_markdown(numbers: Mapping[str, Any]) -> str:
    """Format Markdown: accuracy by dimension and on average, in percent, and the settings of each run."""
    names = [run["name"].translate(SPECIAL) for run in numbers["runs"]]
    if not names:
        lines = [_training_summary(one) for one in numbers["training"]]
        return "\n".join([*lines, "", f"lmms-eval-shotbench {numbers['version']}", ""])
    slugs = asked_dimensions(numbers)
    lines = [f"| ShotBench, strict grading, % | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for slug in slugs:
        cells = [percent_cell(run["strict"]["accuracy"]["by_dimension"].get(slug)) for run in numbers["runs"]]
        lines.append(f"| {dimension_named(slug).paper_name} | {' | '.join(cells)} |")
    for name, average in (("over items (micro)", "micro"), ("over dimensions (macro)", "macro")):
        cells = [percent_cell(run["strict"]["accuracy"][average]) for run in numbers["runs"]]
        lines.append(f"| **{name}** | {' | '.join(cells)} |")
    lines += [_official(numbers["runs"]), "", "With 95 % intervals clustered by medium; undecided counts as wrong.", ""]
    lines += [f"- {name}: {_run_summary(run)}" for name, run in zip(names, numbers["runs"], strict=True)]
    return "\n".join([*lines, "", f"lmms-eval-shotbench {numbers['version']}", ""]).encode("utf-8", "replace").decode()


def percent_cell(estimate: Mapping[str, float] | None) -> str:
    """Format an estimate of scores.json in percent, with its interval; a dash if there is none."""
    if estimate is None:
        return "–"
    return f"{100 * estimate['value']:.2f} ({100 * estimate['low']:.1f} – {100 * estimate['high']:.1f})"


def _official(runs: Sequence[Mapping[str, Any]]) -> str:
    cells = [percent_cell(run["official"]["accuracy"]["micro"] if run["official"] else None) for run in runs]
    return f"| official grading, over items | {' | '.join(cells)} |"


def _run_summary(run: Mapping[str, Any]) -> str:
    from lmms_eval_shotbench.report.gather import one_line

    how, strict = run["strict"]["run"] or {}, run["strict"]
    facts = [f"{strict['n']:,} items", f"{100 * strict['answered_rate']:.2f} % decided"]
    facts += _samples(strict["samples"]) if "samples" in strict else []
    facts += [line] if (line := cost_line(strict.get("cost"))) else []
    facts += [f"{name} {how[key]}" for name, key in _RECORD_FIELDS if how.get(key)]
    return one_line(", ".join(facts), 500).translate(SPECIAL)


def _training_summary(one: Mapping[str, Any]) -> str:
    last = [f"{name.replace('_', ' ')} {curve[-1][1]:.4g}" for name, curve in one.items() if isinstance(curve, list)]
    return f"- {one['name'].translate(SPECIAL)}: {', '.join(last)} in the last step"


def _samples(samples: Mapping[str, Any]) -> list[str]:
    """Describe what the accuracy is the mean of, and what else several samples give, over items."""
    at = "" if samples.get("temperature") is None else f" at temperature {samples['temperature']:g}"
    facts = [f"accuracy is the mean over {samples['k']} samples of each item{at}"]
    for name, found in (
        ("majority vote", samples["majority"]),
        (f"pass@{samples['k']}", samples["pass_at"][str(samples["k"])]),
    ):
        facts += [f"{name} {percent_cell(found['micro'])} over items"] if found["micro"] else []
    return facts


_RECORD_FIELDS = (
    ("model", "model"),
    ("revision", "revision"),
    ("prompt", "prompt_style"),
    ("data sha256", "data_sha256"),
)
