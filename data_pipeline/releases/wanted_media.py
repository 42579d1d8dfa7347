"""The media that questions ask for, and which of them have turned up in a stream of files.

Owns the finding of a medium by name. Questions come from `shotqa_questions.py`, files from `shotqa_archive.py`.

ShotQA's archive is flat, and the paths in its questions are not, so a file is found by its last name. Only where the
archive has folders after all, and questions name two files of one last name, the folders count as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.releases.shotqa_questions import ShotQAQuestion
from lmms_eval_shotbench.vocabulary import MediaKind

NAMES_TOLD = 3


class Wanted(NamedTuple):
    """A medium that questions ask for; all of them, in their order."""

    kind: MediaKind
    path: str
    questions: list[ShotQAQuestion]


class ArchivedMedium(NamedTuple):
    """A wanted medium as it stands in the archive: its bytes, or why they were not even read."""

    wanted: Wanted
    name: str
    encoded: bytes
    flaw: Flaw | None


class WantedMedia:
    """The media that questions ask for, and which of them have been found."""

    def __init__(self, questions: Iterable[ShotQAQuestion]) -> None:
        self._media: dict[tuple[str, MediaKind], Wanted] = {}
        self._by_last_name: dict[str, list[Wanted]] = {}
        self._found: set[tuple[str, MediaKind]] = set()
        self._ambiguous: set[str] = set()
        for question in questions:
            self._add(question)

    def _add(self, question: ShotQAQuestion) -> None:
        key = question.item.media_path, question.item.media_kind
        if key not in self._media:
            self._media[key] = Wanted(key[1], key[0], [])
            self._by_last_name.setdefault(PurePosixPath(key[0]).name, []).append(self._media[key])
        self._media[key].questions.append(question)

    def meant_by(self, name: str) -> list[Wanted]:
        """The media that a file of the archive is."""
        named = self._by_last_name.get(PurePosixPath(name).name, [])
        if "/" not in name or len({wanted.path for wanted in named}) <= 1:
            return named
        exact = [wanted for wanted in named if f"/{name}".endswith(f"/{wanted.path}")]
        if not exact:
            self._ambiguous.update(wanted.path for wanted in named)
        return exact

    def is_new(self, wanted: Wanted) -> bool:
        """Whether a medium was not found before; from now on it is."""
        key = wanted.path, wanted.kind
        new = key not in self._found
        self._found.add(key)
        return new

    def missing(self) -> Iterator[tuple[Wanted, Flaw]]:
        """The media that were not found, and what is to be said of each."""
        for key, wanted in self._media.items():
            if key in self._found:
                continue
            if wanted.path in self._ambiguous:
                yield wanted, Flaw(DefectKind.AMBIGUOUS_MEDIUM, "its name stands in the archive, in another folder")
            else:
                yield wanted, Flaw(DefectKind.MISSING_MEDIUM, "not in the archive")


class Strangers:
    """Files of the archive that no question asks about: how many, and the first names."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, name: str) -> None:
        """Count a file."""
        self.count += 1
        if self.count <= NAMES_TOLD:
            self.first.append(name)
