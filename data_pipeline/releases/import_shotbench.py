"""Import of the official ShotBench release into a shard folder: every row checked, nothing lost silently.

Owns the flow and its policy: a row that would be lost stops the import, unless `allow_missing`, and then it is named.
The question file is read in `release_questions.py`, media are found in `release_media.py` and judged in
`check_media.py`, the folder is written in `write_shards.py`.

Media are read in the order of the questions and checked while they are being written, so each is decoded once; if rows
were lost, the unfinished folder is thrown away. A few media are in memory at a time, checked by as many threads as
there are cores (decoders release the interpreter lock).
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from data_pipeline.checks.check_media import check_medium, judge_size
from data_pipeline.defects import Defect, DefectKind, Flaw
from data_pipeline.releases.release_media import QUESTIONS, ImportRefused, Release, ReleaseFile, find_release
from data_pipeline.releases.release_questions import ReleaseQuestion, about_release, defect_of, read_release
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.dataset_card import read_defects
from data_pipeline.shards.full_disk import write_output
from data_pipeline.shards.write_shards import ShardRow, finished_manifest, write_shards
from lmms_eval_shotbench.vocabulary import MediaKind

SPLIT = "test"
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


class Checked(NamedTuple):
    """Verdict on a medium: its checksum, or what is wrong."""

    sha256: str
    flaw: Flaw | None


class PendingCheck(NamedTuple):
    """A question, the bytes of its medium, and the verdict on them that a thread is working on."""

    question: ReleaseQuestion
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
        data_pipeline.shards.atomic_folder.WriteRefused: `out` is in use.
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
        defects += read_defects(out)
        outcome = _outcome(out, sum(manifest["counts"][SPLIT].values()), defects, already_complete=True)
        if outcome.rows_lost and not allow_missing:  # complete, but only because rows were once allowed to be lost
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
    return sum(medium.size for medium in found if isinstance(medium, ReleaseFile) and not judge_size(medium.size))


def _outcome(out: Path, written: int, defects: list[Defect], already_complete: bool = False) -> ImportReport:
    lost = sum(defect.loses_row for defect in defects)
    return ImportReport(out, written + lost, written, lost, tuple(defects), already_complete)


def _checked_rows(
    source: Release, questions: list[ReleaseQuestion], defects: list[Defect], out: Path, allow_missing: bool
) -> Iterator[ShardRow]:
    """Yield the good questions with their media; add to `defects`; raise `RowsLost` at the end if that is due."""
    from tqdm import tqdm

    doomed = not allow_missing and any(defect.loses_row for defect in defects)
    written = 0
    bar = tqdm(_readings(source, questions), "import", len(questions), unit="row", file=sys.stderr, disable=None)
    for (line, item), encoded, verdict, times in bar:
        index, (sha256, flaw) = str(item.source_index), verdict.result()
        if times > 1:
            again = Flaw(DefectKind.DUPLICATE_MEMBER, f"stands {times} times in its tar; the last one counts")
            defects.append(defect_of(again, line, index, item.media_path, loses_row=False))
        if flaw:
            defects.append(defect_of(flaw, line, index, item.media_path, loses_row=True))
            doomed = not allow_missing
        else:
            written += 1
            if not doomed:  # else only checked on, to name every broken row at once
                yield ShardRow.of(SPLIT, replace(item, media_sha256=sha256), encoded)
    defects.sort(key=lambda defect: defect.line)
    if doomed:
        raise RowsLost(_outcome(out, written, defects)._replace(rows_written=0))


def _readings(source: Release, questions: list[ReleaseQuestion]) -> Iterator[PendingCheck]:
    """Read media in the order of the questions, a few ahead of their use."""
    waiting: deque[PendingCheck] = deque()
    verdicts: dict[tuple[object, ...], Future[Checked]] = {}  # questions share media
    with ThreadPoolExecutor(THREADS) as pool:
        for question in questions:
            waiting.append(_begin_reading(source, question, pool, verdicts))
            while len(waiting) > READ_AHEAD or sum(len(reading.encoded) for reading in waiting) > READ_AHEAD_BYTES:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()


def _begin_reading(
    source: Release,
    question: ReleaseQuestion,
    pool: ThreadPoolExecutor,
    verdicts: dict[tuple[object, ...], Future[Checked]],
) -> PendingCheck:
    kind = question.item.media_kind
    found = source.find(question.item.media_path, kind)
    flaw = judge_size(found.size) if isinstance(found, ReleaseFile) else found
    if flaw or not isinstance(found, ReleaseFile):
        return PendingCheck(question, b"", pool.submit(Checked, "", flaw))
    encoded = source.read(found)
    key = (kind, found.store, found.name)
    if key not in verdicts:
        verdicts[key] = pool.submit(_check, kind, encoded)
    return PendingCheck(question, encoded, verdicts[key], found.times)


def _check(kind: MediaKind, encoded: bytes) -> Checked:
    return Checked(hashlib.sha256(encoded).hexdigest(), check_medium(kind, encoded))


def _write_report(path: Path | None, defects: list[Defect]) -> None:
    if path is not None:
        write_output(path, "".join(json.dumps(defect.to_row()) + "\n" for defect in defects))
