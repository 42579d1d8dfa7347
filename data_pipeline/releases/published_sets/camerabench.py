"""Read CameraBench: `test.jsonl`, a line for each clip with the labels that people gave it.

Owns the questions made of the labels. The set publishes labels, not questions with options. The right option of a
question has all movements that are labelled. Its wrong options must be excluded by a label, since annotators left out
movements that they were not sure of: opposites of labelled movements, and a static shot where the camera moves.

    labels                    options
    static                    Static shot; a movement drawn at random; its opposite, if it has one
    one movement              that movement; its opposite, if it has one; Static shot
    several, some opposable   all of them; the same with one or both of two opposable movements exchanged

Static shots have the options that a movement would have, so that the options do not reveal which of them is right.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path
from random import Random
from string import ascii_uppercase

from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.releases.media_folder import MediaFolder
from data_pipeline.releases.published_sets.json_fields import json_file, numbered_rows, row_fields, text_named
from data_pipeline.releases.published_sets.set_rows import LeftOut, SetQuestion, SetRows, video_id
from data_pipeline.releases.shotqa_rows import path_in_release
from lmms_eval_shotbench.qa_item import BadRow
from lmms_eval_shotbench.questions.variants import opposite
from lmms_eval_shotbench.vocabulary import Dimension, Label, MediaKind, Term, View

FILE = "test.jsonl"
STATIC, NO_MOTION, NO_SHAKING = "static", "no-motion", "no-shaking"


def read(folder: Path, media: MediaFolder, rows: SetRows) -> MediaFolder:
    """Read all lines; returns where the clips are."""
    for line, row in numbered_rows(json_file(folder, FILE)):
        item_id = f"{rows.published.source}-{line - 1:05d}"
        rows.take(line, item_id, FILE, partial(_question, rows, row, item_id, line - 1))
    return media


def _question(rows: SetRows, row: object, item_id: str, index: int) -> SetQuestion:
    fields = row_fields(item_id, row)
    labels = fields.get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise BadRow(item_id, "labels", labels, "a list of texts")
    path = path_in_release(text_named(item_id, fields, ("path",)))
    group, dimension = rows.published.only_group
    found = {label: rows.class_of(group, label) for label in labels}
    unknown = [Flaw(DefectKind.UNKNOWN_LABEL, f"{label!r}") for label, one in found.items() if one is None]
    named = [one for one in found.values() if one and one.term]
    if NO_SHAKING not in labels:  # a camera that only shakes is not static
        named = [one for one in named if one.name != NO_MOTION]
    if not named:
        raise LeftOut(DefectKind.UNMAPPED_CLASS, f"no term corresponds to {', '.join(labels) or 'no label'}")
    draw = Random(item_id)
    terms = frozenset().union(*(dimension.parse(one.term).terms for one in named))
    movements = frozenset().union(*(dimension.parse(one.term).terms for one in group.classes if one.term))
    options = _options(dimension, terms, movements, draw)
    right = options[0]
    draw.shuffle(options)
    answer = ascii_uppercase[options.index(right)]
    item = rows.item(
        item_id, index, dimension, dimension.question, options, answer, MediaKind.CLIP, path, video_id(path)
    )
    return SetQuestion(item, tuple(unknown))


def _options(dimension: Dimension, terms: frozenset[Term], asked: frozenset[Term], draw: Random) -> list[str]:
    """Return the right option, which has these terms, and then the wrong ones; raises `LeftOut` if there are none."""
    static = dimension.term(STATIC)
    opposites = {term: _opposite(dimension, term) for term in dimension.terms}  # in the vocabulary's order
    if static in terms and len(terms) > 1:
        raise LeftOut(DefectKind.CONTRADICTORY_LABELS, f"static, and {_terms_text(dimension, terms - {static})}")
    if both := {term for term in terms if opposites[term] in terms}:
        raise LeftOut(DefectKind.CONTRADICTORY_LABELS, f"{_terms_text(dimension, both)}, in an unknown order")
    if len(terms) == 1:
        movements = [term for term in opposites if term in asked - {static}]
        movement = draw.choice(movements) if static in terms else next(iter(terms))
        texts = [str(term) for term in (static, movement, opposites[movement]) if term]
        return sorted(texts, key=lambda text: text != _terms_text(dimension, terms))
    opposable = [term for term, other in opposites.items() if other and term in terms]
    if not opposable:
        raise LeftOut(
            DefectKind.TOO_FEW_DISTRACTORS, f"no other movement is excluded by {_terms_text(dimension, terms)}"
        )
    exchanged = draw.sample(opposable, min(2, len(opposable)))
    subsets = [[], *([term] for term in exchanged), *([exchanged] if len(exchanged) > 1 else [])]
    return [
        _terms_text(dimension, {opposites[term] or term if term in one else term for term in terms}) for one in subsets
    ]


def _opposite(dimension: Dimension, term: Term) -> Term | None:
    """Return the movement in the other direction, or None if the term has no direction."""
    other = dimension.term(opposite(str(term), View.REVERSED))
    return other if other != term else None


def _terms_text(dimension: Dimension, terms: Collection[Term]) -> str:
    return str(dimension.canonical(Label((tuple(terms),))))
