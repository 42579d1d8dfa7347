"""Which films and stills a command is given: files, and folders searched for them.

Owns the suffixes that count in a folder, and film ids: the path without its suffix, as a file name.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from data_pipeline.annotations.annotation_table import FILM_SUFFIXES, STILL_SUFFIXES, plain_stem
from lmms_eval_shotbench.labelling.shot import FilmFacts

LONGEST_ID = 180  # letters; shot ids and file names, of at most 200, begin with it


class NoFilms(ValueError):
    """There is nothing to label; the message says what was searched."""


class FilmSource(NamedTuple):
    """A film or still file to label."""

    film_id: str  # of [a-z0-9._-]
    media: str  # POSIX path relative to the films folder
    path: Path

    @property
    def facts(self) -> FilmFacts:
        """What is known without reading it."""
        return FilmFacts(self.film_id, self.media, str(self.path))

    @property
    def is_still(self) -> bool:
        """Whether it is an image file, by its suffix."""
        return self.path.suffix.lower() in STILL_SUFFIXES


def find_films(given: Sequence[Path], root: Path | None = None, skipped: Path | None = None) -> list[FilmSource]:
    """The films and stills of files and folders, each once, in the order given; those of a folder sorted by path.

    Args:
        root: The films folder, to which `media` is relative; None: the deepest folder that has all of them.
        skipped: A folder that is not searched, such as one that is written; folders in it are, if they are given.

    Raises:
        NoFilms: a path does not exist, a folder has neither films nor stills, or a file is outside the root.
    """
    paths = list(dict.fromkeys(path for one in given for path in _files_of(_absolute(one), skipped)))
    if not paths:
        raise NoFilms("no film was named; name films, stills or folders of them")
    top = _absolute(root) if root else Path(os.path.commonpath([path.parent for path in paths]))
    if outside := [path for path in paths if not path.is_relative_to(top)]:
        raise NoFilms(f"{outside[0]} is not in the films folder {top}; give --films a folder that has all of them")
    media = [path.relative_to(top).as_posix() for path in paths]
    return [FilmSource(*row) for row in zip(_film_ids(media), media, paths, strict=True)]


def _absolute(path: Path) -> Path:
    """The absolute path, whose links are not resolved: a linked film has the name of the link."""
    return Path(os.path.normpath(path.absolute()))


def _files_of(given: Path, skipped: Path | None) -> Iterator[Path]:
    if given.is_file():
        yield given
        return
    if not given.is_dir():
        raise NoFilms(f"there is no film, still or folder {given}")
    files = [path for path in sorted(given.rglob("*")) if _is_wanted(path, given)]
    skipped = _absolute(skipped) if skipped else None
    found = files
    if skipped and skipped.is_relative_to(given):
        found = [path for path in files if not path.is_relative_to(skipped)]
    if files and not found:
        raise NoFilms(f"all films of {given} are in {skipped}, where the labels would be written; choose another --out")
    if not found:
        raise NoFilms(f"{given} has no films and no stills; their names end in {', '.join(FILM_SUFFIXES[:5])}, …")
    yield from found


def _is_wanted(path: Path, folder: Path) -> bool:
    """Whether a file in a folder is a film or still, and not hidden, as are unfinished files of ours."""
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() in (*FILM_SUFFIXES, *STILL_SUFFIXES) and not hidden and path.is_file()


def _film_ids(media: Sequence[str]) -> list[str]:
    """One id per medium: its path without suffix, with a hash of the path if that is too long or not unique."""
    names = [plain_stem(one) for one in media]
    counts = Counter(names)
    return [
        name if counts[name] == 1 and 0 < len(name) <= LONGEST_ID else f"{name[:LONGEST_ID]}-{_hash(one)}"
        for name, one in zip(names, media, strict=True)
    ]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]
