"""Films as files: all shots of a film in sequence, some stills as separate files, and the annotation table.

Owns the order of the shots, letterbox bars and the rows of the two tables: the annotations, in the format of
`annotations/annotation_table.py`, and the truth of every dimension, in that of `labelling/truth.py`. The shots of a
film are in `films.py`, held stills in `held_stills.py`, dissolves and fades in `transitions.py`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np

from data_pipeline.shards.full_disk import disk_full_reported
from data_pipeline.studio.clips import FRAME_RATE
from data_pipeline.studio.encoding import Picture, encode_clip, encode_lossless, encode_still
from data_pipeline.studio.films import LICENCE, FilmedShot, PlannedShot, film_plan, film_shot
from data_pipeline.studio.frame_truth import write_frame_truth
from data_pipeline.studio.held_stills import HELD, MIDDLE_FRAME, camera_of_held, held_still, size_with_margin
from data_pipeline.studio.transitions import CUT, Join, draw_joins
from data_pipeline.studio.whole_truth import whole_truth
from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.labelling.truth import TruthRow
from lmms_eval_shotbench.vocabulary import MediaKind, slugs

FILMS, TABLE, TRUTH, TRUTH_TABLE = "films", "annotations.csv", "truth", "truth.csv"
ROWS = ".rows"  # rows of finished films, until all are finished
SETTINGS = "settings.txt"  # in that folder: the settings of the films
COLUMNS = ("film_id", "media", "start", "end", "shot_id", "licence", *slugs())
LETTERBOXED = 3  # every n-th film is letterboxed in a 4:3 frame
SEPARATE_STILLS = 4  # stills of a film written as separate files

ReelRow = dict[str, str]


@dataclass(frozen=True)
class ReelOrder:
    """What a worker needs to render one film."""

    out: Path
    seed: int
    film: int
    per_term: int
    width: int
    truth: bool
    transitions: bool = False  # some shots begin with a dissolve or a fade


class ReelShot(NamedTuple):
    """A shot of a film, as a row of either table."""

    annotation: ReelRow
    truth: TruthRow


def claim_folder(out: Path, settings: str) -> None:
    """Record the settings of the films in `out`, so that labels and films of two datasets never mix.

    Raises:
        FileExistsError: it has finished films, or unfinished ones of other settings.
    """
    if (out / TABLE).exists():
        raise FileExistsError(f"{out} already has studio films; choose another --out")
    settings_file = out / ROWS / SETTINGS
    recorded = settings_file.read_text(encoding="utf-8") if settings_file.exists() else "not known"
    if recorded != settings and any((out / name).exists() for name in (FILMS, TRUTH)):
        raise FileExistsError(
            f"{out} has unfinished films of other settings ({recorded}; requested: {settings}); "
            "finish those, remove the folder, or choose another --out"
        )
    write_atomic(settings_file, settings)


def make_reel(order: ReelOrder) -> list[ReelShot]:
    """Write a film and its separate stills, unless an earlier run has done so; returns its rows of the tables."""
    choices = (order.seed, order.film, order.per_term, order.width, order.truth, order.transitions)
    record = order.out / ROWS / f"{'-'.join(map(str, choices))}.json"
    with disk_full_reported(order.out):
        if not record.exists():
            write_atomic(record, json.dumps([(shot.annotation, shot.truth.to_cells()) for shot in _shoot_reel(order)]))
    rows: list[tuple[ReelRow, ReelRow]] = json.loads(record.read_text(encoding="utf-8"))
    return [ReelShot(annotation, TruthRow.from_cells(truth)) for annotation, truth in rows]


def _shoot_reel(order: ReelOrder) -> list[ReelShot]:
    plans = film_plan(order.seed, order.film, order.per_term, order.width)
    draw = Random(f"{order.seed} {order.film} reel")
    draw.shuffle(plans)
    stills = [plan for plan in plans if plan.media_kind is MediaKind.STILL]
    separate = set(draw.sample(stills, min(SEPARATE_STILLS, len(stills) // 2)))
    rows = [_write_still(order, plan, index) for index, plan in enumerate(p for p in plans if p in separate)]
    reel = _Reel(order, [plan for plan in plans if plan not in separate])
    film = encode_clip(reel.pictures(), FRAME_RATE)
    write_atomic(order.out / FILMS / reel.name, film)
    return [*reel.rows, *rows]


def write_table(path: Path, rows: Iterable[ReelRow]) -> None:
    """Write the annotation table."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())


