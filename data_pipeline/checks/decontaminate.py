"""Keep a benchmark's pictures out of what is trained on: by checksum, by look, and by film and time where known.

Owns what counts as a benchmark's picture. Looks are compared kind with kind (see `duplicates.py`). A film alone is no
reason: a benchmark that names films without times only says that another moment of the film may be in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_pipeline.checks.duplicates import near_pairs
from data_pipeline.checks.media_looks import look_at_shards
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.labelled_shot import LabelledShot
from data_pipeline.workers import Workers
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import locate_shards

NEARBY_SECONDS = 1.0  # two times in one film this near to each other show one shot, or may


class BenchmarkMedium(NamedTuple):
    """One picture or clip that must not be trained on."""

    item: QAItem  # one of the questions about it
    look: str


class BenchmarkMatch(NamedTuple):
    """A medium of ours is one of the benchmark's."""

    place: int  # of ours
    item_id: str
    why: str


class _Medium(NamedTuple):
    sha256: str
    look: str
    film_id: str
    start: float | None
    end: float | None


def benchmark_media(names: Sequence[str], workers: Workers) -> list[BenchmarkMedium]:
    """All media of shard folders or Hub ids, once each; raises `DatasetNotFound`."""
    folders: list[Path] = [locate_shards(name) for name in names]
    media = {
        (row.item.media_kind, row.item.medium): row for folder in folders for row in look_at_shards(folder, workers)
    }
    return [BenchmarkMedium(row.item, row.look) for row in media.values()]


def drop_benchmark(
    shots: Sequence[LabelledShot], benchmark: Sequence[BenchmarkMedium], defects: list[Defect]
) -> list[LabelledShot]:
    """Leave out the shots that are in the benchmark."""
    ours = [_Medium(s.media_sha256, s.perceptual_hash, s.film_id, s.start_seconds, s.end_seconds) for s in shots]
    found = {hit.place: hit for hit in _find(ours, benchmark)}
    for place, hit in sorted(found.items()):
        shot, said = shots[place], f"{hit.why} {hit.item_id}"
        defects.append(Defect(DefectKind.IN_THE_BENCHMARK, 0, shot.shot_id, shot.media_path, said, loses_row=True))
    return [shot for place, shot in enumerate(shots) if place not in found]


def questions_in_benchmark(
    items: Sequence[QAItem], looks: Sequence[str], benchmark: Sequence[BenchmarkMedium]
) -> list[BenchmarkMatch]:
    """Which of these questions show a medium of the benchmark, each once."""
    ours = [
        _Medium(item.media_sha256, look, item.film_id, item.start_seconds, item.end_seconds)
        for item, look in zip(items, looks, strict=True)
    ]
    return list({hit.place: hit for hit in _find(ours, benchmark)}.values())


def _find(ours: Sequence[_Medium], benchmark: Sequence[BenchmarkMedium]) -> list[BenchmarkMatch]:
    """Hits of all three kinds; a medium may stand in several."""
    checksums = {medium.item.media_sha256: medium.item.item_id for medium in benchmark if medium.item.media_sha256}
    by_film: defaultdict[str, list[QAItem]] = defaultdict(list)
    for medium in benchmark:
        by_film[medium.item.film_id.casefold()].append(medium.item)
    found = []
    for place, one in enumerate(ours):
        for item in by_film.get(one.film_id.casefold(), []) if one.film_id else []:
            if _is_nearby((one.start, one.end), (item.start_seconds, item.end_seconds)):
                found.append(BenchmarkMatch(place, item.item_id, "is of the same film and time as"))
    pairs = near_pairs([one.look for one in ours], [medium.look for medium in benchmark])
    found += [BenchmarkMatch(place, benchmark[other].item.item_id, "looks like") for place, other in pairs]
    same = [(place, checksums[one.sha256]) for place, one in enumerate(ours) if one.sha256 in checksums]
    return found + [BenchmarkMatch(place, item_id, "has the bytes of") for place, item_id in same]


def _is_nearby(one: tuple[float | None, float | None], other: tuple[float | None, float | None]) -> bool:
    if one[0] is None or other[0] is None:
        return False
    ends = [times[0] if times[1] is None else times[1] for times in (one, other)]
    first_end, other_end = (end if end is not None else 0.0 for end in ends)
    return one[0] <= other_end + NEARBY_SECONDS and other[0] <= first_end + NEARBY_SECONDS
