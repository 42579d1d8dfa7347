"""HTML page of a report's numbers and charts, in one file that loads nothing.

Every number on the page is a `<data>` element with the JSON pointer (RFC 6901) of its value in scores.json, so the page
cannot differ from the stored numbers. External text (names, labels, records, responses) is escaped by Jinja2; a content
security policy forbids all loading, and all scripts except the page's own, which is identified by its checksum.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from lmms_eval_shotbench.report import rows
from lmms_eval_shotbench.report.gather import one_line
from lmms_eval_shotbench.runs.formatting import p_text
from lmms_eval_shotbench.vocabulary import dimension_named

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from lmms_eval_shotbench.report.explorer import ExplorerParts

PathStep = str | int | tuple[str | int, ...]  # of the path to a number
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


def page(
    numbers: Mapping[str, Any], charts: Mapping[str, str], explorer: ExplorerParts, completions: ExplorerParts
) -> str:
    """Return the complete page; deterministic for the same numbers and charts.

    Args:
        numbers: Contents of scores.json.
        charts: Charts of these numbers by name.
        explorer: The shot explorer.
        completions: The browser of completions.
    """
    from markupsafe import Markup

    styles = dict.fromkeys([_package_file("style.css"), explorer.css, completions.css])  # each once
    script = explorer.js + completions.js
    script = _package_file("elements.js") + script if script else ""
    environment = _environment()
    text = environment.get_template("page.html.j2").render(
        numbers=numbers,
        title=f"ShotBench: {', '.join(one['name'] for one in numbers['runs'] or numbers['training'])}",
        dimensions=rows.asked_dimensions(numbers),
        charts={name: Markup(svg) for name, svg in charts.items()},
        figure=Figures(numbers),
        style=Markup("".join(styles)),
        policy=content_policy(script),
        explorer=Markup(explorer.html),
        completions=Markup(completions.html),
        script=Markup(script),
    )
    return text.encode("utf-8", "replace").decode()  # a lone surrogate must not fail the page


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
    for table in (
        rows.comparison_rows,
        rows.prior_rows,
        rows.variant_rows,
        rows.transfer_rows,
        rows.training_rows,
        rows.step_rows,
        rows.how_rows,
        rows.averages_of_samples,
        rows.shown_passes,
    ):
        environment.globals[table.__name__] = table
    environment.globals["ranked"], environment.globals["command"] = rows.ranked, rows.command
    environment.globals["third_party_dimensions"] = rows.third_party_dimensions
    environment.globals["abbreviation"] = lambda slug: dimension_named(slug).abbreviation
    environment.filters["shown"] = lambda value, most=2000: one_line(str(value), most)
    return environment


def _package_file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def content_policy(script: str, media: str = "data: blob:") -> str:
    """Return a content security policy: only this script runs, and only media are loaded, by default inline ones.

    Args:
        script: Text of the page's only script.
        media: Sources of pictures and clips.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src {media}; "
        f"media-src {media}; base-uri 'none'; form-action 'none'"
    )


class Figures:
    """Numbers of scores.json by path, as HTML elements with their JSON pointer."""

    def __init__(self, numbers: Mapping[str, Any]) -> None:
        self._numbers = numbers

    def __call__(self, form: str, *path: PathStep) -> Markup:
        """Return one number in a format of `FORMS`; a dash if it is absent."""
        from markupsafe import Markup

        value = self.at(*path)
        location = pointer(*path)
        if value is None:
            return Markup('<span class="none" data-pointer="{}">–</span>').format(location)
        return Markup('<data value="{}" data-form="{}" data-pointer="{}">{}</data>').format(
            len(value) if form == "length" else repr(value), form, location, FORMS[form](value)
        )

    def at(self, *path: PathStep) -> Any:
        """Return the value at a path; None if it does not exist."""
        found: Any = self._numbers
        for step in path_steps(path):
            try:
                found = found[step]
            except (KeyError, IndexError, TypeError):
                return None
        return found

    def interval(self, *path: PathStep) -> Markup:
        """Return the interval of an estimate, in percent."""
        return self._ends("short", "{} – {}", path)

    def signed(self, *path: PathStep) -> Markup:
        """Return the interval of a difference, in percentage points."""
        return self._ends("points", "{} to {}", path)

    def _ends(self, form: str, template: str, path: Sequence[PathStep]) -> Markup:
        from markupsafe import Markup

        if self.at(*path) is None:
            return Markup("–")
        ends = Markup(template).format(self(form, *path, "low"), self(form, *path, "high"))
        return Markup('<span class="interval">{}</span>').format(ends)


def pointer(*path: PathStep) -> str:
    """Return the JSON pointer (RFC 6901) of a path."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path_steps(path))


def path_steps(path: Sequence[PathStep]) -> Iterator[str | int]:
    """Yield the steps of a path with nested tuples."""
    for step in path:
        if isinstance(step, tuple):
            yield from path_steps(step)
        else:
            yield step
