"""Import of the official ShotBench release into a shard folder: every row is checked and every loss recorded.

Owns the flow and its policy: a row that would be lost aborts the import, unless `allow_missing`; then it is recorded.
The question file is read in `release_questions.py`, media are found in `release_media.py` and checked in
`check_media.py`, the folder is written in `write_shards.py`.

Media are read in the order of the questions and checked, in threads or on Ray workers, while they are being written, so
each is decoded once; if rows were lost, the unfinished folder is deleted. A limited amount of media is in memory at a
time.

The number of questions is not fixed: releases with 3,572 and with 3,608 rows have been published. Without the tar of
one kind of medium, the questions about the other kind can be imported with `allow_missing` or `dimensions`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from data_pipeline.checks.check_media import check_file_size, check_medium
from data_pipeline.defects import Defect, DefectKind, Flaw, require_balance
from data_pipeline.medium_guard import MediumGuard
from data_pipeline.releases.check_on_workers import Verdict, check_one, worker_died
from data_pipeline.releases.release_media import QUESTIONS, ImportRefused, Release, ReleaseFile, find_release
from data_pipeline.releases.release_questions import (
    ReleaseQuestion,
    about_release,
    defect_of,
    read_release,
    write_report,
)
from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.dataset_card import read_defects
from data_pipeline.shards.write_shards import PendingRow, finished_manifest, write_shards
from data_pipeline.workers import Workers, WorkItem, map_stream
from lmms_eval_shotbench.progress import with_progress
from lmms_eval_shotbench.vocabulary import MediaKind, slugs

SPLIT = "test"
READ_AHEAD_BYTES = 64_000_000  # media being checked; a single larger medium is still read


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


IN_PROCESS = Workers(0)
MediumKey = tuple[MediaKind, Path, str]  # kind, store, name


class Choices(NamedTuple):
    """Options of an import, as in `import_shotbench`."""

    allow_missing: bool
    dimensions: tuple[str, ...]
    workers: Workers


class FoundMedium(NamedTuple):
    """A question and the encoded bytes of its medium, or the flaw that prevents reading it."""

    question: ReleaseQuestion
    flaw: Flaw | None
    encoded: bytes = b""
    key: MediumKey | None = None  # None if there is no such medium
    is_first: bool = True  # of the questions about this medium
    times: int = 1  # number of tar members with this name


def import_shotbench(
    release: str,
    out: Path,
    *,
    allow_missing: bool = False,
    dimensions: Sequence[str] = (),
    workers: Workers = IN_PROCESS,
    overwrite: bool = False,
    report: Path | None = None,
) -> ImportReport:
    """Import a release folder or Hub dataset into the shard folder `out`.

    Args:
        allow_missing: Drop broken rows and record them in the shards, instead of aborting.
        dimensions: Slugs of the dimensions whose questions are imported; empty: all.
        overwrite: Replace existing shards in `out`, once the new ones are complete.
        report: File for the list of all defects, one JSON object per line, written in any case.

    Raises:
        RowsLost: rows are broken or their media missing, and `allow_missing` is False.
        ImportRefused: the release is unusable.
        data_pipeline.shards.atomic_folder.WriteRefused: `out` is in use.
    """
    source = find_release(release)
    choices = Choices(allow_missing, tuple(slug for slug in slugs() if slug in dimensions), workers)
    _check_output_paths(source, out, report)
    defects: list[Defect] = []
    try:
        outcome = _run_import(source, out, defects, choices, overwrite)
    except (RowsLost, WriteRefused):
        write_report(report, defects)
        raise
    finally:
        source.close()
    write_report(report, defects)
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


def _run_import(source: Release, out: Path, defects: list[Defect], choices: Choices, overwrite: bool) -> ImportReport:
    fingerprint, out = source.fingerprint(choices.dimensions), out.expanduser()
    if not overwrite and (manifest := finished_manifest(out, fingerprint)):
        defects += read_defects(out)
        outcome = _outcome(out, sum(manifest["counts"][SPLIT].values()), defects, already_complete=True)
        if outcome.rows_lost and not choices.allow_missing:  # an earlier run allowed it
            raise RowsLost(outcome)
        return outcome
    questions, rows_read = read_release(source.folder / QUESTIONS, defects, choices.dimensions)
    kinds = sorted({question.item.media_kind for question in questions})
    if not choices.allow_missing or not any(source.stores(kind) for kind in kinds):
        for kind in kinds:
            source.require(kind)
    source.scan()
    rows = _checked_rows(source, questions, defects, out, choices)
    about = about_release(source.folder, fingerprint, choices.dimensions)
    shards = write_shards(
        rows,
        out,
        about,
        splits=[SPLIT],
        overwrite=overwrite,
        defects=defects,
        expected_bytes=_expected_bytes(source, questions),
    )
    outcome = _outcome(shards.folder, sum(shards.counts[SPLIT].values()), defects)
    require_balance(rows_read, outcome.rows_written, outcome.rows_lost)
    return outcome


def _expected_bytes(source: Release, questions: list[ReleaseQuestion]) -> int:
    found = (source.find(item.media_path, item.media_kind) for _, item in questions)
    return sum(medium.size for medium in found if isinstance(medium, ReleaseFile) and not check_file_size(medium.size))


def _outcome(out: Path, written: int, defects: list[Defect], already_complete: bool = False) -> ImportReport:
    lost = sum(defect.loses_row for defect in defects)
    return ImportReport(out, written + lost, written, lost, tuple(defects), already_complete)


def _checked_rows(
    source: Release, questions: list[ReleaseQuestion], defects: list[Defect], out: Path, choices: Choices
) -> Iterator[PendingRow]:
    """Yield valid questions with their media and add to `defects`; raises `RowsLost` at the end if rows are lost."""
    abort = not choices.allow_missing and any(defect.loses_row for defect in defects)
    written = 0
    known: dict[MediumKey, Verdict | None] = {}
    items = _work_items(source, questions)
    pending = map_stream(check_unit, items, choices.workers, READ_AHEAD_BYTES, lambda unit: unit and worker_died(unit))
    for medium, checked in with_progress(pending, "import", len(questions), "row"):
        (line, item), index = medium.question, str(medium.question.item.source_index)
        verdict = _verdict(medium, checked, known)
        if medium.times > 1:
            detail = f"occurs {medium.times} times in its tar; the last one is used"
            duplicate = Flaw(DefectKind.DUPLICATE_MEMBER, detail)
            defects.append(defect_of(duplicate, line, index, item.media_path, loses_row=False))
        for warning in verdict.warnings if medium.is_first else ():
            defects.append(defect_of(warning, line, index, item.media_path, loses_row=False))
        if verdict.flaw:
            defects.append(defect_of(verdict.flaw, line, index, item.media_path, loses_row=True))
            abort = not choices.allow_missing
        else:
            written += 1
            if not abort:  # otherwise continue checking only, to report all broken rows at once
                stored = verdict.upright or medium.encoded
                yield PendingRow.of(SPLIT, replace(item, media_sha256=verdict.sha256), stored)
    defects.sort(key=lambda defect: defect.line)
    if abort:
        raise RowsLost(_outcome(out, written, defects)._replace(rows_written=0))


def _work_items(
    source: Release, questions: list[ReleaseQuestion]
) -> Iterator[WorkItem[FoundMedium, tuple[MediaKind, bytes] | None]]:
    """Read the media in the order of the questions; each is sent to be checked once, with its first question."""
    seen: set[MediumKey] = set()
    for question in questions:
        kind = question.item.media_kind
        found = source.find(question.item.media_path, kind)
        flaw = check_file_size(found.size) if isinstance(found, ReleaseFile) else found
        if flaw or not isinstance(found, ReleaseFile):
            yield WorkItem(FoundMedium(question, flaw), None, 0)
            continue
        flaws: list[Flaw] = []
        with MediumGuard(flaws.append, "reading it"):
            encoded = source.read(found)
        if flaws:
            yield WorkItem(FoundMedium(question, flaws[0]), None, 0)
            continue
        key = (kind, found.store, found.name)
        medium = FoundMedium(question, None, encoded, key, key not in seen, found.times)
        seen.add(key)
        yield WorkItem(medium, (kind, encoded) if medium.is_first else None, len(encoded))


def check_unit(unit: tuple[MediaKind, bytes] | None) -> Verdict | None:
    """Check one medium, of this kind and with these bytes; called on the workers."""
    if unit is None:
        return None
    return check_one(check_medium, *unit)


def _verdict(medium: FoundMedium, checked: Verdict | None, known: dict[MediumKey, Verdict | None]) -> Verdict:
    """The verdict on the medium of a question; `known` has those on the media of earlier questions.

    A still that was rewritten is None there: it is checked again rather than kept in memory.
    """
    if medium.key is None:
        return Verdict("", medium.flaw)
    verdict = checked or known[medium.key] or check_unit((medium.question.item.media_kind, medium.encoded))
    assert verdict is not None, "only a unit that is None has no verdict"
    known[medium.key] = None if verdict.upright else verdict
    return verdict
