"""What became of the responses of a run, apart from right and wrong.

A response can be *refused* ("I cannot see the image"), *empty* (blank text that the model returned), *failed* (there is
none: the request failed, or none is stored) or *cut at the token limit*. `fault_warnings.py` warns if these are many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmms_eval_shotbench.grading.rules import EMPTY, NO_RESPONSE
from lmms_eval_shotbench.scoring.metrics import Graded

# Share above which a kind of response is reported. ShotVL-7B returns empty text for 3 % of ShotBench by itself; faults
# of a harness (a rate limit, a missing picture, a short token limit) affect far more.
MAX_SHARE = 0.05
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class ResponseCounts:
    """Number of responses of each kind, of `n` responses: of all samples, if there are several of each item."""

    n: int
    refused: int
    empty: int
    failed: int
    cut_at_limit: int | None  # None: the backend reported neither stop reasons nor token counts
    cut_at_limit_known: int  # responses for which it is known whether they were cut


@dataclass(frozen=True)
class LetterShare:
    """How often a letter is answered, and how often it is right."""

    answered: float | None  # share of the decided answers; None if there are none
    right: float  # share of the items


def count_responses(strict: Sequence[Graded], cut_at_limit: Mapping[tuple[int, int], bool]) -> ResponseCounts:
    """Count the responses of each kind.

    Args:
        strict: All responses under strict grading, which alone recognises refusals.
        cut_at_limit: Whether the response was cut, by index and sample; absent if that is unknown.
    """
    rules = Counter(entry.grade.how for entry in strict)
    cuts = (cut_at_limit.get((entry.item.source_index, entry.sample)) for entry in strict)
    known = [cut for cut in cuts if cut is not None]
    return ResponseCounts(
        n=len(strict),
        refused=sum(entry.grade.refused for entry in strict),
        empty=rules[EMPTY],
        failed=rules[NO_RESPONSE],
        cut_at_limit=sum(known) if known else None,
        cut_at_limit_known=len(known),
    )


def undecided_by_rule(graded: Sequence[Graded]) -> dict[str, int]:
    """Number of undecided responses by the reason for it, most frequent first."""
    counts = Counter(entry.grade.how for entry in graded if entry.grade.letter is None)
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def letter_shares(graded: Sequence[Graded]) -> dict[str, LetterShare]:
    """Shares by letter, for every letter that is on offer in any item."""
    answered = Counter(entry.grade.letter for entry in graded if entry.grade.letter)
    right = Counter(entry.item.answer for entry in graded)
    letters = max((entry.item.letters for entry in graded), key=len)
    decided = answered.total()
    return {
        letter: LetterShare(answered[letter] / decided if decided else None, right[letter] / len(graded))
        for letter in letters
    }


def count_remarks(graded: Sequence[Graded], counts: ResponseCounts) -> list[str]:
    """Lines to print below a table of scores."""
    cut = "unknown" if counts.cut_at_limit is None else f"{counts.cut_at_limit} of {counts.cut_at_limit_known}"
    undecided = undecided_by_rule(graded)
    rules = ", ".join(f"{rule} {count}" for rule, count in undecided.items())
    shares = ", ".join(
        f"{letter} {'–' if share.answered is None else f'{100 * share.answered:.1f}'} ({100 * share.right:.1f})"
        for letter, share in letter_shares(graded).items()
    )
    return [
        f"refused {counts.refused}, empty {counts.empty}, failed {counts.failed}, cut at the token limit: {cut}",
        *([f"undecided: {rules}"] if undecided else []),
        f"letters answered (right), %: {shares}",
    ]


def too_many_refusals(refused: int, n: int) -> bool:
    """Whether so many of `n` responses to a blind run are refusals that it does not measure what a model guesses."""
    return refused > MAX_SHARE * n


def not_measured_text(refused: int, n: int) -> str:
    """Explain why the accuracy of a blind run is not measured."""
    return f"blind accuracy is not measured: {refused:,} of {n:,} responses ({100 * refused / n:.1f} %) are refusals"
