"""Variants of the questions: the same shots asked in ways that only a model which sees gets right, too.

    blind     no medium is shown: what is right then is a guess from the text
    circular  each question once for each rotation of its options, the first as it was; right only if right in all
    mirrored  stills and clips flipped left to right, and left and right exchanged in the options
    reversed  clips played backwards: "Push in" becomes "Pull out", "Firstly X, then Y" becomes "Firstly y, then x"
    refined   RefineShot's questions (`refinement.py`), task group `refineshot`

A variant turns questions into questions and leaves out, never guesses: `left_out` says which. A changed question keeps
its `source_index`, so it is paired with the original by it; a rotation has a number of its own (`rotation_index`). The
item's id names the variant after an @, by which the medium is found and shown as the variant has it.

Where a flipped shot makes another of the offered options right, the options stay as they are and the answer moves;
what is not on offer stands in place of its opposite. So a guess from the options alone cannot be right both times by
saying the same, and any change made twice gives the original question.

Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from string import ascii_uppercase

from lmms_eval_shotbench.environment import refined_in_use
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.questions.refinement import published, refined
from lmms_eval_shotbench.questions.shards import DatasetNotFound
from lmms_eval_shotbench.vocabulary import (
    AMBIGUOUS_REVERSED,
    CAMERA_MOVEMENT,
    DIMENSIONS,
    OPPOSITES,
    Dimension,
    Label,
    UnknownTerm,
    View,
    dimension_named,
    normal_form,
    steps_exchanged,
)

ROTATIONS_APART = len(ascii_uppercase)  # numbers between two questions' rotations: no question has more options


@dataclass(frozen=True)
class Variant:
    """A way to ask all questions anew."""

    name: str  # in task names and behind the @ of an item's id
    change: Callable[[Sequence[QAItem]], list[QAItem]]
    dimensions: tuple[Dimension, ...] = DIMENSIONS
    view: View = View.AS_FILMED
    shows_media: bool = True

    def of(self, items: Sequence[QAItem]) -> list[QAItem]:
        """The changed questions, in order; some may be missing, some become several."""
        slugs = {dimension.slug for dimension in self.dimensions}
        return self.change([item for item in items if item.dimension in slugs])

    def left_out(self, items: Sequence[QAItem]) -> list[QAItem]:
        """Questions of its dimensions that it cannot change."""
        slugs = {dimension.slug for dimension in self.dimensions}
        kept = {original_id(item.item_id) for item in self.of(items)}
        return [item for item in items if item.dimension in slugs and item.item_id not in kept]


def original_id(item_id: str) -> str:
    """The id of the question that a changed one comes from."""
    return item_id.rpartition("@")[0] if variant_named_in(item_id) else item_id


def variant_named_in(item_id: str) -> Variant | None:
    """The variant that an item's id names; none for an original question."""
    _, at, name = item_id.rpartition("@")
    return _BY_NAME.get(name.partition("-")[0]) if at else None


def variant_named(name: str) -> Variant:
    """Return the variant of this name; raise `ValueError` listing the names."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise ValueError(f"{name!r} is no variant; use one of {', '.join(_BY_NAME)}") from None


def rotation_index(source_index: int, rotation: int) -> int:
    """The number of a question's rotation, from which `divmod` by `ROTATIONS_APART` gives both again."""
    return source_index * ROTATIONS_APART + rotation


def opposite(text: str, view: View) -> str:
    """What a label becomes when the shot is shown so: "Pan left" in a mirror is "Pan right"."""
    words = OPPOSITES.get(view, {})
    turned = steps_exchanged(text) if view is View.REVERSED else text
    return re.sub(r"[^\W_]+", lambda word: _in_the_case_of(word[0], words.get(word[0].lower(), word[0])), turned)


def _in_the_case_of(word: str, other: str) -> str:
    return other.upper() if word.isupper() else other.capitalize() if word[:1].isupper() else other


