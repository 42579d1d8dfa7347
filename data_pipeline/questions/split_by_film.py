"""Which film goes into which split. Shots of one film never part: they share sets, faces and light.

Owns the allotment alone. It depends on the names of the films and the seed, not on their order or on their shots.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from math import inf

SPLITS = ("sft", "grpo", "dev", "test")  # in the order they are written
DEFAULT_SHARES = {"sft": 6.0, "grpo": 2.0, "dev": 1.0, "test": 1.0}


class BadShares(ValueError):
    """The shares are no shares: which, and what belongs there."""


def split_films(film_ids: Iterable[str], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Give every film its split: films are shuffled by a hash of seed and name, then dealt out by the shares.

    Every split with a share gets a film if there are enough; where they are fewer, the largest shares come first.
    """
    check_shares(shares)
    films = sorted(set(film_ids), key=lambda film: hashlib.sha256(f"{seed}\0{film}".encode()).digest())
    counts = _films_each(len(films), {split: share for split, share in shares.items() if share > 0})
    dealt = iter(films)
    return {next(dealt): split for split, count in counts.items() for _ in range(count)}


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise `BadShares` unless these are known splits with shares, not all of them 0."""
    if strangers := [split for split in shares if split not in SPLITS]:
        raise BadShares(f"{strangers[0]!r} is no split; use {', '.join(SPLITS)}")
    if not all(0 <= share < inf for share in shares.values()) or not sum(shares.values()) > 0:
        raise BadShares(f"shares must be 0 or more and not all 0, got {dict(shares)}; e.g. sft:6,grpo:2,dev:1,test:1")


def parse_shares(text: str) -> dict[str, float]:
    """Read `sft:6,grpo:2`; raise `BadShares`."""
    try:
        shares = {name.strip(): float(share) for name, _, share in (part.partition(":") for part in text.split(","))}
    except ValueError:
        raise BadShares(f"{text!r} gives no shares; write them like sft:6,grpo:2,dev:1,test:1") from None
    check_shares(shares)
    return shares


def _films_each(films: int, shares: Mapping[str, float]) -> dict[str, int]:
    """One film each as far as they go, the others by the largest remaining claim."""
    total = sum(shares.values())
    first = sorted(shares, key=lambda split: -shares[split])[:films]
    counts = {split: int(split in first) for split in shares}
    for _ in range(films - len(first)):
        neediest = max(shares, key=lambda split: shares[split] / total * films - counts[split])
        counts[neediest] += 1
    return counts
