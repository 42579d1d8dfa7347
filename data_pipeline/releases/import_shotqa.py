"""Import of the ShotQA release into a shard folder: one pass over its archive, every row accounted for.

Owns the flow: questions are read first (`shotqa_questions.py`), then media are streamed (`shotqa_archive.py`), judged
on workers (`check_on_workers.py`) and written as they come (`write_shards.py`), so rows stand in the archive's order.
About one medium in seventy is broken in the release as it is published: its rows are left out, each with a defect.

Rows read are rows written, rows lost (one defect each) and open-ended rows (counted); that is checked at the end. A run
that was killed is called again the same way: verdicts are in `.NAME.work` beside the shards, finished files stay, and
the result is the same to the byte. The stream itself is read from its beginning again, as gzip knows no other way.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from data_pipeline.checks.check_media import check_medium
from data_pipeline.defects import Defect, DefectKind, Flaw
from data_pipeline.releases.check_on_workers import NoJournal, VerdictJournal, judge_media
from data_pipeline.releases.release_media import ImportRefused, trust_medium
from data_pipeline.releases.release_questions import defect_of
from data_pipeline.releases.shotqa_archive import ArchiveDamaged, stream_media
from data_pipeline.releases.shotqa_files import ShotQARelease, find_shotqa
from data_pipeline.releases.shotqa_questions import SPLITS, Questions, ShotQAChoices, about_shotqa, read_shotqa
from data_pipeline.releases.wanted_media import Strangers, Wanted, WantedMedia
from data_pipeline.shards.atomic_folder import bytes_in_draft
from data_pipeline.shards.dataset_card import read_defects
from data_pipeline.shards.full_disk import byte_count, free_bytes
from data_pipeline.shards.write_shards import NothingLeft, ShardRow, write_shards
from data_pipeline.workers import Workers

logger = logging.getLogger(__name__)
JUDGES = {"check": check_medium, "trust": trust_medium}
IN_PROCESS = Workers(0)


AS_USUAL = ShotQAChoices()


class ShotQAReport(NamedTuple):
    """What an import did. `drops` counts the rows that are not in the shards, by reason."""

    folder: Path
    rows_read: int
    rows_written: dict[str, int]
    drops: Counter[str]
    defects: list[Defect]
    already_complete: bool


def import_shotqa(
    release: str,
    out: Path,
    choices: ShotQAChoices = AS_USUAL,
    *,
    workers: Workers = IN_PROCESS,
    overwrite: bool = False,
) -> ShotQAReport:
    """Import a release folder or Hub dataset into the shard folder `out`.

    Raises:
        ImportRefused: the release as a whole is unusable, or its archive breaks off.
        data_pipeline.shards.atomic_folder.WriteRefused: `out` is in use, or every row is lost.
    """
    source, out = find_shotqa(release), Path(os.path.realpath(out.expanduser()))
    _check(source, out, choices)
    defects: list[Defect] = []
    fingerprint = source.fingerprint(choices.with_open_ended, choices.dev_share, choices.media)
    questions = read_shotqa(source, choices, defects)
    job = _Import(source, questions, choices, out, workers, defects)
    rows = _rows(job)
    about = about_shotqa(fingerprint, choices)
    try:
        shards = write_shards(rows, out, about, splits=SPLITS, overwrite=overwrite, defects=defects)
    except (ArchiveDamaged, NothingLeft):
        shutil.rmtree(job.work, ignore_errors=True)  # another archive, which must come now, has other verdicts
        raise
    shutil.rmtree(job.work, ignore_errors=True)
    written = {split: sum(shards.counts[split].values()) for split in SPLITS}
    told = read_defects(out) if shards.already_complete else defects
    drops = _accounted(questions, sum(written.values()), told)
    return ShotQAReport(out, questions.rows_read, written, drops, told, shards.already_complete)


class _Import(NamedTuple):
    """What one import works with."""

    source: ShotQARelease
    questions: Questions
    choices: ShotQAChoices
    out: Path
    workers: Workers
    defects: list[Defect]

    @property
    def work(self) -> Path:
        """A folder for what a later run must know."""
        return self.out.with_name(f".{self.out.name}.work")


def _check(source: ShotQARelease, out: Path, choices: ShotQAChoices) -> None:
    folder = Path(os.path.realpath(source.folder))
    if out == folder or out in folder.parents or folder in out.parents:
        raise ImportRefused(f"--out {out} lies in the release {folder} or holds it; choose another place")
    if not 0 <= choices.dev_share < 1:
        raise ImportRefused(f"--dev-share is {choices.dev_share}, it must be at least 0 and less than 1")
    if choices.media not in JUDGES:
        raise ImportRefused(f"--media is {choices.media!r}, it must be {' or '.join(JUDGES)}")


def _rows(job: _Import) -> Iterator[ShardRow]:
    """Yield the good questions with their media, in the archive's order; add to the defects."""
    from tqdm import tqdm

    _warn_of_small_disk(job)
    media, strangers, again = WantedMedia(job.questions.good), Strangers(), list[tuple[Wanted, str]]()
    judge, workers, journal, written = JUDGES[job.choices.media], IN_PROCESS, NoJournal(), 0
    if job.choices.media == "check":  # a look at first bytes is worth neither a way to a worker nor a line on the disk
        workers = job.workers
        journal = VerdictJournal(job.work / "verdicts.jsonl", f"{job.source.archive_fingerprint()} check")
    bar = tqdm(desc="import", total=len(job.questions.good), unit="row", file=sys.stderr, disable=None)
    with journal, bar:
        found = stream_media(job.source.archive, media, strangers, again)
        for medium, verdict in judge_media(found, judge, workers, journal):
            bar.update(len(medium.wanted.questions))
            if verdict.flaw:
                _lose(medium.wanted, verdict.flaw, job.defects)
                continue
            for split, _, item in medium.wanted.questions:
                written += 1
                yield ShardRow.of(split, replace(item, media_sha256=verdict.sha256), medium.encoded)
    _tell_of_archive(job, media, strangers, again)
    _accounted(job.questions, written, job.defects)


