"""Are the right answers spread evenly over the letters? A model that likes one letter gains where they are not.

Pure functions. The tail of chi-square is SciPy's, imported where it is used.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lmms_eval_shotbench.qa_item import QAItem

FEWEST_EXPECTED = 5.0  # right answers a letter, below which the chi-square distribution is no good (Cochran 1954)


@dataclass(frozen=True, slots=True)
class LetterBalance:
    """How often each letter is right. Letters are those on offer, in order."""

    counts: dict[str, int]
    expected: dict[str, float]  # where every option is right equally often
    p: float | None  # of Pearson's chi-square test that it is so; None: too few items to say

    @property
    def most_lopsided(self) -> str:
        """The letter that is furthest from what is expected; of equal ones the first."""
        return max(self.counts, key=lambda letter: abs(self.counts[letter] - self.expected[letter]))

    @property
    def excess(self) -> float:
        """By how much that letter is right more often than expected, as a share of what is expected."""
        letter = self.most_lopsided
        return self.counts[letter] / self.expected[letter] - 1


def letter_balance(items: Sequence[QAItem]) -> LetterBalance:
    """Count right letters; raises `ValueError` where there are no items.

    Items with as many options are tested together, and their chi-squares added.
    """
    if not items:
        raise ValueError("no items to count the letters of")
    right = Counter((len(item.options), item.answer) for item in items)
    sizes = Counter(len(item.options) for item in items)
    letters = max(items, key=lambda item: len(item.options)).letters
    enough = [size for size, count in sizes.items() if count / size >= FEWEST_EXPECTED]
    statistic = math.fsum(
        (right[size, letter] - sizes[size] / size) ** 2 * size / sizes[size]
        for size in enough
        for letter in letters[:size]
    )
    return LetterBalance(
        counts={letter: sum(right[size, letter] for size in sizes) for letter in letters},
        expected={
            letter: math.fsum(count / size for size, count in sizes.items() if place < size)
            for place, letter in enumerate(letters)
        },
        p=chi_square_tail(statistic, sum(size - 1 for size in enough)) if enough else None,
    )


def chi_square_tail(statistic: float, freedom: int) -> float:
    """Probability that chi-square with so many degrees of freedom is at least this large."""
    from scipy.special import chdtrc

    return float(chdtrc(freedom, statistic))
