"""What became of each row of an annotation table: the file `rows.csv`, with one line per row in the table's order.

Owns the account of a run and its check: every label of every row is a question in the shards, or its row has a defect
with the reason why not. Rows are listed when the table is read (`annotations/annotation_table.py`), questions when they
have been written (`build_dataset.py`).
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from data_pipeline.defects import Defect, DefectKind
from lmms_eval_shotbench.remote_path import Location
from lmms_eval_shotbench.vocabulary import MediaKind

ROWS = "rows.csv"  # in the shard folder
# Reasons why a row that is kept lost a label, or words of one.
LABEL_LOSSES = (DefectKind.UNKNOWN_LABEL, DefectKind.NOT_ASKED, DefectKind.OTHER_SOURCE)


class Outcome(StrEnum):
    """What became of a row."""

    COMPLETE = "complete"  # there is a question about every label
    IN_PART = "in part"  # there is a question about some labels
    LEFT_OUT = "left out"
    USABLE = "usable"  # as far as known without cutting


class TableRow(NamedTuple):
    """A row of the table as written."""

    line: int
    film_id: str
    media: str
    shot_id: str  # of the row if it is valid, else as written
    labels: int  # number of dimensions with a cell that is not empty


class WrittenQuestion(NamedTuple):
    """A question in the shards."""

    line: int
    split: str
    media_kind: MediaKind


class RowOutcome(NamedTuple):
    """A line of `rows.csv`; the fields are its columns."""

    line: int
    film_id: str
    media: str
    shot_id: str
    outcome: str
    labels: int
    questions: int
    about_still: int  # of the questions
    about_clip: int
    split: str  # of the questions
    reasons: str  # why labels have no question
    warnings: str


@dataclass
class RowAccount:
    """The rows of a table and the questions made of them, while a data set is being built."""

    rows: list[TableRow] = field(default_factory=list)
    questions: list[WrittenQuestion] = field(default_factory=list)
    unfinished: str = "nothing was written"  # reason of the rows that have neither a question nor a defect
    only_checked: bool = False  # nothing is cut, so that rows are usable or left out
    stored: str = ""  # content of `rows.csv` in the finished shard folder

    def to_csv(self, defects: Iterable[Defect]) -> str:
        """The content of `rows.csv`; empty if the table could not be read."""
        return self.stored or (rows_csv(self.outcomes(defects)) if self.rows else "")

    def outcomes(self, defects: Iterable[Defect]) -> list[RowOutcome]:
        """What became of each row."""
        questions: defaultdict[int, list[WrittenQuestion]] = defaultdict(list)
        for question in self.questions:
            questions[question.line].append(question)
        found: defaultdict[int, list[Defect]] = defaultdict(list)
        for defect in defects:
            found[defect.line].append(defect)
        return [self._outcome(row, questions[row.line], found[row.line]) for row in self.rows]

    def _outcome(self, row: TableRow, questions: Sequence[WrittenQuestion], defects: Sequence[Defect]) -> RowOutcome:
        outcome = Outcome.IN_PART if questions else Outcome.LEFT_OUT
        if len(questions) == row.labels > 0:
            outcome = Outcome.COMPLETE
        elif self.only_checked and not any(defect.loses_row for defect in defects):
            outcome = Outcome.USABLE
        reasons, warnings = list[str](), list[str]()
        for defect in defects:
            is_reason = defect.loses_row or (defect.kind in LABEL_LOSSES and outcome is not Outcome.COMPLETE)
            (reasons if is_reason else warnings).append(f"{defect.kind}: {defect.detail}")
        if outcome is Outcome.LEFT_OUT and not reasons:
            reasons.append(self.unfinished)
        kinds = Counter(question.media_kind for question in questions)
        return RowOutcome(
            *row[:4],
            str(outcome),
            row.labels,
            len(questions),
            kinds[MediaKind.STILL],
            kinds[MediaKind.CLIP],
            " ".join(sorted({question.split for question in questions})),
            "; ".join(dict.fromkeys(reasons)),
            "; ".join(dict.fromkeys(warnings)),
        )

    def balanced_outcomes(self, defects: Iterable[Defect]) -> list[RowOutcome]:
        """What became of each row, once all questions are known.

        Raises:
            RuntimeError: a label has neither a question nor a defect, or has both.
        """
        outcomes = self.outcomes(defects)
        for row in outcomes:
            explained = row.reasons not in ("", self.unfinished)
            if row.questions > row.labels or explained != (row.questions < row.labels or not row.labels):
                raise RuntimeError(
                    f"line {row.line} of the table has {row.labels} labels, {row.questions} questions, and as reasons "
                    f"{row.reasons!r}, which does not add up: this is a bug, please report it"
                )
        if len(self.questions) != sum(row.questions for row in outcomes):
            raise RuntimeError("questions belong to no row of the table: this is a bug, please report it")
        return outcomes


def rows_csv(outcomes: Iterable[RowOutcome]) -> str:
    """The content of `rows.csv`."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(RowOutcome._fields)
    table.writerows(outcomes)
    return text.getvalue()


def count_outcomes(rows: str) -> Counter[str]:
    """Number of rows by outcome in the content of a `rows.csv`."""
    return Counter(row["outcome"] for row in csv.DictReader(io.StringIO(rows)))


def read_rows_file(folder: Location) -> str:
    """The content of `rows.csv` in a shard folder; empty if it has none."""
    path = folder / ROWS
    return path.read_text(encoding="utf-8") if path.is_file() else ""
