"""Films as files: all shots of a film one after the other, some stills beside it, and what the annotation table says.

Owns the order of the shots, how long stills are held, hard cuts, letterbox bars and the rows of the table, in the form
that `annotations.py` reads. A still is held for a second by a hand that trembles, so that no frame repeats another.
Which shots a film has is in `films.py`.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from data_pipeline.studio.clips import FRAME_RATE
from data_pipeline.studio.encoding import Picture, encode_clip, encode_lossless, encode_still
from data_pipeline.studio.films import LICENCE, FilmedShot, PlannedShot, film_plan, film_shot
from data_pipeline.studio.truth import write_truth
from lmms_eval_shotbench.vocabulary import MediaKind, slugs
from lmms_eval_shotbench.whole_file import write_whole

FILMS, TABLE, TRUTH = "films", "annotations.csv", "truth"
ROWS = ".rows"  # of films that are finished, until all are
COLUMNS = ("film_id", "media", "start", "end", "shot_id", "licence", *slugs())
HELD = 12  # frames of a still
ROOM = 1.05  # how much wider a still is filmed than shown, so that the trembling frame has room
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


def make_reel(order: ReelOrder) -> list[Row]:
    """Write a film and the stills beside it, unless an earlier run has; returns its rows of the table."""
    kept = order.out / ROWS / f"{order.seed}-{order.film}-{order.per_term}-{order.width}-{order.truth}.json"
    if not kept.exists():
        write_whole(kept, json.dumps(_shoot_reel(order)))
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
    write_whole(order.out / FILMS / reel.name, film)
    return [*reel.rows, *rows]


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """Write the annotation table."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())


class _Reel:
    """A film that is being shot; its rows are complete once its pictures have been taken."""

    def __init__(self, order: ReelOrder, plans: list[PlannedShot]) -> None:
        self.order, self.plans, self.rows = order, plans, list[Row]()
        self.name = f"{plans[0].film_id}.mp4"

    def pictures(self) -> Iterator[Picture]:
        frames = 0
        for plan in self.plans:
            shot = film_shot(plan, _roomy(plan))
            pictures = shot.pictures
            if plan.media_kind is MediaKind.STILL:
                pictures = held_still(pictures[0], plan)
            if self.order.truth:
                write_truth(self.order.out / TRUTH / f"{plan.film_id}" / f"{plan.shot_id}.npz", shot)
            times = {"start": _seconds(frames), "end": _seconds(frames := frames + len(pictures))}
            self.rows.append(_row(shot, self.name) | times)
            yield from (_barred(picture) if self.is_letterboxed else picture for picture in pictures)

    @property
    def is_letterboxed(self) -> bool:
        return self.order.film % LETTERBOXED == LETTERBOXED - 1


def held_still(large: Picture, plan: PlannedShot) -> list[Picture]:
    """A still for a second, the frame wandering over it by less than a hundredth of its width."""
    from PIL import Image

    image, (width, height), draw = Image.fromarray(large), plan.size, Random(f"{plan.seed} {plan.shot_id} held")
    spare = ((image.width - width) / 2, (image.height - height) / 2)
    phases = [draw.uniform(0, math.tau) for _ in range(4)]
    pictures = []
    for number in range(HELD):
        seconds = number / FRAME_RATE
        waves = [
            math.sin(math.tau * rate * seconds + phase)
            for rate, phase in zip((0.4, 0.5, 1.1, 1.3), phases, strict=True)
        ]
        left, top = (room + 0.006 * width * (waves[k] + 0.5 * waves[k + 2]) for k, room in enumerate(spare))
        box = (max(0.0, left), max(0.0, top))
        window = (1, 0, min(box[0], 2 * spare[0]), 0, 1, min(box[1], 2 * spare[1]))
        shown = image.transform((width, height), Image.Transform.AFFINE, window, Image.Resampling.BICUBIC)
        pictures.append(np.asarray(shown))
    return pictures


def _roomy(plan: PlannedShot) -> tuple[int, int]:
    if plan.media_kind is MediaKind.CLIP:
        return plan.size
    width, height = plan.size
    return round(width * ROOM / 2) * 2, round(height * ROOM / 2) * 2


def _barred(picture: Picture) -> Picture:
    """The picture in a frame of 4:3."""
    height, width = picture.shape[:2]
    bar = (width * 3 // 4 - height) // 2 // 2 * 2
    return np.pad(picture, ((bar, bar), (0, 0), (0, 0)))


def _write_beside(order: ReelOrder, plan: PlannedShot, place: int) -> Row:
    shot = film_shot(plan)
    suffix, encode = (("png", encode_lossless), ("jpg", encode_still))[place % 2]
    name = f"{plan.film_id}-still-{place}.{suffix}"
    write_whole(order.out / FILMS / name, encode(shot.pictures[0]))
    return _row(shot, name)


def _row(shot: FilmedShot, media: str) -> Row:
    who = {"film_id": shot.plan.film_id, "media": media, "shot_id": shot.plan.shot_id, "licence": LICENCE}
    return who | shot.labels


def _seconds(frames: int) -> str:
    return f"{frames / FRAME_RATE:.6f}"
