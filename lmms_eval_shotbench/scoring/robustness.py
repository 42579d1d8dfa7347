"""Robustness: scores of a model's answers to questions and to their transformed variants.

- **accuracy** on the originals and on the transformed questions, over the same originals;
- **consistency**: share of questions whose answers to all transformed questions correspond to the answer to the
  original ("Pan left" becomes "Pan right" when mirrored), correct or not. An undecided answer is never consistent.
  Questions whose correct answer corresponds to no original option, such as "yes" to a refined question, are excluded.
  Undefined for the blind variant;
- **both**: share of questions answered correctly in the original and in all its transformed questions;
- **robust accuracy**: the same, over the questions where repeating one answer is wrong at least once. For mirrored and
  reversed media these are the questions whose correct answer becomes another of the original options: the options are
  the same, so a model that uses only the text and repeats its answer scores 0. Rotations move every correct answer to
  another letter, so all questions count, as do all refined ones. Undefined for the blind variant, where correct answers
  are guesses.

Pure functions.
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
class VariantAnswers:
    """A question and its transformed questions, each with the answered letter; None is undecided."""

    item: QAItem
    letter: str | None
    changed: Sequence[tuple[QAItem, str | None]]

    @property
    def right(self) -> bool:
        """Whether the answer to the original is correct."""
        return self.letter == self.item.answer

    @property
    def both(self) -> bool:
        """Whether the answers to the original and to all transformed questions are correct."""
        return self.right and all(letter == item.answer for item, letter in self.changed)

    @property
    def consistent(self) -> bool:
        """Whether the answers to all transformed questions correspond to the original answer."""
        if self.letter is None:
            return False
        return all(
            letter is not None and letter == corresponding_letter(self.item, to, self.letter)
            for to, letter in self.changed
        )

    @property
    def comparable(self) -> bool:
        """Whether the correct answers of all transformed questions correspond to the original correct answer."""
        return all(corresponding_letter(self.item, to, self.item.answer) == to.answer for to, _ in self.changed)

    @property
    def moved(self) -> bool:
        """Whether the letter of the correct answer changes in any transformed question."""
        return any(item.answer != self.item.answer for item, _ in self.changed)


@dataclass(frozen=True)
class Robustness:
    """Metrics of a set of questions. Each estimate has its own `n`; it is None if it covers no questions.

    `changed` and `both` are None if a blind run does not measure them, because too many responses are refusals.
    """

    n: int
    original: Estimate
    changed: Estimate | None
    consistency: Estimate | None
    both: Estimate | None
    robust: Estimate | None


@dataclass(frozen=True)
class VariantScores:
    """All metrics of a variant, with the questions left out and remarks on their interpretation."""

    variant: str
    overall: Robustness
    by_dimension: dict[str, Robustness]
    left_out: Sequence[int] = ()  # source indices of questions without this variant
    remarks: Sequence[str] = ()


def variant_scores(variant: Variant, asked: Sequence[VariantAnswers], measured: bool = True) -> VariantScores:
    """Compute all metrics; raises `ValueError` if there are no questions.

    Args:
        variant: The variant of the transformed questions.
        asked: The questions and answers.
        measured: False if the answers to the transformed questions do not measure the model (a blind run with many
            refusals).
    """
    if not asked:
        raise ValueError(f"no question was asked both in its original form and {variant.name}")
    groups = {d.slug: [one for one in asked if one.item.dimension == d.slug] for d in DIMENSIONS}
    return VariantScores(
        variant.name,
        _robustness(variant, asked, measured),
        {slug: _robustness(variant, group, measured) for slug, group in groups.items() if group},
    )


def _robustness(variant: Variant, asked: Sequence[VariantAnswers], measured: bool) -> Robustness:
    changed = [Graded(one.item, _grade(letter == to.answer)) for one in asked for to, letter in one.changed]
    comparable = [one for one in asked if variant.shows_media and one.comparable]
    robust = robust_questions(variant, asked)
    return Robustness(
        len(asked),
        _share(asked, lambda one: one.right),
        accuracy(changed) if measured else None,
        _share(comparable, lambda one: one.consistent) if comparable else None,
        _share(asked, lambda one: one.both) if measured else None,
        _share(robust, lambda one: one.both) if robust else None,
    )


def robust_questions(variant: Variant, asked: Sequence[VariantAnswers]) -> Sequence[VariantAnswers]:
    """Questions over which robust accuracy is computed."""
    if not variant.shows_media:
        return []
    return asked if variant.view is View.AS_FILMED else [one for one in asked if one.moved]


def _share(asked: Sequence[VariantAnswers], of: Callable[[VariantAnswers], bool]) -> Estimate:
    """Share of questions for which `of` is true, with the confidence interval of an accuracy."""
    return accuracy([Graded(one.item, _grade(of(one))) for one in asked])


def _grade(correct: bool) -> Grade:
    return Grade(None, correct, "robustness", well_formed=False)
