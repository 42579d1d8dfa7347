"""Shots of a sheet and rows of a truth table that are the same shots, and whether a label is true.

Films are the same if their media paths are equal, else if one film on each side has that file name, else if their ids
are equal. Shots of a film are the same if their times overlap by at least half of what they cover together; each is
matched once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter
from pathlib import PurePosixPath
from typing import NamedTuple

from lmms_eval_shotbench.labelling.shot import SAME_SHOT, FilmFacts, Times, overlap
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow, ShotSheet
from lmms_eval_shotbench.labelling.truth import ShotTruth, TruthRow, TruthStatus
from lmms_eval_shotbench.runs.formatting import first_few
from lmms_eval_shotbench.vocabulary import Dimension


class NoCommonFilms(ValueError):
    """A shot sheet and a truth table have no film in common."""


class MatchedShot(NamedTuple):
    """A labelled shot and what is true of it."""

    row: SheetRow
    truth: TruthRow


@dataclass(frozen=True)
class TruthMatch:
    """What a sheet and a truth table have in common."""

    shots: Sequence[MatchedShot]  # in the order of the table
    films: Sequence[tuple[FilmFacts, Sequence[SheetRow], Sequence[TruthRow]]]  # those in both
    unmatched: Sequence[TruthRow]  # rows of these films without a labelled shot
    other_films: Sequence[str]  # media of the table that were not labelled


def match_truth(sheet: ShotSheet, truths: Sequence[TruthRow]) -> TruthMatch:
    """Match the shots of a sheet with the rows of a truth table.

    Raises:
        NoCommonFilms: they have no film in common.
    """
    by_media: defaultdict[str, list[TruthRow]] = defaultdict(list)
    for truth in truths:
        by_media[truth.media].append(truth)
    film_of = _same_films(sheet.films, {media: rows[0].film_id for media, rows in by_media.items()})
    if not film_of:
        ours, theirs = [film.media for film in sheet.films], list(by_media)
        raise NoCommonFilms(
            f"the labels are of {first_few(ours)}, the truth table is of {first_few(theirs)}: no film is in both; its "
            "column media must have the paths or file names of the labelled films"
        )
    shots_of: defaultdict[str, list[SheetRow]] = defaultdict(list)
    for row in sheet.shots:
        shots_of[row.shot.film_id].append(row)
    films = [(film, shots_of[film.film_id], by_media[media]) for media, film in film_of.items()]
    pairs = {id(truth): row for film in films for row, truth in _same_shots(*film)}
    known = [truth for _, _, rows in films for truth in rows]
    return TruthMatch(
        [MatchedShot(pairs[id(truth)], truth) for truth in known if id(truth) in pairs],
        films,
        [truth for truth in known if id(truth) not in pairs],
        [media for media in by_media if media not in film_of],
    )


def _same_films(films: Sequence[FilmFacts], film_ids: Mapping[str, str]) -> dict[str, FilmFacts]:
    """The labelled film of each media path of the table; `film_ids` has the table's own ids."""
    found: dict[str, FilmFacts] = {}
    names: list[tuple[Callable[[FilmFacts], str], Callable[[str], str]]] = [
        (lambda film: film.media, lambda media: media),
        (lambda film: PurePosixPath(film.media).name, lambda media: PurePosixPath(media).name),
        (lambda film: film.film_id, lambda media: film_ids[media]),
    ]
    for our_name, their_name in names:
        taken = {film.film_id for film in found.values()}
        free = [film for film in films if film.film_id not in taken]
        rest = [media for media in film_ids if media not in found]
        ours, theirs = Counter(map(our_name, free)), Counter(map(their_name, rest))
        film_named = {our_name(film): film for film in free}
        found |= {media: film_named[name] for media in rest if ours[name := their_name(media)] == theirs[name] == 1}
    return {media: found[media] for media in film_ids if media in found}


def _same_shots(
    film: FilmFacts, rows: Sequence[SheetRow], truths: Sequence[TruthRow]
) -> list[tuple[SheetRow, TruthRow]]:
    length = film_seconds(film, rows)
    spans = sorted(
        ((_times(row.shot.start_seconds, row.shot.end_seconds, length), row) for row in rows), key=itemgetter(0)
    )
    starts = [span[0] for span, _ in spans]
    ends = list(accumulate((span[1] for span, _ in spans), max))  # latest end so far: shots of a table may overlap
    overlaps = []
    for number, truth in enumerate(truths):
        wanted = _times(truth.start, truth.end, length)
        for index in range(bisect_right(ends, wanted[0]), bisect_left(starts, wanted[1])):
            if (share := overlap(spans[index][0], wanted)) >= SAME_SHOT:
                overlaps.append((-share, number, index))
    used_truths, used_rows, pairs = set[int](), set[int](), []
    for _, number, index in sorted(overlaps):
        if number not in used_truths and index not in used_rows:
            used_truths.add(number)
            used_rows.add(index)
            pairs.append((spans[index][1], truths[number]))
    return pairs


def film_seconds(film: FilmFacts, rows: Sequence[SheetRow]) -> float:
    """Duration of a film; 1 for a still file, whose shot has no times."""
    last = max((row.shot.end_seconds or 0.0 for row in rows), default=0.0)
    return max(last, float(film.frames / film.frame_rate) if film.frame_rate else 0.0) or 1.0


def _times(start: float | None, end: float | None, length: float) -> Times:
    return (0.0, length) if start is None or end is None else (start, end)


def is_true(dimension: Dimension, truth: ShotTruth, label: str) -> bool:
    """Whether a label is right of a shot; an empty one says that no term is true.

    A label is right if at least one of its terms is certainly true and none is certainly wrong; steps of a movement
    must have the true order.
    """
    if not label:
        return truth.status is TruthStatus.NONE
    given = dimension.canonical(dimension.parse(label))
    names = {term.name for term in given.terms}
    true = truth.terms(dimension)
    if not names & true or any(truth.excludes(dimension, name) for name in names):
        return False
    whole = dimension.canonical(dimension.parse(truth.label))
    return not (given.terms == whole.terms and len(given.steps) > 1 and len(whole.steps) > 1) or given == whole
