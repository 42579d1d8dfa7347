"""Import of a published set other than ShotBench and ShotQA into a shard folder, with every row accounted for.

Owns the flow and the list of readers. Questions are read by the reader of the set (`published_sets/`), media are found
in `media_folder.py`, checked in `checked_rows.py`, and the folder is written in `write_shards.py`. Rows that are no
questions for us are left out with a reason; broken or missing media abort the import unless that is allowed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from data_pipeline.defects import Defect, require_balance
from data_pipeline.releases.checked_rows import (
    IN_PROCESS,
    ImportReport,
    MediaSource,
    check_output_paths,
    checked_rows,
    expected_bytes,
    finished_import,
    row_count,
)
from data_pipeline.releases.media_folder import MediaFolder
from data_pipeline.releases.published_sets import (
    acam_bench,
    camerabench,
    camreasoner,
    cinetechbench,
    types_of_film_shots,
)
from data_pipeline.releases.published_sets.class_table import PublishedSet, published_set
from data_pipeline.releases.published_sets.set_rows import SetRows
from data_pipeline.releases.release_media import ImportRefused, ReleaseFile
from data_pipeline.releases.release_questions import write_defect_report
from data_pipeline.shards.dataset_card import STORED_UPRIGHT, CardText
from data_pipeline.shards.write_shards import write_shards
from data_pipeline.workers import Workers
from lmms_eval_shotbench.questions.shards import DatasetNotFound, hub_snapshot

FINGERPRINT_VERSION = 1  # increment when an import of the same files would write other rows
Reader = Callable[[Path, MediaFolder, SetRows], MediaSource]
READERS: dict[str, Reader] = {
    "types-of-film-shots": types_of_film_shots.read,
    "camerabench": camerabench.read,
    "cinetechbench": cinetechbench.read,
    "acam-bench": acam_bench.read,
    "camreasoner": camreasoner.read,
}


def import_published_set(
    name: str,
    source: str,
    out: Path,
    *,
    media: Sequence[Path] = (),
    allow_missing: bool = False,
    workers: Workers = IN_PROCESS,
    overwrite: bool = False,
    report: Path | None = None,
) -> ImportReport:
    """Import a published set into the shard folder `out`.

    Args:
        name: Name of the set, one of `READERS`.
        source: Folder with its files as published, or their Hub id.
        media: Folders with its media, where they are not among its files; zip files in them are read as well.
        allow_missing: Drop rows whose media are missing or broken and record them in the shards, instead of aborting.
        overwrite: Replace existing shards in `out`, once the new ones are complete.
        report: File for the list of all defects, one JSON object per line, written in any case.

    Raises:
        RowsLost: rows or media are broken or missing, and `allow_missing` is False.
        ImportRefused: the files are unusable.
        data_pipeline.shards.atomic_folder.WriteRefused: `out` is in use.
    """
    published = published_set(name)
    folders = [_located(source, published), *(folder.expanduser().resolve() for folder in media)]
    if absent := [folder for folder in folders if not folder.is_dir()]:
        raise ImportRefused(f"{absent[0]} is not a folder; give the folder that holds the files as published")
    check_output_paths(folders, out, report)
    files, defects = MediaFolder(folders), list[Defect]()
    try:
        files.scan()
        return _run_import(published, files, out.expanduser(), defects, allow_missing, workers, overwrite)
    finally:
        files.close()
        write_defect_report(report, defects)


def _located(source: str, published: PublishedSet) -> Path:
    """Return the folder of the files, after downloading them if it is the id of a Hub dataset."""
    folder = Path(source).expanduser()
    if not folder.exists():
        try:
            folder = hub_snapshot(source, list(published.files))
        except DatasetNotFound as error:
            raise ImportRefused(
                f"no release at {source!r}: {error}. Check the name ({published.hub_id}) and the network, or download "
                "the files by hand and give their folder"
            ) from None
    return folder.resolve()


def _run_import(
    published: PublishedSet,
    files: MediaFolder,
    out: Path,
    defects: list[Defect],
    allow_missing: bool,
    workers: Workers,
    overwrite: bool,
) -> ImportReport:
    fingerprint = _fingerprint(published, files)
    if not overwrite and (done := finished_import(out, fingerprint, defects, allow_missing=allow_missing)):
        return done
    rows = SetRows(published, defects)
    media = READERS[published.source](files.folders[0], files, rows)
    items = [question.item for question in rows.questions]
    if items and not any(isinstance(media.find(item.media_path, item.media_kind), ReleaseFile) for item in items):
        folders = " or ".join(map(str, files.folders))
        raise ImportRefused(f"none of the media is in {folders}: {published.media}")
    shards = write_shards(
        checked_rows(media, rows.questions, rows.split, defects, out, allow_missing=allow_missing, workers=workers),
        out,
        _about(rows, fingerprint),
        splits=[rows.split],
        overwrite=overwrite,
        defects=defects,
        expected_bytes=expected_bytes(media, items),
    )
    outcome = ImportReport.of(shards.folder, row_count(shards.counts), defects)
    require_balance(rows.rows_read, outcome.rows_written, outcome.rows_lost)
    return outcome


def _fingerprint(published: PublishedSet, files: MediaFolder) -> str:
    parts = [FINGERPRINT_VERSION, repr(published), files.fingerprint()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _about(rows: SetRows, fingerprint: str) -> CardText:
    published = rows.published
    return CardText(
        title=published.title,
        fingerprint=fingerprint,
        what=published.what,
        provenance=published.provenance,
        how_made=f"`shotbench data import-dataset {published.source}`. Media are byte-identical to the release, "
        f"{STORED_UPRIGHT}. Every still was decoded completely, and every frame of a clip that the evaluation counts.",
        licence=published.licence,
        tags=published.tags,
        known_limits=published.known_limits,
        sections={"Classes": rows.class_section()},
    )
