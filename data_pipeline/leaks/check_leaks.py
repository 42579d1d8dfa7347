"""The leak check of a shard folder: its report, written into the folder, or shards without what leaks.

Owns the flow. One other set is in memory at a time. The report becomes a section of the dataset card and `leaks.json`,
its counts an entry of `audit.json` where there is one. The manifest is written last: after a crash in between,
`shotbench data push` refuses the folder until the check is repeated.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from data_pipeline.defects import Defect, DefectKind, require_balance
from data_pipeline.leaks.leak_report import LEAKS, SECTION, LeakReport, search_set
from data_pipeline.leaks.media_set import MediaSet, read_media_set
from data_pipeline.questions.source_split import require_apart
from data_pipeline.shards.dataset_card import AUDIT_SECTION, CARD, CardText, read_about, read_defects, with_section
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.manifest import check_target, replace_files, verify_data
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import WrittenShards, finished_manifest, write_shards
from data_pipeline.workers import Workers
from lmms_eval_shotbench.questions.shards import MANIFEST, ShardFolder, file_sha256, locate_shards

VERSION = 1  # increment when the check of the same sets would find other leaks
AUDIT = "audit.json"


def check_leaks(shards: str, against: Sequence[str], workers: Workers) -> LeakReport:
    """Search other sets for the media of shards, and write the report into the shards if they are a writable folder.

    Raises:
        DatasetNotFound: there are no such shards.
        Damaged: a data file does not match the manifest.
        ValueError: the set would be compared with itself.
    """
    folder, _ = _folders(shards, against)
    _, report = _checked_set(shards, against, workers)
    if is_writable(shards):
        write_leak_report(folder, report)
    return report


def write_without_leaks(
    shards: str, against: Sequence[str], out: Path, workers: Workers, overwrite: bool = False
) -> tuple[WrittenShards, LeakReport | None]:
    """Write the questions of shards whose media are in no other set; each of the others becomes a defect.

    `audit.json` and `rows.csv` of the shards are about all their questions, so they are not part of what is written.

    Returns:
        The shards written, and the report, which is None if they were complete already.

    Raises:
        WriteRefused: `out` is in use or inside the source, or no question is left.
    """
    folder, others = _folders(shards, against)
    fingerprint = _fingerprint(folder, others)
    require_apart(out, folder)
    if not overwrite and (finished := finished_manifest(out, fingerprint)):
        return WrittenShards(out, finished["counts"], already_complete=True), None
    check_target(out, overwrite)
    ours, report = _checked_set(shards, against, workers)
    earlier, reasons = read_defects(folder), report.reasons()
    defects = [*earlier, *_defects(ours, reasons)]
    written = write_shards(
        _rows_without(ours, reasons),
        out,
        _about(folder, report, fingerprint),
        splits=list(dict.fromkeys(split for split, _ in ours.rows)),
        overwrite=overwrite,
        defects=defects,
        extra={LEAKS: report.to_json()},
    )
    lost = sum(defect.loses_row for defect in defects[len(earlier) :])
    require_balance(len(ours.rows), sum(sum(counts.values()) for counts in written.counts.values()), lost)
    return written, report


def is_writable(shards: str) -> bool:
    """Whether shards are a local folder that may be written to, not a copy of shards at an address or on the Hub."""
    folder = Path(shards).expanduser()
    return (folder / MANIFEST).is_file() and os.access(folder, os.W_OK)


def write_leak_report(folder: Path, report: LeakReport) -> None:
    """Write a report into the shard folder that was checked, in place of an earlier one."""
    with only_writer(folder):
        card = (folder / CARD).read_text(encoding="utf-8")
        files = {LEAKS: report.to_json(), CARD: with_section(card, SECTION, report.card_section())}
        if (folder / AUDIT).is_file():
            audit = json.loads((folder / AUDIT).read_text(encoding="utf-8"))
            files[AUDIT] = json.dumps(audit | {"leaks": report.summary()}, indent=1) + "\n"
        replace_files(folder, files)


def _folders(shards: str, against: Sequence[str]) -> tuple[Path, list[Path]]:
    folder, others = locate_shards(shards), [locate_shards(name) for name in against]
    if folder.resolve() in [other.resolve() for other in others]:
        raise ValueError(f"--against names {shards} itself; `shotbench data audit` finds duplicates within a set")
    return folder, others


def _checked_set(shards: str, against: Sequence[str], workers: Workers) -> tuple[MediaSet, LeakReport]:
    for folder in (locate_shards(name) for name in (shards, *against)):
        verify_data(folder)
    ours = read_media_set(shards, workers)
    return ours, LeakReport.of(ours, [search_set(ours, read_media_set(name, workers)) for name in against])


def _fingerprint(folder: Path, others: Sequence[Path]) -> str:
    parts = [VERSION, *(file_sha256(one / MANIFEST) for one in [folder, *others])]
    return f"leaks-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"


def _defects(ours: MediaSet, reasons: Mapping[str, str]) -> Iterator[Defect]:
    for _, item in ours.rows:
        if reason := reasons.get(item.item_id):
            yield Defect(DefectKind.IN_ANOTHER_SET, 0, item.item_id, item.media_path, reason, loses_row=True)


def _rows_without(ours: MediaSet, reasons: Mapping[str, str]) -> Iterator[PendingRow]:
    splits = {split: ShardFolder(ours.folder, split) for split in dict(ours.rows)}
    for split, item in ours.rows:
        if item.item_id not in reasons:
            yield PendingRow(split, item, partial(splits[split].media, item.item_id))


def _about(folder: Path, report: LeakReport, fingerprint: str) -> CardText:
    """The card text of the rest; without the section of an audit, which is of all questions."""
    source = read_about(folder)
    sections = {title: text for title, text in source.sections.items() if title != AUDIT_SECTION}
    names = ", ".join(one.name for one in report.compared)
    left_out = f"`shotbench data leaks` left out {len(report.reasons()):,} questions on media that are in {names}."
    return replace(
        source,
        fingerprint=fingerprint,
        how_made=f"{source.how_made}\n\n{left_out}",
        sections={**sections, SECTION: report.card_section()},
    )
