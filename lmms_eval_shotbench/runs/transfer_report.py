"""JSON and table of `shotbench transfer`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.runs.transfer import MACRO, LeadOnBoth, SetColumns, SetPair, Transfer, TransferRow
from lmms_eval_shotbench.scoring.transfer import Contrast, TransferScore
from lmms_eval_shotbench.vocabulary import dimension_named

SCHEMA = 1  # of the JSON; incremented when a field changes its meaning
LEAD_WIDTH = 30  # of a lead with its interval


def transfer_json(found: Transfer) -> dict[str, Any]:
    """Return the JSON format of docs/transfer.md."""
    return {
        "schema": SCHEMA,
        "protocol": found.protocol,
        "reference": found.reference.name,
        "sets": {
            one.name: {
                "source": one.source,
                "data": one.data,
                "questions": len(found.asked[one.name]),
                "options": _option_counts(found.asked[one.name]),
                "balanced": list(found.one_sided[one.name]),
            }
            for one in found.sets
        },
        "models": list(found.models),
        "pairs": [
            {
                "set": pair.other.name,
                "dimensions": list(pair.dimensions),
                "shared_media": pair.shared_media,
                "by_dimension": {slug: _row_json(pair.rows[slug]) for slug in pair.dimensions},
                "macro": _row_json(pair.rows[MACRO]) if pair.dimensions else None,
            }
            for pair in found.pairs
        ],
        "remarks": list(found.remarks),
    }


def _option_counts(items: Sequence[QAItem]) -> dict[str, int]:
    counts = Counter(len(item.options) for item in items)
    return {str(options): counts[options] for options in sorted(counts)}


def _row_json(row: TransferRow) -> dict[str, Any]:
    return {
        "scores": {
            name: {model: _columns_json(columns) for model, columns in of_models.items()}
            for name, of_models in row.scores.items()
        },
        "leads": [asdict(one) | {"verdict": one.verdict} for one in row.leads],
    }


def _columns_json(columns: SetColumns) -> dict[str, Any]:
    return {
        **asdict(columns.score),
        "blind": asdict(columns.blind) if columns.blind else None,
        "robust": {name: asdict(one) for name, one in columns.robust.items()},
    }


def transfer_table(found: Transfer) -> str:
    """Format the table for a terminal, in percent and percentage points."""
    lines = [f"{'sets':12}{_set_line(found, found.reference.name)}; the reference"]
    lines += [f"{'':12}{_set_line(found, one.name)}" for one in found.sets[1:]]
    lines += [f"{'models':12}{', '.join(found.models)}"]
    for pair in found.pairs:
        lines += ["", *_pair_lines(found, pair)]
    return "\n".join([*lines, *(["", *found.remarks] if found.remarks else [])])


def _set_line(found: Transfer, name: str) -> str:
    counts = _option_counts(found.asked[name])
    options = ", ".join(f"{n} of {options} options" for options, n in counts.items())
    balanced = [dimension_named(slug).paper_name for slug in found.one_sided[name]]
    return f"{name}: {options}" + (f"; balanced accuracy in {', '.join(balanced)}" if balanced else "")


def _pair_lines(found: Transfer, pair: SetPair) -> Iterator[str]:
    if not pair.dimensions:
        return
    rows = {dimension_named(slug).paper_name: pair.rows[slug] for slug in pair.dimensions}
    if len(rows) > 1:
        rows["over dimensions (macro)"] = pair.rows[MACRO]
    yield from _score_lines(rows)
    for last in pair.rows[MACRO].leads:
        yield ""
        yield from _lead_lines(found.reference.name, pair.other.name, last, rows)
    if pair.shared_media:
        yield (
            f"{pair.shared_media} media of {pair.other.name} are also in {found.reference.name}: the intervals of the "
            "differences assume independent sets"
        )


def _score_lines(rows: Mapping[str, TransferRow]) -> Iterator[str]:
    cells = [
        (name, model, columns)
        for row in rows.values()
        for name, of_models in row.scores.items()
        for model, columns in of_models.items()
    ]
    variants = sorted({variant for _, _, columns in cells for variant in columns.robust})
    width = max(len(name) for name, _, _ in cells) + 2
    model_width = max(len(model) for _, model, _ in cells) + 2
    yield (
        f"{'':{2 + width + model_width}}{'items':>7}{'accuracy':>10}{'95 % interval':>16}{'chance':>8}"
        f"{'above chance':>14}{'blind':>8}" + "".join(f"{name:>10}" for name in variants)
    )
    for title, row in rows.items():
        yield title
        for name, of_models in row.scores.items():
            for model, columns in of_models.items():
                yield f"  {name:{width}}{model:{model_width}}{_score_cells(columns, variants)}"


def _lead_lines(reference: str, other: str, last: LeadOnBoth, rows: Mapping[str, TransferRow]) -> Iterator[str]:
    yield f"lead of {last.a} over {last.b}, in percentage points, with 95 % intervals"
    yield f"{'':24}" + "".join(f"{name:>{LEAD_WIDTH}}" for name in (reference, other, "difference"))
    for title, row in rows.items():
        for one in (one for one in row.leads if one.b == last.b):
            yield _lead_line(title, one.reference.accuracy, one.other.accuracy, one.accuracy)
            yield _lead_line("  above chance", one.reference.above_chance, one.other.above_chance, one.above_chance)
    yield _verdict(last, reference, other)


def _lead_line(title: str, *leads: Contrast) -> str:
    return f"{title:24}" + "".join(f"{f'{100 * one.value:+.2f}  ({_ends(one)})':>{LEAD_WIDTH}}" for one in leads)


def _score_cells(columns: SetColumns, variants: list[str]) -> str:
    accuracy, above = columns.score.accuracy, columns.score.above_chance
    interval = f"{100 * accuracy.low:.1f} – {100 * accuracy.high:.1f}"
    cells = (
        f"{accuracy.n:>7}{100 * accuracy.value:>10.2f}{interval:>16}{100 * columns.score.chance:>8.1f}"
        f"{100 * above.value:>14.2f}{_percent(columns.blind):>8}"
    )
    return cells + "".join(f"{_percent(columns.robust.get(name)):>10}" for name in variants)


def _verdict(one: LeadOnBoth, reference: str, other: str) -> str:
    """Summarise over all common dimensions what became of the lead."""
    first, second, lost = one.reference.above_chance, one.other.above_chance, one.above_chance
    found = {
        "no lead": f"neither leads significantly on {reference}, so there is no lead that could survive",
        "survives": f"the lead survives on {other}",
        "smaller": f"the lead survives on {other}, but is smaller",
        "lost": f"the lead does not survive on {other}",
        "reversed": f"the lead is reversed on {other}",
        "undecided": f"undecided: on {other} there is neither a significant lead nor a significant loss of it",
    }[one.verdict]
    verbs = ["leads" if each.value >= 0 else "trails" for each in (first, second)]
    again = "" if verbs[0] == verbs[1] else f"{verbs[1]} "
    return (
        f"{one.a} {verbs[0]} {one.b} by {100 * abs(first.value):.2f} on {reference} and {again}by "
        f"{100 * abs(second.value):.2f} on {other}, above chance: {found} (difference {100 * lost.value:+.2f}, "
        f"{_ends(lost)})"
    )


def _ends(contrast: Contrast) -> str:
    return f"{100 * contrast.low:+.2f} – {100 * contrast.high:+.2f}"


def _percent(score: TransferScore | None) -> str:
    return f"{100 * score.accuracy.value:.2f}" if score else "–"


FORMATS: dict[str, Callable[[Transfer], str]] = {
    "table": transfer_table,
    "json": lambda found: json.dumps(transfer_json(found), indent=1, ensure_ascii=False),
}
