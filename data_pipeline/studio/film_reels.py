"""Films as files: all shots of a film one after the other, some stills beside it, and what the annotation table says.

Owns the order of the shots, hard cuts, letterbox bars and the rows of the table, in the form that
`annotations/annotation_table.py` reads. Which shots a film has is in `films.py`, how stills are held in
`held_stills.py`.
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
from data_pipeline.studio.held_stills import SHOWN, held_still, roomy
from data_pipeline.studio.truth import write_truth
from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.vocabulary import MediaKind, slugs

FILMS, TABLE, TRUTH = "films", "annotations.csv", "truth"
ROWS = ".rows"  # of films that are finished, until all are
SETTINGS = "settings.txt"  # there: what the films are
COLUMNS = ("film_id", "media", "start", "end", "shot_id", "licence", *slugs())
LETTERBOXED = 3  # every so-manieth film lies in a frame of 4:3, between black bars
BESIDE = 4  # stills of a film that are files of their own

Row = dict[str, str]


@dataclass(frozen=True)
class ReelOrder:
    """What a worker needs to make one film."""

    out: Path
    seed: int
    film: int
    per_term: int
    width: int
    truth: bool


def claim_folder(out: Path, wanted: str) -> None:
    """Note in `out` which films are to be shot there, so that labels and films of two sets never mix.

    Raises:
        FileExistsError: it holds films that are finished, or unfinished ones that are not those.
    """
    if (out / TABLE).exists():
        raise FileExistsError(f"{out} holds studio films already; choose another --out")
    note = out / ROWS / SETTINGS
    begun = note.read_text(encoding="utf-8") if note.exists() else "not known"
    if begun != wanted and any((out / name).exists() for name in (FILMS, TRUTH)):
        raise FileExistsError(
            f"{out} holds unfinished films of other settings ({begun}; wanted: {wanted}); "
            "run those to their end, remove the folder, or choose another --out"
        )
    write_atomic(note, wanted)


def make_reel(order: ReelOrder) -> list[Row]:
    """Write a film and the stills beside it, unless an earlier run has; returns its rows of the table."""
    kept = order.out / ROWS / f"{order.seed}-{order.film}-{order.per_term}-{order.width}-{order.truth}.json"
    with disk_full_reported(order.out):
        if not kept.exists():
            write_atomic(kept, json.dumps(_shoot_reel(order)))
    rows: list[Row] = json.loads(kept.read_text(encoding="utf-8"))
    return rows


def _shoot_reel(order: ReelOrder) -> list[Row]:
    plans = film_plan(order.seed, order.film, order.per_term, order.width)
    draw = Random(f"{order.seed} {order.film} reel")
    draw.shuffle(plans)
    stills = [plan for plan in plans if plan.media_kind is MediaKind.STILL]
    beside = set(draw.sample(stills, min(BESIDE, len(stills) // 2)))
    rows = [_write_beside(order, plan, place) for place, plan in enumerate(p for p in plans if p in beside)]
    reel = _Reel(order, [plan for plan in plans if plan not in beside])
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
    """A film that is being shot; its rows are complete once its pictures have been taken."""

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
            self.rows.append(_row(shot, self.name) | times)
            yield from (np.pad(picture, ((bar, bar), (0, 0), (0, 0))) for picture in pictures)


def _filmed(plan: PlannedShot) -> tuple[FilmedShot, list[Picture]]:
    """A shot and its pictures in the film; of a held still, the shot has the frame that is cut out as the still."""
    if plan.media_kind is MediaKind.CLIP:
        shot = film_shot(plan)
        return shot, shot.pictures
    shot = film_shot(plan, roomy(plan.size))
    held = held_still(shot.frames[0], plan)
    return replace(shot, frames=(held[SHOWN],)), [frame.rgb for frame in held]


def bar_rows(plan: PlannedShot) -> int:
    """Black rows above a picture of this film, and below it: where it lies in a frame of 4:3, and none otherwise."""
    if plan.film % LETTERBOXED != LETTERBOXED - 1:
        return 0
    width, height = plan.size
    return (width * 3 // 4 - height) // 2 // 2 * 2


def _write_beside(order: ReelOrder, plan: PlannedShot, place: int) -> Row:
    shot = film_shot(plan)
    suffix, encode = (("png", encode_lossless), ("jpg", encode_still))[place % 2]
    name = f"{plan.film_id}-still-{place}.{suffix}"
    write_atomic(order.out / FILMS / name, encode(shot.pictures[0]))
    return _row(shot, name)


def _row(shot: FilmedShot, media: str) -> Row:
    who = {"film_id": shot.plan.film_id, "media": media, "shot_id": shot.plan.shot_id, "licence": LICENCE}
    return who | shot.labels


def _seconds(frames: int) -> str:
    return f"{frames / FRAME_RATE:.6f}"
