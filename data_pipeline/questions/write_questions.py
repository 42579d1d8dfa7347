"""Generate one question per label of a shot; distractors are certainly wrong, and frequencies do not reveal answers.

Owns the order of the steps, the position of the right option and the creation of `QAItem`s. `distractors.py` decides
which labels are wrong for a shot, `balance.py` which of them share a question, so that option frequencies do not reveal
the answer. `questions_of_shots` is called once per split.

Random choices depend on the seed, the dimension and the ids of the shots. Reordering the shots reorders the questions
and changes nothing else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from itertools import islice
from random import Random
from string import ascii_uppercase
from typing import NamedTuple

from data_pipeline.defects import Defect, DefectKind
from data_pipeline.labelled_shot import LabelledShot, dimensions_for, label_text
from data_pipeline.questions.balance import fill_up, make_rounds, spread_over_films
from data_pipeline.questions.distractors import (
    canonical,
    derived_distractor_sets,
    has_no_wrong_term,
    is_wrong,
    label_distance,
    shape,
)
from lmms_eval_shotbench.prompts import plain_reasoning
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, Label

MAX_OPTION_SETS = 200  # maximum number of distractor sets derived from one compound label, before one is drawn


class Difficulty(StrEnum):
    """Similarity of the distractors to the right option."""

    HARD = "hard"  # most similar first: adjacent sizes, the same facet, movements that look alike
    EASY = "easy"  # least similar first
    ANY = "any"  # at random


# Distractors are sorted by weight * distance + a random number in [0, 1), smallest first.
DISTANCE_WEIGHTS = {Difficulty.HARD: 1.0, Difficulty.EASY: -1.0, Difficulty.ANY: 0.0}


@dataclass(frozen=True)
class QuestionPolicy:
    """Settings of question generation."""

    options: int = 4  # as in ShotBench
    fewest_options: int = 2  # minimum, where too few labels are certainly wrong or can be balanced
    difficulty: Difficulty = Difficulty.ANY
    max_per_term: int = 0  # maximum number of questions per label (right answer), dimension and split; 0: no limit
    balance: bool = True  # drop shots that cannot be balanced; if False, option frequencies may reveal answers
    seed: int = 0
    reasoning: bool = False  # add a chain of thought of one sentence, which states the label and no reason for it

    def __post_init__(self) -> None:
        if not 2 <= self.fewest_options <= self.options:
            raise ValueError(f"options must be at least fewest_options, which must be at least 2, got {self}")


class _Question(NamedTuple):
    shot: LabelledShot
    truth: str
    wrong: list[str]


def questions_of_shots(
    shots: Sequence[LabelledShot], policy: QuestionPolicy, defects: list[Defect], first_index: int = 0
) -> list[QAItem]:
    """Return one question per label of these shots; labels for which there is none are appended to `defects`.

    Questions are in the order of the shots, then of the dimensions; `source_index` numbers them from `first_index` on.
    """
    items: list[tuple[int, int, QAItem]] = []
    positions = {shot.shot_id: position for position, shot in enumerate(shots)}
    for number, dimension in enumerate(DIMENSIONS):
        labelled = [
            shot for shot in shots if dimension in dimensions_for(shot.media_kind) and dimension.slug in shot.labels
        ]
        for question, options, answer in _place_answers(
            dimension, _dimension_questions(dimension, labelled, policy, defects), policy
        ):
            item = _item(dimension, question, options, answer)
            item = replace(item, reasoning=plain_reasoning(item)) if policy.reasoning else item
            items.append((positions[question.shot.shot_id], number, item))
    items.sort(key=lambda entry: entry[:2])
    return [replace(item, source_index=index) for index, (_, _, item) in enumerate(items, start=first_index)]


def _dimension_questions(
    dimension: Dimension, shots: Iterable[LabelledShot], policy: QuestionPolicy, defects: list[Defect]
) -> Iterator[_Question]:
    waiting: defaultdict[str, list[LabelledShot]] = defaultdict(list)
    labels: dict[str, Label] = {}
    for shot in sorted(shots, key=lambda shot: shot.shot_id):
        label = canonical(dimension, dimension.parse(shot.labels[dimension.slug]))
        labels[text := label_text(label)] = label
        waiting[text].append(shot)
    for text, with_label in waiting.items():
        waiting[text] = spread_over_films(with_label, policy.seed)
        if policy.max_per_term:
            defects += [_dropped_for_balance(dimension, shot, text) for shot in waiting[text][policy.max_per_term :]]
            del waiting[text][policy.max_per_term :]
    by_shape: defaultdict[tuple[int, ...], dict[str, Label]] = defaultdict(dict)
    for text, label in labels.items():
        by_shape[shape(label)][text] = label
    for same_shape in by_shape.values():
        yield from _in_rounds(dimension, same_shape, waiting, policy)
    for text, label in labels.items():
        yield from _from_remaining(dimension, label, waiting[text], policy, defects)


def _in_rounds(
    dimension: Dimension, labels: dict[str, Label], waiting: dict[str, list[LabelledShot]], policy: QuestionPolicy
) -> Iterator[_Question]:
    """Yield questions built in rounds (see `balance.py`); their shots are removed from the front of `waiting`."""
    draw = Random(f"{policy.seed}/{dimension.slug}")

    @cache
    def wrong(truth: str, other: str) -> bool:
        return is_wrong(dimension, labels[truth], labels[other])

    @cache
    def weighted_distance(one: str, other: str) -> float:
        return label_distance(dimension, labels[one], labels[other]) * DISTANCE_WEIGHTS[policy.difficulty]

    def rank(one: str, other: str) -> float:
        return weighted_distance(one, other) + draw.random()

    rounds = make_rounds(
        {text: len(waiting[text]) for text in labels},
        range(policy.options, policy.fewest_options - 1, -1),
        lambda one, other: wrong(one, other) and wrong(other, one),
        rank,
    )
    asked = [(truth, [text for text in texts if text != truth]) for texts in rounds for truth in texts]
    fill_up(asked, policy.options, wrong, rank)
    for truth, options in asked:
        yield _Question(waiting[truth].pop(0), truth, options)


def _from_remaining(
    dimension: Dimension, label: Label, shots: Sequence[LabelledShot], policy: QuestionPolicy, defects: list[Defect]
) -> Iterator[_Question]:
    """Yield questions about shots that are in no round, with distractors derived from the label itself.

    With `policy.balance`, only the first remaining shot of a compound label gets one: derived once, its options have no
    frequencies that could reveal the answer. Shots without a question become defects.
    """
    for index, shot in enumerate(shots):
        draw = Random(f"{policy.seed}/{shot.shot_id}/{dimension.slug}")
        wrong = _derived_distractors(dimension, label, policy, draw)
        if wrong and (not policy.balance or (label.is_compound and index == 0)):
            yield _Question(shot, label_text(label), [label_text(other) for other in wrong])
        elif not wrong and has_no_wrong_term(dimension, label):
            detail = f"of {label_text(label)} no other {dimension.paper_name} is certainly wrong"
            defects.append(shot.loss(DefectKind.TOO_FEW_DISTRACTORS, detail, dimension))
        else:
            defects.append(_dropped_for_balance(dimension, shot, label_text(label)))


def _derived_distractors(dimension: Dimension, truth: Label, policy: QuestionPolicy, draw: Random) -> list[Label]:
    """Return wrong labels chosen by the label alone, whatever the other shots; empty if there are too few."""
    if truth.is_compound:
        sets = list(islice(derived_distractor_sets(dimension, truth), MAX_OPTION_SETS))
        wrong = list(draw.choice(sets)) if sets else []
        draw.shuffle(wrong)
    else:
        singles = [Label(((term,),)) for term in dimension.terms]
        wrong = [label for label in singles if is_wrong(dimension, truth, label)]
        weight = DISTANCE_WEIGHTS[policy.difficulty]
        wrong.sort(key=lambda label: weight * label_distance(dimension, truth, label) + draw.random())
    return wrong[: policy.options - 1] if len(wrong) + 1 >= policy.fewest_options else []


def _place_answers(
    dimension: Dimension, questions: Iterable[_Question], policy: QuestionPolicy
) -> Iterator[tuple[_Question, list[str], int]]:
    """Yield (question, options, answer index); the right option gets the position that was right least often so far.

    Positions are counted over the questions with the same number of options. Ties are broken by the count over those
    that also have the same answer, then at random.
    """
    overall: Counter[tuple[int, int]] = Counter()
    by_label: Counter[tuple[int, int, str]] = Counter()
    for question in questions:
        draw = Random(f"{policy.seed}/{question.shot.shot_id}/{dimension.slug}/letters")
        options, count = list(question.wrong), len(question.wrong) + 1
        draw.shuffle(options)
        keys = [
            (overall[count, position], by_label[count, position, question.truth], draw.random(), position)
            for position in range(count)
        ]
        position = min(keys)[-1]
        overall[count, position] += 1
        by_label[count, position, question.truth] += 1
        options.insert(position, question.truth)
        yield question, options, position


def _item(dimension: Dimension, question: _Question, options: Sequence[str], answer: int) -> QAItem:
    shot = question.shot
    return QAItem(
        item_id="-".join(filter(None, (shot.source, shot.shot_id, dimension.abbreviation))),
        dimension=dimension.slug,
        question=dimension.question,
        options=tuple(options),
        answer=ascii_uppercase[answer],
        media_kind=shot.media_kind,
        media_path=shot.media_path,
        source=shot.source,
        licence=shot.licence,
        media_sha256=shot.media_sha256,
        film_id=shot.film_id,
        start_seconds=shot.start_seconds,
        end_seconds=shot.end_seconds,
    )


def _dropped_for_balance(dimension: Dimension, shot: LabelledShot, label: str) -> Defect:
    detail = f"more of {label} would tell the answer, or there are as many as wanted"
    return shot.loss(DefectKind.SURPLUS, detail, dimension)
