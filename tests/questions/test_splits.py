"""Splits by film: determined by name and seed, close to the shares, none empty if there are enough films."""

from __future__ import annotations

from collections import Counter

import pytest

from data_pipeline.questions.split_by_film import DEFAULT_SHARES, BadShares, parse_shares, split_films

FILMS = [f"film {number}" for number in range(100)]


def test_films_are_split_by_the_shares() -> None:
    counts = Counter(split_films(FILMS, DEFAULT_SHARES, seed=0).values())
    assert counts == {"sft": 60, "grpo": 20, "dev": 10, "test": 10}


@pytest.mark.parametrize("films", range(4, 30))
def test_every_split_gets_a_film_where_there_are_enough(films: int) -> None:
    counts = Counter(split_films(FILMS[:films], DEFAULT_SHARES, seed=0).values())
    assert set(counts) == set(DEFAULT_SHARES)
    assert sum(counts.values()) == films
    assert counts["sft"] == max(counts.values())


def test_too_few_films_go_to_the_largest_shares() -> None:
    assert set(split_films(FILMS[:2], DEFAULT_SHARES, seed=0).values()) == {"sft", "grpo"}
    assert split_films([], DEFAULT_SHARES, seed=0) == {}


def test_a_split_without_a_share_gets_nothing() -> None:
    assert set(split_films(FILMS, {"sft": 0, "test": 1}, seed=0).values()) == {"test"}


def test_neither_order_nor_repetition_of_films_matters() -> None:
    assert split_films(FILMS[::-1] * 2, DEFAULT_SHARES, seed=5) == split_films(FILMS, DEFAULT_SHARES, seed=5)


def test_films_of_a_group_are_in_one_split_and_count_as_one() -> None:
    groups = [FILMS[3:5], FILMS[40:60], FILMS[4:6], [FILMS[59], FILMS[99]]]
    for seed in range(5):
        splits = split_films(FILMS, DEFAULT_SHARES, seed, groups)
        assert splits.keys() == set(FILMS)
        assert all(len({splits[film] for film in films}) == 1 for films in (FILMS[3:6], [*FILMS[40:60], FILMS[99]]))
        first = {film: split for film, split in splits.items() if film not in {*FILMS[4:6], *FILMS[41:60], FILMS[99]}}
        assert Counter(first.values()) == {"sft": 47, "grpo": 15, "dev": 8, "test": 8}
        assert split_films(FILMS[::-1], DEFAULT_SHARES, seed, groups[::-1]) == splits


def test_another_seed_gives_other_splits() -> None:
    assert split_films(FILMS, DEFAULT_SHARES, seed=1) != split_films(FILMS, DEFAULT_SHARES, seed=2)


def test_shares_are_parsed_from_their_text_form() -> None:
    assert parse_shares("sft:6, grpo:2,dev:1,test:1") == DEFAULT_SHARES
    assert parse_shares("test:1") == {"test": 1}


@pytest.mark.parametrize("text", ["", "test", "test:", "train:1", "test:0", "test:-1,sft:2", "test:nan", "test:inf"])
def test_bad_shares_are_named(text: str) -> None:
    with pytest.raises(BadShares, match="sft"):
        parse_shares(text)
