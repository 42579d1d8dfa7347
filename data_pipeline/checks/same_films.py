"""Film ids that may name one film: spellings of one name, and films whose pictures look alike.

Owns the comparison of ids and of pictures. Films found here are kept, but all of them are in one split
(`questions/split_by_film.py`), since shots of one film in training and in test make a test worthless. A file under two
ids is refused before it is cut, in `films/media_ids.py`.

Pictures are compared by perceptual hashes (`duplicates.py`): frames at the same shares of two films' durations, and
the stills and clips that were cut. So copies in another size, container, codec or frame rate are found, and copies that
lack less than a shot at an end. An excerpt of a long film is found only by shots that both have.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from data_pipeline.checks.duplicates import is_featureless, near_pairs
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.labelled_shot import LabelledShot

SHARE = 1 / 3  # of the pictures of the film with fewer, which must have a near-duplicate in the other film
ACCENTS = 200  # canonical combining classes from here up; lower ones are letters' parts, such as Indic vowel signs
_UNACCENTED = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "þ": "th", "ı": "i"})
_TRAILING_YEAR = re.compile(r"[\W_]+(?:18[89]|19\d|20[0-3])\d[\W_]*$")


class SameFilm(NamedTuple):
    """Ids that may name one film, and why."""

    film_ids: tuple[str, ...]
    kind: DefectKind
    detail: str

    def defect(self) -> Defect:
        """The warning about these ids."""
        ids = " and ".join(map(repr, self.film_ids))
        advice = "they are in one split; if they are one film, give it one film_id, and if not, see --trust-ids"
        return Defect(self.kind, 0, self.film_ids[0], "", f"{ids} {self.detail}: {advice}", loses_row=False)


def same_films(shots: Sequence[LabelledShot], frames: Mapping[str, Sequence[str]]) -> list[SameFilm]:
    """Return the film ids that may name one film.

    Args:
        frames: Perceptual hashes of frames spread over each film, by film id; films of stills have none.
    """
    film_ids = list(dict.fromkeys(shot.film_id for shot in shots))
    found = [*similar_ids(film_ids)]
    sampled = {film_id: frames.get(film_id, ()) for film_id in film_ids}
    cut: defaultdict[str, list[str]] = defaultdict(list)
    for shot in shots:
        cut[shot.film_id].append(shot.perceptual_hash)
    named = set[tuple[str, str]]()
    for what, hashes in (("frames", sampled), ("stills and clips", cut)):
        for one, other, alike, compared in look_alikes(hashes):
            if (one, other) not in named:
                named.add((one, other))
                detail = f"look alike in {alike} of {compared} {what}"
                found.append(SameFilm((one, other), DefectKind.LOOK_ALIKE_FILMS, detail))
    return found


def film_id_key(film_id: str) -> str:
    """An id without case, blanks, punctuation, accents and a trailing year; equal for spellings of one name."""
    decomposed = unicodedata.normalize("NFKD", film_id).casefold().translate(_UNACCENTED)
    plain = "".join(letter for letter in decomposed if unicodedata.combining(letter) < ACCENTS)
    without_year = _TRAILING_YEAR.sub("", plain)
    return _letters(without_year) or _letters(plain) or plain


def _letters(text: str) -> str:
    """A text without all that is no letter, number or part of a letter."""
    return "".join(letter for letter in text if unicodedata.category(letter)[0] in "LNM")


def look_alikes(hashes: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str, int, int]]:
    """Yield pairs of films that look alike: both ids, the number of pictures that match, and that of all compared.

    Args:
        hashes: Perceptual hashes of pictures by film; empty ones and those of featureless pictures are ignored.
    """
    pictures = {film: [one for one in own if one and not is_featureless(one)] for film, own in hashes.items()}
    films = [film for film, own in pictures.items() for _ in own]
    matches: defaultdict[tuple[str, str], tuple[set[int], set[int]]] = defaultdict(lambda: (set(), set()))
    for i, j in near_pairs([one for own in pictures.values() for one in own]):
        if films[i] != films[j]:
            matches[films[i], films[j]][0].add(i)
            matches[films[i], films[j]][1].add(j)
    for (one, other), (left, right) in sorted(matches.items()):
        alike, compared = min(len(left), len(right)), min(len(pictures[one]), len(pictures[other]))
        if alike >= SHARE * compared:
            yield one, other, alike, compared


def similar_ids(film_ids: Iterable[str]) -> Iterator[SameFilm]:
    """Yield the ids that differ only in spelling, one entry for all spellings of a name."""
    spellings: dict[str, list[str]] = {}
    for film_id in dict.fromkeys(film_ids):
        spellings.setdefault(film_id_key(film_id), []).append(film_id)
    for same in spellings.values():
        if len(same) > 1:
            detail = "differ only in case, blanks, punctuation, accents or a year"
            yield SameFilm(tuple(same), DefectKind.SIMILAR_FILM_IDS, detail)
