"""Warnings of results that are more likely a fault of the harness than of the model.

Many refused, empty, failed or cut responses, one letter for most answers, or a dimension without any answer often look
like a bad model and are none; docs/misleading_results.md describes how each comes about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from textwrap import shorten

from lmms_eval_shotbench.runs.response_counts import MAX_SHARE, ResponseCounts, letter_shares, undecided_by_rule
from lmms_eval_shotbench.scoring.metrics import Graded, n_items
from lmms_eval_shotbench.vocabulary import dimension_named

MAX_LETTER_SHARE = 0.5  # of the answers with one letter; with four options a fair share is a quarter
LETTER_EXCESS = 0.2  # above the letter's share of correct answers, which may itself be large in a small set
QUOTED = 300  # characters of an error
FEWEST_EXPECTED = 10  # answers that a letter should have had; by chance none of 10 is as good as impossible
FEWEST = 20  # minimum number of items for a warning; of fewer, a single response exceeds MAX_SHARE
# Minimum number of items of a dimension: a model that leaves half undecided leaves all of ten in 1 of 1,000 runs.
FEWEST_IN_DIMENSION = 10


def fault_warnings(
    graded: Sequence[Graded], counts: ResponseCounts, first_failure: str = "", blind: bool = False
) -> list[str]:
    """Describe patterns that are more likely a fault of the harness than of the model; none below `FEWEST` items.

    Shares are of all responses. Minimum numbers are of items, as several samples of one item are often alike.

    Args:
        graded: All responses.
        counts: `count_responses` of them.
        first_failure: Text that was stored for the first failed request, to be quoted.
        blind: Whether the model was asked without pictures, so that refusals are to be expected.
    """
    if n_items(graded) < FEWEST:
        return []
    kinds = (
        (0 if blind else counts.refused, counts.n, "are refusals", "does the model get the picture?"),
        (counts.empty, counts.n, "are empty", "does the backend return empty text for errors, such as a rate limit?"),
        (counts.failed, counts.n, "are missing", f"the first: {shorten(first_failure, QUOTED)}"),
        (
            counts.cut_at_limit or 0,
            counts.cut_at_limit_known,
            "were cut at the token limit",
            "raise max_new_tokens (--gen_kwargs)",
        ),
    )
    found = [
        f"{count:,} of {total:,} responses ({100 * count / total:.1f} %) {what}: {question}"
        for count, total, what, question in kinds
        if total and count > MAX_SHARE * total
    ]
    return [*found, *_letter_warnings(graded), *_dimension_warnings(graded)]


def _letter_warnings(graded: Sequence[Graded]) -> Iterator[str]:
    """Questions with two options are excluded, because one of their letters always has at least half of the answers."""
    several = [entry for entry in graded if len(entry.item.options) > 2]
    samples = len(graded) // n_items(graded)
    decided = sum(entry.grade.letter is not None for entry in several) / samples
    for letter, share in letter_shares(several).items() if decided >= FEWEST else ():
        answered = share.answered or 0.0
        if answered > MAX_LETTER_SHARE and answered > share.right + LETTER_EXCESS:
            yield (
                f"{letter} is {100 * answered:.1f} % of the answers and right in {100 * share.right:.1f} %: does the "
                "model get the picture and the options, and is its whole answer read?"
            )
        if answered == 0 and share.right * decided >= FEWEST_EXPECTED:
            yield f"{letter} is never answered and right in {100 * share.right:.1f} %: is this letter read at all?"


def _dimension_warnings(graded: Sequence[Graded]) -> Iterator[str]:
    groups: defaultdict[str, list[Graded]] = defaultdict(list)
    for entry in graded:
        groups[entry.item.dimension].append(entry)
    for slug, group in groups.items():
        if n_items(group) >= FEWEST_IN_DIMENSION and not any(entry.grade.letter for entry in group):
            rule, count = next(iter(undecided_by_rule(group).items()))
            yield (
                f"all {len(group):,} responses of {dimension_named(slug).paper_name} are undecided, {count:,} by the "
                f"rule {rule!r}: read some of them"
            )
