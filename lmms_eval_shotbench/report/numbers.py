"""All numbers of a report: the contents of its `scores.json` (docs/report.md). The page shows no others."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, median
from typing import Any

from lmms_eval_shotbench import __version__
from lmms_eval_shotbench.grading.strict import TAG, has_response
from lmms_eval_shotbench.report.assemble import Compared, MainRun, ReportData
from lmms_eval_shotbench.report.completions import completions_json
from lmms_eval_shotbench.report.gather import one_line
from lmms_eval_shotbench.report.published import SHOTBENCH_ITEMS, differences_from, published_rows, signs
from lmms_eval_shotbench.report.training import TrainingCurves
from lmms_eval_shotbench.runs.compare import comparison_json
from lmms_eval_shotbench.runs.robust import robust_json
from lmms_eval_shotbench.runs.transfer_report import transfer_json

SCHEMA = 2  # incremented when a field changes its meaning
MATRIX_LABELS = 12  # rows of a confusion matrix; rarer labels are merged
OTHERS, UNDECIDED = "all others", "undecided"


def report_numbers(data: ReportData) -> dict[str, Any]:
    """Return the contents of scores.json (docs/report.md)."""
    names = [one.run.name for one in data.runs]
    return {
        "schema": SCHEMA,
        "version": __version__,
        "runs": [_run(one, data.published) for one in data.runs],
        "comparisons": [_comparison(one, names) for one in data.compared if one.found],
        "not_compared": [
            {"a": names[one.a], "b": names[one.b], "reason": one_line(one.refused, 500)}
            for one in data.compared
            if not one.found
        ],
        "transfer": transfer_json(data.transfer) if data.transfer else None,
        "published": [asdict(row) for row in published_rows()] if data.published else [],
        "published_items": SHOTBENCH_ITEMS,
        "third_party": [asdict(row) for row in data.third_party],
        "training": [_training(one) for one in data.training],
    }


def _training(one: TrainingCurves) -> dict[str, Any]:
    return {
        "name": one_line(one.path.absolute().name),
        **one.single,
        "accuracy": {"train": one.trained, "validation": one.validated},
        "completions": {kind: completions_json(steps) for kind, steps in one.completions.items() if steps},
    }


def _run(one: MainRun, published: bool) -> dict[str, Any]:
    strict, official = one.run.scores, one.run.official
    by_dimension = strict["accuracy"]["by_dimension"]
    return {
        "name": one.run.name,
        "strict": _without_items(strict),
        "official": _without_items(official) if official else None,
        "protocols": _protocols(strict["items"], official["items"]) if official else None,
        "responses": responses_json(one.run.responses, strict["items"]),
        "matrices": {slug: _matrix(counts) for slug, counts in strict["confusion"].items()},
        "variants": robust_json(one.variants)["variants"],
        "published": [_against(differences_from(row, by_dimension)) for row in published_rows()] if published else [],
    }


def _without_items(scores: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in scores.items() if name != "items"}


def _against(differences: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    above, below = signs(differences.values())
    return {"by_dimension": differences, "above": above, "below": below}


def _protocols(strict: Sequence[Mapping[str, Any]], official: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Count the items on which the two protocols grade the same responses differently."""
    theirs = {item["index"]: item for item in official}
    both = [(item, theirs[item["index"]]) for item in strict if item["index"] in theirs]
    right = Counter((ours["correct"], other["correct"]) for ours, other in both)
    return {
        "both_right": right[True, True],
        "strict_only": right[True, False],
        "official_only": right[False, True],
        "neither": right[False, False],
        "strict_undecided": sum(ours["letter"] is None for ours, _ in both),
        "official_undecided": sum(other["letter"] is None for _, other in both),
        "other_letter": [
            {"index": ours["index"], "item_id": ours["item_id"]}
            for ours, other in both
            if ours["letter"] != other["letter"]
        ],
    }


def _matrix(confusion: Sequence[tuple[str, str | None, int]]) -> dict[str, Any]:
    """Return the confusion matrix of the most frequent correct labels; each row sums to the label's items."""
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    asked: Counter[str] = Counter()
    for gold, _, count in confusion:
        asked[gold] += count
    labels = sorted(asked, key=lambda label: (-asked[label], label))[:MATRIX_LABELS]
    for gold, answer, count in confusion:
        column = UNDECIDED if answer is None else answer if answer in labels else OTHERS
        rows[gold if gold in labels else OTHERS][column] += count
    used = {column for counts in rows.values() for column in counts}
    right = labels + [OTHERS] * (OTHERS in rows)
    answered = labels + [name for name in (OTHERS, UNDECIDED) if name in used]
    return {
        "right": right,
        "answered": answered,
        "counts": [[rows[gold][label] for label in answered] for gold in right],
    }


def _comparison(one: Compared, names: Sequence[str]) -> dict[str, Any]:
    assert one.found is not None
    plain = comparison_json(one.found)
    return plain | {"a": {"name": names[one.a], "run": one.a}, "b": {"name": names[one.b], "run": one.b}}


LENGTH_EDGES = tuple(2**power for power in range(15))  # in characters, of the histogram; the last bin is unbounded


def responses_json(samples: Sequence[Mapping[int, str]], items: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return statistics of the responses of all samples (docs/report.md), or None if there are none.

    Args:
        samples: Responses by question index, of each sample.
        items: As in scores.json.
    """
    if not any(samples):
        return None
    kept = [
        (is_correct(item, number), sample.get(item["index"], ""))
        for number, sample in enumerate(samples)
        for item in items
    ]
    texts = [text for _, text in kept]
    lengths = sorted(map(len, texts))
    left_open = [correct for correct, text in kept if is_left_open(text)]
    return {
        "n": len(texts),
        "blank": sum(not text.strip() or not has_response(text) for text in texts),
        "with_answer_block": fmean("</answer>" in text.lower() for text in texts),
        "left_open": len(left_open) / len(texts),
        "left_open_items": len(left_open),
        "left_open_correct": fmean(left_open) if left_open else None,
        "characters": {
            "mean": fmean(lengths),
            "median": median(lengths),
            "p90": lengths[math.ceil(0.9 * len(lengths)) - 1],
            "longest": lengths[-1],
        },
        "histogram": {"edges": list(LENGTH_EDGES), "counts": _histogram(lengths)},
    }


def is_correct(item: Mapping[str, Any], number: int) -> bool:
    """Whether a response is correct: to an item of scores.json, of the sample with this index."""
    return bool(item["letters"][number] == item["answer"] if "letters" in item else item["correct"])


def is_left_open(response: str) -> bool:
    """Whether a thought or an answer block is not closed, as in a truncated generation."""
    names = [match[1] + match[2].lower() for match in TAG.finditer(response)]
    return any(_last(names, name) > _last(names, f"/{name}") for name in ("think", "answer"))


def _last(names: Sequence[str], name: str) -> int:
    return max((index for index, each in enumerate(names) if each == name), default=-1)


def _histogram(lengths: Iterable[int]) -> list[int]:
    """Count responses by length: bin i is from edge i to below edge i + 1; shorter ones are in the first bin."""
    counts = [0] * len(LENGTH_EDGES)
    for length in lengths:
        counts[min(max(length, 1).bit_length(), len(counts)) - 1] += 1
    return counts
