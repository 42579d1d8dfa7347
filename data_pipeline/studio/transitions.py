"""How the shots of a film are joined: by cuts, or some by dissolves and fades through black.

Owns which joins are transitions and the mixing of frames. A transition lies half before and half after the start of the
second shot. In a dissolve both shots are seen all the time, so each needs frames beyond its own range.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from data_pipeline.studio.encoding import Picture
from lmms_eval_shotbench.labelling.truth import Transition

SHARE = 0.1  # of the shots of a film that begin with a dissolve, and that begin with a fade
LENGTHS = (8, 10, 12, 14)  # frames; even, and less than a clip of 24 frames with one at each end


@dataclass(frozen=True)
class Join:
    """How a shot begins. `half` is the number of frames of the transition on either side of the start."""

    transition: Transition
    half: int = 0

    @property
    def beyond(self) -> int:
        """Frames that each of the two shots needs beyond its own range."""
        return self.half if self.transition is Transition.DISSOLVE else 0

    def joined(self, before: Sequence[Picture], after: Sequence[Picture]) -> Iterator[Picture]:
        """Yield the frames of the transition.

        Args:
            before: The last frames of the first shot: `half` of its own, then those beyond them.
            after: The first frames of the second shot: those before its own, then `half` of its own.
        """
        if self.transition is Transition.DISSOLVE:
            for number, (old, new) in enumerate(zip(before, after, strict=True), start=1):
                yield _mixed(old, new, number / (len(after) + 1))
        elif self.transition is Transition.FADE:
            black = np.zeros_like(after[0])
            for number, picture in enumerate((*before, *after)):
                away = abs(number + 0.5 - self.half) - 0.5  # frames from the two black ones in the middle
                yield _mixed(black, picture, away / self.half)


CUT = Join(Transition.CUT)


def draw_joins(seed: int, film: int, shots: int, with_transitions: bool) -> list[Join]:
    """Return how each shot of a film begins."""
    draw = Random(f"{seed} {film} transitions")
    joins = [Join(Transition.START), *[CUT] * (shots - 1)]
    for number in range(1, shots if with_transitions else 0):
        kinds = {0: Transition.DISSOLVE, 1: Transition.FADE}
        if kind := kinds.get(int(draw.random() / SHARE)):
            joins[number] = Join(kind, draw.choice(LENGTHS) // 2)
    return joins


def _mixed(old: Picture, new: Picture, share: float) -> Picture:
    """Mix two pictures; `share`, from 0 to 1, is that of the new one."""
    return np.asarray(np.rint(old * (1 - share) + new * share).astype(np.uint8))
