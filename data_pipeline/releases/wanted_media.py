"""The media that questions refer to, and which of them were found in a stream of files.

Owns matching media by name. Questions come from `shotqa_questions.py`, files from `shotqa_archive.py`.

ShotQA's archive is flat, and the paths in its questions are not, so a file is matched by its base name. Only if the
archive has folders and questions refer to two files with one base name, the folders are compared as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.releases.shotqa_questions import ShotQAQuestion
from lmms_eval_shotbench.vocabulary import MediaKind

NAMES_LISTED = 3


class RequiredMedium(NamedTuple):
    """A medium and all questions about it, in order."""

    kind: MediaKind
    path: str
    questions: list[ShotQAQuestion]


class ArchivedMedium(NamedTuple):
    """A medium of the archive: its encoded bytes, or empty bytes and the flaw that prevented reading them."""

    wanted: RequiredMedium
    name: str
    encoded: bytes
    flaw: Flaw | None


class WantedMedia:
    """All media that questions refer to, and which of them have been found."""

    def __init__(self, questions: Iterable[ShotQAQuestion]) -> None:
        self._media: dict[tuple[str, MediaKind], RequiredMedium] = {}
        self._by_base_name: dict[str, list[RequiredMedium]] = {}
        self._found: set[tuple[str, MediaKind]] = set()
        self._ambiguous: set[str] = set()
        for question in questions:
            self._add(question)

    def _add(self, question: ShotQAQuestion) -> None:
        key = question.item.media_path, question.item.media_kind
        if key not in self._media:
            self._media[key] = RequiredMedium(key[1], key[0], [])
            self._by_base_name.setdefault(PurePosixPath(key[0]).name, []).append(self._media[key])
        self._media[key].questions.append(question)

    def matches(self, name: str) -> list[RequiredMedium]:
        """Return the requested media that match a file of the archive by its name."""
        named = self._by_base_name.get(PurePosixPath(name).name, [])
        if "/" not in name or len({wanted.path for wanted in named}) <= 1:
            return named
        exact = [wanted for wanted in named if f"/{name}".endswith(f"/{wanted.path}")]
        if not exact:
            self._ambiguous.update(wanted.path for wanted in named)
        return exact

    def is_new(self, wanted: RequiredMedium) -> bool:
        """Mark a medium as found; returns whether it was not found before."""
        key = wanted.path, wanted.kind
        new = key not in self._found
        self._found.add(key)
        return new

    def missing(self) -> Iterator[tuple[RequiredMedium, Flaw]]:
        """Yield the media that were not found, each with its flaw."""
        for key, wanted in self._media.items():
            if key in self._found:
                continue
            if wanted.path in self._ambiguous:
                yield wanted, Flaw(DefectKind.AMBIGUOUS_MEDIUM, "its name stands in the archive, in another folder")
            else:
                yield wanted, Flaw(DefectKind.MISSING_MEDIUM, "not in the archive")


class UnusedFiles:
    """Files of the archive without a question: their number and the first names."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, name: str) -> None:
        """Count a file."""
        self.count += 1
        if self.count <= NAMES_LISTED:
            self.first.append(name)
