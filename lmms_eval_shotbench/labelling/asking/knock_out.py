"""Knock-outs among terms: games of up to four options, whose winners meet again with other companions and orders.

The draw depends on a seed and on the terms that are left, so two knock-outs with equal winners so far have equal games.
Standard library only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

GAME_SIZE = 4  # options of a game, as in ShotBench


class KnockOut:
    """One knock-out. Ask `games()`, report who won to `settle`, and repeat until there are no games."""

    def __init__(self, terms: Sequence[str], seed: str, none: str = "") -> None:
        """Begin with all terms.

        Args:
            terms: Names of the terms; at least two, or one if there is `none`.
            seed: Determines the draw.
            none: Text of an option in every game that means "none of these"; if it wins a game, all its terms are out.
        """
        self.left = list(terms)
        self._seed, self._none = seed, none
        self._slots = GAME_SIZE - 1 if none else GAME_SIZE  # of terms in a game
        self._round = 0
        self._decided = 0  # games
        self._last = self._rounds_needed(len(self.left)) + 1  # one more, for games that no one wins
        self._finished = False

    def games(self) -> list[tuple[str, ...]]:
        """The options of the next games, in the order to show them; none if the knock-out is over."""
        if self._finished:
            return []
        drawn = self._shuffled(self.left, "draw")
        return [tuple(self._shuffled(game, "order")) for game in self._split(drawn)]

    def settle(self, winners: Sequence[str | None]) -> None:
        """Report the winner of each of the `games()`; None if a game has none: its terms play once more."""
        for options, winner in zip(self.games(), winners, strict=True):
            if winner is not None:
                self.left = [term for term in self.left if term not in options or term == winner]
                self._decided += 1
        self._round += 1
        is_proven = not self._none or all(winner is not None for winner in winners)
        self._finished = not self.left or (len(self.left) == 1 and is_proven) or self._round >= self._last

    def shares(self) -> dict[str, float] | None:
        """The share of each term that is left, which sum to 1; empty if "none of these" won; None if nothing did."""
        return {term: 1 / len(self.left) for term in self.left} if self._decided else None

    def _split(self, terms: list[str]) -> list[list[str]]:
        """Form games. With "none of these", all terms play, since each must be better than none.

        Without it, only as many play as are too many for full games in the rounds to come: the fewest games.
        """
        if self._none:
            count = -(-len(terms) // self._slots)
            return [[*terms[number::count], self._none] for number in range(count)]
        surplus = len(terms) - self._slots ** (self._rounds_needed(len(terms)) - 1)
        sizes = [self._slots] * (surplus // (self._slots - 1))
        sizes += [surplus % (self._slots - 1) + 1] if surplus % (self._slots - 1) else []
        return [[terms.pop() for _ in range(size)] for size in sizes]

    def _rounds_needed(self, terms: int) -> int:
        rounds = 1
        while terms > self._slots**rounds:
            rounds += 1
        return rounds

    def _shuffled(self, texts: Sequence[str], purpose: str) -> list[str]:
        companions = " ".join(sorted(texts))

        def key(text: str) -> bytes:
            return hashlib.sha256(f"{self._seed} {self._round} {purpose} {companions} {text}".encode()).digest()

        return sorted(texts, key=key)
