"""Check a stream of media on workers: checksum and validity, with a journal so that no medium is checked twice.

Owns the batches sent to workers, the limit on their memory, and the journal: a resumed run reuses the verdicts of an
interrupted one, except those on stills that are rewritten, since their new bytes are not in the journal. The check
itself is passed in by the caller (`check_media.py` decodes, `release_media.py` inspects headers); work is distributed
in `workers.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from data_pipeline.checks.check_media import CheckedMedium
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.medium_guard import MediumGuard
from data_pipeline.releases.wanted_media import ArchivedMedium
from data_pipeline.shards.full_disk import disk_full_reported
from data_pipeline.workers import WORKER_DIED, Workers, WorkItem, map_stream, one_by_one
from lmms_eval_shotbench.vocabulary import MediaKind

BATCH_MEDIA = 64
BATCH_BYTES = 8_000_000  # a batch is complete when it reaches this size
BATCHES_A_WORKER = 2  # one in progress, one queued
BATCHES_AHEAD = 3  # prefetched from the archive, so that workers stay busy during short disk stalls
CheckMedium = Callable[[MediaKind, bytes], CheckedMedium]
Item = TypeVar("Item")


class Verdict(NamedTuple):
    """Result of checking a medium."""

    sha256: str  # of the bytes to store; empty if they were not read
    flaw: Flaw | None
    warnings: tuple[Flaw, ...] = ()
    upright: bytes = b""  # as in `CheckedMedium`

    @classmethod
    def of(cls, encoded: bytes, checked: CheckedMedium) -> Verdict:
        """Return the verdict on a medium with these bytes."""
        stored = checked.upright or encoded
        return cls(hashlib.sha256(stored).hexdigest(), *checked)


class NoJournal:
    """A journal that stores nothing, for checks that are cheaper than a write to a file."""

    def __enter__(self) -> NoJournal:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def known(self, medium: ArchivedMedium) -> Verdict | None:
        """Return the flaw found while reading the archive as a verdict, or None if the bytes must be checked."""
        return Verdict("", medium.flaw) if medium.flaw else None

    def add(self, verdicts: Iterable[tuple[ArchivedMedium, Verdict]]) -> None:
        """Discard the verdicts."""


class VerdictJournal(NoJournal):
    """Verdicts on the media of one archive, in an append-only file; a truncated last line is ignored."""

    def __init__(self, path: Path, source: str) -> None:
        self._path = path
        with disk_full_reported(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        self._verdicts: dict[tuple[str, str], Verdict] = {}
        if not self._read(source):
            self._file.truncate(0)
            self._append([{"source": source}])

    def __enter__(self) -> VerdictJournal:
        return self

    def __exit__(self, *_: object) -> None:
        with disk_full_reported(self._path):  # close() flushes what a failed write left in the buffer
            self._file.close()

    def __len__(self) -> int:
        return len(self._verdicts)

    def known(self, medium: ArchivedMedium) -> Verdict | None:
        """Return the verdict of an earlier run or of the archive itself, or None if the bytes must be checked."""
        return super().known(medium) or self._verdicts.get((medium.name, medium.wanted.kind))

    def add(self, verdicts: Iterable[tuple[ArchivedMedium, Verdict]]) -> None:
        """Append verdicts and flush them, so that they survive if the process is killed. Raises `DiskFull`."""
        self._append(
            {
                "name": medium.name,
                "kind": medium.wanted.kind,
                "sha256": verdict.sha256,
                "flaw": verdict.flaw,
                "warnings": verdict.warnings,
            }
            for medium, verdict in verdicts
            if not verdict.upright
        )

    def _append(self, entries: Iterable[dict[str, object]]) -> None:
        with disk_full_reported(self._path):
            self._file.write("".join(json.dumps(entry) + "\n" for entry in entries).encode())
            self._file.flush()

    def _read(self, source: str) -> bool:
        """Read the stored verdicts; returns False if the file is empty or belongs to another archive."""
        self._file.seek(0)
        complete_bytes = 0
        for number, line in enumerate(self._file):
            try:
                entry = json.loads(line)
                if number == 0:
                    if entry != {"source": source}:
                        return False
                else:
                    flaw = _flaw(entry["flaw"]) if entry["flaw"] else None
                    warnings = tuple(map(_flaw, entry["warnings"]))
                    self._verdicts[entry["name"], entry["kind"]] = Verdict(entry["sha256"], flaw, warnings)
            except (ValueError, LookupError, TypeError):
                break
            complete_bytes += len(line)
        self._file.truncate(complete_bytes)
        return complete_bytes > 0


def _flaw(entry: list[str]) -> Flaw:
    kind, detail = entry
    return Flaw(DefectKind(kind), detail)


def check_media_on_workers(
    media: Iterable[ArchivedMedium], judge: CheckMedium, workers: Workers, journal: NoJournal
) -> Iterator[tuple[ArchivedMedium, Verdict]]:
    """Yield each medium with its verdict, in order; a few batches are read ahead."""
    max_bytes = BATCH_BYTES * BATCHES_A_WORKER * max(workers.count, 2)
    work = partial(check_batch, judge)
    batches = read_ahead(_batches(media), BATCHES_AHEAD)
    died = one_by_one(work, workers, worker_died)
    for batch, found in map_stream(work, map(partial(_work_item, journal), batches), workers, max_bytes, died):
        fresh = iter(found)
        results = [(medium, journal.known(medium) or next(fresh)) for medium in batch]
        journal.add((medium, verdict) for medium, verdict in results if journal.known(medium) is None)
        yield from results


def check_batch(judge: CheckMedium, batch: list[tuple[MediaKind, bytes]]) -> list[Verdict]:
    """Check one batch of (kind, encoded bytes); called on the workers."""
    return [check_one(judge, kind, encoded) for kind, encoded in batch]


def check_one(judge: CheckMedium, kind: MediaKind, encoded: bytes) -> Verdict:
    """Check one medium, whatever `judge` raises on it."""
    flaws: list[Flaw] = []
    with MediumGuard(flaws.append, "checking it"):
        return Verdict.of(encoded, judge(kind, encoded))
    return Verdict("", flaws[0])


def worker_died(medium: tuple[MediaKind, bytes]) -> Verdict:
    """Return the verdict on a medium on which every worker died."""
    return Verdict("", Flaw(DefectKind.UNDECODABLE_MEDIUM, WORKER_DIED))


def _batches(media: Iterable[ArchivedMedium]) -> Iterator[list[ArchivedMedium]]:
    batch: list[ArchivedMedium] = []
    size = 0
    for medium in media:
        batch.append(medium)
        size += len(medium.encoded)
        if len(batch) >= BATCH_MEDIA or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _work_item(
    journal: NoJournal, batch: list[ArchivedMedium]
) -> WorkItem[list[ArchivedMedium], list[tuple[MediaKind, bytes]]]:
    """Return a work item whose unit of work is the media of a batch that are not in the journal."""
    unit = [(medium.wanted.kind, medium.encoded) for medium in batch if journal.known(medium) is None]
    return WorkItem(batch, unit, sum(len(medium.encoded) for medium in batch))


def read_ahead(source: Iterator[Item], ahead: int = 1) -> Iterator[Item]:
    """Yield the items of `source`, prefetching `ahead` of them in a thread; exceptions of `source` are re-raised."""
    end = object()
    with ThreadPoolExecutor(1, "read-ahead") as thread:
        pending = deque(thread.submit(next, source, end) for _ in range(ahead))
        try:
            while (item := pending.popleft().result()) is not end:
                pending.append(thread.submit(next, source, end))
                yield item  # type: ignore[misc]
        finally:  # also if the caller stops early
            thread.shutdown(cancel_futures=True)
