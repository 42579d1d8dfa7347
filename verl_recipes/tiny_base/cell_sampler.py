"""Draws naming exercises from shots of which every dimension is known: one exercise is one dimension of one shot.

- *Certain*: the target is a term that is certainly true, or "none". Terms are drawn by the square root of their
  frequency, so that rare ones are learned; "none", which is most of camera angle, is at most `NONE_SHARE` of them.
- *Uncertain*: the truth is among a few terms. It is learned that the other terms are wrong.

Half of the targets of clips are complete labels, with all movements and the label's end. From these the model learns
whether there is a second movement.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from lmms_eval_shotbench.labelling.asking.shot_views import VIEWS, ShotView, term_as_filmed
from lmms_eval_shotbench.labelling.truth import BadTruth, ShotTruth, TruthStatus
from lmms_eval_shotbench.labelling.vote import NO_TERM
from lmms_eval_shotbench.qwen.rope_positions import PositionRule
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, Label, MediaKind, View
from verl_recipes.tiny_base.exercises import Exercise, ExerciseMaker
from verl_recipes.tiny_base.forward import MediaBatch
from verl_recipes.tiny_base.media_batches import require_one_size, stack_media
from verl_recipes.tiny_base.whole_shots import ShotFrames, WholeShot, truth_in_view

NONE_SHARE = 0.4  # maximum share of "none" among the certain exercises of a dimension
UNCERTAIN_SHARE = 0.15  # share of uncertain exercises in a dimension that has some
COMPLETE_SHARE = 0.5  # share of complete labels among exercises on clips


class CellSampler:
    """Draws batches of exercises of one kind of medium."""

    def __init__(
        self, shots: Sequence[WholeShot], exercise_maker: ExerciseMaker, rule: PositionRule, draw: Random
    ) -> None:
        require_one_size([*(shot.stills for shot in shots), *(shot.clip.frames for shot in shots if shot.clip)])
        self._maker, self._rule, self._draw = exercise_maker, rule, draw
        self._certain: dict[Dimension, dict[str, list[WholeShot]]] = {}  # by term or `NO_TERM`
        self._uncertain: dict[Dimension, list[WholeShot]] = {}
        for dimension in DIMENSIONS:
            visible = [shot for shot in shots if shot.clip or dimension.media_kind is MediaKind.STILL]
            for shot in visible:
                truth = shot.truths[dimension.slug]
                for name in answers(truth, dimension):
                    self._certain.setdefault(dimension, {}).setdefault(name, []).append(shot)
                if truth.status is TruthStatus.UNCERTAIN and truth.possible:
                    self._uncertain.setdefault(dimension, []).append(shot)
        self._weights = {dimension: _weights(by_name) for dimension, by_name in self._certain.items()}

    def step(self, kind: MediaKind, size: int, pairs: int) -> tuple[list[Exercise], MediaBatch]:
        """`size` exercises on stills or clips, any dimension equally likely, and their media; `pairs` as in `Phase`."""
        dimensions = [dimension for dimension in self._certain if dimension.media_kind is kind]
        if not dimensions:
            raise BadTruth(f"no {kind} of the films has a dimension of which the truth is certain")
        drawn = [self._exercise(self._draw.choice(dimensions)) for _ in range(size)]
        media = stack_media([shown for _, shown in drawn], self._rule, pairs, self._draw)
        return [exercise for exercise, _ in drawn], media

    def _exercise(self, dimension: Dimension) -> tuple[Exercise, ShotFrames]:
        uncertain = self._uncertain.get(dimension, [])
        if uncertain and self._draw.random() < UNCERTAIN_SHARE:
            shot = self._draw.choice(uncertain)
            view, truth = self._drawn_view(shot, dimension)
            excluded = [term.name for term in dimension.terms if truth.excludes(dimension, term.name)]
            return self._maker.ruling_out(dimension, excluded), self._frames(shot, dimension, view)
        weights = self._weights[dimension]
        name = self._draw.choices(list(weights), list(weights.values()))[0]
        shot = self._draw.choice(self._certain[dimension][name])
        view, truth = self._drawn_view(shot, dimension)
        exercise = self._maker.naming_of(dimension, term_as_filmed(name, dimension, view))
        if truth.label and dimension.media_kind is MediaKind.CLIP and self._draw.random() < COMPLETE_SHARE:
            label = self._reordered(dimension.parse(truth.label))
            exercise = self._maker.naming_of(dimension, label, complete=True)
        return exercise, self._frames(shot, dimension, view)

    def _drawn_view(self, shot: WholeShot, dimension: Dimension) -> tuple[ShotView, ShotTruth]:
        """A random view, and what is true in it; not reversed if the truth of the reversed clip is unknown."""
        truth, view = shot.truths[dimension.slug], self._draw.choice(VIEWS[dimension.media_kind])
        if seen := truth_in_view(truth, dimension, view):
            return view, seen
        view = tuple(one for one in view if one is not View.REVERSED)
        seen = truth_in_view(truth, dimension, view)
        assert seen is not None
        return view, seen

    def _frames(self, shot: WholeShot, dimension: Dimension, view: ShotView) -> ShotFrames:
        if dimension.media_kind is MediaKind.CLIP:
            return shot.key_frames(MediaKind.CLIP).in_view(view)
        number = self._draw.randrange(len(shot.stills))
        return ShotFrames(shot.stills[number : number + 1]).in_view(view)

    def _reordered(self, label: Label) -> str:
        """The label with simultaneous terms in random order."""
        return str(Label(tuple(tuple(self._draw.sample(step, len(step))) for step in label.steps)))


def answers(truth: ShotTruth, dimension: Dimension) -> list[str]:
    """What names the dimension rightly: terms that are certainly true, or `NO_TERM`; nothing if that is uncertain."""
    return [NO_TERM] if truth.status is TruthStatus.NONE else sorted(truth.terms(dimension))


def _weights(by_name: dict[str, list[WholeShot]]) -> dict[str, float]:
    """Probability, up to a factor, of each name as a target."""
    weights = {name: len(shots) ** 0.5 for name, shots in by_name.items() if name != NO_TERM}
    if nothing := by_name.get(NO_TERM):
        share = min(NONE_SHARE, len(nothing) / len({id(shot) for shots in by_name.values() for shot in shots}))
        weights[NO_TERM] = share / (1 - share) * sum(weights.values()) if weights else 1.0
    return weights
