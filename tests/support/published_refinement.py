"""RefineShot's questions rebuilt as they were published, from the vocabulary's facets: what the repair starts from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from string import ascii_uppercase

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.refinement import NO, REFINED_DIMENSIONS, YES, facet_of, gold_term
from lmms_eval_shotbench.vocabulary import Term

PUBLISHED_SEED = 42
# Their lists have these terms last, in this order; it decides what a shuffle makes of a facet.
_LAST_IN_THEIR_LISTS = ("Moonlight", "Firelight", "Artificial light", "Mixed light", "Top light", "Underlight")


def as_published(items: Sequence[QAItem]) -> list[QAItem]:
    """The questions refined as the published ones are; only the complete ShotBench gives their order of options.

    They shuffled one row after the other with one generator, so an option's position depends on all rows before it.
    """
    generator = random.Random(PUBLISHED_SEED)
    done = {item.item_id: _as_published(item, generator) for item in sorted(items, key=lambda item: item.source_index)}
    return [done[item.item_id] for item in items]


def _as_published(item: QAItem, generator: random.Random) -> QAItem:
    gold = gold_term(item)
    if gold is None:
        return item
    question, options, right = item.question, [YES, NO], YES
    facet = facet_of(item, gold)
    if len(facet) == 1:
        question = f"Is the {REFINED_DIMENSIONS[item.dimension].release_label} of this shot {gold}?"
    else:
        options, right = [term.name for term in sorted(facet, key=_their_position)], gold.name
    generator.shuffle(options)
    return replace(item, question=question, options=tuple(options), answer=ascii_uppercase[options.index(right)])


def _their_position(term: Term) -> int:
    return _LAST_IN_THEIR_LISTS.index(term.name) if term.name in _LAST_IN_THEIR_LISTS else -1
