"""RefineShot's questions (arXiv 2510.02423), rebuilt from the vocabulary's facets: options that exclude each other.

ShotBench offers terms of several facets at once ("Daylight" beside "Practical light"), of which more than one may be
true. RefineShot asks of framing, lighting type and lighting condition, where the right answer is one term, for a choice
among that term's facet; a term alone in its facet becomes "Is the … of this shot …?", yes or no. Answers of several
terms and the other dimensions stay as they are.

    refined(items)            the published rows changed, with a fault repaired: there every yes/no answer is "yes"
    published(items, theirs)  the published questions, from their file

How `refined` repairs it: "yes" must be no better a guess than "no", and neither may the term that is asked about give
it away, so each such term is asked about as often where it is true as where it is not. What is not true of a shot is
what its original question counts as wrong: so a "no" is as sure as the release's own answer, and no surer, for terms of
different facets can go together. It is asked of shots that would be asked yes or no anyway, and what is then missing of
shots whose term has a larger facet, preferably one that no answer of several terms has beside the term asked about.

Which shot is asked what is drawn by a hash of the item's id, and so is the order of its options: neither the order of
the items nor the run matters, but which items are given does. Refine a whole set, then take a part of it. Refining
refined questions changes nothing. Standard library only.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from string import ascii_uppercase

from lmms_eval_shotbench.qa_item import BadRow, QAItem
from lmms_eval_shotbench.vocabulary import LIGHTING_CONDITION, LIGHTING_TYPE, SHOT_FRAMING, Dimension, Term

REFINED_DIMENSIONS: dict[str, Dimension] = {d.slug: d for d in (SHOT_FRAMING, LIGHTING_TYPE, LIGHTING_CONDITION)}
YES, NO = "yes", "no"


def refined(items: Sequence[QAItem]) -> list[QAItem]:
    """The questions refined, in order, with yes and no balanced for every term that is asked about."""
    asked = _asked_about(items)
    return [
        _refined(item, asked.get(place), random.Random(f"options of {item.item_id}"))
        for place, item in enumerate(items)
    ]


def published(items: Sequence[QAItem], theirs: Mapping[int, QAItem]) -> list[QAItem]:
    """The items with question, options and answer of the published file, whose rows stand under `source_index`.

    Raises:
        BadRow: an item has no row there, or the row is about another dimension or medium.
    """
    return [_published(item, theirs.get(item.source_index)) for item in items]


def _published(item: QAItem, row: QAItem | None) -> QAItem:
    if row is None:
        raise BadRow(item.item_id, "index", item.source_index, "an index of the refined questions (is it their file?)")
    if (row.dimension, row.media_path) != (item.dimension, item.media_path):
        expected = f"{row.dimension} of {row.media_path}, as the refined question of index {row.source_index}"
        raise BadRow(item.item_id, "dimension and medium", (item.dimension, item.media_path), expected)
    return replace(item, question=row.question, options=row.options, answer=row.answer)


def gold_term(item: QAItem) -> Term | None:
    """The one term that is right, where the refinement concerns the item; else None."""
    return _only_term(item, item.answer) if item.dimension in REFINED_DIMENSIONS else None


def facet_of(item: QAItem, term: Term) -> list[Term]:
    """The terms of the item's dimension that answer the same question as `term`, which is one of them."""
    return [other for other in REFINED_DIMENSIONS[item.dimension].terms if other.facet == term.facet]


def _only_term(item: QAItem, letter: str) -> Term | None:
    label = item.label(letter)
    return None if label is None or label.is_compound else label.steps[0][0]


def _refined(item: QAItem, asked: Term | None, generator: random.Random) -> QAItem:
    """Ask whether `asked` is true, or, where nothing is asked about, for one of the gold's facet."""
    gold = gold_term(item)
    if gold is None:
        return item
    if asked is None:
        return _shuffled(item, [term.name for term in facet_of(item, gold)], gold.name, generator)
    question = f"Is the {REFINED_DIMENSIONS[item.dimension].release_label} of this shot {asked}?"
    return _shuffled(replace(item, question=question), [YES, NO], YES if asked == gold else NO, generator)


def _shuffled(item: QAItem, options: list[str], right: str, generator: random.Random) -> QAItem:
    generator.shuffle(options)
    return replace(item, options=tuple(options), answer=ascii_uppercase[options.index(right)])


def _asked_about(items: Sequence[QAItem]) -> dict[int, Term]:
    """Which items become yes/no questions, by place, and the term that each is asked about."""
    drawn = sorted(range(len(items)), key=lambda place: hashlib.sha256(items[place].item_id.encode()).digest())
    concerned = [(place, gold) for place in drawn if (gold := gold_term(items[place]))]
    asked: dict[int, Term] = {}
    surplus: Counter[Term] = Counter()  # how much oftener a term is asked about where it is true than where it is not
    for place, gold in concerned:
        if len(facet_of(items[place], gold)) == 1:
            wanted = [term for term in _wrong_terms_alone(items[place]) if surplus[term] > 0]
            asked[place] = max(wanted, key=surplus.__getitem__, default=gold)
            surplus[asked[place]] += 1 if asked[place] == gold else -1
    together = _said_together(items)
    for term, missing in surplus.items():
        could = [
            (frozenset((term, gold)) in together, place)
            for place, gold in concerned
            if place not in asked and term in _wrong_terms_alone(items[place])
        ]
        could.sort(key=lambda candidate: candidate[0])  # within each half the draw decides
        asked |= {place: term for _, place in could[:missing]}
    return asked


def _wrong_terms_alone(item: QAItem) -> list[Term]:
    """Terms alone in their facet that the question offers and counts as wrong."""
    terms = (_only_term(item, letter) for letter in item.letters if letter != item.answer)
    return [term for term in terms if term and len(facet_of(item, term)) == 1]


def _said_together(items: Sequence[QAItem]) -> set[frozenset[Term]]:
    """Pairs of terms that stand together in a right answer somewhere."""
    golds = (item.label(item.answer) for item in items if item.dimension in REFINED_DIMENSIONS)
    return {frozenset(pair) for gold in golds if gold for pair in combinations(gold.terms, 2)}
