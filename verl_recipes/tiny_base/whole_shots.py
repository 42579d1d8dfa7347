"""Shots of films with what is true of them in every dimension, in memory, and their mirrored and reversed views.

Read from folders of `shotbench data studio --raw`: the table truth.csv and the files in films/. As in labelling, black
bars are cropped, the key still is a shot's middle frame, and media are sampled and resized as in the evaluation. The
truth holds for all frames in the middle third of a shot, so some of them serve as further stills.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy
import torch

from lmms_eval_shotbench.labelling.asking.shot_views import ShotView, label_as_filmed, term_as_filmed
from lmms_eval_shotbench.labelling.truth import BadTruth, ShotTruth, TruthRow, read_truth
from lmms_eval_shotbench.media.clips import Clip, sampled_frames, sampled_rate
from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.qwen.inputs import MediaLimits, PatchRule
from lmms_eval_shotbench.qwen.scaling.scale import scaled_frames, scaled_still
from lmms_eval_shotbench.vocabulary import AMBIGUOUS_REVERSED, Dimension, MediaKind, View

FILMS, TRUTH_TABLE = "films", "truth.csv"
EIGHTHS = (4, 3, 5)  # where in a shot stills are: the middle frame, which is the key still, first
SCANNED = 48  # frames of a film in which bars are looked for
BLACK = 24  # maximum brightness of a bar, of 255
HELD_OUT = 10  # every n-th film is held out


class ShotFrames(NamedTuple):
    """A still or clip; see `Footage`."""

    frames: torch.Tensor
    fps: Fraction = Fraction(0)

    def in_view(self, view: ShotView) -> ShotFrames:
        """The frames mirrored, in reverse order, or both."""
        axes = [axis for one, axis in ((View.MIRRORED, -1), (View.REVERSED, 0)) if one in view]
        return ShotFrames(self.frames.flip(axes), self.fps)


@dataclass(frozen=True)
class WholeShot:
    """A shot of a film and what is true of it in every dimension."""

    film_id: str
    truths: Mapping[str, ShotTruth]  # by dimension slug
    stills: torch.Tensor  # uint8 (stills, 3, height, width); the key still first
    clip: ShotFrames | None = None  # None: the shot is a still file

    def key_frames(self, kind: MediaKind) -> ShotFrames:
        """What a model is shown in labelling: the key still or the clip."""
        if kind is MediaKind.STILL:
            return ShotFrames(self.stills[:1])
        assert self.clip is not None, self.film_id
        return self.clip


def read_whole_shots(folder: Path, shown: MediaLimits, rule: PatchRule) -> Iterator[WholeShot]:
    """Yield the shots of all films of a folder, film by film, each decoded once.

    Raises:
        BadTruth: the folder has no table of truth, or it does not fit the films.
        BrokenMedium: a film cannot be decoded.
    """
    table = folder / TRUTH_TABLE
    if not table.is_file():
        raise BadTruth(f"{folder} has no {TRUTH_TABLE}; render films with `shotbench data studio --raw --out {folder}`")
    by_file: dict[str, list[TruthRow]] = defaultdict(list)
    for row in read_truth(table):
        by_file[row.media].append(row)
    for name, rows in by_file.items():
        path = folder / FILMS / name
        if rows[0].start is not None:
            yield from _shots_of_film(path, rows, shown, rule)
            continue
        picture = open_still(path.read_bytes())
        size = rule.fitted(picture.height, picture.width, shown.still_min, shown.still_max)
        yield WholeShot(rows[0].film_id, rows[0].truths, scaled_still(picture, *size))


def split_by_film(shots: Sequence[WholeShot]) -> tuple[list[WholeShot], list[WholeShot]]:
    """Split off every tenth film, by id; the last one if there are two to nine. Returns the other shots first."""
    films = sorted({shot.film_id for shot in shots})
    held_out = films[HELD_OUT - 1 :: HELD_OUT] or films[1:][-1:]
    others = [shot for shot in shots if shot.film_id not in held_out]
    return others, [shot for shot in shots if shot.film_id in held_out]


def truth_in_view(truth: ShotTruth, dimension: Dimension, view: ShotView) -> ShotTruth | None:
    """What is true of the shot in a view; None if that is unknown."""
    terms = [term for term in dimension.terms if term.name in truth.possible | truth.terms(dimension)]
    if View.REVERSED in view and any(term.facet == AMBIGUOUS_REVERSED for term in terms):
        return None
    possible = frozenset(term_as_filmed(name, dimension, view) for name in truth.possible)
    return ShotTruth(truth.status, truth.label and label_as_filmed(truth.label, dimension, view), possible)


def _shots_of_film(path: Path, rows: Sequence[TruthRow], shown: MediaLimits, rule: PatchRule) -> Iterator[WholeShot]:
    from PIL import Image

    with Clip(path) as clip:
        shots = [_frame_range(row, clip, path) for row in rows]
        sampled = [[shot[number] for number in sampled_frames(len(shot), clip.frame_rate, shown.fps)] for shot in shots]
        moments = [[shot[len(shot) * share // 8] for share in EIGHTHS] for shot in shots]
        top, bottom, left, right = _picture(clip)
        clip_size = rule.fitted(bottom - top, right - left, shown.clip_min, shown.clip_max)
        still_size = rule.fitted(bottom - top, right - left, shown.still_min, shown.still_max)
        for_clips, for_stills = set(chain.from_iterable(sampled)), set(chain.from_iterable(moments))
        frames, stills = dict[int, torch.Tensor](), dict[int, torch.Tensor]()
        numbers = sorted(for_clips | for_stills)
        pictures = (picture for batch in clip.read(numbers) for picture in batch[:, top:bottom, left:right])
        for number, picture in zip(numbers, pictures, strict=True):
            if number in for_clips:
                frames[number] = scaled_frames(picture[None], *clip_size)[0]
            if number in for_stills:
                stills[number] = scaled_still(Image.fromarray(numpy.ascontiguousarray(picture)), *still_size)[0]
        for row, shot, some, at in zip(rows, shots, sampled, moments, strict=True):
            shown_frames = [frames[number] for number in (some if len(some) > 1 else some * 2)]  # in pairs
            footage = ShotFrames(torch.stack(shown_frames), sampled_rate(len(some), len(shot), clip.frame_rate))
            yield WholeShot(row.film_id, row.truths, torch.stack([stills[number] for number in at]), footage)


def _frame_range(row: TruthRow, clip: Clip, path: Path) -> range:
    assert row.start is not None and row.end is not None, path
    shot = range(round(row.start * clip.frame_rate), round(row.end * clip.frame_rate))
    if not shot or shot.stop > clip.frames:
        raise BadTruth(
            f"{path.parents[1] / TRUTH_TABLE}: shot {row.shot_id or row.start} is frames {shot.start} to {shot.stop}, "
            f"but {path.name} has {clip.frames}; render the films again into another folder"
        )
    return shot


def _picture(clip: Clip) -> tuple[int, int, int, int]:
    """First and last row and column, the last excluded, of the picture between bars that are black in all frames."""
    brightest = numpy.zeros((clip.height, clip.width), numpy.uint8)
    for batch in clip.read(range(0, clip.frames, max(clip.frames // SCANNED, 1))):
        brightest = numpy.maximum(brightest, batch.max(axis=(0, 3)))
    found: list[int] = []
    for axis in (1, 0):
        (lit,) = numpy.nonzero(brightest.max(axis=axis) > BLACK)
        first, last = (int(lit[0]), int(lit[-1]) + 1) if len(lit) else (0, brightest.shape[1 - axis])
        found += [first + first % 2, last - last % 2]  # inwards to even numbers
    return found[0], found[1], found[2], found[3]
