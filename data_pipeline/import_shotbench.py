"""Import of the official ShotBench release into a shard folder: every row checked, nothing lost silently.

Owns the reading of `test.tsv`, the checks of rows and labels, and the policy: a row that would be lost stops the
import, unless `allow_missing`, and then it is named. Finding media is in `release_media.py`, judging one in
`check_media.py`, the folder in `write_shards.py`.

Media are read in the order of the questions and checked while they are being written, so each is decoded once; if rows
were lost, the unfinished folder is thrown away. A few media are in memory at a time, checked by as many threads as
there are cores (decoders release the interpreter lock).
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from data_pipeline.check_media import Defect, DefectKind, Flaw, check_medium, judge_size
from data_pipeline.release_media import QUESTIONS, ImportRefused, Medium, Release, find_release
from data_pipeline.write_shards import DEFECTS, About, WriteRefused, finished_manifest, write_shards
from lmms_eval_shotbench.qa_item import RELEASE_COLUMNS, BadRow, QAItem
from lmms_eval_shotbench.shards import file_sha256
from lmms_eval_shotbench.vocabulary import MediaKind, UnknownTerm, dimension_named, normal_form

SOURCE, LICENCE, SPLIT = "shotbench", "apache-2.0", "test"
THREADS = min(4, os.cpu_count() or 1)
READ_AHEAD = 4 * THREADS  # media; keeps the threads busy while a row group is being written
READ_AHEAD_BYTES = 64_000_000  # and no more than this; one larger medium still passes, alone


class ImportReport(NamedTuple):
    """What an import did."""

    folder: Path
    rows_read: int
    rows_written: int
    rows_lost: int
    defects: tuple[Defect, ...]
    already_complete: bool


class RowsLost(ImportRefused):
    """Rows would be lost, and the caller has not allowed that; `report` names them."""

    def __init__(self, report: ImportReport) -> None:
        super().__init__(f"{report.rows_lost} of {report.rows_read} rows cannot be imported")
        self.report = report


class Question(NamedTuple):
    """A line of the question file that is a good row."""

    line: int
    item: QAItem


class Checked(NamedTuple):
    """Verdict on a medium: its checksum, or what is wrong."""

    sha256: str
    flaw: Flaw | None


class Reading(NamedTuple):
    """A question, the bytes of its medium, and the verdict on them that a thread is working on."""

    question: Question
    encoded: bytes
    verdict: Future[Checked]
    times: int = 1  # how often the medium stands in its tar


def import_shotbench(
    release: str, out: Path, *, allow_missing: bool = False, overwrite: bool = False, report: Path | None = None
) -> ImportReport:
    """Import a release folder or Hub dataset into the shard folder `out`.

    Args:
        allow_missing: Leave broken rows out, and name them in the shards, instead of refusing.
        overwrite: Write even if `out` holds shards; they are replaced at the end.
        report: File for the list of all defects, one JSON object a line, whatever the outcome.

    Raises:
        RowsLost: rows are broken or their media missing.
        ImportRefused: the release as a whole is unusable.
        data_pipeline.write_shards.WriteRefused: `out` is in use.
    """
    source = find_release(release)
    _check_places(source, out, report)
    defects: list[Defect] = []
    try:
        outcome = _run_import(source, out, defects, allow_missing, overwrite)
    except (RowsLost, WriteRefused):
        _write_report(report, defects)
        raise
    finally:
        source.close()
    _write_report(report, defects)
    return outcome


def _check_places(source: Release, out: Path, report: Path | None) -> None:
    """Neither shards nor report may land in, or in place of, the release."""
    for name, path in (("--out", out), ("--report", report)):
        target = Path(os.path.realpath(path.expanduser())) if path else None
        if target and (target == source.folder or target in source.folder.parents or source.folder in target.parents):
            raise ImportRefused(f"{name} {path} lies in the release {source.folder} or holds it; choose another place")
    if report and (report.is_dir() or not report.parent.is_dir()):
        raise ImportRefused(f"--report {report} cannot be written; give a file in an existing folder")


def _run_import(
    source: Release, out: Path, defects: list[Defect], allow_missing: bool, overwrite: bool
) -> ImportReport:
    fingerprint, out = source.fingerprint(), out.expanduser()
    if not overwrite and (manifest := finished_manifest(out, fingerprint)):
        defects += _stored_defects(out)
        outcome = _outcome(out, sum(manifest["counts"][SPLIT].values()), defects, already_complete=True)
        if outcome.rows_lost and not allow_missing:  # complete, but only because rows were once allowed to be lost
            raise RowsLost(outcome)
        return outcome
    questions = _read_questions(source.folder / QUESTIONS, defects)
    for kind in sorted({question.item.media_kind for question in questions}):
        source.require(kind)
    source.scan()
    rows = _checked_rows(source, questions, defects, out, allow_missing)
    shards = write_shards({SPLIT: rows}, out, _about(source, fingerprint), overwrite=overwrite, defects=defects)
    return _outcome(shards.folder, sum(shards.counts[SPLIT].values()), defects)


def _outcome(out: Path, written: int, defects: list[Defect], already_complete: bool = False) -> ImportReport:
    lost = sum(defect.loses_row for defect in defects)
    return ImportReport(out, written + lost, written, lost, tuple(defects), already_complete)


# ---- rows ------------------------------------------------------------------------------------------------------


def _read_questions(path: Path, defects: list[Defect]) -> list[Question]:
    """Read the question file; broken rows and labels that contradict themselves become defects."""
    questions: list[Question] = []
    indices: dict[int, int] = {}  # index -> line
    for line, row in _lines(path):
        try:
            item = _item(row)
        except (ValueError, RecursionError) as error:  # JSON nested without end overflows the parser
            broken = Flaw(DefectKind.BAD_ROW, str(error))
            defects.append(_defect(broken, line, str(row["index"]), str(row["path"]), loses_row=True))
            continue
        question = Question(line, item)
        if item.source_index in indices:
            twice = Flaw(DefectKind.DUPLICATE_INDEX, f"line {indices[item.source_index]} has it already")
            defects.append(_defect(twice, line, row["index"], item.media_path, loses_row=True))
            continue
        indices[item.source_index] = line
        questions.append(question)
        defects += [_defect(flaw, line, row["index"], item.media_path, loses_row=False) for flaw in _label_flaws(item)]
    return questions


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row with the number of its first line."""
    csv.field_size_limit(sys.maxsize)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream, delimiter="\t")
            if missing := [name for name in RELEASE_COLUMNS if name not in (rows.fieldnames or ())]:
                raise ImportRefused(f"{path} lacks the columns {', '.join(missing)}; is it the release's {QUESTIONS}?")
            for row in rows:
                yield rows.line_num - sum(text.count("\n") for text in row.values() if isinstance(text, str)), row
    except (UnicodeDecodeError, csv.Error) as error:
        raise ImportRefused(f"{path} is no table in UTF-8 ({error}); download it again") from None


