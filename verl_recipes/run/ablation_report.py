"""Write the ablation's table and plots: ablation.json, ablation.md, curves.png, dimensions.png.

The value of a row is its macro average over dimensions, averaged over seeds, in the prompt style in which the row
scores higher. Its 95 % interval includes the variance between seeds and the sampling error of the questions.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from lmms_eval_shotbench.atomic_file import atomic_path, write_atomic
from lmms_eval_shotbench.scoring.metrics import Z95
from lmms_eval_shotbench.scoring.paired import student95
from lmms_eval_shotbench.vocabulary import DIMENSIONS
from verl_recipes.run.ablation import AblationRow, Trial
from verl_recipes.run.run_folder import read_metrics


class Mean(NamedTuple):
    """A mean over seeds with its 95 % interval."""

    value: float
    low: float
    high: float


def write_ablation_report(trials: Sequence[Trial], out: Path) -> Path:
    """Write the four files; return the path of `ablation.md`."""
    table = ablation_table(trials)
    write_atomic(out / "ablation.json", json.dumps(table, indent=1))
    write_atomic(out / "ablation.md", markdown(table))
    draw_training(trials, out / "curves.png")
    draw_dimensions(table, out / "dimensions.png")
    return out / "ablation.md"


def ablation_table(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """One entry per row: macro average by task, the task with the highest one, and the accuracy by dimension in it."""
    by_row: dict[AblationRow, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_row[trial.row].append(trial)
    return [_entry(row, group) for row, group in by_row.items()]


def _entry(row: AblationRow, trials: Sequence[Trial]) -> dict[str, Any]:
    macro = {
        task: mean_over_seeds([one.scores[task]["accuracy"]["macro"] for one in trials]) for task in trials[0].scores
    }
    better = max(macro, key=lambda task: macro[task].value)
    dimensions = {
        dimension.slug: mean_over_seeds(
            [one.scores[better]["accuracy"]["by_dimension"][dimension.slug] for one in trials]
        )
        for dimension in DIMENSIONS
        if dimension.slug in trials[0].scores[better]["accuracy"]["by_dimension"]
    }
    return {
        "row": row.name,
        "seeds": [one.seed for one in trials if one.seed is not None],
        "macro": {task: mean._asdict() for task, mean in macro.items()},
        "better": better,
        "by_dimension": {slug: mean._asdict() for slug, mean in dimensions.items()},
    }


def mean_over_seeds(estimates: Sequence[dict[str, float]]) -> Mean:
    """Mean over seeds of estimates on the same questions, with a 95 % interval.

    All seeds answer the same questions, so the sampling error of the questions does not shrink with the number of
    seeds. The half-width is sqrt(a² + b²), where a = 1.96 times the mean standard error of the questions, and b =
    Student's t times the standard error of the mean over seeds (0 for one seed).

    Args:
        estimates: One per seed, with `value` and `stderr` as shares (0 to 1).
    """
    values = [estimate["value"] for estimate in estimates]
    questions = Z95 * fmean(estimate["stderr"] for estimate in estimates)
    degrees = len(values) - 1
    seeds = student95(degrees) * stdev(values) / math.sqrt(len(values)) if degrees else 0.0
    value, half = fmean(values), math.hypot(questions, seeds)
    return Mean(value, max(0.0, value - half), min(1.0, value + half))


def markdown(table: Sequence[dict[str, Any]]) -> str:
    """The table in the paper's layout, in percent, with the interval of the average."""
    slugs = [dimension for dimension in DIMENSIONS if any(dimension.slug in entry["by_dimension"] for entry in table)]
    tasks = list(table[0]["macro"])
    heads = ["", *(dimension.abbreviation for dimension in slugs), "macro", *tasks]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for entry in table:
        best = entry["macro"][entry["better"]]
        cells = [_percent(entry["by_dimension"].get(dimension.slug)) for dimension in slugs]
        average = f"**{100 * best['value']:.1f}** ({100 * best['low']:.1f}–{100 * best['high']:.1f})"
        lines.append([entry["row"], *cells, average, *(_percent(entry["macro"][task]) for task in tasks)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _percent(estimate: dict[str, float] | None) -> str:
    return f"{100 * estimate['value']:.1f}" if estimate else ""


def draw_training(trials: Sequence[Trial], path: Path) -> None:
    """Plot reward and accuracy of the GRPO runs by step.

    The accuracy is that on the dev split if any run was validated during training, else that of the sampled responses.
    Each seed has a thin line and the mean a thick one, because single runs are noisy: each step has other questions.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    reward, accuracy = figure.subplots(1, 2)
    by_row: dict[str, list[dict[int, dict[str, float]]]] = defaultdict(list)
    for trial in trials:
        if "grpo" in trial.row.steps:
            by_row[trial.row.name].append(read_metrics(trial.run))
    validated = any(
        _dev_accuracy(values) is not None for runs in by_row.values() for run in runs for values in run.values()
    )
    for index, (name, runs) in enumerate(by_row.items()):
        style = {"color": f"C{index}", "marker": "." * validated}
        _plot_curves(reward, [_curve(run, lambda values: values.get("critic/score/mean")) for run in runs], name, style)
        accuracy_of = _dev_accuracy if validated else lambda values: values.get("train/acc/mean")
        _plot_curves(accuracy, [_curve(run, accuracy_of) for run in runs], name, style)
    title = "accuracy on dev, macro" if validated else "accuracy of sampled answers"
    for axes, heading in ((reward, "mean training reward"), (accuracy, title)):
        axes.set(title=heading, xlabel="step")
        axes.grid(alpha=0.3)
    if by_row:
        reward.legend()
    _save(figure, path)


def _dev_accuracy(values: Mapping[str, float]) -> float | None:
    found = [value for name, value in values.items() if name.startswith("val-core") and "/acc/mean" in name]
    return fmean(found) if found else None


def _curve(
    logged: Mapping[int, Mapping[str, float]], read: Callable[[Mapping[str, float]], float | None]
) -> dict[int, float]:
    values_by_step = {step: read(values) for step, values in sorted(logged.items())}
    return {step: value for step, value in values_by_step.items() if value is not None}


def _plot_curves(axes: Any, curves: Sequence[Mapping[int, float]], name: str, style: Mapping[str, Any]) -> None:
    """Plot the curves and their mean over the steps that all curves share."""
    for curve in curves:
        axes.plot(list(curve), list(curve.values()), alpha=0.3, lw=0.8, **style)
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    axes.plot(steps, [fmean(curve[step] for curve in curves) for step in steps], lw=2, label=name, **style)


def draw_dimensions(table: Sequence[dict[str, Any]], path: Path) -> None:
    """Plot the accuracy of each row in each dimension as bars with 95 % intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(table)
    for row, entry in enumerate(table):
        for column, dimension in enumerate(DIMENSIONS):
            mean = entry["by_dimension"].get(dimension.slug)
            if mean:
                bars = [[mean["value"] - mean["low"]], [mean["high"] - mean["value"]]]
                axes.bar(
                    column + row * width, mean["value"], width, color=f"C{row}", yerr=bars,
                    label=entry["row"] if column == 0 else None, error_kw={"lw": 0.8},
                )  # fmt: skip
    axes.axhline(0.25, color="grey", lw=0.8, ls="--")  # chance among four options
    axes.set(ylabel="accuracy", ylim=(0, 1))
    axes.set_xticks(
        [column + 0.4 for column in range(len(DIMENSIONS))],
        [dimension.paper_name for dimension in DIMENSIONS],
        rotation=15,
    )
    axes.legend(
        ncols=len(table), fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0)
    )  # above the axes, clear of the bars
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    with atomic_path(path) as draft:
        figure.savefig(draft, format="png", dpi=130)
