"""Labelled shots become questions: one for every label, its wrong options certainly wrong, nothing given away blind.

Owns the flow and the items. Which labels are wrong of a shot is judged in `distractors.py`; which of them are offered
together, so that neither frequencies nor letters tell the answer, in `balance.py`. Call it once for each split.

Everything drawn depends on the seed and the shot's id. The same shots in another order give the same questions, in
that order.
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
    crossed,
    distance,
    is_hopeless,
    is_wrong,
    shape,
)
from lmms_eval_shotbench.prompts import plain_reasoning
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, Label

SETS_TRIED = 200  # of options made from one compound label


class Difficulty(StrEnum):
    """How near the wrong options are to the right one."""

    HARD = "hard"  # the nearest sizes, the same facet, movements that look alike
    EASY = "easy"
    ANY = "any"


NEARNESS = {Difficulty.HARD: 1.0, Difficulty.EASY: -1.0, Difficulty.ANY: 0.0}  # what distance counts beside chance


@dataclass(frozen=True)
class QuestionPolicy:
    """How shots are asked about."""

    options: int = 4  # as in ShotBench
    fewest_options: int = 2  # where the language of film has no more that are certainly wrong
    difficulty: Difficulty = Difficulty.ANY
    max_per_term: int = 0  # questions with one right answer, in one dimension and split; 0: no limit
    balance: bool = True  # False: no shot is surplus, and frequencies may give answers away
    seed: int = 0
    reasoning: bool = False  # with the plainest chain of thought; for labels that are true by construction

    def __post_init__(self) -> None:
        if not 2 <= self.fewest_options <= self.options:
            raise ValueError(f"options must be 2 or more and no fewer than fewest_options, got {self}")


class _Question(NamedTuple):
    shot: LabelledShot
    truth: str
    wrong: list[str]


def ask(
    shots: Sequence[LabelledShot], policy: QuestionPolicy, defects: list[Defect], first_index: int = 0
) -> list[QAItem]:
    """Ask one question of every label of these shots; what goes without one is named in `defects`.

    Questions come in the order of the shots; `source_index` counts them from `first_index` on.
    """
    items: list[tuple[int, int, QAItem]] = []
    places = {shot.shot_id: place for place, shot in enumerate(shots)}
    for number, dimension in enumerate(DIMENSIONS):
        labelled = [
            shot for shot in shots if dimension in dimensions_for(shot.media_kind) and dimension.slug in shot.labels
        ]
        for question, options, answer in _lettered(dimension, _questions(dimension, labelled, policy, defects), policy):
            item = _item(dimension, question, options, answer)
            item = replace(item, reasoning=plain_reasoning(item)) if policy.reasoning else item
            items.append((places[question.shot.shot_id], number, item))
    items.sort(key=lambda entry: entry[:2])
    return [replace(item, source_index=index) for index, (_, _, item) in enumerate(items, start=first_index)]


def _questions(
    dimension: Dimension, shots: Iterable[LabelledShot], policy: QuestionPolicy, defects: list[Defect]
) -> Iterator[_Question]:
    waiting: defaultdict[str, list[LabelledShot]] = defaultdict(list)
    labels: dict[str, Label] = {}
    for shot in sorted(shots, key=lambda shot: shot.shot_id):
        label = canonical(dimension, dimension.parse(shot.labels[dimension.slug]))
        labels[text := label_text(label)] = label
        waiting[text].append(shot)
    for text, same in waiting.items():
        waiting[text] = spread_over_films(same, policy.seed)
        if policy.max_per_term:
            defects += [_surplus(dimension, shot, text) for shot in waiting[text][policy.max_per_term :]]
            del waiting[text][policy.max_per_term :]
    by_shape: defaultdict[tuple[int, ...], dict[str, Label]] = defaultdict(dict)
    for text, label in labels.items():
        by_shape[shape(label)][text] = label
    for alike in by_shape.values():
        yield from _in_rounds(dimension, alike, waiting, policy)
    for text, label in labels.items():
        yield from _left_over(dimension, label, waiting[text], policy, defects)


def _in_rounds(
    dimension: Dimension, labels: dict[str, Label], waiting: dict[str, list[LabelledShot]], policy: QuestionPolicy
) -> Iterator[_Question]:
    """Questions whose options are each other's answers; takes their shots out of `waiting`, first ones first."""
    draw = Random(f"{policy.seed}/{dimension.slug}")

    @cache
    def wrong(truth: str, said: str) -> bool:
        return is_wrong(dimension, labels[truth], labels[said])

    @cache
    def apart(one: str, other: str) -> float:
        return distance(dimension, labels[one], labels[other]) * NEARNESS[policy.difficulty]

    def rank(one: str, other: str) -> float:
        return apart(one, other) + draw.random()

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


