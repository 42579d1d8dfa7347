"""Agreement of two runs: counts of a table made by hand, against McNemar's test of the same items."""

from __future__ import annotations

import pytest

from lmms_eval_shotbench.scoring.agreement import Letters, agreement
from lmms_eval_shotbench.scoring.paired import mcnemar


def letters(rows: str) -> list[Letters]:
    """Items as "answer A B" with a letter each; - is undecided."""
    return [
        Letters(f"medium {number}", *(None if letter == "-" else letter for letter in row))  # type: ignore[arg-type]
        for number, row in enumerate(rows.split())
    ]


def test_items_are_counted_by_whether_both_gave_the_same_letter_and_who_is_right() -> None:
    found = agreement(letters("AAA BBB ABB ABC AAB AAC ABA DD- A--"))
    assert (found.n, found.same, found.differ) == (9, 3, 6)
    assert found.share.value == pytest.approx(3 / 9) and found.right is not None
    assert found.right.value == pytest.approx(2 / 3) and found.right.n == 3
    assert (found.only_a, found.only_b, found.neither) == (3, 1, 2)
    assert found.p == mcnemar(1, 3) == pytest.approx(2 * (1 + 4) / 16)


def test_two_runs_without_a_common_letter_have_no_accuracy_where_they_agree() -> None:
    found = agreement(letters("AAB ABA"))
    assert found.same == 0 and found.right is None and found.share.value == 0


def test_no_items_are_refused() -> None:
    with pytest.raises(ValueError, match="no items"):
        agreement([])
