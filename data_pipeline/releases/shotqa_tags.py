"""The tags of a shot in ShotQA's `meta.jsonl`, and whether a question agrees with them.

Owns which column holds which dimension. The columns are ShotDeck's: one text of tags separated by commas, or null.
Framing and angle share a column; `Camera` and `Lens` name equipment and are no labels. Tags that name no term are
ignored. A question that disagrees with the tags is kept as published, with a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from data_pipeline.defects import DefectKind, Flaw
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import (
    CAMERA_ANGLE,
    COMPOSITION,
    LENS_SIZE,
    LIGHTING_CONDITION,
    LIGHTING_TYPE,
    SHOT_FRAMING,
    SHOT_SIZE,
    Dimension,
    UnknownTerm,
    normal_form,
)

# By the name of the column in lower case, letters only.
COLUMNS: dict[str, tuple[Dimension, ...]] = {
    "framesize": (SHOT_SIZE,),
    "shottype": (SHOT_FRAMING, CAMERA_ANGLE),
    "lenssize": (LENS_SIZE,),
    "composition": (COMPOSITION,),
    "lighting": (LIGHTING_CONDITION,),
    "lightingtype": (LIGHTING_TYPE,),
}
SHOTDECK_WORDS = {"clean single": "Single"}  # that the vocabulary does not know
Tags = tuple[tuple[str, frozenset[str]], ...]  # slug and terms of each dimension with a tag


def tags_of(cells: Mapping[str, object]) -> Tags:
    """Return the tags of one row of `meta.jsonl`, by column name as in `COLUMNS`."""
    texts = ((column, cells.get(column)) for column in COLUMNS)
    return tuple(tag for column, text in texts if isinstance(text, str) for tag in _column_tags(column, text))


def disagreements(item: QAItem, tags: Tags) -> Iterator[Flaw]:
    """Yield warnings about options that disagree with the tags; none if the dimension has no tag."""
    tagged = dict(tags).get(item.dimension)
    if not tagged:
        return
    listed = ", ".join(sorted(tagged))
    for letter, option in item.choices.items():
        is_tagged = tagged.issuperset(map(_vocabulary_word, option.split(", ")))
        if letter == item.answer and not is_tagged:
            yield Flaw(DefectKind.ANSWER_NOT_TAGGED, f"{letter}: {option!r}; tags in meta.jsonl: {listed}")
        elif letter != item.answer and is_tagged:
            yield Flaw(DefectKind.OPTION_TAGGED, f"{letter}: {option!r}; tags in meta.jsonl: {listed}")


@lru_cache(maxsize=8192)  # a release has some thousand distinct texts
def _column_tags(column: str, text: str) -> Tags:
    words = [_vocabulary_word(word) for word in text.split(",")]
    found = ((dimension, frozenset(_named_terms(dimension, words))) for dimension in COLUMNS[column])
    return tuple((dimension.slug, terms) for dimension, terms in found if terms)


def _vocabulary_word(word: str) -> str:
    return SHOTDECK_WORDS.get(normal_form(word), word)


def _named_terms(dimension: Dimension, words: list[str]) -> Iterator[str]:
    for word in words:
        try:
            yield str(dimension.parse(word))
        except UnknownTerm:
            continue