def _left_over(
    dimension: Dimension, label: Label, shots: Sequence[LabelledShot], policy: QuestionPolicy, defects: list[Defect]
) -> Iterator[_Question]:
    """A compound label is asked once against labels made from it: a text seen once has no frequency to tell it by."""
    for place, shot in enumerate(shots):
        draw = Random(f"{policy.seed}/{shot.shot_id}/{dimension.slug}")
        wrong = _made_up(dimension, label, policy, draw)
        if wrong and (not policy.balance or (label.is_compound and not place)):
            yield _Question(shot, label_text(label), [label_text(other) for other in wrong])
        elif not wrong and is_hopeless(dimension, label):
            said = f"of {label_text(label)} no other {dimension.paper_name} is certainly wrong"
            defects.append(_defect(DefectKind.TOO_FEW_DISTRACTORS, dimension, shot, said))
        else:
            defects.append(_surplus(dimension, shot, label_text(label)))


def _made_up(dimension: Dimension, truth: Label, policy: QuestionPolicy, draw: Random) -> list[Label]:
    """Wrong labels that nobody gave, no matter how often they are offered; none where there are too few."""
    if truth.is_compound:
        sets = list(islice(crossed(dimension, truth), SETS_TRIED))
        wrong = list(draw.choice(sets)) if sets else []
        draw.shuffle(wrong)
    else:
        singles = [Label(((term,),)) for term in dimension.terms]
        wrong = [label for label in singles if is_wrong(dimension, truth, label)]
        apart = NEARNESS[policy.difficulty]
        wrong.sort(key=lambda label: apart * distance(dimension, truth, label) + draw.random())
    return wrong[: policy.options - 1] if len(wrong) + 1 >= policy.fewest_options else []


def _lettered(
    dimension: Dimension, questions: Iterable[_Question], policy: QuestionPolicy
) -> Iterator[tuple[_Question, list[str], int]]:
    """Put the right option where it stood least often: of all questions with as many options, then of its label."""
    of_all: Counter[tuple[int, int]] = Counter()
    of_label: Counter[tuple[int, int, str]] = Counter()
    for question in questions:
        draw = Random(f"{policy.seed}/{question.shot.shot_id}/{dimension.slug}/letters")
        options, many = list(question.wrong), len(question.wrong) + 1
        draw.shuffle(options)
        keys = [
            (of_all[many, place], of_label[many, place, question.truth], draw.random(), place) for place in range(many)
        ]
        place = min(keys)[-1]
        of_all[many, place] += 1
        of_label[many, place, question.truth] += 1
        options.insert(place, question.truth)
        yield question, options, place


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


def _surplus(dimension: Dimension, shot: LabelledShot, label: str) -> Defect:
    said = f"more of {label} would tell the answer, or there are as many as wanted"
    return _defect(DefectKind.SURPLUS, dimension, shot, said)


def _defect(kind: DefectKind, dimension: Dimension, shot: LabelledShot, detail: str) -> Defect:
    return Defect(kind, 0, f"{shot.shot_id}-{dimension.abbreviation}", shot.media_path, detail, loses_row=True)
