"""From the probabilities of a classifier's classes to a response: the most probable of the options on offer.

An option has the probability of its term's classes, their sum if there are several; an option of several terms has the
mean of its terms, so that it wins neither by naming more nor by naming fewer of them. The order of steps is not seen.
If the best options are equally probable, as two terms of one class always are, the question is undecided: nothing is
guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import NamedTuple

from lmms_eval_shotbench.models.label_map import ClassMap
from lmms_eval_shotbench.qa_item import QAItem

Classes = tuple[tuple[int, ...], ...]  # of one option: for each of its terms, the indices of its classes
UNDECIDED = "undecided"  # text of an answer that names no option


class Options(NamedTuple):
    """The options of a question and their classes; an option without a class has none for one of its terms."""

    dimension: str
    texts: tuple[str, ...]
    classes: tuple[Classes, ...]

    @property
    def undecided(self) -> str:
        """Why no probabilities can decide the question; "" if they can."""
        return "" if any(self.classes) else "no class of the classifier stands for an option"

    @property
    def distinguished(self) -> bool:
        """Whether every option has a class, and no two have the same."""
        return all(self.classes) and len(set(self.classes)) == len(self.classes)


def options_of(item: QAItem, labels: ClassMap) -> Options:
    """Return the options of a question with the classes that stand for them."""
    classes_of_terms: Mapping[str, tuple[int, ...]] = labels.classes_of_terms.get(item.dimension, {})
    classes: list[Classes] = []
    for letter in item.letters:
        label = item.label(letter)
        names = sorted(term.name for term in label.terms) if label else []
        mapped = all(classes_of_terms.get(name) for name in names)
        classes.append(tuple(classes_of_terms[name] for name in names) if mapped else ())
    return Options(item.dimension, item.options, tuple(classes))


def response_text(options: Options, probabilities: Sequence[float]) -> str:
    """Return the response: a thought with the probabilities of the options, and the letter of the best one.

    Args:
        options: Options of which at least one has a class.
        probabilities: Of each class, by index.
    """
    scores = [_probability(classes, probabilities) if classes else None for classes in options.classes]
    best = max(score for score in scores if score is not None)
    letters = [letter for letter, score in zip(ascii_uppercase, scores, strict=False) if score == best]
    shown = ", ".join(
        f"{text} {'has no class' if score is None else f'{score:.4f}'}"
        for text, score in zip(options.texts, scores, strict=True)
    )
    if len(letters) > 1:
        return undecided_text(f"{shown}; the best options are equally probable")
    return f"<think>{shown}</think><answer>{letters[0]}</answer>"


def undecided_text(reason: str) -> str:
    """Return a response that both grading protocols read as undecided, with the reason as its thought."""
    return f"<think>{reason}</think><answer>{UNDECIDED}</answer>"


def _probability(classes: Classes, probabilities: Sequence[float]) -> float:
    return math.fsum(math.fsum(probabilities[index] for index in indices) for indices in classes) / len(classes)