class _Reel:
    """A film being rendered; `rows` is complete once `pictures` is exhausted."""

    def __init__(self, order: ReelOrder, plans: list[PlannedShot]) -> None:
        self.order, self.plans, self.rows = order, plans, list[ReelShot]()
        self.name = f"{plans[0].film_id}.mp4"
        self.joins = draw_joins(order.seed, order.film, len(plans), order.transitions)

    def pictures(self) -> Iterator[Picture]:
        start, last = 0, list[Picture]()
        for plan, join, following in zip(self.plans, self.joins, [*self.joins[1:], CUT], strict=True):
            shot, pictures = _filmed(plan, join, following)
            bar = bar_rows(plan)
            if self.order.truth:
                write_frame_truth(self.order.out / TRUTH / f"{plan.film_id}" / f"{plan.shot_id}.npz", shot, bar)
            end = start + len(pictures) - join.beyond - following.beyond
            self.rows.append(self._row(shot, start, end, join))
            first = join.beyond + join.half
            rest = len(pictures) - following.beyond - following.half
            for picture in (*join.joined(last, pictures[:first]), *pictures[first:rest]):
                yield np.pad(picture, ((bar, bar), (0, 0), (0, 0)))
            start, last = end, pictures[rest:]

    def _row(self, shot: FilmedShot, start: int, end: int, join: Join) -> ReelShot:
        plan, times = shot.plan, (start / FRAME_RATE, end / FRAME_RATE)
        mixed = ((start - join.half) / FRAME_RATE, (start + join.half) / FRAME_RATE) if join.half else None
        truths = whole_truth(shot, in_film=True)
        truth = TruthRow(plan.film_id, self.name, *times, plan.shot_id, join.transition, mixed, truths)
        return ReelShot(_annotation(shot, self.name) | {"start": f"{times[0]:.6f}", "end": f"{times[1]:.6f}"}, truth)


def _filmed(plan: PlannedShot, join: Join, following: Join) -> tuple[FilmedShot, list[Picture]]:
    """Return a shot and its frames in the film, those beyond its own range included.

    A held still is shown for longer if it takes part in a transition, so that its middle is clear, and its shot has the
    frame extracted as the still.
    """
    if plan.media_kind is MediaKind.CLIP:
        shot = film_shot(plan)
        assert shot.clip is not None
        before, after = shot.clip.beyond(join.beyond, following.beyond, plan.size)
        return shot, [frame.rgb for frame in (*before, *shot.frames, *after)]
    shot = film_shot(plan, size_with_margin(plan.size))
    clear = max(join.half, following.half)
    numbers = range(-clear - join.beyond, HELD + clear + following.beyond)
    held = held_still(shot.frames[0], plan, numbers)
    still = held[numbers.index(MIDDLE_FRAME)]
    return replace(shot, frames=(still,), cameras=(camera_of_held(shot.cameras[0]),)), [frame.rgb for frame in held]


def bar_rows(plan: PlannedShot) -> int:
    """Return the number of black rows above and below each frame of a film, 0 if it is not letterboxed."""
    if plan.film % LETTERBOXED != LETTERBOXED - 1:
        return 0
    width, height = plan.size
    return (width * 3 // 4 - height) // 2 // 2 * 2


def _write_still(order: ReelOrder, plan: PlannedShot, index: int) -> ReelShot:
    shot = film_shot(plan)
    suffix, encode = (("png", encode_lossless), ("jpg", encode_still))[index % 2]
    name = f"{plan.film_id}-still-{index}.{suffix}"
    write_atomic(order.out / FILMS / name, encode(shot.pictures[0]))
    truth = TruthRow(plan.film_id, name, shot_id=plan.shot_id, truths=whole_truth(shot))
    return ReelShot(_annotation(shot, name), truth)


def _annotation(shot: FilmedShot, media: str) -> ReelRow:
    shot_fields = {"film_id": shot.plan.film_id, "media": media, "shot_id": shot.plan.shot_id, "licence": LICENCE}
    return shot_fields | shot.labels
