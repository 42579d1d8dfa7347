"""RefineShot's questions (arXiv 2510.02423), rebuilt from the vocabulary's facets: mutually exclusive options.

ShotBench offers terms of several facets in one question ("Daylight" and "Practical light"), so that more than one may
be true. RefineShot changes questions on framing, lighting type and lighting condition whose correct answer is a single
term: the options become the terms of that term's facet; the only term of a facet becomes the yes/no question "Is the …
of this shot …?". Compound answers and the other dimensions are unchanged.

    refined(items)               the same questions are changed as in the published file, with balanced yes/no answers
    published(items, questions)  the published questions, from their file, in which every yes/no answer is "yes"

Yes/no answers are balanced in `refined`, so that neither a constant "yes" nor the term in the question predicts the
answer: as far as the items allow, each term is asked about as often where it is false as where it is true. It counts as
false for a shot if the original question offers it as a wrong option; such a "no" is only as reliable as the release's
own answer, because terms of different facets can both be true. "No" questions first replace "yes" questions on such
shots, then questions on shots whose term belongs to a larger facet, preferring terms that never occur together with the
term asked about in a compound answer.

The assignment of questions to shots and the order of options are pseudo-random, by a hash of the item's id: the result
depends on the set of items, but not on their order or on the run. Therefore refine a complete set before selecting a
subset. Refining refined questions changes nothing. Standard library only.
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
    """Refine the questions, in order; "yes" and "no" answers are balanced for every term, as far as the items allow."""
    yes_no_terms = _yes_no_terms(items)
    return [
        _refined(item, yes_no_terms.get(index), random.Random(f"options of {item.item_id}"))
        for index, item in enumerate(items)
    ]


def published(items: Sequence[QAItem], questions: Mapping[int, QAItem]) -> list[QAItem]:
    """Replace question, options and answer of the items by those of the published `questions`, by `source_index`.

    Raises:
        BadRow: an item has no published question, or it is about another dimension or medium.
    """
    return [_published(item, questions.get(item.source_index)) for item in items]


def _published(item: QAItem, row: QAItem | None) -> QAItem:
    if row is None:
        raise BadRow(item.item_id, "index", item.source_index, "an index of the refined questions (is it their file?)")
    if (row.dimension, row.media_path) != (item.dimension, item.media_path):
        expected = f"{row.dimension} of {row.media_path}, as the refined question of index {row.source_index}"
        raise BadRow(item.item_id, "dimension and medium", (item.dimension, item.media_path), expected)
    return replace(item, question=row.question, options=row.options, answer=row.answer)


def gold_term(item: QAItem) -> Term | None:
    """The single term of the correct answer if the refinement applies to the item, else None."""
    return _single_term(item, item.answer) if item.dimension in REFINED_DIMENSIONS else None


def facet_of(item: QAItem, term: Term) -> list[Term]:
    """All terms of the item's dimension in the same facet as `term`, including itself."""
    return [other for other in REFINED_DIMENSIONS[item.dimension].terms if other.facet == term.facet]


def _single_term(item: QAItem, letter: str) -> Term | None:
    label = item.label(letter)
    return None if label is None or label.is_compound else label.steps[0][0]


def _refined(item: QAItem, yes_no_term: Term | None, generator: random.Random) -> QAItem:
    """Ask whether `yes_no_term` is true or, if it is None, which term in the facet of the gold term is."""
    gold = gold_term(item)
    if gold is None:
        return item
    if yes_no_term is None:
        return _shuffled(item, [term.name for term in facet_of(item, gold)], gold.name, generator)
    question = f"Is the {REFINED_DIMENSIONS[item.dimension].release_label} of this shot {yes_no_term}?"
    return _shuffled(replace(item, question=question), [YES, NO], YES if yes_no_term == gold else NO, generator)


def _shuffled(item: QAItem, options: list[str], right: str, generator: random.Random) -> QAItem:
    generator.shuffle(options)
    return replace(item, options=tuple(options), answer=ascii_uppercase[options.index(right)])


def _yes_no_terms(items: Sequence[QAItem]) -> dict[int, Term]:
    """Choose the items that become yes/no questions: the term asked about, by position in `items`."""
    order = sorted(range(len(items)), key=lambda index: hashlib.sha256(items[index].item_id.encode()).digest())
    refinable = [(index, gold) for index in order if (gold := gold_term(items[index]))]
    asked: dict[int, Term] = {}
    imbalance: Counter[Term] = Counter()  # number of "yes" minus number of "no" questions about a term
    for index, gold in refinable:
        if len(facet_of(items[index], gold)) == 1:
            wanted = [term for term in _wrong_single_facet_terms(items[index]) if imbalance[term] > 0]
            asked[index] = max(wanted, key=imbalance.__getitem__, default=gold)
            imbalance[asked[index]] += 1 if asked[index] == gold else -1
    compatible = _terms_of_compound_answers(items)
    for term, missing in imbalance.items():
        candidates = [
            (frozenset((term, gold)) in compatible, index)
            for index, gold in refinable
            if index not in asked and term in _wrong_single_facet_terms(items[index])
        ]
        candidates.sort(key=lambda candidate: candidate[0])  # a stable sort, which keeps the pseudo-random order
        asked |= {index: term for _, index in candidates[:missing]}
    return asked


def _wrong_single_facet_terms(item: QAItem) -> list[Term]:
    """Wrong options of the question that are the only term of their facet."""
    terms = (_single_term(item, letter) for letter in item.letters if letter != item.answer)
    return [term for term in terms if term and len(facet_of(item, term)) == 1]


def _terms_of_compound_answers(items: Sequence[QAItem]) -> set[frozenset[Term]]:
    """Pairs of terms that occur together in any correct answer."""
    golds = (item.label(item.answer) for item in items if item.dimension in REFINED_DIMENSIONS)
    return {frozenset(pair) for gold in golds if gold for pair in combinations(gold.terms, 2)}