def _item(row: dict[str, str]) -> QAItem:
    cells = [text for name, text in row.items() if name is not None]
    if len(cells) != len(row):
        raise BadRow(row["index"], "line", row, f"{len(cells)} cells")
    if any("\n" in text for text in cells if text):
        raise BadRow(row["index"], "line", row, "one line (an open quotation mark swallows what follows it)")
    item = QAItem.from_release_row(row, SOURCE, LICENCE)
    "".join((item.question, *item.options, item.media_path)).encode()  # half a surrogate pair cannot be stored
    return item


def _label_flaws(item: QAItem) -> Iterator[Flaw]:
    """What is wrong with the options as film terms; a reader of scores should know, but the row is kept."""
    letters: dict[object, str] = {}  # meaning -> first letter that has it
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


# ---- media -----------------------------------------------------------------------------------------------------


def _checked_rows(
    source: Release, questions: list[Question], defects: list[Defect], out: Path, allow_missing: bool
) -> Iterator[tuple[QAItem, bytes]]:
    """Yield the good questions with their media; add to `defects`; raise `RowsLost` at the end if that is due."""
    from tqdm import tqdm

    doomed = not allow_missing and any(defect.loses_row for defect in defects)
    written = 0
    bar = tqdm(_readings(source, questions), "import", len(questions), unit="row", file=sys.stderr, disable=None)
    for (line, item), encoded, verdict, times in bar:
        index, (sha256, flaw) = str(item.source_index), verdict.result()
        if times > 1:
            again = Flaw(DefectKind.DUPLICATE_MEMBER, f"stands {times} times in its tar; the last one counts")
            defects.append(_defect(again, line, index, item.media_path, loses_row=False))
        if flaw:
            defects.append(_defect(flaw, line, index, item.media_path, loses_row=True))
            doomed = not allow_missing
        else:
            written += 1
            if not doomed:  # else only checked on, to name every broken row at once
                yield replace(item, media_sha256=sha256), encoded
    defects.sort(key=lambda defect: defect.line)
    if doomed:
        raise RowsLost(_outcome(out, written, defects)._replace(rows_written=0))


