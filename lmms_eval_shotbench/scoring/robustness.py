"""Answers to a question and to its variant, together: does the answer move as the shot does?

- **accuracy** on the originals and on the changed questions, over the same originals;
- **consistency**: the answer to the changed question says what the original answer has become ("Pan left" in the mirror
  "Pan right"), right or wrong; of several rotations, all of them. An undecided answer is consistent with nothing. It is
  taken over the questions whose right answer still says the same: "yes" to a refined question does not. Without media
  it means nothing, and is not given;
- **both**: right on the original and on all that it was changed to;
- **robust accuracy**: the same, over the questions in which saying the same twice is wrong once. In the mirror and
  backwards those are the ones whose answer moves to another option that was on offer all along: the options hold both
  ways, so who goes by the text alone and says the same twice gets none. Rotations move every answer to another letter.
  Without media nothing moves, and no robust accuracy is given: what is right then is a guess.

Pure functions; standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lmms_eval_shotbench.grading.grade import Grade
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.variants import Variant, corresponding_letter
from lmms_eval_shotbench.scoring.metrics import Estimate, Graded, accuracy
from lmms_eval_shotbench.vocabulary import DIMENSIONS, View


@dataclass(frozen=True)
class AskedTwice:
    """A question with its answer, and what it was changed to with the answers to that; None is undecided."""

    item: QAItem
    letter: str | None
    changed: Sequence[tuple[QAItem, str | None]]

    @property
    def right(self) -> bool:
        """Whether the original answer is right."""
        return self.letter == self.item.answer

    @property
    def both(self) -> bool:
        """Whether every answer is right, the original one and the others."""
        return self.right and all(letter == item.answer for item, letter in self.changed)

    @property
    def consistent(self) -> bool:
        """Whether every answer to the changed question says what the original one has become."""
        if self.letter is None:
            return False
        return all(
            letter is not None and letter == corresponding_letter(self.item, to, self.letter)
            for to, letter in self.changed
        )

    @property
    def comparable(self) -> bool:
        """Whether what is right is still said by what it has become."""
        return all(corresponding_letter(self.item, to, self.item.answer) == to.answer for to, _ in self.changed)

    @property
    def moved(self) -> bool:
        """Whether another of the options has become right."""
        return any(item.answer != self.item.answer for item, _ in self.changed)


@dataclass(frozen=True)
class Robustness:
    """The numbers of some questions. Each estimate's `n` are those of them that count for it; None stands for none."""

    n: int
    original: Estimate
    changed: Estimate
    consistency: Estimate | None
    both: Estimate
    robust: Estimate | None


@dataclass(frozen=True)
class VariantScores:
    """All numbers of a variant, and what must be known to read them rightly."""

    variant: str
    overall: Robustness
    by_dimension: dict[str, Robustness]
    left_out: Sequence[int] = ()  # indices of questions that cannot be asked so
    remarks: Sequence[str] = ()


def variant_scores(variant: Variant, asked: Sequence[AskedTwice]) -> VariantScores:
    """Compute all numbers; raises `ValueError` where there is nothing to compare."""
    if not asked:
        raise ValueError(f"no question was asked both as it is and {variant.name}")
    groups = {d.slug: [one for one in asked if one.item.dimension == d.slug] for d in DIMENSIONS}
    return VariantScores(
        variant.name,
        _robustness(variant, asked),
        {slug: _robustness(variant, group) for slug, group in groups.items() if group},
    )


def _robustness(variant: Variant, asked: Sequence[AskedTwice]) -> Robustness:
    changed = [Graded(one.item, _grade(letter == to.answer)) for one in asked for to, letter in one.changed]
    comparable = [one for one in asked if variant.shows_media and one.comparable]
    counting = _counting(variant, asked)
    return Robustness(
        len(asked),
        _share(asked, lambda one: one.right),
        accuracy(changed),
        _share(comparable, lambda one: one.consistent) if comparable else None,
        _share(asked, lambda one: one.both),
        _share(counting, lambda one: one.both) if counting else None,
    )


def _counting(variant: Variant, asked: Sequence[AskedTwice]) -> Sequence[AskedTwice]:
    """The questions that count for robust accuracy."""
    if not variant.shows_media:
        return []
    return asked if variant.view is View.AS_FILMED else [one for one in asked if one.moved]


def _share(asked: Sequence[AskedTwice], of: Callable[[AskedTwice], bool]) -> Estimate:
    """Share of questions, with the interval of an accuracy."""
    return accuracy([Graded(one.item, _grade(of(one))) for one in asked])


def _grade(correct: bool) -> Grade:
    return Grade(None, correct, "robustness", well_formed=False)
