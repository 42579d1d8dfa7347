"""Shots of several folders of labels with their truth, pooled: each film counts once.

A film may be in several folders if other models were asked there: its votes are then of other sources, and its shots
have one film id, so that cross-validation keeps them in one fold. The same votes twice are refused: they would count
double, and be in training and test at once. Films are the same if their files are, or the rows of the truth table.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lmms_eval_shotbench.labelling.scores.match_truth import MatchedShot, match_truth
from lmms_eval_shotbench.labelling.shot import FilmFacts
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow, read_sheet
from lmms_eval_shotbench.labelling.truth import TruthRow, read_truth


class FilmTwice(ValueError):
    """A film is in two folders of labels with votes of the same model; the message names both."""


def read_matched_shots(folders: Sequence[Path], tables: Sequence[Path]) -> list[MatchedShot]:
    """Read and match several sheets, with their votes.

    Args:
        folders: Folders of labels.
        tables: One truth table for all of them, or one for each. Ids of films are made unique.

    Raises:
        ValueError: there is another number of tables.
        FilmTwice: votes of one model on one film are in two folders.
    """
    if len(tables) not in (1, len(folders)):
        raise ValueError(f"{len(tables)} truth tables for {len(folders)} folders of labels; give one, or one for each")
    shots: list[MatchedShot] = []
    names: dict[Hashable, str] = {}  # of films, by what identifies them
    folder_of: dict[tuple[str, str], Path] = {}  # by name of the film and model
    for folder, table in zip(folders, [*tables] * (len(folders) // len(tables)), strict=True):
        match = match_truth(read_sheet(folder), read_truth(table))
        name_of: dict[str, str] = {}  # by the film's id in this folder
        here: set[tuple[str, str]] = set()  # a film's name is that of its stills, too
        for film, rows, truths in match.films:
            keys = list(_identities(film, truths, table))
            new = f"{folder}: {truths[0].film_id}" if len(folders) > 1 else truths[0].film_id
            name = next((names[key] for key in keys if key in names), new)
            names |= dict.fromkeys(keys, name)
            name_of[film.film_id] = name
            for model in _models(rows):
                if other := folder_of.get((name, model)):
                    raise FilmTwice(
                        f"{film.media} is in {other} and in {folder}, both with votes of {model}, and would count "
                        "twice; name only one of these folders, or label each film in one of them"
                    )
            here |= {(name, model) for model in _models(rows)}
        folder_of |= dict.fromkeys(here, folder)
        shots += [one._replace(truth=replace(one.truth, film_id=name_of[one.row.shot.film_id])) for one in match.shots]
    return shots


def _identities(film: FilmFacts, truths: Sequence[TruthRow], table: Path) -> Iterator[Hashable]:
    """What no other film has: its file, its rows in a table, and what several rows say about the film of its name."""
    path = Path(film.path)
    if path.exists():  # links are the same file
        stat = path.stat()
        yield stat.st_dev, stat.st_ino
    yield table.resolve(), truths[0].media
    if len(truths) > 1:  # a single row can be true of many films
        cells = (one.to_cells() | {"film_id": "", "media": "", "shot_id": ""} for one in truths)
        yield PurePosixPath(film.media).name, tuple(tuple(row.items()) for row in cells)


def _models(rows: Sequence[SheetRow]) -> list[str]:
    return list(dict.fromkeys(vote.model for row in rows for vote in row.votes))
