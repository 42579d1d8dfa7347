"""Dissolves and fades: how many, and what their frames show."""

from __future__ import annotations

from collections import Counter

import numpy as np

from data_pipeline.studio.transitions import CUT, LENGTHS, SHARE, Join, draw_joins
from lmms_eval_shotbench.labelling.truth import Transition

DARK, BRIGHT = (np.full((4, 6, 3), tone, np.uint8) for tone in (40, 200))


def test_without_transitions_all_shots_but_the_first_begin_with_a_cut() -> None:
    assert draw_joins(0, 0, 3, False) == [Join(Transition.START), CUT, CUT]


def test_a_tenth_of_the_shots_begins_with_a_dissolve_and_a_tenth_with_a_fade() -> None:
    joins = [join for film in range(30) for join in draw_joins(5, film, 66, True)[1:]]
    shares = Counter(join.transition for join in joins)
    for kind in (Transition.DISSOLVE, Transition.FADE):
        assert abs(shares[kind] / len(joins) - SHARE) < 0.03
    assert {2 * join.half for join in joins if join.half} == set(LENGTHS)
    assert draw_joins(5, 3, 66, True) == draw_joins(5, 3, 66, True) != draw_joins(5, 4, 66, True)


def test_a_dissolve_goes_evenly_from_one_shot_to_the_other() -> None:
    join = Join(Transition.DISSOLVE, 4)
    tones = [int(picture[0, 0, 0]) for picture in join.joined([DARK] * 8, [BRIGHT] * 8)]
    steps = np.diff([40, *tones, 200])
    assert join.beyond == 4 and len(tones) == 8 and steps.min() > 0 and np.ptp(steps) <= 1


def test_a_fade_is_black_in_the_middle_and_clear_at_its_ends() -> None:
    join = Join(Transition.FADE, 4)
    tones = [int(picture[0, 0, 0]) for picture in join.joined([DARK] * 4, [BRIGHT] * 4)]
    assert join.beyond == 0 and tones == [30, 20, 10, 0, 0, 50, 100, 150]


def test_a_cut_has_no_frames() -> None:
    assert list(CUT.joined([], [])) == [] and CUT.beyond == 0
