"""Matplotlib charts as inline SVG elements.

Colours are the colour-blind safe palette of Okabe and Ito; each has its own marker, line style and hatching, so that
nothing depends on colour alone. Text and axes use the page's text colour. Output is deterministic.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import NamedTuple

TEXT = "#123456"  # placeholder, replaced by the page's text colour


class PlotStyle(NamedTuple):
    """Style of one run or dimension."""

    colour: str
    marker: str
    line: str
    hatch: str


PLOT_STYLES = (
    PlotStyle("#0072B2", "o", "-", ""),
    PlotStyle("#D55E00", "s", "--", "//"),
    PlotStyle("#009E73", "^", "-.", ".."),
    PlotStyle("#CC79A7", "D", ":", "xx"),
    PlotStyle("#E69F00", "v", "-", "\\\\"),
    PlotStyle("#56B4E9", "P", "--", "++"),
    PlotStyle("#999999", "X", "-.", "oo"),
    PlotStyle(
        "#A6761D", "*", ":", "--"
    ),  # not of the palette, whose yellow and black are invisible on white and on dark
)
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "shotbench",  # for deterministic ids
    "text.parse_math": False,  # a run may be called "$x$"
    "font.family": "DejaVu Sans",  # bundled with matplotlib, so the layout is reproducible; the page uses its own
    "font.size": 10,
    "hatch.linewidth": 0.8,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), TEXT),
    "grid.color": "#888888",
    "grid.alpha": 0.4,
}


def svg_element(
    name: str,
    description: str,
    inches: tuple[float, float],
    draw: Callable[..., None],
    projection: str | None = None,
    panels: int = 1,
) -> str:
    """Draw on one `Axes` per panel; return an SVG element with ids prefixed by `name`. `inches` is (width, height)."""
    with _drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=inches)
        figure.patch.set_alpha(0)
        axes = [figure.add_subplot(panels, 1, 1 + index, projection=projection) for index in range(panels)]
        for each in axes:
            each.patch.set_alpha(0)
        draw(*axes)
        stream = io.StringIO()
        plain = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", bbox_inches="tight", metadata=plain)
    return _inline_element(stream.getvalue(), name, description)


@contextmanager
def _drawing() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the page is displayed with the reader's fonts
        yield


def _inline_element(svg: str, name: str, description: str) -> str:
    """Convert an SVG file to an inline element: no prologue or global style, unique ids, and an ARIA label."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<(style|metadata)\b.*?</\1>", "", element, flags=re.DOTALL)
    element = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', element)
    element = re.sub(r'(url\(|xlink:href="|\bhref=")#', rf"\1#{name}-", element)
    element = element.replace(TEXT, "currentColor")
    opening = f'<svg class="chart" role="img" aria-label="{escape(description)}"'
    return element.replace("<svg", opening, 1).strip()
