"""The questions that are read from a published set: every row becomes a question or a defect with its reason.

Owns the account of rows and of classes, and the section of the dataset card about classes. One row is parsed by the
reader of its set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from data_pipeline.defects import Defect, DefectKind, Flaw
from data_pipeline.releases.published_sets.class_table import ClassGroup, PublishedSet, SetClass
from data_pipeline.releases.release_questions import ReleaseQuestion, defect_of
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import Dimension, MediaKind

CLASSES = (
    "Each class of the set and the ShotBench term that corresponds to it, with the number of questions about it and of "
    "rows left out. A question keeps the option texts of the set."
)
CLASS_TABLE_HEAD = ("| class | dimension | term | questions | left out |", "|---|---|---|---|---|")


def video_id(path: str) -> str:
    """Return the id of the video that a clip is cut from: clips of one share what is before the first dot."""
    return PurePosixPath(path).name.split(".")[0]


class LeftOut(Exception):
    """A row that is no question for us; `flaw` is the reason."""

    def __init__(self, kind: DefectKind, detail: str) -> None:
        super().__init__(detail)
        self.flaw = Flaw(kind, detail)


class SetQuestion(NamedTuple):
    """A question of a set, and remarks about it."""

    item: QAItem
    warnings: tuple[Flaw, ...] = ()


class SetRows:
    """Collects the questions of a set row by row; `defects` receives the others."""

    def __init__(self, published: PublishedSet, defects: list[Defect]) -> None:
        self.published = published
        self.questions: list[ReleaseQuestion] = []
        self.rows_read = 0
        self.split = "test"  # of all questions; readers may change it
        self._defects = defects
        self._classes: list[tuple[str, str]] = []  # of the row being parsed: group and name
        self._asked: Counter[tuple[str, str]] = Counter()
        self._left_out: Counter[tuple[str, str]] = Counter()

    def take(self, line: int, item_id: str, where: str, parse: Callable[[], SetQuestion]) -> None:
        """Keep the question that `parse` returns, or record why there is none.

        Args:
            line: Number of the row in its file, from 1.
            where: The row's medium or file, for defects.
            parse: Parses the row; raises `LeftOut` or `ValueError`.
        """
        self.rows_read += 1
        self._classes.clear()
        counts = self._left_out
        try:
            question = parse()
            "".join((question.item.question, *question.item.options, question.item.media_path)).encode()
        except LeftOut as reason:
            self._defects.append(defect_of(reason.flaw, line, item_id, where, loses_row=True))
        except ValueError as error:
            broken = Flaw(DefectKind.BAD_ROW, str(error))
            self._defects.append(defect_of(broken, line, item_id, where, loses_row=True))
        else:
            counts = self._asked
            self.questions.append(ReleaseQuestion(line, question.item))
            for warning in question.warnings:
                self._defects.append(defect_of(warning, line, item_id, where, loses_row=False))
        counts.update(self._classes)

    def item(
        self,
        item_id: str,
        index: int,
        dimension: Dimension,
        question: str,
        options: Sequence[str],
        answer: str,
        kind: MediaKind,
        path: str,
        film_id: str = "",
    ) -> QAItem:
        """Return a question of the set, which has its source and licence; raises `ValueError` as `QAItem` does."""
        return QAItem(
            item_id=item_id,
            dimension=dimension.slug,
            question=question,
            options=tuple(options),
            answer=answer,
            media_kind=kind,
            media_path=path,
            source=self.published.source,
            source_index=index,
            licence=self.published.licence,
            film_id=film_id,
        )

    def class_of(self, group: ClassGroup, name: str) -> SetClass | None:
        """Find a class of the row being parsed and count it; None if the table does not list it."""
        found = group.find(name)
        self._classes.append((group.title, found.name if found else name))
        return found

    def mapped_class(self, group: ClassGroup, name: str) -> SetClass:
        """Find the class that a row is about and count it; raises `LeftOut` if no term corresponds to it."""
        found = self.class_of(group, name)
        if found is None:
            raise LeftOut(DefectKind.UNKNOWN_LABEL, f"{name!r} of {group.title} is not in the table of classes")
        if not found.term:
            raise LeftOut(DefectKind.UNMAPPED_CLASS, f"{found.name!r} of {group.title}")
        return found

    def class_section(self) -> str:
        """Return the table of all classes for the dataset card: their terms, and the rows that have them."""
        listed = {(one.group, one.name): one for group in self.published.groups for one in group.classes}
        keys = [*listed, *sorted((self._asked.keys() | self._left_out.keys()) - listed.keys())]
        lines = [self._class_line(key, listed.get(key)) for key in keys]
        return "\n".join([CLASSES, "", *CLASS_TABLE_HEAD, *lines])

    def _class_line(self, key: tuple[str, str], found: SetClass | None) -> str:
        name = key[1] if len(self.published.groups) == 1 else ": ".join(key)
        dimension = found.dimension.slug if found and found.dimension else ""
        term = (found.term or "none") if found else "not in the table of classes"
        approximate = " (approximate)" if found and found.lossy else ""
        name = name.replace("|", "/").replace("\n", " ")
        return f"| {name} | {dimension} | {term}{approximate} | {self._asked[key]:,} | {self._left_out[key]:,} |"
