"""Import of the official ShotBench release into a shard folder: every row is checked and every loss recorded.

Owns the flow and its policy: a row that would be lost aborts the import, unless `allow_missing`; then it is recorded.
The question file is read in `release_questions.py`, media are found in `release_media.py` and checked in
`check_media.py`, the folder is written in `write_shards.py`.

Media are read in the order of the questions and checked while they are being written, so each is decoded once; if rows
were lost, the unfinished folder is deleted. A few media are in memory at a time, checked by up to four threads, at most
one per core (decoders release the GIL).
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from data_pipeline.checks.check_media import check_file_size, check_medium
from data_pipeline.defects import Defect, DefectKind, Flaw
from data_pipeline.medium_guard import MediumGuard
from data_pipeline.releases.check_on_workers import Verdict, check_one
from data_pipeline.releases.release_media import QUESTIONS, ImportRefused, Release, ReleaseFile, find_release
from data_pipeline.releases.release_questions import ReleaseQuestion, about_release, defect_of, read_release
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.dataset_card import read_defects
from data_pipeline.shards.full_disk import write_output
from data_pipeline.shards.write_shards import PendingRow, finished_manifest, write_shards
from lmms_eval_shotbench.progress import with_progress
from lmms_eval_shotbench.vocabulary import MediaKind

SPLIT = "test"
THREADS = min(4, os.cpu_count() or 1)
READ_AHEAD = 4 * THREADS  # media; keeps the threads busy while a row group is written
READ_AHEAD_BYTES = 64_000_000  # upper limit; a single larger medium is still read


class ImportReport(NamedTuple):
    """Result of an import."""

    folder: Path
    rows_read: int
    rows_written: int
    rows_lost: int
    defects: tuple[Defect, ...]
    already_complete: bool


class RowsLost(ImportRefused):
    """Rows would be lost and `allow_missing` is not set; `report` lists them."""

    def __init__(self, report: ImportReport) -> None:
        super().__init__(f"{report.rows_lost} of {report.rows_read} rows cannot be imported")
        self.report = report


MediumKey = tuple[MediaKind, Path, str]  # kind, store, name
# Several questions share a medium. None for a still that was rewritten: it is checked again rather than kept in memory.
Verdicts = dict[MediumKey, Future[Verdict] | None]


class PendingCheck(NamedTuple):
    """A question, the encoded bytes of its medium, and the pending result of checking them."""

    question: ReleaseQuestion
    encoded: bytes
    verdict: Future[Verdict]
    medium: MediumKey | None = None  # None if there is no such medium
    is_first: bool = True  # of the questions about this medium
    times: int = 1  # number of tar members with this name


def import_shotbench(
    release: str, out: Path, *, allow_missing: bool = False, overwrite: bool = False, report: Path | None = None
) -> ImportReport:
    """Import a release folder or Hub dataset into the shard folder `out`.

    Args:
        allow_missing: Drop broken rows and record them in the shards, instead of aborting.
        overwrite: Replace existing shards in `out`, once the new ones are complete.
        report: File for the list of all defects, one JSON object per line, written in any case.

    Raises:
        RowsLost: rows are broken or their media missing, and `allow_missing` is False.
        ImportRefused: the release is unusable.
        data_pipeline.shards.atomic_folder.WriteRefused: `out` is in use.
    """
    source = find_release(release)
    _check_output_paths(source, out, report)
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


def _check_output_paths(source: Release, out: Path, report: Path | None) -> None:
    """Raise `ImportRefused` if the shards or the report would be written into or over the release."""
    for name, path in (("--out", out), ("--report", report)):
        target = Path(os.path.realpath(path.expanduser())) if path else None
        if target and (target == source.folder or target in source.folder.parents or source.folder in target.parents):
            raise ImportRefused(
                f"{name} {path} is inside the release {source.folder} or contains it; choose another path"
            )
    if report and (report.is_dir() or not report.parent.is_dir()):
        raise ImportRefused(f"--report {report} cannot be written; give a file in an existing folder")


def _run_import(
    source: Release, out: Path, defects: list[Defect], allow_missing: bool, overwrite: bool
) -> ImportReport:
    fingerprint, out = source.fingerprint(), out.expanduser()
    if not overwrite and (manifest := finished_manifest(out, fingerprint)):
        defects += read_defects(out)
        outcome = _outcome(out, sum(manifest["counts"][SPLIT].values()), defects, already_complete=True)
        if outcome.rows_lost and not allow_missing:  # complete only because an earlier run allowed rows to be lost
            raise RowsLost(outcome)
        return outcome
    questions = read_release(source.folder / QUESTIONS, defects)
    for kind in sorted({question.item.media_kind for question in questions}):
        source.require(kind)
    source.scan()
    rows = _checked_rows(source, questions, defects, out, allow_missing)
    about = about_release(source.folder, fingerprint)
    shards = write_shards(
        rows,
        out,
        about,
        splits=[SPLIT],
        overwrite=overwrite,
        defects=defects,
        expected_bytes=_expected_bytes(source, questions),
    )
    return _outcome(shards.folder, sum(shards.counts[SPLIT].values()), defects)


def _expected_bytes(source: Release, questions: list[ReleaseQuestion]) -> int:
    found = (source.find(item.media_path, item.media_kind) for _, item in questions)
    return sum(medium.size for medium in found if isinstance(medium, ReleaseFile) and not check_file_size(medium.size))


def _outcome(out: Path, written: int, defects: list[Defect], already_complete: bool = False) -> ImportReport:
    lost = sum(defect.loses_row for defect in defects)
    return ImportReport(out, written + lost, written, lost, tuple(defects), already_complete)


def _checked_rows(
    source: Release, questions: list[ReleaseQuestion], defects: list[Defect], out: Path, allow_missing: bool
) -> Iterator[PendingRow]:
    """Yield valid questions with their media and add to `defects`; raises `RowsLost` at the end if rows are lost."""
    abort = not allow_missing and any(defect.loses_row for defect in defects)
    written = 0
    checks = with_progress(_read_ahead(source, questions), "import", len(questions), "row")
    for (line, item), encoded, checked, _, is_first, times in checks:
        index, verdict = str(item.source_index), checked.result()
        if times > 1:
            duplicate = Flaw(DefectKind.DUPLICATE_MEMBER, f"occurs {times} times in its tar; the last one is used")
            defects.append(defect_of(duplicate, line, index, item.media_path, loses_row=False))
        for warning in verdict.warnings if is_first else ():
            defects.append(defect_of(warning, line, index, item.media_path, loses_row=False))
        if verdict.flaw:
            defects.append(defect_of(verdict.flaw, line, index, item.media_path, loses_row=True))
            abort = not allow_missing
        else:
            written += 1
            if not abort:  # otherwise continue checking only, to report all broken rows at once
                stored = verdict.upright or encoded
                yield PendingRow.of(SPLIT, replace(item, media_sha256=verdict.sha256), stored)
    defects.sort(key=lambda defect: defect.line)
    if abort:
        raise RowsLost(_outcome(out, written, defects)._replace(rows_written=0))


def _read_ahead(source: Release, questions: list[ReleaseQuestion]) -> Iterator[PendingCheck]:
    """Read media ahead in the order of the questions, and submit them for checking."""
    waiting: deque[PendingCheck] = deque()
    verdicts: Verdicts = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for question in questions:
            waiting.append(_start_check(source, question, pool, verdicts))
            while len(waiting) > READ_AHEAD or sum(len(check.encoded) for check in waiting) > READ_AHEAD_BYTES:
                yield (check := waiting.popleft())
                if check.medium and check.verdict.result().upright:
                    verdicts[check.medium] = None
        yield from waiting


def _start_check(
    source: Release,
    question: ReleaseQuestion,
    pool: ThreadPoolExecutor,
    verdicts: Verdicts,
) -> PendingCheck:
    kind = question.item.media_kind
    found = source.find(question.item.media_path, kind)
    flaw = check_file_size(found.size) if isinstance(found, ReleaseFile) else found
    if flaw or not isinstance(found, ReleaseFile):
        return PendingCheck(question, b"", pool.submit(Verdict, "", flaw))
    flaws: list[Flaw] = []
    with MediumGuard(flaws.append, "reading it"):
        encoded = source.read(found)
    if flaws:
        return PendingCheck(question, b"", pool.submit(Verdict, "", flaws[0]))
    key = (kind, found.store, found.name)
    is_first = key not in verdicts
    verdict = verdicts[key] = verdicts.get(key) or pool.submit(check_one, check_medium, kind, encoded)
    return PendingCheck(question, encoded, verdict, key, is_first, found.times)


def _write_report(path: Path | None, defects: list[Defect]) -> None:
    if path is not None:
        write_output(path, "".join(json.dumps(defect.to_row()) + "\n" for defect in defects))
