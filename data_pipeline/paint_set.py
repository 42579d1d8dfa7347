"""The embedded set: questions on shots that the project paints itself, with ground truth known by construction.

It stands in wherever no film is at hand: the demo, the tests, a first look at a new machine. What is painted is the
studio's business; here the shots become questions and shards.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_pipeline.dataset_card import About
from data_pipeline.studio import PaintedShot, painted_shots
from data_pipeline.write_shards import write_shards
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import Dimension, Term, dimension_named

SOURCE = "studio"
LICENCE = "apache-2.0"
OPTIONS = 4  # as in ShotBench
PAINTING = 1  # raised when the studio draws or asks differently, so that an older set is not taken for this one


def paint_set(out: Path, *, per_term: int = 2, seed: int = 0, overwrite: bool = False) -> int:
    """Paint a set and write it as shards; returns the number of questions. Same settings, same bytes."""
    about = About(
        title="Painted shots",
        fingerprint=f"{SOURCE}-{PAINTING}-seed{seed}-per_term{per_term}",
        what="Synthetic stills and clips, each with one question about its film language.",
        provenance="Painted by lmms-eval-shotbench; no film was used.",
        how_made=f"`shotbench data paint --seed {seed} --per-term {per_term}`: every shot is staged for one term.",
        licence=LICENCE,
        tags=("synthetic",),
    )
    written = write_shards({"test": ask_about(painted_shots(seed, per_term), seed)}, out, about, overwrite=overwrite)
    return sum(written.counts["test"].values())


def ask_about(shots: Iterable[PaintedShot], seed: int) -> Iterator[tuple[QAItem, bytes]]:
    """One question a shot. Right letters go round evenly within a dimension."""
    draw = random.Random(seed)
    asked: defaultdict[str, int] = defaultdict(int)
    for index, shot in enumerate(shots, start=1):
        dimension = dimension_named(shot.dimension)
        place = asked[shot.dimension] % OPTIONS
        asked[shot.dimension] += 1
        options = [term.name for term in distractors(dimension, dimension.term(shot.term), draw)]
        options.insert(place, shot.term)
        item = QAItem(
            item_id=f"{SOURCE}-{seed}-{index:05d}",
            dimension=dimension.slug,
            question=dimension.question,
            options=tuple(options),
            answer=chr(ord("A") + place),
            media_kind=shot.media_kind,
            media_path=shot.file_name,
            source=SOURCE,
            source_index=index,
            licence=LICENCE,
            media_sha256=hashlib.sha256(shot.media).hexdigest(),
            film_id=shot.film_id,
        )
        yield item, shot.media


def distractors(dimension: Dimension, gold: Term, draw: random.Random) -> list[Term]:
    """Wrong options: terms of the gold's own facet first, since those cannot be right as well."""
    others = [term for term in dimension.terms if term != gold]
    draw.shuffle(others)
    return sorted(others, key=lambda term: term.facet != gold.facet)[: OPTIONS - 1]
