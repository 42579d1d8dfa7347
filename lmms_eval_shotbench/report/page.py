"""Numbers and charts of a report -> one HTML file that loads nothing.

Every number on the page is a `<data>` element that carries its place in scores.json as a JSON pointer (RFC 6901), so
what is read and what is stored cannot part. What others wrote (names, labels, records, responses) is escaped by Jinja2;
a content security policy forbids all loading, and any script but the explorer's own, which is told by its checksum.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from lmms_eval_shotbench.report import rows
from lmms_eval_shotbench.report.gather import shown
from lmms_eval_shotbench.runs.formatting import p_text
from lmms_eval_shotbench.vocabulary import dimension_named

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from lmms_eval_shotbench.report.explorer import ExplorerParts

Step = str | int | tuple[str | int, ...]  # on the way to a number
FORMS: dict[str, Callable[[Any], str]] = {
    "percent": lambda share: f"{100 * share:.2f}",
    "short": lambda share: f"{100 * share:.1f}",
    "points": lambda share: f"{100 * share:+.2f}",
    "printed": lambda percent: f"{percent:.1f}",
    "count": lambda count: f"{count:,.0f}",
    "length": lambda listed: f"{len(listed):,}",
    "value": lambda value: f"{value:.4g}",
    "p": p_text,
}


def page(numbers: Mapping[str, Any], charts: Mapping[str, str], explorer: ExplorerParts) -> str:
    """The whole page; the same numbers and charts give the same text."""
    from markupsafe import Markup

    environment = _environment()
    text = environment.get_template("page.html.j2").render(
        numbers=numbers,
        title=f"ShotBench: {', '.join(run['name'] for run in numbers['runs'])}",
        dimensions=rows.asked_dimensions(numbers),
        charts={name: Markup(svg) for name, svg in charts.items()},
        figure=Figures(numbers),
        style=Markup(_style() + explorer.css),
        policy=_policy(explorer.js),
        explorer=Markup(explorer.html),
        script=Markup(explorer.js),
    )
    return text.encode("utf-8", "replace").decode()  # half a surrogate pair must not cost the page


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals["dimension_name"] = lambda slug: dimension_named(slug).paper_name
    for table in (rows.comparison_rows, rows.prior_rows, rows.variant_rows, rows.training_rows, rows.how_rows):
        environment.globals[table.__name__] = table
    environment.globals["ranked"], environment.globals["command"] = rows.ranked, rows.command
    environment.globals["abbreviation"] = lambda slug: dimension_named(slug).abbreviation
    environment.filters["shown"] = lambda value, most=2000: shown(str(value), most)
    return environment


def _style() -> str:
    return resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """Nothing is loaded, nothing but this script runs; the styles and pictures are in the page."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data: blob:; "
        "media-src data: blob:; base-uri 'none'; form-action 'none'"
    )


class Figures:
    """Numbers by their place, as elements that say where they come from."""

    def __init__(self, numbers: Mapping[str, Any]) -> None:
        self._numbers = numbers

    def __call__(self, form: str, *place: Step) -> Markup:
        """One number in a form of `FORMS`; a dash where there is none."""
        from markupsafe import Markup

        value = self.at(*place)
        where = pointer(*place)
        if value is None:
            return Markup('<span class="none" data-pointer="{}">–</span>').format(where)
        return Markup('<data value="{}" data-form="{}" data-pointer="{}">{}</data>').format(
            len(value) if form == "length" else repr(value), form, where, FORMS[form](value)
        )

    def at(self, *place: Step) -> Any:
        """What stands at a place; None where the way there ends."""
        found: Any = self._numbers
        for step in steps(place):
            try:
                found = found[step]
            except (KeyError, IndexError, TypeError):
                return None
        return found

    def interval(self, *place: Step) -> Markup:
        """Both ends of an estimate's interval, in percent."""
        return self._ends("short", "{} – {}", place)

    def signed(self, *place: Step) -> Markup:
        """Both ends of a difference's interval, in percentage points."""
        return self._ends("points", "{} to {}", place)

    def _ends(self, form: str, between: str, place: Sequence[Step]) -> Markup:
        from markupsafe import Markup

        if self.at(*place) is None:
            return Markup("–")
        ends = Markup(between).format(self(form, *place, "low"), self(form, *place, "high"))
        return Markup('<span class="interval">{}</span>').format(ends)


def pointer(*place: Step) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps(place))


def steps(place: Sequence[Step]) -> Iterator[str | int]:
    """The single steps of a place that is given in pieces."""
    for step in place:
        if isinstance(step, tuple):
            yield from steps(step)
        else:
            yield step
