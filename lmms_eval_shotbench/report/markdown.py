"""Text tables: Markdown for a model card, and the leaderboard for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmms_eval_shotbench.report.rows import asked_dimensions, ranked
from lmms_eval_shotbench.runs.cost import cost_line
from lmms_eval_shotbench.vocabulary import dimension_named

COST_WIDTH = 13  # of a column of the leaderboard
# Escapes what Markdown and HTML would interpret, for `str.translate`
SPECIAL = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]()#+!|~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


def model_card(numbers: Mapping[str, Any]) -> str:
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


def leaderboard_table(numbers: Mapping[str, Any]) -> str:
    """Format the runs ranked among the published rows, for a terminal; names are sanitised (`gather.one_line`)."""
    slugs = asked_dimensions(numbers)
    head = "".join(f"{dimension_named(slug).abbreviation:>7}" for slug in slugs)
    costs = _cost_columns(numbers["runs"])
    lines = [f"{'':40}{head}{'avg':>8}{'micro':>8}{''.join(f'{title:>{COST_WIDTH}}' for title in costs)}"]
    for kind, index in ranked(numbers):
        if kind == "published":
            lines.append(_published(numbers, index, slugs))
        else:
            cells = "".join(f"{column[index]:>{COST_WIDTH}}" for column in costs.values())
            lines.append(_own_run(numbers["runs"][index], slugs) + cells)
    first = numbers["runs"][0]["name"]
    legend = ["", "* your runs: strict grading, avg is the mean over dimensions"]
    legend += ["tokens, seconds of the model and cost are means of a response"] if costs else []
    if numbers["published"]:
        legend += [
            f"+ significantly above, - below {first} (two proportions, Holm over dimensions, 5 %)",
            "published figures as printed; their averages are over dimensions, ShotVL's over items",
        ]
    return "\n".join(lines + legend)


def _cost_columns(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the columns of costs by title, without those that are unknown for all runs."""
    costs = [run["strict"].get("cost") or {} for run in runs]
    amounts = (
        ("tokens in", "input_tokens"),
        ("tokens out", "output_tokens"),
        ("seconds", "seconds"),
        ("cost", "money"),
    )
    columns = {}
    for title, name in amounts:
        found = [one.get(name) or {} for one in costs]
        if any(one.get("known") for one in found):
            form = ",.0f" if name.endswith("tokens") else ".3g"
            columns[title] = [
                f"{one['mean']:{form}}{' ' + _currency(one) if name == 'money' else ''}" if one.get("known") else "–"
                for one in found
            ]
    return columns


def _currency(money: Mapping[str, Any]) -> str:
    from lmms_eval_shotbench.report.gather import one_line

    return one_line(str(money["prices"]["currency"]), 4)


def _own_run(run: Mapping[str, Any], slugs: Sequence[str]) -> str:
    accuracy = run["strict"]["accuracy"]
    shares = [accuracy["by_dimension"].get(slug) for slug in slugs]
    figures = "".join(f"{100 * share['value']:>6.1f} " if share else f"{'–':>6} " for share in shares)
    averages = f"{100 * accuracy['macro']['value']:>8.1f}{100 * accuracy['micro']['value']:>8.1f}"
    return f"{_fit('* ' + run['name'])}{figures}{averages}"


def _published(numbers: Mapping[str, Any], index: int, slugs: Sequence[str]) -> str:
    row, against = numbers["published"][index], numbers["runs"][0]["published"][index]["by_dimension"]
    figures = "".join(f"{row['by_dimension'][slug]:>6.1f}{_marker(against.get(slug))}" for slug in slugs)
    note = "" if row["kind"] != "shotvl" else f"  {row['source']}"
    return f"{_fit('  ' + row['model'])}{figures}{row['average']:>8.1f}{note and ' ' * 8 + note}"


def _marker(found: Mapping[str, Any] | None) -> str:
    if not found or not found["differs"]:
        return " "
    return "-" if found["difference"] > 0 else "+"


def _fit(name: str, width: int = 40) -> str:
    return f"{name if len(name) < width else name[: width - 2] + '…':{width}}"
