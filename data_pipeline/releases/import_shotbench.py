"""Import of the official ShotBench release into a shard folder: every row is checked and every loss recorded.

Owns the flow. The question file is read in `release_questions.py`, media are found in `release_media.py`, checked in
`checked_rows.py`, the folder is written in `write_shards.py`.

Media are read in the order of the questions and checked, in threads or on Ray workers, while they are being written, so
each is decoded once; if rows were lost, the unfinished folder is deleted. A limited amount of media is in memory at a
time.

The number of questions is not fixed: releases with 3,572 and with 3,608 rows have been published. Without the tar of
one kind of medium, the questions about the other kind can be imported with `allow_missing` or `dimensions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_pipeline.defects import Defect, require_balance
from data_pipeline.releases.checked_rows import (
    IN_PROCESS,
    ImportReport,
    check_output_paths,
    checked_rows,
    expected_bytes,
    finished_import,
    row_count,
)
from data_pipeline.releases.release_media import QUESTIONS, Release, find_release
from data_pipeline.releases.release_questions import about_release, read_release, write_defect_report
from data_pipeline.shards.write_shards import write_shards
from data_pipeline.workers import Workers
from lmms_eval_shotbench.vocabulary import slugs

SPLIT = "test"


class Choices(NamedTuple):
    """Options of an import, as in `import_shotbench`."""

    allow_missing: bool
    dimensions: tuple[str, ...]
    workers: Workers


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
    check_output_paths([source.folder], out, report)
    defects: list[Defect] = []
    try:
        return _run_import(source, out, defects, choices, overwrite)
    finally:
        source.close()
        write_defect_report(report, defects)


def _run_import(source: Release, out: Path, defects: list[Defect], choices: Choices, overwrite: bool) -> ImportReport:
    fingerprint, out = source.fingerprint(choices.dimensions), out.expanduser()
    if not overwrite and (done := finished_import(out, fingerprint, defects, allow_missing=choices.allow_missing)):
        return done
    questions, rows_read = read_release(source.folder / QUESTIONS, defects, choices.dimensions)
    kinds = sorted({question.item.media_kind for question in questions})
    if not choices.allow_missing or not any(source.stores(kind) for kind in kinds):
        for kind in kinds:
            source.require(kind)
    source.scan()
    rows = checked_rows(
        source,
        questions,
        SPLIT,
        defects,
        out,
        allow_missing=choices.allow_missing,
        workers=choices.workers,
    )
    about = about_release(source.folder, fingerprint, choices.dimensions)
    shards = write_shards(
        rows,
        out,
        about,
        splits=[SPLIT],
        overwrite=overwrite,
        defects=defects,
        expected_bytes=expected_bytes(source, [question.item for question in questions]),
    )
    outcome = ImportReport.of(shards.folder, row_count(shards.counts), defects)
    require_balance(rows_read, outcome.rows_written, outcome.rows_lost)
    return outcome
