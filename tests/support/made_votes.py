"""Shots with votes and truth drawn from a known process, as a shot sheet and a truth table."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from lmms_eval_shotbench.labelling.deciding.calibration import Calibration
from lmms_eval_shotbench.labelling.deciding.decide import decide
from lmms_eval_shotbench.labelling.label_cell import LabelCell, Status
from lmms_eval_shotbench.labelling.shot import FilmFacts, FilmShot
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow, ShotSheet
from lmms_eval_shotbench.labelling.truth import NOTHING, ShotTruth, Transition, TruthRow, TruthStatus
from lmms_eval_shotbench.labelling.vote import NO_TERM, Vote, Way
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension

RATE = Fraction(24)
SECONDS = 2.0  # of every shot
MODEL = "tiny@1"


@dataclass(frozen=True)
class VotingModel:
    """How votes come about: a term's score is noise, plus `sight` if it is true, plus the bias of the first term."""

    name: str = MODEL
    way: Way = Way.PROBABILITY
    sight: float = 2.5
    bias: float = 1.0
    sharpness: float = 3.0  # factor on scores: above 1, the model is more certain than it has reason to be
    views: int = 2
    names_none: bool = False  # it can vote for NO_TERM

    def votes(self, chance: random.Random, dimension: Dimension, true: frozenset[str]) -> list[Vote]:
        """Votes on a shot."""
        answers = [term.name for term in dimension.terms] + [NO_TERM] * self.names_none
        true = true or frozenset([NO_TERM])
        scores = {answer: chance.gauss(0, 1) + self.sight * (answer in true) for answer in answers}
        scores[answers[0]] += self.bias
        return [self._vote(chance, dimension, scores, number) for number in range(self.views)]

    def _vote(self, chance: random.Random, dimension: Dimension, scores: Mapping[str, float], number: int) -> Vote:
        seen = {answer: math.exp(self.sharpness * (score + chance.gauss(0, 0.3))) for answer, score in scores.items()}
        total = math.fsum(seen.values())
        shares = {answer: share / total for answer, share in seen.items()}
        return Vote(dimension.slug, self.name, self.way, "still.jpg", f"view {number}", shares)


def drawn_truth(chance: random.Random, dimension: Dimension, none_share: float, terms: int = 1) -> ShotTruth:
    """A true label of so many terms, each of another facet, or none."""
    if chance.random() < none_share:
        return NOTHING
    by_facet = {term.facet: term.name for term in chance.sample(dimension.terms, len(dimension.terms))}
    names = chance.sample(sorted(by_facet.values()), min(terms, len(by_facet)))
    label = ", ".join(sorted(names, key=[term.name for term in dimension.terms].index))
    return ShotTruth(TruthStatus.LABELLED, label)


def made_truths(
    films: int, shots: int, dimensions: Sequence[Dimension] = DIMENSIONS, none_share: float = 0.3, seed: int = 0
) -> list[TruthRow]:
    """Rows of a truth table: films of consecutive shots of the same length, with hard cuts."""
    chance = random.Random(seed)
    return [
        TruthRow(
            f"film-{film}",
            f"films/film-{film}.mp4",
            SECONDS * shot,
            SECONDS * (shot + 1),
            f"{film}-{shot}",
            Transition.CUT if shot else Transition.START,
            truths={one.slug: drawn_truth(chance, one, none_share) for one in dimensions},
        )
        for film in range(films)
        for shot in range(shots)
    ]


def made_sheet(
    truths: Sequence[TruthRow],
    models: Sequence[VotingModel] = (VotingModel(),),
    calibration: Calibration | None = None,
    min_confidence: float | None = 0.0,
    seed: int = 1,
) -> ShotSheet:
    """The sheet that these models' votes on the shots of a truth table make."""
    chance = random.Random(seed)
    rows = []
    for truth in truths:
        votes = [
            vote
            for dimension in DIMENSIONS
            if dimension.slug in truth.truths
            for model in models
            for vote in model.votes(chance, dimension, truth.of(dimension).terms(dimension))
        ]
        cells = {
            one.slug: decide(one, votes, calibration, min_confidence) for one in DIMENSIONS if one.slug in truth.truths
        }
        rows.append(SheetRow(_shot(truth), cells, votes))
    return ShotSheet(_films(truths), rows)


def perfect_sheet(truths: Sequence[TruthRow]) -> ShotSheet:
    """The sheet that has every label of a truth table."""
    return ShotSheet(_films(truths), [SheetRow(_shot(truth), _true_cells(truth)) for truth in truths])


def _true_cells(truth: TruthRow) -> dict[str, LabelCell]:
    return {
        slug: LabelCell(Status.NONE if one.status is TruthStatus.NONE else Status.LABELLED, one.label, 1.0)
        for slug, one in truth.truths.items()
        if one.status is not TruthStatus.UNCERTAIN
    }


def _shot(truth: TruthRow) -> FilmShot:
    start, end = truth.start or 0.0, truth.end or 0.0
    film, number = truth.film_id, int(truth.shot_id.split("-")[-1]) + 1
    frames = (round(start * RATE), round(end * RATE))
    return FilmShot(truth.shot_id, film, number, "still.jpg", "clip.mp4", *frames, start, end)


def _films(truths: Sequence[TruthRow]) -> list[FilmFacts]:
    ends = {truth.film_id: (truth.media, truth.end or 0.0) for truth in truths}
    return [
        FilmFacts(film, media, f"/{media}", RATE, round(end * RATE), 320, 180) for film, (media, end) in ends.items()
    ]
