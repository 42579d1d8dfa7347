"""LABELS/labels.html: the shot list of some films, to look at, to compare and to correct by keyboard.

One file that loads nothing; with more than `MOST_EMBEDDED` shots it loads stills and clips from LABELS/media beside it,
as they come into view. As on the page of a report, external text is data in an inert JSON element, and a content
security policy forbids all scripts but the page's own. Corrections are kept by the browser and saved as a file for
`shotbench label apply`; the scripts are in `assets/`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.labelling.deciding.contradictions import rules
from lmms_eval_shotbench.labelling.label_cell import LabelCell
from lmms_eval_shotbench.labelling.page.page_media import PageMedia, page_media
from lmms_eval_shotbench.labelling.shot import FilmFacts
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow, ShotSheet, labels_digest
from lmms_eval_shotbench.report.explorer import package_file, script_json
from lmms_eval_shotbench.report.page import content_policy
from lmms_eval_shotbench.vocabulary import DIMENSIONS, SHOT_SIZE, Dimension, MediaKind, dimension_named

if TYPE_CHECKING:
    from jinja2 import Template

PAGE = "labels.html"
SCORES = "scores.json"  # of `shotbench label score`, in the folder of the labels
PAGE_BYTES = 25_000_000  # maximum size of the page
SCRIPTS = ("cells.js", "corrections.js", "strip.js", "grid.js", "inspector.js", "charts.js", "filters.js", "page.js")
ScoreFields = Mapping[str, Any]


def write_page(folder: Path, sheet: ShotSheet, scores: ScoreFields | None = None) -> Path:
    """Write LABELS/labels.html and return its path; `scores` are those of `shotbench label score`."""
    without = page_html(sheet, PageMedia({}, True, []), scores)
    media = page_media(folder, [row.shot for row in sheet.shots], PAGE_BYTES - len(without.encode()) - 100_000)
    path = folder / PAGE
    write_atomic(path, page_html(sheet, media, scores))
    return path


def stored_scores(folder: Path, sheet: ShotSheet) -> ScoreFields | None:
    """Return LABELS/scores.json; None if there is none that can be read, or it is of other labels."""
    try:
        scores = json.loads((folder / SCORES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_of_sheet = isinstance(scores, dict) and scores.get("labels_digest") == labels_digest(sheet)
    return scores if is_of_sheet else None


def page_html(sheet: ShotSheet, media: PageMedia, scores: ScoreFields | None = None) -> str:
    """Return the page."""
    script = package_file("elements.js") + "(() => {\n" + "".join(map(_asset, SCRIPTS)) + "})();\n"
    from markupsafe import Markup

    html = _template("page.html.j2").render(
        title=", ".join(film.film_id for film in sheet.films[:3]) + (", …" if len(sheet.films) > 3 else ""),
        style=package_file("style.css") + _asset("page.css"),
        script=script,
        policy=content_policy(script, "data: blob:" if media.embedded else "data: blob: file: 'self'"),
        sheet=sheet,
        dimensions=_dimensions(sheet),
        media=media,
        scored=Markup(_scores_section(scores)) if scores else "",
        sources=_sources(sheet),
        data=script_json(page_data(sheet)),
        addresses=script_json(media.addresses),
    )
    return html.encode("utf-8", "replace").decode()  # a lone surrogate must not fail the page


@cache
def _template(name: str) -> Template:
    from jinja2 import Environment, StrictUndefined

    settings: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "undefined": StrictUndefined}
    return Environment(autoescape=True, **settings).from_string(_asset(name))


def _asset(name: str) -> str:
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


def _scores_section(scores: ScoreFields) -> str:
    """Return the figures of `shotbench label score` as a section of the page."""
    rows = [(dimension_named(slug).paper_name, _with_answers(row)) for slug, row in scores["dimensions"].items()]
    mean = {**scores["macro"], "labelled_cells": 0, "none_cells": 0, "reliability": {}, "confusion": {}}
    return _template("scores.html.j2").render(scores=scores, rows=[*rows, ("Mean over dimensions", mean)])


def _with_answers(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a dimension with the labels of the sheet, those that are true labels first."""
    given = {answer for counts in row["confusion"].values() for answer in counts}
    return {
        **row,
        "answers": [label for label in row["confusion"] if label in given] + sorted(given - set(row["confusion"])),
    }


def page_data(sheet: ShotSheet) -> dict[str, Any]:
    """Return the data of the scripts; cells are lists in the order of the dimensions, to be small."""
    dimensions, films = _dimensions(sheet), {film.film_id: film for film in sheet.films}
    sources = _sources(sheet)
    return {
        "identity": sheet_identity(sheet),
        "dimensions": [
            {
                "slug": one.slug,
                "name": one.paper_name,
                "terms": [{"name": term.name, "facet": term.facet} for term in one.terms],
                "steps": one.media_kind is MediaKind.CLIP,  # movements can follow each other
            }
            for one in dimensions
        ],
        "sizes": SHOT_SIZE.slug,
        "rules": [[*sorted(f"{at.slug}/{term}" for at, term in pair), reason] for pair, reason in rules().items()],
        "sources": sources,
        "films": [film.film_id for film in sheet.films],
        "shots": [_shot(row, films[row.shot.film_id], dimensions, sources) for row in sheet.shots],
    }


def _sources(sheet: ShotSheet) -> list[str]:
    return sorted({cell.source for row in sheet.shots for cell in row.cells.values()})


def sheet_identity(sheet: ShotSheet) -> str:
    """Return a name for the cuts of these films, which stays when they are labelled again."""
    ranges = [(row.shot.film_id, row.shot.shot_id, row.shot.start_seconds, row.shot.end_seconds) for row in sheet.shots]
    return hashlib.sha256(json.dumps(ranges).encode()).hexdigest()[:16]


def _dimensions(sheet: ShotSheet) -> list[Dimension]:
    """The dimensions that were asked; all of them if none was."""
    asked = {slug for row in sheet.shots for slug in row.cells}
    return [one for one in DIMENSIONS if one.slug in asked or not asked]


def _shot(row: SheetRow, film: FilmFacts, dimensions: list[Dimension], sources: list[str]) -> dict[str, Any]:
    shot = row.shot
    cells = [(cell := row.cells.get(one.slug)) and _cell(cell, sources) for one in dimensions]
    return {
        "id": shot.shot_id,
        "film": film.film_id,
        "number": shot.number,
        "start": shot.start_seconds,
        "end": shot.end_seconds,
        "timecode": film.timecode(shot.first_frame),
        "remark": shot.remark,
        "cells": cells,
    }


def _cell(cell: LabelCell, sources: list[str]) -> list[Any]:
    rounded = [None if share is None else round(share, 4) for share in (cell.confidence, cell.agreement)]
    alternatives = [[label, round(share, 4)] for label, share in cell.alternatives[:5]]
    return [str(cell.status), cell.label, *rounded, sources.index(cell.source), alternatives, list(cell.contradictions)]
