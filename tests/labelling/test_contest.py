"""Contests: what a response chooses, and how the outcome becomes a vote."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lmms_eval_shotbench.grading.reasoning_tags import REASONING_TAGS
from lmms_eval_shotbench.labelling.asking.contest import Contest, chosen_option
from lmms_eval_shotbench.labelling.asking.knock_out import KnockOut
from lmms_eval_shotbench.labelling.shot import FilmShot
from lmms_eval_shotbench.labelling.vote import NO_TERM, Vote, Way
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, LENS_SIZE, LIGHTING_CONDITION, SHOT_SIZE, Dimension

SHOT = FilmShot("film-0001", "film", 1, "media/film/0001.jpg")
OPTIONS = ("Wide", "Medium", "Close Up", "Extreme Wide")


def contest(dimension: Dimension = LENS_SIZE, none: str = "", repeats: int = 1, seed: str = "a") -> Contest:
    terms = [term.name for term in dimension.terms]
    knock_outs = [KnockOut(terms, seed, none)]
    return Contest(SHOT, dimension, SHOT.still, "0" * 64, dimension.question, terms, none, knock_outs, repeats)


def played(one: Contest, *right: str) -> Contest:
    """A contest that the right terms win, or otherwise none of these."""
    for knock_out in one.knock_outs:
        while games := knock_out.games():
            winners = [next((option for option in options if option in right), one.none) for options in games]
            one.games += [
                {"options": list(options), "response": "…", "won": won}
                for options, won in zip(games, winners, strict=True)
            ]
            knock_out.settle(winners)
    return one


@pytest.mark.parametrize(
    ("response", "by_letter", "by_term"),
    [
        ("<think>It fills the frame, so the answer is Close Up (B).</think><answer>B</answer>", "Medium", "Close Up"),
        ("<think>The answer is Close Up (C).</think><answer>C</answer>", "Close Up", "Close Up"),
        ("<think>A wide view.</think><answer>D</answer>", "Extreme Wide", "Wide"),
        ("<think>The answer is Medium Wide.</think><answer>A</answer>", "Wide", "Wide"),  # it was not offered
        ("<think>The answer is Medium.</think>", None, "Medium"),
        ("D", "Extreme Wide", "Extreme Wide"),
        ("I cannot tell.", None, None),
    ],
)
def test_a_response_chooses_by_its_letter_or_by_the_term_that_its_thought_concludes_with(
    response: str, by_letter: str | None, by_term: str | None
) -> None:
    item = contest(SHOT_SIZE).item(OPTIONS)
    assert chosen_option(item, response, Way.LETTER, REASONING_TAGS) == by_letter
    assert chosen_option(item, response, Way.TERM, REASONING_TAGS) == by_term


def test_a_letter_that_means_none_of_these_is_chosen_like_any_other() -> None:
    item = contest(SHOT_SIZE).item(("Wide", "None of these", "Medium"))
    assert chosen_option(item, "<answer>B</answer>", Way.LETTER, REASONING_TAGS) == "None of these"
    assert chosen_option(item, "None of these.", Way.TERM, REASONING_TAGS) == "None of these"


def test_a_vote_has_the_last_game_and_all_games_in_its_details() -> None:
    vote = played(contest(SHOT_SIZE), "Medium").vote("tiny@1", Way.LETTER)
    assert vote is not None
    assert sum(vote.probabilities.values()) == pytest.approx(1)
    assert max(vote.probabilities, key=vote.probabilities.__getitem__) == "Medium"
    assert len(vote.details["games"]) == 2
    assert vote.options == tuple(vote.details["games"][-1]["options"])
    assert SHOT_SIZE.question in vote.question
    assert all(option in vote.question for option in vote.options)
    assert Vote.from_row(vote.to_row()).options == vote.options


def test_a_vote_on_a_second_movement_states_the_first() -> None:
    one = replace(contest(CAMERA_MOVEMENT, none="No other movement"), first="Push in")
    vote = played(one, "Tilt up").vote("tiny@1", Way.LETTER)
    assert vote is not None and vote.second and vote.details["first"] == "Push in"


def test_more_contests_that_agree_make_more_certain_and_a_contest_alone_is_never_certain() -> None:
    def mean_of(*winners: str) -> float:
        votes = [
            played(contest(repeats=len(winners), seed=str(number)), winner).vote("m", Way.LETTER)
            for number, winner in enumerate(winners)
        ]
        return sum(vote.probabilities["Medium"] for vote in votes if vote) / len(winners)

    once, twice, four = (mean_of(*["Medium"] * count) for count in (1, 2, 4))
    assert 0.6 < once < twice < four < 1
    assert mean_of("Medium", "Wide") < once
    assert mean_of("Wide", "Wide") < mean_of("Wide") < 0.25


def test_none_of_these_is_a_vote_for_no_term() -> None:
    vote = played(contest(none="None of these")).vote("m", Way.LETTER)
    assert vote is not None
    assert max(vote.probabilities, key=vote.probabilities.__getitem__) == NO_TERM
    assert NO_TERM not in (played(contest(), "Medium").probabilities() or {})


def test_terms_of_several_facets_win_together() -> None:
    none = "None of these"
    facets = [("Side light", "Backlight"), ("High contrast", "Low contrast"), ("Silhouette",)]
    knock_outs = [KnockOut(facet, "a", none) for facet in facets]
    both = played(replace(contest(LIGHTING_CONDITION, none), knock_outs=knock_outs), "Backlight", "Low contrast")
    probabilities = both.probabilities()
    assert probabilities is not None
    assert probabilities["Backlight"] == probabilities["Low contrast"] > 0.3 > probabilities["Silhouette"]
    assert sum(probabilities.values()) == pytest.approx(1)


def test_a_contest_with_an_unanswered_question_has_no_vote_and_no_more_games() -> None:
    one = played(contest(), "Medium")
    one.unanswered = "the request timed out"
    assert one.vote("m", Way.LETTER) is None
    fresh = contest()
    fresh.unanswered = "the request timed out"
    assert not list(fresh.open_games())