def _warn_of_small_disk(job: _Import) -> None:
    """Media do not shrink in the archive, and nearly all of them go into the shards; how many is known at its end."""
    size, room = job.source.archive.stat().st_size, free_bytes(job.out) + bytes_in_draft(job.out)
    if size > room:
        logger.warning(
            "%s holds %s, nearly all of which goes into the shards; %s has room for %s. Should the disk fill up, make "
            "room and run the same command again: what is finished is kept",
            *(job.source.archive, byte_count(size), job.out, byte_count(room)),
        )


def _lose(medium: Wanted, flaw: Flaw, defects: list[Defect]) -> None:
    """Every question about a medium that cannot be used is lost."""
    for _, line, item in medium.questions:
        defects.append(defect_of(flaw, line, item.item_id, medium.path, loses_row=True))


def _tell_of_archive(job: _Import, media: WantedMedia, strangers: Strangers, again: list[tuple[Wanted, str]]) -> None:
    """Say what shows at the archive's end: media that never came, names that came again, files nobody asks about."""
    for medium, flaw in media.missing():
        _lose(medium, flaw, job.defects)
    for medium, name in again:
        twice = Flaw(DefectKind.DUPLICATE_MEMBER, f"{name} comes again; the first one counts")
        _, line, item = medium.questions[0]
        job.defects.append(defect_of(twice, line, item.item_id, medium.path, loses_row=False))
    if strangers.count:
        told = Flaw(DefectKind.NO_QUESTION, f"{strangers.count:,} files, {', '.join(strangers.first)} and so on")
        job.defects.append(defect_of(told, 0, "", job.source.archive.name, loses_row=False))


def _accounted(questions: Questions, written: int, defects: list[Defect]) -> Counter[str]:
    """Rows that are not in the shards, by reason; raises `RuntimeError` if that does not add up."""
    drops = Counter(str(defect.kind) for defect in defects if defect.loses_row)
    if questions.open_ended:
        drops[str(DefectKind.OPEN_ENDED)] = questions.open_ended
    if questions.rows_read != written + drops.total():
        raise RuntimeError(
            f"{questions.rows_read:,} rows were read, {written:,} written and {drops.total():,} lost, which does not "
            "add up: this is a fault of the importer, please report it"
        )
    return drops
