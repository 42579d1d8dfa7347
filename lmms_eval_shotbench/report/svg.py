"""Drawing by matplotlib as an SVG element that stands inside the page.

Colours are Okabe and Ito's, which colour-blind readers tell apart; each comes with its own marker, line and hatching,
so nothing is told by colour alone. Text and axes take the page's text colour. The same drawing gives the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import NamedTuple

TEXT = "#123456"  # stands for the page's text colour, which matplotlib cannot know


class PlotStyle(NamedTuple):
    """How one run, or one dimension, is drawn."""

    colour: str
    marker: str
    line: str
    hatch: str


LOOKS = (
    PlotStyle("#0072B2", "o", "-", ""),
    PlotStyle("#D55E00", "s", "--", "//"),
    PlotStyle("#009E73", "^", "-.", ".."),
    PlotStyle("#CC79A7", "D", ":", "xx"),
    PlotStyle("#E69F00", "v", "-", "\\\\"),
    PlotStyle("#56B4E9", "P", "--", "++"),
    PlotStyle("#999999", "X", "-.", "oo"),
    PlotStyle("#A6761D", "*", ":", "--"),  # not Okabe and Ito's: their yellow and black are lost on white and on dark
)
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "shotbench",  # ids that are the same every time
    "text.parse_math": False,  # a run may be called "$x$"
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it measures alike everywhere; the page shows its own
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
    """Draw on one `Axes` a panel and return an SVG element whose ids begin with `name`."""
    with _drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=inches)
        figure.patch.set_alpha(0)
        axes = [figure.add_subplot(panels, 1, 1 + place, projection=projection) for place in range(panels)]
        for each in axes:
            each.patch.set_alpha(0)
        draw(*axes)
        stream = io.StringIO()
        plain = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", bbox_inches="tight", metadata=plain)
    return _as_part_of_a_page(stream.getvalue(), name, description)


@contextmanager
def _drawing() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the reader's fonts are used, not those it measures with
        yield


def _as_part_of_a_page(svg: str, name: str, description: str) -> str:
    """An SVG file as an element: no prologue, no style for the whole page, ids of its own, a name to be read out."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<(style|metadata)\b.*?</\1>", "", element, flags=re.DOTALL)
    element = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', element)
    element = re.sub(r'(url\(|xlink:href="|\bhref=")#', rf"\1#{name}-", element)
    element = element.replace(TEXT, "currentColor")
    opening = f'<svg class="chart" role="img" aria-label="{escape(description)}"'
    return element.replace("<svg", opening, 1).strip()
