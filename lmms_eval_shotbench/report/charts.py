"""Numbers of a report -> charts. Each shows numbers that a table beside it gives; how they look is in `svg.py`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lmms_eval_shotbench.report.gather import shown
from lmms_eval_shotbench.report.rows import asked_dimensions
from lmms_eval_shotbench.report.svg import LOOKS, TEXT, PlotStyle, svg_element
from lmms_eval_shotbench.vocabulary import dimension_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = Sequence[Sequence[float]]  # step and value


def radar(numbers: Mapping[str, Any]) -> str:
    """Accuracy by dimension around a circle, one line a run."""

    def draw(axes: Axes) -> None:
        slugs = asked_dimensions(numbers)
        angles = [2 * math.pi * place / len(slugs) for place in range(len(slugs))]
        for run, look in _looks(numbers["runs"]):
            shares = run["strict"]["accuracy"]["by_dimension"]
            values = [100 * shares[slug]["value"] if slug in shares else math.nan for slug in slugs]
            axes.plot([*angles, angles[0]], [*values, values[0]], **_line(look), label=shown(run["name"], 40))
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
    """Accuracy by dimension with 95 % intervals, one bar a run."""

    def draw(axes: Axes) -> None:
        slugs = asked_dimensions(numbers)
        height = 0.8 / len(numbers["runs"])
        for place, (run, look) in enumerate(_looks(numbers["runs"])):
            shares = run["strict"]["accuracy"]["by_dimension"]
            rows = [row for row, slug in enumerate(slugs) if slug in shares]
            found = [shares[slugs[row]] for row in rows]
            axes.barh(
                [row - 0.4 + height * (place + 0.5) for row in rows],
                [100 * one["value"] for one in found],
                height,
                xerr=_whiskers(found),
                color=f"{look.colour}99",
                edgecolor=TEXT,
                ecolor=TEXT,
                hatch=look.hatch,
                capsize=2,
                label=shown(run["name"], 40),
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
    """How many responses are how long, one line a run; "" where no run kept its responses."""
    runs = [(run, look) for run, look in _looks(numbers["runs"]) if run["responses"]]

    def draw(axes: Axes) -> None:
        for run, look in runs:
            edges, counts = (run["responses"]["histogram"][name] for name in ("edges", "counts"))
            shares = [100 * count / sum(counts) for count in counts]
            axes.plot(edges, shares, **_line(look), label=shown(run["name"], 40))
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel("characters: from this many up to twice as many")
        axes.set_ylabel("% of responses")
        axes.set_ylim(bottom=0)
        axes.grid()
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)

    return svg_element("lengths", _alt("Line chart of response lengths", numbers), (7, 3.4), draw) if runs else ""


def training(one: Mapping[str, Any], place: int) -> str:
    """Curves of one training run: reward and losses, and accuracy by dimension, where they were logged."""
    above = {name.replace("_", " "): one[name] for name in ("reward", "loss", "validation_loss") if name in one}
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
    return svg_element(f"training-{place}", name, (7.5, 3.2 * len(panels)), draw, panels=len(panels)) if panels else ""


def _curves(axes: Axes, curves: Mapping[str, Curve], factor: float) -> None:
    for place, (name, curve) in enumerate(curves.items()):
        steps, values = zip(*curve, strict=True)
        often = max(1, len(steps) // 12)
        axes.plot(steps, [factor * value for value in values], **_line(_look(place)), markevery=often, label=name)
    axes.grid()
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _looks(runs: Sequence[Any]) -> Iterator[tuple[Any, PlotStyle]]:
    for place, run in enumerate(runs):
        yield run, _look(place)


def _look(place: int) -> PlotStyle:
    return LOOKS[place % len(LOOKS)]


def _line(look: PlotStyle) -> dict[str, Any]:
    return {"color": look.colour, "marker": look.marker, "linestyle": look.line, "markersize": 5, "linewidth": 1.6}


def _whiskers(found: Sequence[Mapping[str, float]]) -> list[list[float]]:
    """Lengths of the intervals to both sides; rounding can put an end of one beyond its own value."""
    down = [max(0.0, 100 * (one["value"] - one["low"])) for one in found]
    return [down, [max(0.0, 100 * (one["high"] - one["value"])) for one in found]]


def _alt(what: str, numbers: Mapping[str, Any]) -> str:
    return f"{what}: {', '.join(run['name'] for run in numbers['runs'])}. The table of this section has the numbers."


def all_charts(numbers: Mapping[str, Any]) -> dict[str, str]:
    """Every chart of a report by name; "" where there is nothing to draw."""
    curves = {f"training_{place}": training(one, place) for place, one in enumerate(numbers["training"])}
    return {"radar": radar(numbers), "bars": bars(numbers), "lengths": lengths(numbers), **curves}
