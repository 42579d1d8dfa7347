"""Tables of scores and of calibrations, as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lmms_eval_shotbench.labelling.deciding.calibration import Calibration
from lmms_eval_shotbench.vocabulary import DIMENSIONS

ScoreRow = Mapping[str, Any]


def scores_text(scores: ScoreRow) -> str:
    """`score_labels` as text."""
    return "\n".join(_scores_lines(scores))


def _scores_lines(scores: ScoreRow) -> Iterator[str]:
    shots, cuts, dimensions = scores["shots"], scores["cuts"], scores["dimensions"]
    yield f"{len(scores['films'])} films, {shots['matched']:,} of {shots['truth']:,} true shots found"
    if cuts["f1"] is not None:
        yield (
            f"hard cuts, off by at most {cuts['tolerance_frames']} frames: F1 {cuts['f1']:.3f} ({cuts['found']:,} of "
            f"{cuts['true']:,} found, {cuts['false']:,} false)"
        )
    if cuts["gradual"]:
        yield f"dissolves and fades: {cuts['gradual_found']:,} of {cuts['gradual']:,} found"
    if not dimensions:
        yield "the table has the truth of no dimension that was asked"
        return
    yield ""
    named = [(dimension.paper_name, dimensions[dimension.slug]) for dimension in _in_order(dimensions)]
    macro = ("Macro", {"labelled_cells": "", "none_cells": "", **scores["macro"]})
    titles = ("cells", "right %", "95 %", "term %", "none", "labelled %", "whole %", "sure %", "of them right %")
    yield from text_table(("Dimension", *titles), [[name, *_score_cells(row)] for name, row in (*named, macro)])
    yield "right, term: where a term is true; labelled: of the cells whose truth is none; whole: with these"
    yield ""
    yield from _reliability_table([*named, ("All cells", scores)])


def _reliability_table(named: Iterable[tuple[str, ScoreRow]]) -> Iterator[str]:
    titles = (
        "error %",
        "equal width %",
        "by sampling %",
        "constant %",
        "Brier",
        "constant",
        "certain half %",
        "other %",
    )
    rows = [[name, *_reliability_cells(row["reliability"])] for name, row in named if row["reliability"]]
    yield from text_table(("Confidence", *titles), rows)
    yield "error: expected calibration error in ten bins with the same number of cells; equal width: in ten of the same"
    yield "width; by sampling: expected of a perfect confidence; constant: of the accuracy on other films as confidence"


def _in_order(by_slug: Mapping[str, Any]) -> list[Any]:
    return [dimension for dimension in DIMENSIONS if dimension.slug in by_slug]


def _score_cells(row: ScoreRow) -> list[str]:
    accuracy = row["accuracy"]
    interval = f"{100 * accuracy['low']:.0f} – {100 * accuracy['high']:.0f}" if accuracy else ""
    return [
        str(row["labelled_cells"]),
        _percent(accuracy),
        interval,
        _percent(row["term_accuracy"]),
        str(row["none_cells"]),
        _percent(row["labels_on_none"]),
        _percent(row["whole_accuracy"]),
        _percent(row["coverage"]),
        _percent(row["kept_accuracy"]),
    ]


def _reliability_cells(row: ScoreRow) -> list[str]:
    constant = row["constant"] or {"error_equal_count": None, "brier": None}  # None: there is one film only
    return [
        _percent(row["error_equal_count"]),
        _percent(row["error_equal_width"]),
        _percent(row["sampling_error"]),
        _percent(constant["error_equal_count"]),
        f"{row['brier']:.3f}",
        "–" if constant["brier"] is None else f"{constant['brier']:.3f}",
        _percent(row["certain_half"]),
        _percent(row["other_half"]),
    ]


def _percent(share: ScoreRow | float | None) -> str:
    if share is None:
        return "–"
    return f"{100 * (share if isinstance(share, int | float) else share['value']):.1f}"


def calibration_text(calibration: Calibration) -> str:
    """The report of a calibration as text."""
    return "\n".join(_calibration_lines(calibration))


def _calibration_lines(calibration: Calibration) -> Iterator[str]:
    dimensions = calibration.report["dimensions"]
    parts = {row["grouped_by"] for sources in dimensions.values() for row in sources.values()}
    yield f"All figures are of cross-validation over {' or '.join(sorted(parts))}, not of cells fitted on."
    for source in dict.fromkeys(source for sources in dimensions.values() for source in sources):
        named = [
            (dimension.paper_name, dimensions[dimension.slug][source])
            for dimension in _in_order(dimensions)
            if source in dimensions[dimension.slug]
        ]
        yield from ("", source)
        yield from _source_lines(named, calibration.report["settings"])
    for model in sorted({model for ways in calibration.best_ways.values() for model in ways}):
        ways = {slug: ways[model] for slug, ways in calibration.best_ways.items() if model in ways}
        if sum(name.startswith(f"{model} by ") for name in calibration.sources) > 1:
            best = ", ".join(f"{dimension.paper_name} by {ways[dimension.slug]}" for dimension in _in_order(ways))
            yield f"\nmost accurate way of asking {model}: {best}"


def _source_lines(named: Sequence[tuple[str, ScoreRow]], settings: ScoreRow) -> Iterator[str]:
    target = f"for {100 * settings['target']:g} %"
    titles = ("cells", "films", "none", "labelled %", "whole %", "parameters", target, "covers %")
    yield from text_table(("Dimension", *titles), [[name, *_calibration_cells(row)] for name, row in named])
    yield f"labelled: of the cells whose truth is none; a limit keeps it up to {100 * settings['max_false_labels']:g};"
    yield "parameters: of the regressions right+none+term; for …: confidence from which answers are that accurate"
    yield ""
    yield from _reliability_table(named)
    yield ""
    yield "Mean confidence:accuracy in %, in ten bins with the same number of cells"
    yield from text_table(("Dimension", "lowest → highest"), [[name, _bins_text(row)] for name, row in named])
    yield ""
    coverages = [f"{100 * share:.0f} %" for share, _ in named[0][1]["reliability"]["accuracy_by_coverage"]]
    rows = [[name, *(_percent(one) for _, one in row["reliability"]["accuracy_by_coverage"])] for name, row in named]
    yield from text_table(("Accuracy % of the most certain", *coverages), rows)


def _calibration_cells(row: ScoreRow) -> list[str]:
    threshold = row["min_confidence"]
    return [
        str(row["cells"]),
        str(len(row["films"])),
        str(row["none_cells"]),
        _percent(row["labels_on_none"]),
        _percent(row["accuracy"]),
        "+".join(str(number) for number in row["parameters"].values() if number is not None),
        "never" if threshold is None else f"{threshold:.2f}",
        "–" if threshold is None else _percent(row["coverage_at_min_confidence"]),
    ]


def _bins_text(row: ScoreRow) -> str:
    bins = row["reliability"]["bins_equal_count"]
    return "  ".join(f"{100 * one['confidence']:.0f}:{100 * one['accuracy']:.0f}" for one in bins)


def text_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table; the first column is left-aligned, the others are right-aligned."""
    lines = [titles, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    for line in lines:
        first, *others = (text.rjust(width) for text, width in zip(line, widths, strict=True))
        yield "  ".join([line[0].ljust(len(first)), *others]).rstrip()
