"""Charts of a report's numbers, which are also in a table of the same section; `svg.py` defines their style."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lmms_eval_shotbench.report.gather import one_line
from lmms_eval_shotbench.report.rows import asked_dimensions
from lmms_eval_shotbench.report.svg import PLOT_STYLES, TEXT, PlotStyle, svg_element
from lmms_eval_shotbench.vocabulary import dimension_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG_FROM = 10  # ratio of costs above which their axis is logarithmic
Curve = Sequence[Sequence[float]]  # step and value


def radar(numbers: Mapping[str, Any]) -> str:
    """Radar chart of accuracy by dimension, one line per run."""

    def draw(axes: Axes) -> None:
        slugs = asked_dimensions(numbers)
        angles = [2 * math.pi * index / len(slugs) for index in range(len(slugs))]
        for run, style in _with_style(numbers["runs"]):
            shares = run["strict"]["accuracy"]["by_dimension"]
            values = [100 * shares[slug]["value"] if slug in shares else math.nan for slug in slugs]
            axes.plot([*angles, angles[0]], [*values, values[0]], **_line(style), label=one_line(run["name"], 40))
        axes.set_theta_offset(math.pi / 2)  # type: ignore[attr-defined]
        axes.set_theta_direction(-1)  # type: ignore[attr-defined]
        axes.set_ylim(0, 100)
        axes.set_xticks(angles, [dimension_named(slug).paper_name for slug in slugs])
        for label, angle in zip(axes.get_xticklabels(), angles, strict=True):
            side = round(math.sin(angle), 3)
            label.set_horizontalalignment("left" if side > 0 else "right" if side < 0 else "center")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)

    return svg_element(
        "radar", _alt("Radar chart of accuracy by dimension, in percent", numbers), (6, 5.6), draw, "polar"
    )


def bars(numbers: Mapping[str, Any]) -> str:
    """Bar chart of accuracy by dimension with 95 % intervals, one bar per run."""

    def draw(axes: Axes) -> None:
        slugs = asked_dimensions(numbers)
        height = 0.8 / len(numbers["runs"])
        for index, (run, style) in enumerate(_with_style(numbers["runs"])):
            shares = run["strict"]["accuracy"]["by_dimension"]
            rows = [row for row, slug in enumerate(slugs) if slug in shares]
            found = [shares[slugs[row]] for row in rows]
            axes.barh(
                [row - 0.4 + height * (index + 0.5) for row in rows],
                [100 * one["value"] for one in found],
                height,
                xerr=_whiskers(found),
                color=f"{style.colour}99",
                edgecolor=TEXT,
                ecolor=TEXT,
                hatch=style.hatch,
                capsize=2,
                label=one_line(run["name"], 40),
            )
        axes.set_yticks(range(len(slugs)), [dimension_named(slug).paper_name for slug in slugs])
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("accuracy, % (lines: 95 % intervals)")
        axes.grid(axis="x")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)

    size = (7, 1.6 + 0.42 * len(asked_dimensions(numbers)) * max(1.0, len(numbers["runs"]) / 2))
    return svg_element(
        "bars", _alt("Bar chart of accuracy by dimension with intervals, in percent", numbers), size, draw
    )


def lengths(numbers: Mapping[str, Any]) -> str:
    """Line chart of response lengths, one line per run; "" if no run has stored responses."""
    runs = [(run, style) for run, style in _with_style(numbers["runs"]) if run["responses"]]

    def draw(axes: Axes) -> None:
        for run, style in runs:
            edges, counts = (run["responses"]["histogram"][name] for name in ("edges", "counts"))
            shares = [100 * count / sum(counts) for count in counts]
            axes.plot(edges, shares, **_line(style), label=one_line(run["name"], 40))
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel("characters: from this many up to twice as many")
        axes.set_ylabel("% of responses")
        axes.set_ylim(bottom=0)
        axes.grid()
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)

    return svg_element("lengths", _alt("Line chart of response lengths", numbers), (7, 3.4), draw) if runs else ""


def cost(numbers: Mapping[str, Any]) -> str:
    """Chart of accuracy against the cost of a response, one point per run; "" if no run has a cost.

    The cost is money if every run with a cost has it, in one currency; otherwise seconds; otherwise output tokens.
    """
    costs = [run["strict"].get("cost") or {} for run in numbers["runs"]]
    name, label, factor = _cost_axis([one for one in costs if one])
    found = [
        (run, style, factor * one[name]["mean"])
        for (run, style), one in zip(_with_style(numbers["runs"]), costs, strict=True)
        if one and (one.get(name) or {}).get("known") and run["strict"]["accuracy"]["micro"]
    ]

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import LogLocator

        for run, style, value in found:
            accuracy = run["strict"]["accuracy"]["micro"]
            axes.errorbar(
                [value],
                [100 * accuracy["value"]],
                yerr=_whiskers([accuracy]),
                capsize=3,
                **_line(style) | {"markersize": 9},
                label=one_line(run["name"], 40),
            )
        values = [value for _, _, value in found]
        if min(values) > 0 and max(values) > LOG_FROM * min(values):
            axes.set_xscale("log", subs=())
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")  # by default, formulas
        else:
            axes.set_xlim(left=0, right=1.15 * max(values) or 1)
        axes.set_xlabel(label)
        axes.set_ylabel("accuracy over items, %")
        axes.grid()
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)

    description = _alt(f"Chart of accuracy over items, in percent, against {label}", numbers)
    return svg_element("cost", description, (7, 4), draw) if found else ""


def _cost_axis(costs: Sequence[Mapping[str, Any]]) -> tuple[str, str, float]:
    """Return the name of the amount in `cost` that these runs are compared by, its label, and a factor."""
    money = [one.get("money") or {} for one in costs]
    currencies = {one["prices"]["currency"] if one.get("known") else None for one in money}
    if len(currencies) == 1 and None not in currencies:
        return "money", f"{one_line(str(currencies.pop()), 20)} for 1,000 responses", 1000.0
    if any(one["seconds"]["known"] for one in costs):
        return "seconds", "seconds of the model for a response", 1.0
    return "output_tokens", "output tokens of a response", 1.0


def training(one: Mapping[str, Any], index: int) -> str:
    """Line charts of one training run: reward, format, losses, and accuracy by dimension, if logged; "" if none."""
    names = [name for name in ("reward", "format", "loss", "validation_loss") if name in one]
    above = {name.replace("_", " "): one[name] for name in names}
    kind = "validation" if one["accuracy"]["validation"] else "train"
    below = {dimension_named(slug).paper_name: curve for slug, curve in one["accuracy"][kind].items()}
    panels = [(", ".join(above), above, 1.0), (f"accuracy, % ({kind})", below, 100.0)]
    panels = [panel for panel in panels if panel[1]]

    def draw(*several: Axes) -> None:
        for axes, (label, curves, factor) in zip(several, panels, strict=True):
            _curves(axes, curves, factor)
            axes.set_ylabel(label)
        several[-1].set_xlabel("step")

    name = f"Curves of the training run {one['name']}: {'; '.join(label for label, _, _ in panels)}"
    return svg_element(f"training-{index}", name, (7.5, 3.2 * len(panels)), draw, panels=len(panels)) if panels else ""


def _curves(axes: Axes, curves: Mapping[str, Curve], factor: float) -> None:
    for index, (name, curve) in enumerate(curves.items()):
        steps, values = zip(*curve, strict=True)
        interval = max(1, len(steps) // 12)
        axes.plot(
            steps, [factor * value for value in values], **_line(_plot_style(index)), markevery=interval, label=name
        )
    axes.grid()
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _with_style(runs: Sequence[Any]) -> Iterator[tuple[Any, PlotStyle]]:
    for index, run in enumerate(runs):
        yield run, _plot_style(index)


def _plot_style(index: int) -> PlotStyle:
    return PLOT_STYLES[index % len(PLOT_STYLES)]


def _line(style: PlotStyle) -> dict[str, Any]:
    return {"color": style.colour, "marker": style.marker, "linestyle": style.line, "markersize": 5, "linewidth": 1.6}


def _whiskers(found: Sequence[Mapping[str, float]]) -> list[list[float]]:
    """Return distances from values to interval ends, (2, bars); clipped at 0, as rounding can make them negative."""
    down = [max(0.0, 100 * (one["value"] - one["low"])) for one in found]
    return [down, [max(0.0, 100 * (one["high"] - one["value"])) for one in found]]


def _alt(what: str, numbers: Mapping[str, Any]) -> str:
    return f"{what}: {', '.join(run['name'] for run in numbers['runs'])}. The table of this section has the numbers."


def all_charts(numbers: Mapping[str, Any]) -> dict[str, str]:
    """Return all charts of a report by name; "" for those without data."""
    curves = {f"training_{index}": training(one, index) for index, one in enumerate(numbers["training"])}
    if not numbers["runs"]:
        return curves
    return {
        "radar": radar(numbers),
        "bars": bars(numbers),
        "lengths": lengths(numbers),
        "cost": cost(numbers),
        **curves,
    }
