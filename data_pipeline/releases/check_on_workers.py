"""Verdicts on a stream of media: checksum and soundness, found by many workers and never found twice.

Owns the batches that go to workers, the room they may take, and the journal: the verdicts of a run that was killed are
there when it is called again, so no medium is decoded twice. What a verdict on one medium is based on is the caller's
choice (`check_media.py` decodes, `release_media.py` looks at the first bytes); how work is spread is in `workers.py`.
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

from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.releases.wanted_media import ArchivedMedium
from data_pipeline.shards.full_disk import disk_full_reported
from data_pipeline.workers import Parcel, Workers, map_stream
from lmms_eval_shotbench.vocabulary import MediaKind

BATCH_MEDIA = 64
BATCH_BYTES = 8_000_000
BATCHES_A_WORKER = 2  # one is worked on, one waits
BATCHES_AHEAD = 3  # read from the archive, so that a disk that is busy for a moment stops nobody
Judge = Callable[[MediaKind, bytes], Flaw | None]
Item = TypeVar("Item")


class Verdict(NamedTuple):
    """What there is to say of a medium: its checksum, and what is wrong with it, if anything is."""

    sha256: str
    flaw: Flaw | None


class NoJournal:
    """Keeps no verdict, for judges that are quicker than a file; knows only what the archive itself tells."""

    def __enter__(self) -> NoJournal:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def known(self, medium: ArchivedMedium) -> Verdict | None:
        """The verdict there is without a look at the bytes; None where somebody must look."""
        return Verdict("", medium.flaw) if medium.flaw else None

    def add(self, verdicts: Iterable[tuple[ArchivedMedium, Verdict]]) -> None:
        """Forget them."""


class VerdictJournal(NoJournal):
    """Verdicts on the media of one archive, kept in a file as they come; a line that was cut off does not count."""

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
        with disk_full_reported(self._path):  # closing tries once more what the disk did not take
            self._file.close()

    def __len__(self) -> int:
        return len(self._verdicts)

    def known(self, medium: ArchivedMedium) -> Verdict | None:
        """The verdict of an earlier run, or of the archive itself; None where somebody must look at the bytes."""
        return super().known(medium) or self._verdicts.get((medium.name, medium.wanted.kind))

    def add(self, verdicts: Iterable[tuple[ArchivedMedium, Verdict]]) -> None:
        """Keep verdicts; a killed process has lost no batch that was added. Raises `DiskFull`."""
        self._append(
            {"name": medium.name, "kind": medium.wanted.kind, "sha256": sha256, "flaw": flaw}
            for medium, (sha256, flaw) in verdicts
        )

    def _append(self, entries: Iterable[dict[str, object]]) -> None:
        with disk_full_reported(self._path):
            self._file.write("".join(json.dumps(entry) + "\n" for entry in entries).encode())
            self._file.flush()

    def _read(self, source: str) -> bool:
        """Read what is there; False where it is nothing, or of another archive."""
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file):
            try:
                entry = json.loads(line)
                if number == 0:
                    if entry != {"source": source}:
                        return False
                else:
                    flaw = entry["flaw"] and Flaw(DefectKind(entry["flaw"][0]), entry["flaw"][1])
                    self._verdicts[entry["name"], entry["kind"]] = Verdict(entry["sha256"], flaw)
            except (ValueError, LookupError, TypeError):
                break
            whole += len(line)
        self._file.truncate(whole)
        return whole > 0


def judge_media(
    media: Iterable[ArchivedMedium], judge: Judge, workers: Workers, journal: NoJournal
) -> Iterator[tuple[ArchivedMedium, Verdict]]:
    """Yield the media with the verdict on each, in their order; a few batches are read ahead."""
    room = BATCH_BYTES * BATCHES_A_WORKER * max(workers.count, 2)
    work = partial(judge_batch, judge)
    batches = read_ahead(_batches(media), BATCHES_AHEAD)
    for batch, found in map_stream(work, map(partial(_parcel, journal), batches), workers, room):
        fresh = iter(found)
        results = [(medium, journal.known(medium) or next(fresh)) for medium in batch]
        journal.add((medium, verdict) for medium, verdict in results if journal.known(medium) is None)
        yield from results


def judge_batch(judge: Judge, batch: list[tuple[MediaKind, bytes]]) -> list[Verdict]:
    """The work of a worker."""
    return [Verdict(hashlib.sha256(encoded).hexdigest(), judge(kind, encoded)) for kind, encoded in batch]


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


def _parcel(
    journal: NoJournal, batch: list[ArchivedMedium]
) -> Parcel[list[ArchivedMedium], list[tuple[MediaKind, bytes]]]:
    """What a worker must look at, of a batch."""
    unit = [(medium.wanted.kind, medium.encoded) for medium in batch if journal.known(medium) is None]
    return Parcel(batch, unit, sum(len(medium.encoded) for medium in batch))


def read_ahead(source: Iterator[Item], ahead: int = 1) -> Iterator[Item]:
    """Yield what `source` yields; some items ahead are taken from it, in a thread of its own. Raises what it raises."""
    end = object()
    with ThreadPoolExecutor(1, "read-ahead") as thread:
        coming = deque(thread.submit(next, source, end) for _ in range(ahead))
        try:
            while (item := coming.popleft().result()) is not end:
                coming.append(thread.submit(next, source, end))
                yield item  # type: ignore[misc]
        finally:  # also when the caller stops early
            thread.shutdown(cancel_futures=True)
