"""Knock-outs: the best term wins in the fewest games, whoever it meets, and no game goes on for ever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmms_eval_shotbench.labelling.asking.knock_out import GAME_SIZE, KnockOut
from lmms_eval_shotbench.vocabulary import DIMENSIONS

NONE = "None of these"
Winner = Callable[[Sequence[str]], str | None]


def play(knock_out: KnockOut, winner: Winner) -> list[list[tuple[str, ...]]]:
    """Play to the end; returns the games of each round."""
    rounds = []
    while games := knock_out.games():
        rounds.append(games)
        knock_out.settle([winner(options) for options in games])
    return rounds


def names(count: int) -> list[str]:
    return [f"term {number:02}" for number in range(count)]


@given(st.integers(2, 40), st.text(max_size=5))
def test_the_term_that_beats_all_others_wins_in_the_fewest_games(count: int, seed: str) -> None:
    knock_out = KnockOut(names(count), seed)
    rounds = play(knock_out, min)
    assert knock_out.shares() == {"term 00": 1.0}
    games = [game for games in rounds for game in games]
    assert len(games) == -(-(count - 1) // (GAME_SIZE - 1))
    assert all(2 <= len(game) <= GAME_SIZE and len(set(game)) == len(game) for game in games)


def test_the_movements_take_seven_games_in_three_rounds() -> None:
    rounds = play(KnockOut([term.name for term in DIMENSIONS[-1].terms], "a shot"), min)
    assert [len(games) for games in rounds] == [2, 4, 1]


@given(st.integers(1, 25), st.integers(0, 24), st.text(max_size=5))
def test_with_none_of_these_a_term_wins_only_if_it_is_better_than_none(count: int, good: int, seed: str) -> None:
    knock_out = KnockOut(names(count), seed, NONE)
    best = f"term {good:02}"
    rounds = play(knock_out, lambda options: best if best in options else NONE)
    assert all(NONE in options and len(options) <= GAME_SIZE for games in rounds for options in games)
    assert {term for options in rounds[0] for term in options} == {*names(count), NONE}  # every term had its chance
    assert knock_out.shares() == ({best: 1.0} if good < count else {})


@given(st.integers(1, 25), st.sampled_from(["", NONE]), st.text(max_size=3))
def test_every_knock_out_ends_whatever_the_answers(count: int, none: str, seed: str) -> None:
    chance = Random(seed)
    knock_out = KnockOut(names(count + (not none)), seed, none)
    rounds = play(knock_out, lambda options: chance.choice([None, *options]))
    shares = knock_out.shares()
    assert len(rounds) <= 4
    assert shares is None or not shares or sum(shares.values()) == pytest.approx(1)


def test_terms_of_a_game_without_a_winner_play_once_more_and_nothing_is_concluded_from_silence() -> None:
    silent = KnockOut(names(4), "a")
    rounds = play(silent, lambda options: None)
    assert silent.shares() is None
    assert len(rounds) == 2
    assert rounds[0][0] != rounds[1][0]  # in another order
    late = KnockOut(names(4), "a")
    late.settle([None])
    late.settle(["term 02"])
    assert late.shares() == {"term 02": 1.0}


def test_equal_seeds_draw_equal_games_as_long_as_the_winners_are_equal() -> None:
    terms = names(21)
    assert play(KnockOut(terms, "a"), min) == play(KnockOut(terms, "a"), min)
    first, second = KnockOut(terms, "a"), KnockOut(terms, "b")
    assert first.games() != second.games()
    one, other = play(KnockOut(terms, "a"), min), play(KnockOut(terms, "a"), max)
    assert one[0] == other[0]
    assert one[1] != other[1]