def _readings(source: Release, questions: list[Question]) -> Iterator[Reading]:
    """Read media in the order of the questions, a few ahead of their use."""
    waiting: deque[Reading] = deque()
    verdicts: dict[tuple[object, ...], Future[Checked]] = {}  # questions share media
    with ThreadPoolExecutor(THREADS) as pool:
        for question in questions:
            waiting.append(_begin_reading(source, question, pool, verdicts))
            while len(waiting) > READ_AHEAD or sum(len(reading.encoded) for reading in waiting) > READ_AHEAD_BYTES:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()


def _begin_reading(
    source: Release, question: Question, pool: ThreadPoolExecutor, verdicts: dict[tuple[object, ...], Future[Checked]]
) -> Reading:
    kind = question.item.media_kind
    found = source.find(question.item.media_path, kind)
    flaw = judge_size(found.size) if isinstance(found, Medium) else found
    if flaw or not isinstance(found, Medium):
        return Reading(question, b"", pool.submit(Checked, "", flaw))
    encoded = source.read(found)
    key = (kind, found.store, found.name)
    if key not in verdicts:
        verdicts[key] = pool.submit(_check, kind, encoded)
    return Reading(question, encoded, verdicts[key], found.times)


def _check(kind: MediaKind, encoded: bytes) -> Checked:
    return Checked(hashlib.sha256(encoded).hexdigest(), check_medium(kind, encoded))


# ---- what is said of it ----------------------------------------------------------------------------------------


def _defect(flaw: Flaw, line: int, index: str, path: str, *, loses_row: bool) -> Defect:
    """The record of a flaw; names that are no UTF-8 come from tars, and must not stop the report."""
    index, path, detail = (text.encode(errors="backslashreplace").decode() for text in (index, path, flaw.detail))
    return Defect(flaw.kind, line, index, path, detail, loses_row)


def _stored_defects(folder: Path) -> list[Defect]:
    if not (folder / DEFECTS).is_file():
        return []
    rows = map(json.loads, (folder / DEFECTS).read_text(encoding="utf-8").splitlines())
    return [Defect(**{**row, "kind": DefectKind(row["kind"])}) for row in rows]


def _write_report(path: Path | None, defects: list[Defect]) -> None:
    if path is None:
        return
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        partial.write_text("".join(json.dumps(defect.to_row()) + "\n" for defect in defects), encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _about(source: Release, fingerprint: str) -> About:
    checksum = file_sha256(source.folder / QUESTIONS)
    return About(
        title="ShotBench",
        fingerprint=fingerprint,
        what="Multiple-choice questions by experts about the language of film: what a shot shows, how it is framed, "
        "lit and composed, and how the camera moves. One question a row, one still or clip a question.",
        provenance="The official release Vchitect/ShotBench (arXiv 2506.21356), licence Apache-2.0; the films' own "
        f"rights remain with their owners. Its `{QUESTIONS}` has the SHA-256 `{checksum}`.",
        how_made="With `shotbench data import-shotbench`. Questions and media are unchanged, byte for byte. Every "
        "still was decoded whole, and of every clip the first frame.",
        licence=LICENCE,
        tags=("film", "cinematography", "benchmark", "shotbench"),
    )
