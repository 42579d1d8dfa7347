"""Rounds: the trick that keeps a set of questions from answering itself.

Owns which labels are asked together, and which shots go without a question for it. In a *round*, shots with different
labels get the same options, namely each other's labels: every option is right exactly once, so neither its frequency
nor the set it stands in tells the answer. Rounds can only be made of labels that exclude each other (see
`distractors.py`), and a label can be in no more rounds than others go with it: what is left of a common one is surplus.

Some labels fit into small rounds only ("Symmetrical" excludes "Left heavy" and "Right heavy", few more). These come
first, and each of their questions is then filled up with labels that are wrong of it, as far as these have been
offered less often than in a full round; frequencies stay even.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random

from data_pipeline.labelled_shot import LabelledShot

Excludes = Callable[[str, str], bool]  # labels are texts here: what they mean is asked of these two
Rank = Callable[[str, str], float]  # of a label beside the first of its round; the smallest are taken first
TRIED = 40  # labels looked at for one round; there are hundreds where movements are compound


def spread_over_films(shots: Iterable[LabelledShot], seed: int) -> list[LabelledShot]:
    """Shuffle by a hash, then go round the films, so that any first part of it has shots of as many as possible."""
    by_film: defaultdict[str, list[tuple[float, LabelledShot]]] = defaultdict(list)
    for shot in shots:
        by_film[shot.film_id].append((Random(f"{seed}/{shot.shot_id}").random(), shot))
    placed = []
    for film in by_film.values():
        film.sort(key=lambda drawn: (drawn[0], drawn[1].shot_id))
        placed += [(place, draw, shot.shot_id, shot) for place, (draw, shot) in enumerate(film)]
    return [shot for *_, shot in sorted(placed, key=lambda entry: entry[:3])]


def make_rounds(
    counts: Mapping[str, int], sizes: Sequence[int], excludes: Excludes, rank: Rank
) -> Iterator[tuple[str, ...]]:
    """Yield rounds of these labels, each label in at most `counts` of them; `sizes` from the largest down.

    A label whose largest possible round is small comes before those that also fit into larger ones.
    """
    left = Counter({label: count for label, count in counts.items() if count > 0})
    largest = {label: _largest_round(label, list(left), sizes, excludes) for label in left}
    for size in sorted(set(sizes)):
        yield from _rounds_of(left, [label for label in largest if largest[label] == size], size, excludes, rank)
    for size in sizes:  # what is left fits into a smaller round still, or nowhere
        yield from _rounds_of(left, list(left), size, excludes, rank)


def _rounds_of(
    left: Counter[str], firsts: Sequence[str], size: int, excludes: Excludes, rank: Rank
) -> Iterator[tuple[str, ...]]:
    """Rounds of one size that begin with one of `firsts`, the one in greatest need of company first."""
    firsts = list(firsts)
    while firsts := [label for label in firsts if left[label]]:
        need = {label: _need(label, left, size, excludes) for label in left if left[label]}
        first = max(firsts, key=lambda label: (need[label], left[label], str(label)))
        others = sorted(
            (label for label in need if excludes(first, label)),
            key=lambda label: (need[label] < 1, rank(first, label), str(label)),
        )
        found = _complete([first], others[:TRIED], size, excludes)
        if found is None:
            firsts.remove(first)
            continue
        left.subtract(found)
        yield tuple(found)


def _need(label: str, left: Counter[str], size: int, excludes: Excludes) -> float:
    """Company a label needs for all its shots, over what there is; from 1 on it must be in every round."""
    there = sum(min(left[other], left[label]) for other in left if left[other] and excludes(label, other))
    return (size - 1) * left[label] / there if there else 0.0


def _complete(found: list[str], others: Sequence[str], size: int, excludes: Excludes) -> list[str] | None:
    """Add to `found` until it has `size` labels that all exclude each other; None where that cannot be."""
    if len(found) == size:
        return found
    for place, label in enumerate(others):
        rest = [other for other in others[place + 1 :] if excludes(label, other)]
        if len(found) + 1 + len(rest) >= size and (done := _complete([*found, label], rest, size, excludes)):
            return done
    return None


def _largest_round(label: str, labels: Sequence[str], sizes: Sequence[int], excludes: Excludes) -> int:
    others = [other for other in labels if excludes(label, other)][:TRIED]
    return next((size for size in sizes if _complete([label], others, size, excludes)), 0)


def fill_up(questions: list[tuple[str, list[str]]], options: int, wrong: Excludes, rank: Rank) -> None:
    """Add wrong labels to questions (truth, wrong ones) that have fewer, each no oftener than a full round would."""
    offers = Counter({truth: 0 for truth, _ in questions})
    for truth, offered in questions:
        offers[truth] += options - 1
        offers.subtract(offered)
    short = sorted((q for q in questions if len(q[1]) + 1 < options), key=lambda q: (len(q[1]), str(q[0])))
    for truth, offered in short:
        while len(offered) + 1 < options:
            free = [x for x in offers if offers[x] > 0 and x != truth and x not in offered and wrong(truth, x)]
            if not free:
                break
            offered.append(max(free, key=lambda label: (offers[label], -rank(truth, label), str(label))))
            offers[offered[-1]] -= 1
