"""Import of the ShotQA release into a shard folder in one pass over its archive, with every row accounted for.

Owns the flow: questions are read first (`shotqa_questions.py`), then media are streamed (`shotqa_archive.py`), checked
on workers (`check_on_workers.py`) and written in the archive's order (`write_shards.py`). About one medium in seventy
of the published release is broken: its rows are dropped, each with a defect.

Rows read must equal rows written, rows lost (one defect each) and open-ended rows (counted); this is checked at the
end. A killed run resumes when it is repeated: verdicts are in `.NAME.work` next to the shards, finished files are kept,
and the result is identical to the byte. The stream itself is read from the start again, since gzip has no random
access.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from data_pipeline.checks.check_media import check_medium
from data_pipeline.defects import Defect, DefectKind, Flaw, require_balance
from data_pipeline.releases.check_on_workers import NoJournal, VerdictJournal, check_media_on_workers
from data_pipeline.releases.release_media import ImportRefused, trust_medium
from data_pipeline.releases.release_questions import defect_of, write_defect_report
from data_pipeline.releases.shotqa_archive import ArchiveDamaged, stream_media
from data_pipeline.releases.shotqa_files import FINGERPRINT_VERSION, ShotQARelease, find_shotqa
from data_pipeline.releases.shotqa_questions import SPLITS, ShotQAChoices, ShotQAQuestions, about_shotqa, read_shotqa
from data_pipeline.releases.wanted_media import RequiredMedium, UnusedFiles, WantedMedia
from data_pipeline.shards.atomic_folder import bytes_in_draft
from data_pipeline.shards.dataset_card import read_defects
from data_pipeline.shards.full_disk import free_bytes, readable_bytes
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import NothingLeft, write_shards
from data_pipeline.workers import Workers
from lmms_eval_shotbench.progress import progress_bar

logger = logging.getLogger(__name__)
JUDGES = {"check": check_medium, "trust": trust_medium}
IN_PROCESS = Workers(0)


DEFAULTS = ShotQAChoices()


class ShotQAReport(NamedTuple):
    """Result of an import. `drops` counts the rows that are not in the shards, by reason."""

    folder: Path
    rows_read: int
    rows_written: dict[str, int]
    drops: Counter[str]
    defects: list[Defect]
    already_complete: bool


def import_shotqa(
    release: str,
    out: Path,
    choices: ShotQAChoices = DEFAULTS,
    *,
    workers: Workers = IN_PROCESS,
    overwrite: bool = False,
    report: Path | None = None,
) -> ShotQAReport:
    """Import a release folder or Hub dataset into the shard folder `out`.

    Args:
        report: File for the list of all defects, one JSON object per line, written in any case.

    Raises:
        ImportRefused: the release is unusable, or its archive is truncated.
        data_pipeline.shards.atomic_folder.WriteRefused: `out` is in use, or every row is lost.
    """
    source, out = find_shotqa(release), Path(os.path.realpath(out.expanduser()))
    _check(source, out, report, choices)
    defects: list[Defect] = []
    outcome: ShotQAReport | None = None
    try:
        outcome = _run_import(source, out, choices, workers, defects, overwrite)
        return outcome
    finally:
        write_defect_report(report, outcome.defects if outcome else defects)


def _run_import(
    source: ShotQARelease, out: Path, choices: ShotQAChoices, workers: Workers, defects: list[Defect], overwrite: bool
) -> ShotQAReport:
    fingerprint = source.fingerprint(choices.with_open_ended, choices.dev_share, choices.media)
    questions = read_shotqa(source, choices, defects)
    job = _Import(source, questions, choices, out, workers, defects)
    rows = _pending_rows(job)
    about = about_shotqa(fingerprint, choices)
    try:
        shards = write_shards(rows, out, about, splits=SPLITS, overwrite=overwrite, defects=defects)
    except (ArchiveDamaged, NothingLeft):
        shutil.rmtree(job.work, ignore_errors=True)  # the verdicts do not apply to the replacement archive
        raise
    shutil.rmtree(job.work, ignore_errors=True)
    written = {split: sum(shards.counts[split].values()) for split in SPLITS}
    recorded = read_defects(out) if shards.already_complete else defects
    drops = _count_drops(questions, sum(written.values()), recorded)
    return ShotQAReport(out, questions.rows_read, written, drops, recorded, shards.already_complete)


class _Import(NamedTuple):
    """Inputs and state of one import."""

    source: ShotQARelease
    questions: ShotQAQuestions
    choices: ShotQAChoices
    out: Path
    workers: Workers
    defects: list[Defect]

    @property
    def work(self) -> Path:
        """Return the folder of the journal, which a resumed run reads."""
        return self.out.with_name(f".{self.out.name}.work")


def _check(source: ShotQARelease, out: Path, report: Path | None, choices: ShotQAChoices) -> None:
    folder = Path(os.path.realpath(source.folder))
    for name, path in (("--out", out), ("--report", Path(os.path.realpath(report)) if report else None)):
        if path and (path == folder or path in folder.parents or folder in path.parents):
            raise ImportRefused(f"{name} {path} is inside the release {folder} or contains it; choose another path")
    if not 0 <= choices.dev_share < 1:
        raise ImportRefused(f"--dev-share is {choices.dev_share} but must be at least 0 and less than 1")
    if choices.media not in JUDGES:
        raise ImportRefused(f"--media is {choices.media!r} but must be {' or '.join(JUDGES)}")


def _pending_rows(job: _Import) -> Iterator[PendingRow]:
    """Yield the valid questions with their media, in the archive's order, and add to the defects."""
    _warn_if_disk_too_small(job)
    media, unused_files, repeated = WantedMedia(job.questions.good), UnusedFiles(), list[tuple[RequiredMedium, str]]()
    judge, workers, journal, written = JUDGES[job.choices.media], IN_PROCESS, NoJournal(), 0
    if job.choices.media == "check":  # inspecting first bytes is cheaper than a worker or a journal
        workers = job.workers
        source = f"{job.source.archive_fingerprint()} check {FINGERPRINT_VERSION}"
        journal = VerdictJournal(job.work / "verdicts.jsonl", source)
    with journal, progress_bar("import", len(job.questions.good), "row") as bar:
        found = stream_media(job.source.archive, media, unused_files, repeated)
        for medium, verdict in check_media_on_workers(found, judge, workers, journal):
            bar.update(len(medium.wanted.questions))
            if verdict.flaw:
                _add_losses(medium.wanted, verdict.flaw, job.defects)
                continue
            _, line, first = medium.wanted.questions[0]
            for warning in verdict.warnings:
                job.defects.append(defect_of(warning, line, first.item_id, medium.wanted.path, loses_row=False))
            for split, _, item in medium.wanted.questions:
                written += 1
                stored = verdict.upright or medium.encoded
                yield PendingRow.of(split, replace(item, media_sha256=verdict.sha256), stored)
    _record_archive_defects(job, media, unused_files, repeated)
    _count_drops(job.questions, written, job.defects)


