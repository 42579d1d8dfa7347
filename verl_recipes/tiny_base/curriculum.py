"""The curriculum of the tiny base model: its phases, and the exercises and pictures of each step.

The kinds of exercises are explained in `exercises.py`. Binding is trained first and alone, because it was never learned
when mixed with other exercises from the start. Then naming is trained, on stills and clips, with some binding
exercises, half of them with a picture, so that binding is not forgotten. That is the base model. Supervised fine-tuning
on complete answers comes next: by the recipe `cot_sft`, or by the phase `FINISHING` without verl. The last phase,
`LABELLING`, trains naming on films of which every dimension of every shot is known, "none" included, and some complete
answers, so that they are not forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from lmms_eval_shotbench.qwen.rope_positions import PositionRule
from lmms_eval_shotbench.vocabulary import MediaKind
from verl_recipes.tiny_base.cell_sampler import CellSampler
from verl_recipes.tiny_base.exercises import Exercise, ExerciseMaker
from verl_recipes.tiny_base.forward import MediaBatch
from verl_recipes.tiny_base.media_batches import require_one_size, stack_media
from verl_recipes.tiny_base.shots import Shot, mirrored, time_reversed
from verl_recipes.tiny_base.whole_shots import WholeShot


class Practice(StrEnum):
    """Kinds of exercises; all exercises of a training step are of one kind."""

    BINDING = "binding"
    BINDING_SEEN = "binding beside a picture"  # a random picture, unrelated to the question
    STILLS = "stills"  # naming
    CLIPS = "clips"
    REASONED_STILLS = "reasoned stills"
    REASONED_CLIPS = "reasoned clips"
    FILM_STILLS = "stills of films"  # naming, any dimension of a shot, "none" included
    FILM_CLIPS = "clips of films"


@dataclass(frozen=True)
class Phase:
    """A phase of training: `steps` steps, the kind of each drawn with the probabilities `shares`."""

    steps: int
    shares: Mapping[Practice, float]
    pairs: int = 5  # number of pairs of frames per clip, drawn at random; 0 for all, as in the evaluation


BINDING = Phase(300, {Practice.BINDING: 1.0})
NAMING = Phase(
    4200,
    {Practice.STILLS: 0.46, Practice.CLIPS: 0.38, Practice.BINDING: 0.08, Practice.BINDING_SEEN: 0.08},
)
FINISHING = Phase(
    900,
    {
        Practice.STILLS: 0.2,
        Practice.CLIPS: 0.22,
        Practice.REASONED_STILLS: 0.28,
        Practice.REASONED_CLIPS: 0.25,
        Practice.BINDING: 0.05,
    },
    pairs=7,
)
LABELLING = Phase(
    4000,
    {
        Practice.FILM_STILLS: 0.34,
        Practice.FILM_CLIPS: 0.26,
        Practice.REASONED_STILLS: 0.17,
        Practice.REASONED_CLIPS: 0.17,
        Practice.BINDING: 0.06,
    },
    pairs=7,
)
BATCH = {  # exercises per step
    Practice.BINDING: 64,
    Practice.BINDING_SEEN: 32,
    Practice.STILLS: 64,
    Practice.CLIPS: 32,
    Practice.REASONED_STILLS: 48,
    Practice.REASONED_CLIPS: 32,
    Practice.FILM_STILLS: 64,
    Practice.FILM_CLIPS: 32,
}


class ExerciseSampler:
    """Draws the exercises of each step."""

    def __init__(
        self,
        shots: Sequence[Shot],
        exercise_maker: ExerciseMaker,
        rule: PositionRule,
        draw: Random,
        film_shots: Sequence[WholeShot] = (),
    ) -> None:
        """Sort the shots; `film_shots` are those of the exercises of films.

        Raises:
            UnevenPictures: pictures of the shots have different sizes.
        """
        require_one_size(shot.frames for shot in shots)
        self._cells = CellSampler(film_shots, exercise_maker, rule, draw)
        self._maker, self._rule, self._draw = exercise_maker, rule, draw
        self._items = [shot.item for shot in shots]
        self._by_dimension: dict[str, list[Shot]] = {}
        self._stills = [shot for shot in shots if shot.item.media_kind is MediaKind.STILL]
        self._all_clips = [shot for shot in shots if shot.item.media_kind is MediaKind.CLIP]
        for shot in self._stills:  # all dimensions are equally likely, however many shots they have
            self._by_dimension.setdefault(shot.item.dimension, []).append(shot)
        self._clips: dict[int, list[Shot]] = {}  # by number of frames
        for shot in self._all_clips:
            self._clips.setdefault(len(shot.frames), []).append(shot)

    def step(self, practice: Practice, pairs: int) -> tuple[list[Exercise], MediaBatch | None]:
        """A batch of exercises of one kind, and their media; `pairs` as in `Phase`."""
        size = BATCH[practice]
        if practice is Practice.BINDING:
            return [self._maker.binding(self._maker.random_question(self._items)) for _ in range(size)], None
        if practice is Practice.BINDING_SEEN:
            return self._binding_with_media(size, pairs)
        if practice in (Practice.FILM_STILLS, Practice.FILM_CLIPS):
            kind = MediaKind.STILL if practice is Practice.FILM_STILLS else MediaKind.CLIP
            return self._cells.step(kind, size, pairs)
        if practice in (Practice.STILLS, Practice.REASONED_STILLS):
            slugs = self._draw.choices(list(self._by_dimension), k=size)
            shots = [self._augmented(self._draw.choice(self._by_dimension[slug])) for slug in slugs]
        else:
            shots = [self._augmented(shot) for shot in self._drawn_clips(size, pairs)]
        named = practice in (Practice.STILLS, Practice.CLIPS)
        exercises = [
            self._maker.naming(shot.item) if named else self._maker.reasoning(self._maker.with_new_options(shot.item))
            for shot in shots
        ]
        return exercises, stack_media(shots, self._rule, pairs, self._draw)

    def _binding_with_media(self, size: int, pairs: int) -> tuple[list[Exercise], MediaBatch]:
        shots = self._draw.choice((self._stills, self._all_clips))
        shown, questioned = (self._draw.choices(shots, k=size) for _ in range(2))
        exercises = [self._maker.binding(self._maker.random_question([shot.item])) for shot in questioned]
        return exercises, stack_media(shown, self._rule, pairs, self._draw)

    def _drawn_clips(self, size: int, pairs: int) -> list[Shot]:
        """Random clips; if all of their frames are shown, clips of one length."""
        if pairs:
            return self._draw.choices(self._all_clips, k=size)
        length = self._draw.choices(list(self._clips), [len(clips) for clips in self._clips.values()])[0]
        return self._draw.choices(self._clips[length], k=size)

    def _augmented(self, shot: Shot) -> Shot:
        """The shot, mirrored and reversed at random."""
        if self._draw.random() < 0.5:
            shot = mirrored(shot)
        if shot.item.media_kind is MediaKind.CLIP and self._draw.random() < 0.5:
            shot = time_reversed(shot) or shot
        return shot
