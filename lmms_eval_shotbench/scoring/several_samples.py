"""Several sampled responses to each question: pass@j, and the majority vote of the samples.

With K samples of each question, of which c are correct:

- **accuracy** is the mean over questions of c / K; `metrics.py` computes it from all responses.
- **pass@j** is the probability that at least one of j samples is correct, for j = 1..K, by the unbiased estimator of
  Chen et al. 2021 (arXiv 2107.03374): 1 - C(K - c, j) / C(K, j), averaged over questions. pass@1 is the accuracy.
- **majority vote** is the accuracy of the most frequent letter (self-consistency, Wang et al. 2023, arXiv 2203.11171).
  Undecided samples do not vote. Of letters with equally many votes, that of the earliest sample wins: the samples are
  exchangeable, so each of these letters is equally likely to come first, whatever its position among the options.
  Hence the vote is right as often as with a random draw, but it is the same every time, and a letter that can be listed
  and compared.

In all of them a question is one observation, however many samples it has: the intervals are those of `metrics.py`, of
one value per question, clustered by medium.

Pure functions; standard library only.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from lmms_eval_shotbench.grading.grade import Grade
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.scoring.metrics import Estimate, Graded, mean_over_dimensions, mean_over_items, n_items
from lmms_eval_shotbench.vocabulary import DIMENSIONS


@dataclass(frozen=True)
class Averages:
    """A proportion over items, over dimensions and by dimension slug."""

    micro: Estimate
    macro: Estimate
    by_dimension: Mapping[str, Estimate]


@dataclass(frozen=True)
class SampleScores:
    """The metrics of this module for one run."""

    k: int  # number of samples of each question
    pass_at: Mapping[int, Averages]  # by j = 1..k
    majority: Averages
    votes: Sequence[Graded]  # each item with the grade of its majority vote
    micro_of_sample: Sequence[float]  # accuracy over items of each sample alone


def sample_scores(graded: Sequence[Graded]) -> SampleScores:
    """Compute all metrics; raises `ValueError` if there are no items.

    Args:
        graded: All first samples, then all second samples and so on, each in the same order of the items.
    """
    samples = split_samples(graded)
    items = [entry.item for entry in samples[0]]
    right = [sum(entry.grade.correct for entry in several) for several in zip(*samples, strict=True)]
    votes = [
        Graded(item, majority_vote([entry.grade for entry in several]))
        for item, several in zip(items, zip(*samples, strict=True), strict=True)
    ]
    k = len(samples)
    return SampleScores(
        k=k,
        pass_at={j: averages(items, [pass_at(j, k, count) for count in right]) for j in range(1, k + 1)},
        majority=averages(items, [float(vote.grade.correct) for vote in votes]),
        votes=votes,
        micro_of_sample=[fmean(entry.grade.correct for entry in sample) for sample in samples],
    )


def split_samples(graded: Sequence[Graded]) -> list[Sequence[Graded]]:
    """Return the first, second, … sample of all items; raises `ValueError` if there are no items."""
    n = n_items(graded)
    if not n:
        raise ValueError("no items to score")
    return [graded[start : start + n] for start in range(0, len(graded), n)]


def pass_at(j: int, k: int, right: int) -> float:
    """Unbiased estimate of the probability that one of `j` samples is correct, if `right` of `k` samples are."""
    return 1 - math.comb(k - right, j) / math.comb(k, j)


def shown_j(k: int) -> list[int]:
    """Return the j of pass@j that tables show of `k` samples: 1, 2, 4, 8, … and k."""
    return sorted({2**power for power in range(k.bit_length())} | {k})


def majority_vote(grades: Sequence[Grade]) -> Grade:
    """Return the grade of the first sample with the most frequent letter; of the first sample if all are undecided."""
    votes = Counter(grade.letter for grade in grades if grade.letter is not None)
    winner = max(votes, key=lambda letter: votes[letter], default=None)  # of several, the first to occur
    return next(grade for grade in grades if grade.letter == winner)


def averages(items: Sequence[QAItem], shares: Sequence[float]) -> Averages:
    """Return the means of `shares[i]` (0..1) of `items[i]`."""
    groups: defaultdict[str, list[tuple[QAItem, float]]] = defaultdict(list)
    for item, share in zip(items, shares, strict=True):
        groups[item.dimension].append((item, share))
    return Averages(
        mean_over_items(items, shares),
        mean_over_dimensions(items, shares),
        {
            d.slug: mean_over_items(*zip(*groups[d.slug], strict=True))  # type: ignore[arg-type]
            for d in DIMENSIONS
            if d.slug in groups
        },
    )
