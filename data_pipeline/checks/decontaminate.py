"""Decontamination: exclude a benchmark's media by checksum, by perceptual hash, and by film and time if recorded.

Owns the definition of a match. Hashes are compared only between media of one kind (see `duplicates.py`). The same film
alone is not a match: the benchmark may use a different part of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_pipeline.checks.duplicates import near_pairs
from data_pipeline.checks.media_hashes import hash_shards
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.labelled_shot import LabelledShot
from data_pipeline.workers import Workers
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import locate_shards

NEARBY_SECONDS = 1.0  # ranges of one film at most this far apart may show the same shot


class BenchmarkMedium(NamedTuple):
    """One benchmark still or clip to exclude."""

    item: QAItem  # one of the questions about it
    media_hash: str


class BenchmarkMatch(NamedTuple):
    """One of our media matches a benchmark medium."""

    position: int  # of our medium
    item_id: str  # of the benchmark
    reason: str


class _HashedMedium(NamedTuple):
    sha256: str
    media_hash: str
    film_id: str
    start: float | None
    end: float | None


def benchmark_media(names: Sequence[str], workers: Workers) -> list[BenchmarkMedium]:
    """All distinct media of shard folders or Hub ids; raises `DatasetNotFound`."""
    folders: list[Path] = [locate_shards(name) for name in names]
    media = {(row.item.media_kind, row.item.medium): row for folder in folders for row in hash_shards(folder, workers)}
    return [BenchmarkMedium(row.item, row.media_hash) for row in media.values()]


def drop_benchmark(
    shots: Sequence[LabelledShot], benchmark: Sequence[BenchmarkMedium], defects: list[Defect]
) -> list[LabelledShot]:
    """Drop the shots whose media match the benchmark; each becomes a defect."""
    ours = [_HashedMedium(s.media_sha256, s.perceptual_hash, s.film_id, s.start_seconds, s.end_seconds) for s in shots]
    matches = {match.position: match for match in _matches(ours, benchmark)}
    for index, match in sorted(matches.items()):
        defects.append(shots[index].loss(DefectKind.IN_THE_BENCHMARK, f"{match.reason} {match.item_id}"))
    return [shot for index, shot in enumerate(shots) if index not in matches]


def questions_in_benchmark(
    items: Sequence[QAItem], media_hashes: Sequence[str], benchmark: Sequence[BenchmarkMedium]
) -> list[BenchmarkMatch]:
    """The questions whose medium matches the benchmark, one match for each."""
    ours = [
        _HashedMedium(item.media_sha256, media_hash, item.film_id, item.start_seconds, item.end_seconds)
        for item, media_hash in zip(items, media_hashes, strict=True)
    ]
    return list({match.position: match for match in _matches(ours, benchmark)}.values())


def _matches(ours: Sequence[_HashedMedium], benchmark: Sequence[BenchmarkMedium]) -> list[BenchmarkMatch]:
    """Matches by film and time, by hash and by checksum; a medium may have several."""
    checksums = {medium.item.media_sha256: medium.item.item_id for medium in benchmark if medium.item.media_sha256}
    by_film: defaultdict[str, list[QAItem]] = defaultdict(list)
    for medium in benchmark:
        by_film[medium.item.film_id.casefold()].append(medium.item)
    matches = []
    for index, one in enumerate(ours):
        for item in by_film.get(one.film_id.casefold(), []) if one.film_id else []:
            if times_are_near((one.start, one.end), (item.start_seconds, item.end_seconds)):
                matches.append(BenchmarkMatch(index, item.item_id, "is of the same film and time as"))
    pairs = near_pairs([one.media_hash for one in ours], [medium.media_hash for medium in benchmark])
    matches += [BenchmarkMatch(index, benchmark[other].item.item_id, "looks like") for index, other in pairs]
    same = [(index, checksums[one.sha256]) for index, one in enumerate(ours) if one.sha256 in checksums]
    return matches + [BenchmarkMatch(index, item_id, "has the bytes of") for index, item_id in same]


def times_are_near(one: tuple[float | None, float | None], other: tuple[float | None, float | None]) -> bool:
    """Whether two (start, end) ranges in seconds overlap or nearly do; False if a start is unknown."""
    if one[0] is None or other[0] is None:
        return False
    ends = [times[0] if times[1] is None else times[1] for times in (one, other)]
    first_end, other_end = (end if end is not None else 0.0 for end in ends)
    return one[0] <= other_end + NEARBY_SECONDS and other[0] <= first_end + NEARBY_SECONDS
