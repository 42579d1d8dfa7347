"""Variants of the questions: transformed questions on the same shots, to test whether a model uses the media.

    blind     no medium is shown, so correct answers are guesses from the text
    circular  each question once per rotation of its options, the first unchanged; all must be answered correctly
    mirrored  stills and clips flipped left to right, with left and right exchanged in the options
    reversed  clips played backwards: "Push in" becomes "Pull out", and steps of a sequence are in reverse order
    refined   RefineShot's questions (`refinement.py`), task group `refineshot`

A question whose correct answer in a variant is unknown is omitted (`left_out`). A transformed question keeps its
`source_index`, which pairs it with the original; each rotation has its own index (`rotation_index`). The item's id is
the original's with @ and the variant's name appended (and the number of a rotation); the original's medium and its view
are derived from it.

In a mirrored or reversed question, an option whose opposite is also offered keeps its text; if it was the correct one,
its opposite is correct instead. The text of any other option is replaced by its opposite. So if the correct term
changes, a model that repeats the same option text is wrong at least once, and applying a transformation twice restores
the original question.

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

ROTATION_STRIDE = len(ascii_uppercase)  # index stride between questions; the maximum number of options


@dataclass(frozen=True)
class Variant:
    """A transformation of all questions."""

    name: str  # used in task names and after the @ of an item's id
    change: Callable[[Sequence[QAItem]], list[QAItem]]
    dimensions: tuple[Dimension, ...] = DIMENSIONS
    view: View = View.AS_FILMED
    shows_media: bool = True

    def of(self, items: Sequence[QAItem]) -> list[QAItem]:
        """Transform the questions of its dimensions, in order; a question may be omitted or become several."""
        slugs = {dimension.slug for dimension in self.dimensions}
        return self.change([item for item in items if item.dimension in slugs])

    def left_out(self, items: Sequence[QAItem]) -> list[QAItem]:
        """Questions of its dimensions that `of` omits."""
        slugs = {dimension.slug for dimension in self.dimensions}
        kept = {original_id(item.item_id) for item in self.of(items)}
        return [item for item in items if item.dimension in slugs and item.item_id not in kept]


def original_id(item_id: str) -> str:
    """Id of the original of a transformed question."""
    return item_id.rpartition("@")[0] if variant_named_in(item_id) else item_id


def variant_named_in(item_id: str) -> Variant | None:
    """The variant named in an item's id, or None for an original question."""
    _, at, name = item_id.rpartition("@")
    return _BY_NAME.get(name.partition("-")[0]) if at else None


