"""What is cut out of one film, in frame numbers: rows of the table meet the film's times and cuts.

Owns the way from seconds to frames, and the verdicts on rows that come of it: outside the film, across a cut. A range
is kept as it is if no cut lies in it, and loses a frame or two beyond a cut at its ends. A moment alone is the still
shown then; where the labels are of a clip, it stands for the shot around it. Reading is `cut_film.py`'s part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from data_pipeline.annotations.annotation_table import AnnotatedRange
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.detect_shots import frames_around, shot_around, within_one_shot
from data_pipeline.films.film_probe import Film
from lmms_eval_shotbench.vocabulary import MediaKind


class FrameRequest(NamedTuple):
    """What a row wants of a film: frames first to last - 1, or, where last is None, what is around frame first."""

    row: AnnotatedRange
    first: int
    last: int | None

    @property
    def needs_cuts(self) -> bool:
        """Whether the film must be looked through for it; a still at a moment is what it is."""
        return self.last is not None or bool(self.row.labels_of(MediaKind.CLIP))


class Piece(NamedTuple):
    """A medium to be cut: frames first to last - 1 of a film; one frame is a still. `shot` is where bars are sought."""

    row: AnnotatedRange
    kind: MediaKind
    first: int
    last: int
    shot: tuple[int, int]


def wish_of(row: AnnotatedRange, film: Film, settings: CutSettings) -> FrameRequest | Flaw:
    """Translate a row's times to frames, or say that they are not in the film."""
    allowed = film.seconds + settings.trim_frames / float(film.rate)
    for name, time in (("start", row.start), ("end", row.end), ("still", row.still)):
        if time is not None and time > (allowed if name == "end" else film.seconds):
            return Flaw(DefectKind.OUTSIDE_FILM, f"{name} is {time:g} s, the film lasts {film.seconds:.3f} s")
    moment = row.still if row.start is None else row.start
    if row.end is None:
        return FrameRequest(row, 0, film.frames) if moment is None else FrameRequest(row, film.shown_at(moment), None)
    first, last = film.first_from(row.start or 0.0), film.first_from(row.end)
    if first >= last:
        return Flaw(DefectKind.TOO_SHORT, f"no frame is shown first between {row.start:g} s and {row.end:g} s")
    return FrameRequest(row, first, last)


def stretches_to_scan(wishes: Sequence[FrameRequest], film: Film, settings: CutSettings) -> list[tuple[int, int]]:
    """Frames to look through for cuts, in order and without overlap: around ranges, or the film for a shot anywhere."""
    needing = [wish for wish in wishes if wish.needs_cuts]
    if any(wish.last is None for wish in needing):
        return [(0, film.frames)]
    margin = frames_around(settings)
    wanted = [(max(first - margin, 0), min((last or 0) + margin, film.frames)) for _, first, last in needing]
    return joined(wanted)


def joined(stretches: Sequence[tuple[int, int]], gap: int = 0) -> list[tuple[int, int]]:
    """Stretches in order, those that meet, or nearly, made one."""
    whole: list[tuple[int, int]] = []
    for first, last in sorted(stretches):
        if whole and first <= whole[-1][1] + gap:
            whole[-1] = (whole[-1][0], max(last, whole[-1][1]))
        else:
            whole.append((first, last))
    return whole


def pieces_of(wish: FrameRequest, cuts: Sequence[int], film: Film, settings: CutSettings) -> list[Piece] | Flaw:
    """The media a row gives, or the cut that divides its range."""
    row, first, last = wish
    if not wish.needs_cuts:
        return [Piece(row, MediaKind.STILL, first, first + 1, (first, first + 1))]
    if last is None:
        shot = shot_around(first, cuts, film.frames)
    else:
        shot = within_one_shot(first, last, cuts, settings.trim_frames)
    if shot.cut is not None:
        return Flaw(
            DefectKind.ACROSS_CUT, f"a cut at {film.time_of(shot.cut):.3f} s divides it; give a range of one shot"
        )
    bounds = (shot.first, shot.last)
    pieces = []
    if row.labels_of(MediaKind.CLIP):
        pieces.append(Piece(row, MediaKind.CLIP, *bounds, bounds))
    if row.labels_of(MediaKind.STILL):
        still = min(max(_still_number(wish, film, *bounds), shot.first), shot.last - 1)
        pieces.append(Piece(row, MediaKind.STILL, still, still + 1, bounds))
    return pieces


def _still_number(wish: FrameRequest, film: Film, first: int, last: int) -> int:
    """The frame to show: at the time given, at the moment, or in the middle of the range."""
    if wish.row.still is not None:
        return film.shown_at(wish.row.still)
    if wish.last is None:
        return wish.first
    return film.shown_at((film.time_of(first) + film.time_of(last)) / 2)
