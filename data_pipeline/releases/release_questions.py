"""The question file of the official release: every line becomes a question or a defect.

Owns parsing `test.tsv`, errors (broken line, duplicate index), warnings (options that are no film terms, repeat a term
or are equivalent), and the text of the dataset card. The release is located in `release_media.py`, rows are validated
in `lmms_eval_shotbench/qa_item.py`, and `import_shotbench.py` decides whether lost rows abort the import.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from data_pipeline.defects import Defect, DefectKind, Flaw
from data_pipeline.releases.release_media import QUESTIONS, ImportRefused
from data_pipeline.shards.dataset_card import STORED_UPRIGHT, CardText
from data_pipeline.shards.full_disk import write_output
from lmms_eval_shotbench.qa_item import RELEASE_COLUMNS, BadRow, QAItem
from lmms_eval_shotbench.questions.shards import file_sha256
from lmms_eval_shotbench.vocabulary import UnknownDimension, UnknownTerm, dimension_named, normal_form

LICENCE = "apache-2.0"


class ReleaseQuestion(NamedTuple):
    """A valid row of the question file and its line number."""

    line: int
    item: QAItem


class ReleaseQuestions(NamedTuple):
    """All valid questions, and the number of rows read."""

    good: list[ReleaseQuestion]
    rows_read: int


def read_release(path: Path, defects: list[Defect], dimensions: Collection[str] = ()) -> ReleaseQuestions:
    """Return the valid questions; invalid lines and doubtful options are added to `defects`.

    Args:
        dimensions: Slugs; rows of other dimensions are not read. If empty, all rows are.

    Raises:
        ImportRefused: the file is not a table of questions.
    """
    questions: dict[int, ReleaseQuestion] = {}  # by index
    rows_read = 0
    for line, row in _numbered_rows(path):
        if dimensions and _is_of_another(row, dimensions):
            continue
        rows_read += 1
        try:
            item = _item(row)
        except ValueError as error:
            broken = Flaw(DefectKind.BAD_ROW, str(error))
            defects.append(defect_of(broken, line, str(row["index"]), str(row["path"]), loses_row=True))
            continue
        if first := questions.get(item.source_index):
            duplicate = Flaw(DefectKind.DUPLICATE_INDEX, f"first used on line {first.line}")
            defects.append(defect_of(duplicate, line, row["index"], item.media_path, loses_row=True))
            continue
        questions[item.source_index] = ReleaseQuestion(line, item)
        defects += [defect_of(flaw, line, row["index"], item.media_path, loses_row=False) for flaw in _warnings(item)]
    return ReleaseQuestions(list(questions.values()), rows_read)


def about_release(folder: Path, fingerprint: str, dimensions: Sequence[str] = ()) -> CardText:
    """Return the dataset card's description of these questions."""
    checksum = file_sha256(folder / QUESTIONS)
    only = f" Only the questions about {', '.join(dimensions)} were imported." if dimensions else ""
    return CardText(
        title="ShotBench",
        fingerprint=fingerprint,
        what="Multiple-choice questions by experts about the language of film: shot size, framing, camera angle, lens, "
        "lighting, composition and camera movement. Each row is one question about one still or clip.",
        provenance="The official release Vchitect/ShotBench (arXiv 2506.21356), licence Apache-2.0; the copyright of "
        f"the films remains with their owners. Its `{QUESTIONS}` has the SHA-256 `{checksum}`.",
        how_made="`shotbench data import-shotbench`. Questions and media are byte-identical to the release, "
        f"{STORED_UPRIGHT}. Every still was decoded completely, and the first frame of every clip.{only}",
        licence=LICENCE,
        tags=("film", "cinematography", "benchmark", "shotbench"),
    )


def write_defect_report(path: Path | None, defects: Iterable[Defect]) -> None:
    """Write all defects to a file of JSON lines; without a path, nothing is written. Raises `DiskFull`."""
    if path is not None:
        write_output(path, "".join(json.dumps(defect.to_row()) + "\n" for defect in defects))


def _is_of_another(row: Mapping[str, str | None], dimensions: Collection[str]) -> bool:
    """Whether a row is of a known dimension that is not among these; an unknown one makes it a bad row."""
    try:
        return dimension_named(row["category"] or "").slug not in dimensions
    except UnknownDimension:
        return False


def defect_of(flaw: Flaw, line: int, index: str, path: str, *, loses_row: bool) -> Defect:
    """Return the record of a flaw; names from tars that are not UTF-8 are escaped."""
    index, path, detail = (text.encode(errors="backslashreplace").decode() for text in (index, path, flaw.detail))
    return Defect(flaw.kind, line, index, path, detail, loses_row)


def _numbered_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row); a row of several lines has the number of the first."""
    csv.field_size_limit(sys.maxsize)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream, delimiter="\t")
            if missing := [name for name in RELEASE_COLUMNS if name not in (rows.fieldnames or ())]:
                raise ImportRefused(f"{path} lacks the columns {', '.join(missing)}; is it the release's {QUESTIONS}?")
            for row in rows:
                yield rows.line_num - sum(text.count("\n") for text in row.values() if isinstance(text, str)), row
    except (UnicodeDecodeError, csv.Error) as error:
        raise ImportRefused(f"{path} is not a UTF-8 table ({error}); download it again") from None


def _item(row: dict[str, str]) -> QAItem:
    """Parse a row; raises `BadRow` if it is invalid, e.g. has too few cells, which makes the missing ones empty."""
    if any("\n" in text for text in row.values() if text):
        raise BadRow(row["index"], "line", row, "one line (an unclosed quotation mark swallows the lines after it)")
    item = QAItem.from_release_row(row, licence=LICENCE)
    "".join((item.question, *item.options, item.media_path)).encode()  # raises for a lone surrogate
    return item


def _warnings(item: QAItem) -> Iterator[Flaw]:
    """Yield warnings about the options as film terms; the row is kept."""
    letters: dict[object, str] = {}  # meaning -> first letter with this meaning
    for letter, text in item.choices.items():
        meaning: object = normal_form(text)
        try:
            label = dimension_named(item.dimension).parse(text)
        except UnknownTerm as error:
            yield Flaw(DefectKind.UNKNOWN_TERM, f"{letter}: {error}")
        else:
            meaning = tuple(step for step, _ in groupby(frozenset(step) for step in label.steps))
            if label.repeated_terms:
                yield Flaw(DefectKind.REPEATED_TERM, f"{letter}: {text!r}")
        if meaning in letters:
            yield Flaw(DefectKind.SAME_OPTIONS, f"{letters[meaning]} and {letter}: {text!r}")
        letters.setdefault(meaning, letter)