def _warn_if_disk_too_small(job: _Import) -> None:
    """Warn if the disk is probably too small: media do not compress, so shards are about as large as the archive."""
    size, available = job.source.archive.stat().st_size, free_bytes(job.out) + bytes_in_draft(job.out)
    if size > available:
        logger.warning(
            "%s has %s, nearly all of which goes into the shards, but only %s are free at %s. If the disk fills up, "
            "free space and run the same command again: finished files are kept",
            *(job.source.archive, readable_bytes(size), readable_bytes(available), job.out),
        )


def _add_losses(medium: RequiredMedium, flaw: Flaw, defects: list[Defect]) -> None:
    """Add a defect for every question about an unusable medium."""
    for _, line, item in medium.questions:
        defects.append(defect_of(flaw, line, item.item_id, medium.path, loses_row=True))


def _record_archive_defects(
    job: _Import, media: WantedMedia, unused_files: UnusedFiles, repeated: list[tuple[RequiredMedium, str]]
) -> None:
    """Add defects known only at the archive's end: missing media, repeated names and files without a question."""
    for medium, flaw in media.missing():
        _add_losses(medium, flaw, job.defects)
    for medium, name in repeated:
        duplicate = Flaw(DefectKind.DUPLICATE_MEMBER, f"{name} occurs again; the first occurrence is used")
        _, line, item = medium.questions[0]
        job.defects.append(defect_of(duplicate, line, item.item_id, medium.path, loses_row=False))
    if unused_files.count:
        unused = Flaw(
            DefectKind.NO_QUESTION, f"{unused_files.count:,} files, {', '.join(unused_files.first)} and so on"
        )
        job.defects.append(defect_of(unused, 0, "", job.source.archive.name, loses_row=False))


def _count_drops(questions: ShotQAQuestions, written: int, defects: list[Defect]) -> Counter[str]:
    """Rows that are not in the shards, by reason; raises `RuntimeError` if the counts do not add up."""
    drops = Counter(str(defect.kind) for defect in defects if defect.loses_row)
    if questions.open_ended:
        drops[str(DefectKind.OPEN_ENDED)] = questions.open_ended
    require_balance(questions.rows_read, written, drops.total())
    return drops
