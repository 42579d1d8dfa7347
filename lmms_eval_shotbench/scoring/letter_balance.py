"""Test whether correct answers are uniform over the letters; if not, a model that prefers one letter has an advantage.

Pure functions. SciPy, which computes the chi-square p-value, is imported where it is used.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lmms_eval_shotbench.qa_item import QAItem

MIN_EXPECTED = 5.0  # expected answers per letter, below which the chi-square approximation is poor (Cochran 1954)


@dataclass(frozen=True, slots=True)
class LetterBalance:
    """Number of correct answers by letter, observed and expected, in the order A, B, C, …"""

    counts: dict[str, int]
    expected: dict[str, float]  # counts under a uniform distribution
    p: float | None  # p-value of Pearson's chi-square test for uniformity; None if there are too few items

    @property
    def most_lopsided(self) -> str:
        """The letter with the largest deviation from its expected count; the first of equal ones."""
        return max(self.counts, key=lambda letter: abs(self.counts[letter] - self.expected[letter]))

    @property
    def excess(self) -> float:
        """Relative deviation of the count of `most_lopsided` from its expected count."""
        letter = self.most_lopsided
        return self.counts[letter] / self.expected[letter] - 1


def letter_balance(items: Sequence[QAItem]) -> LetterBalance:
    """Count correct letters and test for uniformity; raises `ValueError` if there are no items.

    Chi-square is computed per number of options and summed.
    """
    if not items:
        raise ValueError("no items to count the letters of")
    counts = Counter((len(item.options), item.answer) for item in items)
    sizes = Counter(len(item.options) for item in items)
    letters = max(items, key=lambda item: len(item.options)).letters
    testable = [size for size, count in sizes.items() if count / size >= MIN_EXPECTED]
    statistic = math.fsum(
        (counts[size, letter] - sizes[size] / size) ** 2 * size / sizes[size]
        for size in testable
        for letter in letters[:size]
    )
    return LetterBalance(
        counts={letter: sum(counts[size, letter] for size in sizes) for letter in letters},
        expected={
            letter: math.fsum(count / size for size, count in sizes.items() if index < size)
            for index, letter in enumerate(letters)
        },
        p=chi_square_tail(statistic, sum(size - 1 for size in testable)) if testable else None,
    )


def chi_square_tail(statistic: float, freedom: int) -> float:
    """Survival function of the chi-square distribution with `freedom` degrees of freedom."""
    from scipy.special import chdtrc

    return float(chdtrc(freedom, statistic))
