"""The rows of a release with their media, checked while they are written, and what an import reports.

Owns reading each medium in the order of the questions, checking it once, in threads or on Ray workers, and the policy
on losses: a row that would be lost aborts the import, unless that is allowed; then it is recorded. Rows that are left
out on purpose (`LEFT_OUT`) are only recorded. Shared by the importers whose media can be read in any order; media are
located by the `MediaSource` that an importer passes in and checked in `check_media.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

from data_pipeline.checks.check_media import check_file_size, check_medium
from data_pipeline.defects import Defect, DefectKind, Flaw
from data_pipeline.medium_guard import MediumGuard
from data_pipeline.releases.check_on_workers import Verdict, check_one, worker_died
from data_pipeline.releases.release_media import ImportRefused, ReleaseFile
from data_pipeline.releases.release_questions import ReleaseQuestion, defect_of
from data_pipeline.shards.composition import Counts
from data_pipeline.shards.dataset_card import read_defects
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import finished_manifest
from data_pipeline.workers import Workers, WorkItem, map_stream
from lmms_eval_shotbench.progress import with_progress
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.remote_path import Location
from lmms_eval_shotbench.vocabulary import MediaKind

READ_AHEAD_BYTES = 64_000_000  # media being checked; a single larger medium is still read
IN_PROCESS = Workers(0)
# Rows that are no questions for us, whatever the state of the release; they never abort an import.
LEFT_OUT = frozenset(
    {
        DefectKind.UNMAPPED_CLASS,
        DefectKind.UNKNOWN_LABEL,
        DefectKind.OTHER_ANNOTATOR,
        DefectKind.OPEN_ENDED,
        DefectKind.CONTRADICTORY_LABELS,
        DefectKind.TOO_FEW_DISTRACTORS,
    }
)
MediumKey = tuple[MediaKind, Path, str]  # kind, store, name


class ImportReport(NamedTuple):
    """Result of an import."""

    folder: Location
    rows_read: int
    rows_written: int
    rows_lost: int
    defects: tuple[Defect, ...]
    already_complete: bool

    @classmethod
    def of(cls, out: Location, written: int, defects: Sequence[Defect], already_complete: bool = False) -> ImportReport:
        """Return the report on an import that wrote this many rows."""
        lost = sum(defect.loses_row for defect in defects)
        return cls(out, written + lost, written, lost, tuple(defects), already_complete)

    @property
    def rows_broken(self) -> int:
        """Number of rows lost for another reason than those of `LEFT_OUT`."""
        return sum(map(is_broken, self.defects))


class RowsLost(ImportRefused):
    """Rows would be lost and `allow_missing` is not set; `report` lists them."""

    def __init__(self, report: ImportReport) -> None:
        super().__init__(f"{report.rows_broken} of {report.rows_read} rows cannot be imported")
        self.report = report


class MediaSource(Protocol):
    """Media of a release by the paths in its questions."""

    def find(self, path: str, kind: MediaKind) -> ReleaseFile | Flaw:
        """Find the medium of a question."""

    def read(self, medium: ReleaseFile) -> bytes:
        """Read a medium's bytes."""


class FoundMedium(NamedTuple):
    """A question and the encoded bytes of its medium, or the flaw that prevents reading it."""

    question: ReleaseQuestion
    flaw: Flaw | None
    encoded: bytes = b""
    key: MediumKey | None = None  # None if there is no such medium
    is_first: bool = True  # of the questions about this medium
    times: int = 1  # number of tar members with this name


def is_broken(defect: Defect) -> bool:
    """Return whether a defect loses a row that should have been imported."""
    return defect.loses_row and defect.kind not in LEFT_OUT


def check_output_paths(folders: Sequence[Path], out: Path, report: Path | None) -> None:
    """Raise `ImportRefused` if the shards or the report would be written into or over the folders of the release."""
    for name, path in (("--out", out), ("--report", report)):
        target = Path(os.path.realpath(path.expanduser())) if path else None
        for folder in folders:
            if target and (target == folder or target in folder.parents or folder in target.parents):
                raise ImportRefused(f"{name} {path} is inside the release {folder} or contains it; choose another path")
    if report and (report.is_dir() or not report.parent.is_dir()):
        raise ImportRefused(f"--report {report} cannot be written; give a file in an existing folder")


def finished_import(out: Path, fingerprint: str, defects: list[Defect], *, allow_missing: bool) -> ImportReport | None:
    """Return the report on shards in `out` that an earlier import of the same files wrote; None if there are none.

    Their defects are added to `defects`. Raises `RowsLost` if that import left out broken rows, and this one may not.
    """
    manifest = finished_manifest(out, fingerprint)
    if not manifest:
        return None
    defects += read_defects(out)
    done = ImportReport.of(out, row_count(manifest["counts"]), defects, already_complete=True)
    if done.rows_broken and not allow_missing:
        raise RowsLost(done)
    return done


def row_count(counts: Counts) -> int:
    """Return the number of rows of all splits."""
    return sum(rows for by_dimension in counts.values() for rows in by_dimension.values())


def expected_bytes(source: MediaSource, items: Sequence[QAItem]) -> int:
    """Return the total size of the media of these questions, as far as they can be stored."""
    found = (source.find(item.media_path, item.media_kind) for item in items)
    return sum(medium.size for medium in found if isinstance(medium, ReleaseFile) and not check_file_size(medium.size))


def checked_rows(
    source: MediaSource,
    questions: Sequence[ReleaseQuestion],
    split: str,
    defects: list[Defect],
    out: Path,
    *,
    allow_missing: bool,
    workers: Workers,
) -> Iterator[PendingRow]:
    """Yield valid questions with their media and add to `defects`; raises `RowsLost` at the end if rows are lost."""
    abort = not allow_missing and any(map(is_broken, defects))
    written = 0
    known: dict[MediumKey, Verdict | None] = {}
    items = _work_items(source, questions)
    pending = map_stream(check_unit, items, workers, READ_AHEAD_BYTES, lambda unit: unit and worker_died(unit))
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
            abort = not allow_missing
        else:
            written += 1
            if not abort:  # otherwise continue checking only, to report all broken rows at once
                stored = verdict.upright or medium.encoded
                yield PendingRow.of(split, replace(item, media_sha256=verdict.sha256), stored)
    defects.sort(key=lambda defect: defect.line)
    if abort:
        raise RowsLost(ImportReport.of(out, written, defects)._replace(rows_written=0))


def _work_items(
    source: MediaSource, questions: Sequence[ReleaseQuestion]
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
