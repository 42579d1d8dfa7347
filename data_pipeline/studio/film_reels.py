"""Films as files: all shots of a film in sequence, some stills as separate files, and the annotation table.

Owns the order of the shots, hard cuts, letterbox bars and the rows of the table, in the format of
`annotations/annotation_table.py`. The shots of a film are in `films.py`, held stills in `held_stills.py`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np

from data_pipeline.shards.full_disk import disk_full_reported
from data_pipeline.studio.clips import FRAME_RATE
from data_pipeline.studio.encoding import Picture, encode_clip, encode_lossless, encode_still
from data_pipeline.studio.films import LICENCE, FilmedShot, PlannedShot, film_plan, film_shot
from data_pipeline.studio.held_stills import MIDDLE_FRAME, held_still, size_with_margin
from data_pipeline.studio.truth import write_truth
from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.vocabulary import MediaKind, slugs

FILMS, TABLE, TRUTH = "films", "annotations.csv", "truth"
ROWS = ".rows"  # rows of finished films, until all are finished
SETTINGS = "settings.txt"  # in that folder: the settings of the films
COLUMNS = ("film_id", "media", "start", "end", "shot_id", "licence", *slugs())
LETTERBOXED = 3  # every n-th film is letterboxed in a 4:3 frame
SEPARATE_STILLS = 4  # stills of a film written as separate files

Row = dict[str, str]


@dataclass(frozen=True)
class ReelOrder:
    """What a worker needs to render one film."""

    out: Path
    seed: int
    film: int
    per_term: int
    width: int
    truth: bool


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


def make_reel(order: ReelOrder) -> list[Row]:
    """Write a film and its separate stills, unless an earlier run has done so; returns its rows of the table."""
    record = order.out / ROWS / f"{order.seed}-{order.film}-{order.per_term}-{order.width}-{order.truth}.json"
    with disk_full_reported(order.out):
        if not record.exists():
            write_atomic(record, json.dumps(_shoot_reel(order)))
    rows: list[Row] = json.loads(record.read_text(encoding="utf-8"))
    return rows


def _shoot_reel(order: ReelOrder) -> list[Row]:
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


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """Write the annotation table."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())


class _Reel:
    """A film being rendered; `rows` is complete once `pictures` is exhausted."""

    def __init__(self, order: ReelOrder, plans: list[PlannedShot]) -> None:
        self.order, self.plans, self.rows = order, plans, list[Row]()
        self.name = f"{plans[0].film_id}.mp4"

    def pictures(self) -> Iterator[Picture]:
        frames = 0
        for plan in self.plans:
            shot, pictures = _filmed(plan)
            bar = bar_rows(plan)
            if self.order.truth:
                write_truth(self.order.out / TRUTH / f"{plan.film_id}" / f"{plan.shot_id}.npz", shot, bar)
            times = {"start": _seconds(frames), "end": _seconds(frames := frames + len(pictures))}
            self.rows.append(_annotation_row(shot, self.name) | times)
            yield from (np.pad(picture, ((bar, bar), (0, 0), (0, 0))) for picture in pictures)


def _filmed(plan: PlannedShot) -> tuple[FilmedShot, list[Picture]]:
    """Return a shot and its frames in the film; for a held still, the shot has the frame extracted as the still."""
    if plan.media_kind is MediaKind.CLIP:
        shot = film_shot(plan)
        return shot, shot.pictures
    shot = film_shot(plan, size_with_margin(plan.size))
    held = held_still(shot.frames[0], plan)
    return replace(shot, frames=(held[MIDDLE_FRAME],)), [frame.rgb for frame in held]


def bar_rows(plan: PlannedShot) -> int:
    """Return the number of black rows above and below each frame of a film, 0 if it is not letterboxed."""
    if plan.film % LETTERBOXED != LETTERBOXED - 1:
        return 0
    width, height = plan.size
    return (width * 3 // 4 - height) // 2 // 2 * 2


def _write_still(order: ReelOrder, plan: PlannedShot, index: int) -> Row:
    shot = film_shot(plan)
    suffix, encode = (("png", encode_lossless), ("jpg", encode_still))[index % 2]
    name = f"{plan.film_id}-still-{index}.{suffix}"
    write_atomic(order.out / FILMS / name, encode(shot.pictures[0]))
    return _annotation_row(shot, name)


def _annotation_row(shot: FilmedShot, media: str) -> Row:
    shot_fields = {"film_id": shot.plan.film_id, "media": media, "shot_id": shot.plan.shot_id, "licence": LICENCE}
    return shot_fields | shot.labels


def _seconds(frames: int) -> str:
    return f"{frames / FRAME_RATE:.6f}"