def variant_named(name: str) -> Variant:
    """Return the variant of this name; raise `ValueError` listing the names."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise ValueError(f"unknown variant {name!r}; use one of {', '.join(_BY_NAME)}") from None


def rotation_index(source_index: int, rotation: int) -> int:
    """Index of a rotated question; `divmod` by `ROTATION_STRIDE` gives `source_index` and `rotation`."""
    return source_index * ROTATION_STRIDE + rotation


def opposite(text: str, view: View) -> str:
    """Transform a label's text for a view: "Pan left" becomes "Pan right" when mirrored.

    The steps of a sequence are in reverse order if the view is reversed.
    """
    words = OPPOSITES.get(view, {})
    ordered = steps_exchanged(text) if view is View.REVERSED else text
    return re.sub(r"[^\W_]+", lambda word: _match_case(word[0], words.get(word[0].lower(), word[0])), ordered)


def _match_case(word: str, other: str) -> str:
    return other.upper() if word.isupper() else other.capitalize() if word[:1].isupper() else other


def question_in_view(item: QAItem, view: View) -> QAItem | None:
    """Transform a question for its medium in another view, or return None if the correct answer is then unknown.

    It is unknown if an option contains an unknown term, two options are equivalent, or the correct one is ambiguous if
    the clip is played backwards.
    """
    labels = [_label_of_option(item, letter) for letter in item.letters]
    gold = item.label(item.answer)
    if None in labels or gold is None or len(set(labels)) < len(labels):
        return None
    if view is View.REVERSED and any(term.facet == AMBIGUOUS_REVERSED for term in gold.terms):
        return None
    opposites = [opposite(text, view) for text in item.options]
    opposite_labels = [_canonical_label(item.dimension, text) for text in opposites]
    letter_of_label = dict(zip(labels, item.letters, strict=True))
    options = tuple(
        text if label in letter_of_label else other
        for text, other, label in zip(item.options, opposites, opposite_labels, strict=True)
    )
    gold_label = opposite_labels[item.letters.index(item.answer)]
    return replace(item, options=options, answer=letter_of_label.get(gold_label, item.answer))


def _label_of_option(item: QAItem, letter: str) -> Label | None:
    return _canonical_label(item.dimension, item.choices[letter])


def _canonical_label(slug: str, text: str) -> Label | None:
    """The canonical label of a text, equal for all its spellings; None if it contains an unknown term."""
    dimension = dimension_named(slug)
    try:
        return dimension.canonical(dimension.parse(text))
    except UnknownTerm:
        return None


def rotations(item: QAItem) -> list[QAItem]:
    """The question with its options rotated by 0, 1, 2, … letters."""
    return [
        replace(
            item,
            item_id=f"{item.item_id}@circular-{turn}",
            source_index=rotation_index(item.source_index, turn),
            options=item.options[turn:] + item.options[:turn],
            answer=item.letters[(item.letters.index(item.answer) - turn) % len(item.options)],
        )
        for turn in range(len(item.options))
    ]


def _all_rotations(items: Sequence[QAItem]) -> list[QAItem]:
    return [rotation for item in items for rotation in rotations(item)]


def _named(name: str, items: Iterable[QAItem | None]) -> list[QAItem]:
    return [replace(item, item_id=f"{item.item_id}@{name}") for item in items if item is not None]


def _in_view(view: View, items: Sequence[QAItem]) -> list[QAItem]:
    return _named(view, (question_in_view(item, view) for item in items))


VARIANTS: tuple[Variant, ...] = (
    Variant("blind", partial(_named, "blind"), shows_media=False),
    Variant("circular", _all_rotations),
    Variant("mirrored", partial(_in_view, View.MIRRORED), view=View.MIRRORED),
    Variant("reversed", partial(_in_view, View.REVERSED), (CAMERA_MOVEMENT,), View.REVERSED),
    Variant("refined", lambda items: _named("refined", refined(items))),
)
_BY_NAME = {variant.name: variant for variant in VARIANTS}


def published_refinement(questions: Mapping[int, QAItem]) -> Variant:
    """The variant `refined` with RefineShot's published questions, by index, instead of the rebuilt ones."""
    return replace(variant_named("refined"), change=lambda items: _named("refined", published(items, questions)))


def corresponding_letter(item: QAItem, changed: QAItem, letter: str) -> str | None:
    """The letter in the transformed question that corresponds to `letter` in the original; None if there is none."""
    variant = variant_named_in(changed.item_id)
    text = opposite(item.choices[letter], variant.view if variant else View.AS_FILMED)
    meaning = _canonical_label(item.dimension, text) or normal_form(text)
    letters = {
        _label_of_option(changed, other) or normal_form(changed.choices[other]): other for other in changed.letters
    }
    return letters.get(meaning)


def variant_in_use(name: str, refined: Path | None = None) -> Variant:
    """The variant of this name; `refined` uses the published questions if `refined_in_use` returns their file.

    Raises:
        DatasetNotFound, BadRow: the file of refined questions cannot be read.
        ValueError: no variant has this name.
    """
    file = refined_in_use(refined)
    if name != "refined" or not file:
        return variant_named(name)
    if not Path(file).is_file():
        raise DatasetNotFound(f"{file}: no such file of refined questions; give RefineShot's test.tsv")
    return published_refinement({item.source_index: item for item in read_questions(file)})
