"""Balance of options, so that neither option frequencies nor option sets reveal the right answers.

Owns the choice of labels that share a question, which also decides how many shots of a label are used; the others are
dropped for balance. A *round* is a set of mutually exclusive labels (see `distractors.py`), with one question per label
that offers all of them: every option is right exactly once, so neither its frequency nor the set of options reveals the
answer. Each round uses one shot of each of its labels, so a common label runs out of partners before it runs out of
shots.

Some labels exclude so few others that only small rounds are possible ("Symmetrical" excludes "Left heavy", "Right
heavy" and few others). These rounds are built first. Their questions are then filled up with further wrong labels, but
with none more often than full rounds would have offered it, so that frequencies stay balanced.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random

from data_pipeline.labelled_shot import LabelledShot

# Labels are plain strings in this module; the caller passes functions that compare two of them.
Excludes = Callable[[str, str], bool]  # whether two labels exclude each other
Rank = Callable[[str, str], float]  # sort key of the second label as a distractor for the first; smallest first
MAX_CANDIDATES = 40  # maximum number of labels considered per round; there are hundreds of compound movements


def spread_over_films(shots: Iterable[LabelledShot], seed: int) -> list[LabelledShot]:
    """Shuffle shots by seed and shot id, and interleave the films: every prefix covers as many films as possible."""
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
    """Yield rounds (tuples of labels), each label in at most `counts[label]` of them.

    Labels that only fit into small rounds are used before those that also fit into larger ones.

    Args:
        counts: Number of shots by label.
        sizes: Allowed numbers of labels per round, in descending order.
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
    """Yield rounds of one size that contain one of `firsts`; those that are hardest to pair are used first."""
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
    """Return the ratio of required to available partners of a label; if it is 1 or more, every partner is needed."""
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
    """Add wrong labels, in place, to questions with fewer than `options` options.

    In total, each label is offered no more often than it would have been with full rounds only.

    Args:
        questions: Pairs of the right label and the list of wrong labels, which is extended.
        wrong: Whether the second label is certainly wrong for shots with the first.
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
