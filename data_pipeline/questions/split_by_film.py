"""Assign films to splits. All shots of a film go into one split, because they share sets, faces and light.

Owns the assignment only; which ids may name one film is found in `checks/same_films.py`. It depends on the film names
and the seed, not on the order of the films or their shots.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from math import inf

SPLITS = ("sft", "grpo", "dev", "test")  # in the order they are written
DEFAULT_SHARES = {"sft": 6.0, "grpo": 2.0, "dev": 1.0, "test": 1.0}


class BadShares(ValueError):
    """The shares are invalid; the message names the problem and the expected form."""


def split_films(
    film_ids: Iterable[str], shares: Mapping[str, float], seed: int, together: Iterable[Collection[str]] = ()
) -> dict[str, str]:
    """Map every film to its split: films are shuffled by a hash of seed and name, then divided by the shares.

    Every split with a positive share gets at least one film; if there are too few films, the largest shares come first.

    Args:
        together: Groups of films that must be in one split, which may overlap; a group counts as one film.
    """
    check_shares(shares)
    first = _first_of_group(set(film_ids), together)
    films = sorted(set(first.values()), key=lambda film: hashlib.sha256(f"{seed}\0{film}".encode()).digest())
    counts = _films_per_split(len(films), {split: share for split, share in shares.items() if share > 0})
    shuffled = iter(films)
    split_of = {next(shuffled): split for split, count in counts.items() for _ in range(count)}
    return {film: split_of[first[film]] for film in first}


def _first_of_group(film_ids: Collection[str], together: Iterable[Collection[str]]) -> dict[str, str]:
    """Map every film to the first film by name among those that it is connected with by groups."""
    groups = {film: {film} for film in film_ids}
    for group in together:
        joined = set[str]().union(*(groups[film] for film in group))
        groups |= dict.fromkeys(joined, joined)
    return {film: min(group) for film, group in groups.items()}


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise `BadShares` unless all splits are known and the shares are non-negative, with a positive sum."""
    if unknown := [split for split in shares if split not in SPLITS]:
        raise BadShares(f"{unknown[0]!r} is not a split; use {', '.join(SPLITS)}")
    if not all(0 <= share < inf for share in shares.values()) or not sum(shares.values()) > 0:
        raise BadShares(f"shares must be 0 or more and not all 0, got {dict(shares)}; e.g. sft:6,grpo:2,dev:1,test:1")


def parse_shares(text: str) -> dict[str, float]:
    """Parse shares such as `sft:6,grpo:2`; raises `BadShares`."""
    try:
        shares = {name.strip(): float(share) for name, _, share in (part.partition(":") for part in text.split(","))}
    except ValueError:
        raise BadShares(f"{text!r} does not give shares; write them like sft:6,grpo:2,dev:1,test:1") from None
    check_shares(shares)
    return shares


def _films_per_split(films: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Number of films per split: one each while they last, the rest by largest remainder."""
    total = sum(shares.values())
    largest = sorted(shares, key=lambda split: -shares[split])[:films]
    counts = {split: int(split in largest) for split in shares}
    for _ in range(films - len(largest)):
        most_under_share = max(shares, key=lambda split: shares[split] / total * films - counts[split])
        counts[most_under_share] += 1
    return counts