def shown_otherwise(item: QAItem, view: View) -> QAItem | None:
    """The question about the same medium in this view; none where nobody can say what is right then.

    That is where an option names no term, two options say the same, or the right one is ambiguous backwards.
    """
    labels = [_said(item, letter) for letter in item.letters]
    gold = item.label(item.answer)
    if None in labels or gold is None or len(set(labels)) < len(labels):
        return None
    if view is View.REVERSED and any(term.facet == AMBIGUOUS_REVERSED for term in gold.terms):
        return None
    changed = [opposite(text, view) for text in item.options]
    turned = [_said_in(item.dimension, text) for text in changed]
    on_offer = dict(zip(labels, item.letters, strict=True))
    place = item.letters.index(item.answer)
    options = tuple(
        text if label in on_offer else other for text, other, label in zip(item.options, changed, turned, strict=True)
    )
    return replace(item, options=options, answer=on_offer.get(turned[place], item.answer))


def _said(item: QAItem, letter: str) -> Label | None:
    return _said_in(item.dimension, item.choices[letter])


def _said_in(dimension: str, text: str) -> Label | None:
    """A label in the one form that all spellings of it have."""
    vocabulary = dimension_named(dimension)
    try:
        return vocabulary.canonical(vocabulary.parse(text))
    except UnknownTerm:
        return None


def rotations(item: QAItem) -> list[QAItem]:
    """The question with its options moved on by 0, 1, 2, … letters."""
    places = range(len(item.options))
    return [
        replace(
            item,
            item_id=f"{item.item_id}@circular-{turn}",
            source_index=rotation_index(item.source_index, turn),
            options=item.options[turn:] + item.options[:turn],
            answer=item.letters[(item.letters.index(item.answer) - turn) % len(item.options)],
        )
        for turn in places
    ]


def _all_rotations(items: Sequence[QAItem]) -> list[QAItem]:
    return [rotation for item in items for rotation in rotations(item)]


def _named(name: str, items: Iterable[QAItem | None]) -> list[QAItem]:
    return [replace(item, item_id=f"{item.item_id}@{name}") for item in items if item is not None]


def _in_view(view: View, items: Sequence[QAItem]) -> list[QAItem]:
    return _named(view, (shown_otherwise(item, view) for item in items))


VARIANTS: tuple[Variant, ...] = (
    Variant("blind", partial(_named, "blind"), shows_media=False),
    Variant("circular", _all_rotations),
    Variant("mirrored", partial(_in_view, View.MIRRORED), view=View.MIRRORED),
    Variant("reversed", partial(_in_view, View.REVERSED), (CAMERA_MOVEMENT,), View.REVERSED),
    Variant("refined", lambda items: _named("refined", refined(items))),
)
_BY_NAME = {variant.name: variant for variant in VARIANTS}


def published_refinement(questions: Mapping[int, QAItem]) -> Variant:
    """The variant that asks RefineShot's published questions, by index, instead of rebuilt ones."""
    return replace(variant_named("refined"), change=lambda items: _named("refined", published(items, questions)))


def carried(item: QAItem, changed: QAItem, letter: str) -> str | None:
    """The letter that says in the changed question what `letter` said; None where it is not on offer."""
    variant = variant_named_in(changed.item_id)
    text = opposite(item.choices[letter], variant.view if variant else View.AS_FILMED)
    meant = _said_in(item.dimension, text) or normal_form(text)
    on_offer = {_said(changed, other) or normal_form(changed.choices[other]): other for other in changed.letters}
    return on_offer.get(meant)


def variant_in_use(name: str, refined: Path | None = None) -> Variant:
    """The variant of this name; the refined questions are the published ones where `refined_in_use` names their file.

    Raises:
        DatasetNotFound, BadRow: that file cannot be read.
        ValueError: no variant has this name.
    """
    file = refined_in_use(refined)
    if name != "refined" or not file:
        return variant_named(name)
    if not Path(file).is_file():
        raise DatasetNotFound(f"{file}: no such file of refined questions; give RefineShot's test.tsv")
    return published_refinement({item.source_index: item for item in read_questions(file)})
