"""Rounds: how options are balanced so that their frequencies do not give the answers away.

Owns which labels are offered together, and which shots are dropped for balance. In a *round*, shots with different
labels get the same options, namely each other's labels: every option is right exactly once, so neither its frequency
nor the option set reveals the answer. The labels of a round must exclude each other (see `distractors.py`), and a label
can be in no more rounds than it has partners for: the remaining shots of a common label are dropped for balance.

Some labels fit into small rounds only ("Symmetrical" excludes "Left heavy", "Right heavy" and few others). These come
first, and their questions are then filled up with labels that are wrong for them, as far as these have been offered
less often than in a full round, so that frequencies stay even.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random

from data_pipeline.labelled_shot import LabelledShot

Excludes = Callable[[str, str], bool]  # labels are strings here; these two callables interpret them
Rank = Callable[[str, str], float]  # rank of a label as partner of the first in its round; the smallest come first
MAX_CANDIDATES = 40  # labels considered per round; compound movements give hundreds


def spread_over_films(shots: Iterable[LabelledShot], seed: int) -> list[LabelledShot]:
    """Shuffle by a hash and interleave the films, so that every prefix has shots of as many films as possible."""
    by_film: defaultdict[str, list[tuple[float, LabelledShot]]] = defaultdict(list)
    for shot in shots:
        by_film[shot.film_id].append((Random(f"{seed}/{shot.shot_id}").random(), shot))
    ranked = []
    for film in by_film.values():
        film.sort(key=lambda drawn: (drawn[0], drawn[1].shot_id))
        ranked += [(rank, draw, shot.shot_id, shot) for rank, (draw, shot) in enumerate(film)]
    return [shot for *_, shot in sorted(ranked, key=lambda entry: entry[:3])]


def make_rounds(
    counts: Mapping[str, int], sizes: Sequence[int], excludes: Excludes, rank: Rank
) -> Iterator[tuple[str, ...]]:
    """Yield rounds of labels, each label in at most `counts[label]` of them; `sizes` are in descending order.

    Labels that only fit into small rounds are used before those that also fit into larger ones.
    """
    left = Counter({label: count for label, count in counts.items() if count > 0})
    largest = {label: _largest_round(label, list(left), sizes, excludes) for label in left}
    for size in sorted(set(sizes)):
        yield from _rounds_of(left, [label for label in largest if largest[label] == size], size, excludes, rank)
    for size in sizes:  # the remaining labels fit into smaller rounds, or none
        yield from _rounds_of(left, list(left), size, excludes, rank)


def _rounds_of(
    left: Counter[str], firsts: Sequence[str], size: int, excludes: Excludes, rank: Rank
) -> Iterator[tuple[str, ...]]:
    """Yield rounds of one size that begin with one of `firsts`, hardest to pair first."""
    firsts = list(firsts)
    while firsts := [label for label in firsts if left[label]]:
        scarcity = {label: _scarcity(label, left, size, excludes) for label in left if left[label]}
        first = max(firsts, key=lambda label: (scarcity[label], left[label], str(label)))
        others = sorted(
            (label for label in scarcity if excludes(first, label)),
            key=lambda label: (scarcity[label] < 1, rank(first, label), str(label)),
        )
        found = _extend_to([first], others[:MAX_CANDIDATES], size, excludes)
        if found is None:
            firsts.remove(first)
            continue
        left.subtract(found)
        yield tuple(found)


def _scarcity(label: str, left: Counter[str], size: int, excludes: Excludes) -> float:
    """Ratio of required to available partners of a label; from 1 on, it must be in every round."""
    available = sum(min(left[other], left[label]) for other in left if left[other] and excludes(label, other))
    return (size - 1) * left[label] / available if available else 0.0


def _extend_to(found: list[str], others: Sequence[str], size: int, excludes: Excludes) -> list[str] | None:
    """Extend `found` to `size` mutually exclusive labels, or return None if that is impossible."""
    if len(found) == size:
        return found
    for index, label in enumerate(others):
        rest = [other for other in others[index + 1 :] if excludes(label, other)]
        if len(found) + 1 + len(rest) >= size and (done := _extend_to([*found, label], rest, size, excludes)):
            return done
    return None


def _largest_round(label: str, labels: Sequence[str], sizes: Sequence[int], excludes: Excludes) -> int:
    others = [other for other in labels if excludes(label, other)][:MAX_CANDIDATES]
    return next((size for size in sizes if _extend_to([label], others, size, excludes)), 0)


def fill_up(questions: list[tuple[str, list[str]]], options: int, wrong: Excludes, rank: Rank) -> None:
    """Add wrong labels, in place, to questions (truth, wrong labels) with fewer than `options` options.

    Each label is added no more often than full rounds would have offered it.
    """
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
