"""Labels that cannot both be true of a shot: terms of one facet, and the rules of `contradictions.toml`.

A contradiction is reported with its reason, for a person to look at. No label is changed because of one, since it does
not say which of the two is wrong.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.labelling.label_cell import LabelCell, Status
from lmms_eval_shotbench.vocabulary import Dimension, Term, UnknownDimension, UnknownTerm, dimension_named

RULES = Path(__file__).with_name("contradictions.toml")
DimensionTerm = tuple[Dimension, Term]


class BadRule(ValueError):
    """A rule of the data file is malformed, or names a dimension or term that does not exist."""


def contradictions_of(cells: Mapping[str, LabelCell]) -> dict[str, tuple[str, ...]]:
    """Sentences on what cannot be true together, by dimension slug.

    Args:
        cells: The cells of one shot by dimension slug; only labelled ones are compared.

    Returns:
        One sentence for each pair of terms, at the slugs of both; dimensions without contradictions are left out.
    """
    labels = {
        dimension: dimension.parse(cell.label)
        for dimension, cell in ((dimension_named(slug), cell) for slug, cell in cells.items())
        if cell.status is Status.LABELLED
    }
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)  # ordered, each sentence once
    for dimension, label in labels.items():
        for one, other in (pair for step in label.steps for pair in combinations(step, 2)):  # at the same time
            if reason := reason_against((dimension, one), (dimension, other)):
                found[dimension.slug][f"{one} and {other}: {reason}"] = None
    for (here, label), (there, another) in combinations(labels.items(), 2):
        for one, other in product(sorted(label.terms, key=str), sorted(another.terms, key=str)):
            if reason := reason_against((here, one), (there, other)):
                sentence = f"{one} ({here.paper_name.lower()}) and {other} ({there.paper_name.lower()}): {reason}"
                found[here.slug][sentence] = found[there.slug][sentence] = None
    return {slug: tuple(sentences) for slug, sentences in found.items()}


def reason_against(one: DimensionTerm, other: DimensionTerm) -> str:
    """Why two terms cannot both be true of a shot at the same time; empty if they can."""
    if one[0] == other[0] and one[1].facet == other[1].facet and one[1] != other[1]:
        return f"each says what the {one[1].facet} is, and only one can be right"
    return rules().get(frozenset((one, other)), "")


@cache
def rules() -> Mapping[frozenset[DimensionTerm], str]:
    """The reasons of `contradictions.toml` by pair of terms."""
    return parse_rules(RULES.read_text(encoding="utf-8"))


def parse_rules(text: str) -> dict[frozenset[DimensionTerm], str]:
    """Parse and check the TOML text of rules.

    Raises:
        BadRule: a rule lacks a side or its reason, names something unknown, or repeats what a facet or rule says.
    """
    reasons: dict[frozenset[DimensionTerm], str] = {}
    for number, rule in enumerate(tomllib.loads(text).get("rule", ()), start=1):
        where = f"contradictions.toml, rule {number}"
        if set(rule) != {"first", "second", "reason"} or not rule["reason"]:
            raise BadRule(f"{where} has {', '.join(rule)}; it must have first, second and a reason")
        for one, other in product(_terms_of(rule["first"], where), _terms_of(rule["second"], where)):
            pair = frozenset((one, other))
            if pair in reasons or one == other or (one[0] == other[0] and one[1].facet == other[1].facet):
                raise BadRule(f"{where}: {one[1]} and {other[1]} contradict each other already; leave the pair out")
            reasons[pair] = rule["reason"]
    return reasons


def _terms_of(side: Mapping[str, Any], where: str) -> list[DimensionTerm]:
    try:
        return [
            (dimension_named(slug), dimension_named(slug).term(name)) for slug, names in side.items() for name in names
        ]
    except (UnknownDimension, UnknownTerm) as error:
        raise BadRule(f"{where}: {error}") from None
