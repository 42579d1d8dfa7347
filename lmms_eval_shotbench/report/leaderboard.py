"""The leaderboard in its formats: runs ranked among the published rows, and below them what others measured.

Every format has the same rows. Third-party rows are always in a section of their own, or marked as such.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lmms_eval_shotbench.qa_item import SHOTBENCH
from lmms_eval_shotbench.report.markdown import SPECIAL
from lmms_eval_shotbench.report.rows import asked_dimensions, ranked, third_party_dimensions
from lmms_eval_shotbench.vocabulary import DIMENSIONS, dimension_named

COST_WIDTH = 13  # of a column of costs
ABBREVIATIONS = tuple(dimension.abbreviation for dimension in DIMENSIONS)
FIELDS = ("kind", "model", *ABBREVIATIONS, "average", "micro", "test_set", "questions", "options", "protocol", "source",
          "address", "date")  # fmt: skip
NOT_RANKED = "measured by others, as their sources print them; prompts, frames, options and grading differ: not ranked"


def leaderboard_table(numbers: Mapping[str, Any]) -> str:
    """Format the runs ranked among the published rows, for a terminal; names are sanitised (`gather.one_line`)."""
    slugs = asked_dimensions(numbers)
    costs = _cost_columns(numbers["runs"])
    lines = [f"{'':40}{_head(slugs)}{'avg':>8}{'micro':>8}{''.join(f'{title:>{COST_WIDTH}}' for title in costs)}"]
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
    return "\n".join([*lines, *legend, *_third_party_lines(numbers)])


def _head(slugs: Sequence[str]) -> str:
    return "".join(f"{dimension_named(slug).abbreviation:>7}" for slug in slugs)


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


def _third_party_lines(numbers: Mapping[str, Any]) -> list[str]:
    """Return a table of the third-party rows, with their sources as numbered notes; empty if there are none."""
    rows = numbers["third_party"]
    if not rows:
        return []
    slugs = third_party_dimensions(numbers)
    sources = list(dict.fromkeys((row["measured_by"], row["date"], row["address"]) for row in rows))
    lines = ["", NOT_RANKED, f"{'':40}{_head(slugs)}{'overall':>8}"]
    for row in rows:
        figures = [*(row["by_dimension"].get(slug) for slug in slugs), row["overall"]]
        note = sources.index((row["measured_by"], row["date"], row["address"])) + 1
        asked = f"{row['test_set']}, {row['questions']:,} of {row['options']} options, {row['protocol']} [{note}]"
        cells = [f"{'–' if figure is None else f'{figure:.1f}':>6} " for figure in figures]
        lines.append(f"{_fit('  ' + row['model'])}{''.join(cells)}  {asked}")
    return [*lines, *(f"[{note}] {', '.join(source)}" for note, source in enumerate(sources, start=1))]


def leaderboard_rows(numbers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all rows with the keys `FIELDS`, figures in percent, None if unknown; third-party rows are the last."""
    rows = []
    for kind, index in ranked(numbers):
        rows.append(_run_row(numbers["runs"][index]) if kind == "runs" else _published_row(numbers, index))
    return [*rows, *map(_third_party_row, numbers["third_party"])]


def _run_row(run: Mapping[str, Any]) -> dict[str, Any]:
    accuracy = run["strict"]["accuracy"]
    figures = {slug: 100 * one["value"] for slug, one in accuracy["by_dimension"].items()}
    averages = {"average": 100 * accuracy["macro"]["value"], "micro": 100 * accuracy["micro"]["value"]}
    return _leaderboard_row(
        "run", run["name"], figures, **averages, questions=run["strict"]["n"], protocol="strict grading"
    )


def _published_row(numbers: Mapping[str, Any], index: int) -> dict[str, Any]:
    row, n = numbers["published"][index], numbers["published_items"]
    about = {"test_set": SHOTBENCH, "questions": n, "source": row["source"]}
    return _leaderboard_row("published", row["model"], row["by_dimension"], average=row["average"], **about)


def _third_party_row(row: Mapping[str, Any]) -> dict[str, Any]:
    about = {name: row[name] for name in ("test_set", "questions", "options", "protocol", "address", "date")}
    about |= {"average": row["overall"], "source": row["measured_by"]}
    return _leaderboard_row("third party", row["model"], row["by_dimension"], **about)


def _leaderboard_row(kind: str, model: str, figures: Mapping[str, float], **about: Any) -> dict[str, Any]:
    known = {dimension.abbreviation: figures.get(dimension.slug) for dimension in DIMENSIONS}
    return dict.fromkeys(FIELDS) | {"kind": kind, "model": model} | known | about


def leaderboard_json(numbers: Mapping[str, Any]) -> str:
    """Format all rows as a JSON list."""
    return json.dumps(leaderboard_rows(numbers), ensure_ascii=False, indent=1)


def leaderboard_csv(numbers: Mapping[str, Any]) -> str:
    """Format all rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(leaderboard_rows(numbers))
    return text.getvalue()


def leaderboard_markdown(numbers: Mapping[str, Any]) -> str:
    """Format two Markdown tables: runs among the published rows, and the third-party rows."""
    rows = leaderboard_rows(numbers)
    others = [row for row in rows if row["kind"] == "third party"]
    lines = _markdown_table([row for row in rows if row not in others], ("average", "micro", "source"))
    if others:
        columns = ("average", "test_set", "questions", "options", "protocol", "source", "date")
        lines += ["", NOT_RANKED.capitalize() + ".", "", *_markdown_table(others, columns)]
    return "\n".join(lines)


def _markdown_table(rows: Sequence[Mapping[str, Any]], last: Sequence[str]) -> list[str]:
    columns = [name for name in ABBREVIATIONS if any(row[name] is not None for row in rows)] + list(last)
    lines = [f"| model | {' | '.join(columns).replace('_', ' ')} |", f"|---|{'---|' * len(columns)}"]
    for row in rows:
        model = row["model"].translate(SPECIAL)
        name = f"**{model}**" if row["kind"] == "run" else model
        lines.append(f"| {name} | {' | '.join(_markdown_cell(row, column) for column in columns)} |")
    return lines


def _markdown_cell(row: Mapping[str, Any], column: str) -> str:
    value = row[column]
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.1f}"
    text = f"{value:,}" if isinstance(value, int) else value.translate(SPECIAL)
    return f"[{text}]({row['address']})" if column == "source" and row["address"] else text


FORMATS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "table": leaderboard_table,
    "markdown": leaderboard_markdown,
    "csv": leaderboard_csv,
    "json": leaderboard_json,
}
