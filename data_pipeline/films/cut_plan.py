"""The plan for cutting one film: which frames each row of the annotation table selects.

Owns the conversion from seconds to frame numbers and the defects it reveals: a time outside the film, a range across a
cut. A range without a cut is kept unchanged; one with a cut within a few frames of an end is trimmed at the cut. A row
with a single time selects the frame on the screen at that time and, if it has clip labels, the shot that contains it.
Frame ranges are half-open. Decoding is in `cut_film.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from data_pipeline.annotations.annotation_table import AnnotatedRange
from data_pipeline.annotations.row_times import Moment, TimeRole, shot_times
from data_pipeline.annotations.time_notation import BadTime
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.detect_shots import detector_margins, shot_containing, trim_to_shot
from data_pipeline.films.film_clock import FilmClock
from data_pipeline.films.film_probe import Film
from data_pipeline.films.no_cuts import NoCut
from lmms_eval_shotbench.vocabulary import MediaKind


class FrameRequest(NamedTuple):
    """The frames a row selects: `first` to `last - 1`.

    If `last` is None, the row has a single time: it selects frame `first` or, for clip labels, the shot around it.
    `still` is the frame of the still, if the row gives its time.
    """

    row: AnnotatedRange
    first: int
    last: int | None
    still: int | None = None

    @property
    def needs_cuts(self) -> bool:
        """Whether cuts must be known; they need not be if the row only selects a still at a given time."""
        return self.last is not None or bool(self.row.labels_of(MediaKind.CLIP))


class Piece(NamedTuple):
    """A still or clip to cut: frames `first` to `last - 1` of a film, which is one frame for a still.

    `shot` is the half-open frame range in which black bars are detected.
    """

    row: AnnotatedRange
    kind: MediaKind
    first: int
    last: int
    shot: tuple[int, int]


def frame_request_of(row: AnnotatedRange, film: Film, settings: CutSettings) -> FrameRequest | Flaw:
    """Convert a row's times to frame numbers.

    Returns:
        The request, or a `Flaw` if a time is none of the film's, is outside it, or the range contains no frame.
    """
    try:
        start, end, still = shot_times(row.times, FilmClock(film))
    except BadTime as error:
        return Flaw(DefectKind.BAD_ROW, str(error))
    begin, finish, tolerance = film.time_of(0), film.time_of(film.frames), settings.trim_frames / float(film.rate)
    for role, time in ((TimeRole.START, start), (TimeRole.END, end), (TimeRole.STILL, still)):
        latest = finish + tolerance if role is TimeRole.END else finish
        if time is not None and (0 < time.seconds < begin - tolerance or time.seconds > latest):
            return Flaw(DefectKind.OUTSIDE_FILM, _outside(TimeRole.DURATION if time.is_duration else role, time, film))
    still_frame = film.frame_at(still.seconds) if still else None
    if end is None:
        moment = start or still
        if moment is None:
            return FrameRequest(row, 0, film.frames)
        return FrameRequest(row, film.frame_at(moment.seconds), None, still_frame)
    first, last = film.first_frame_from(start.seconds if start else 0.0), film.first_frame_from(end.seconds)
    if first >= last:
        return Flaw(DefectKind.TOO_SHORT, f"no frame is shown first between {start} and {end}")
    return FrameRequest(row, first, last, still_frame)


def _outside(role: TimeRole, time: Moment, film: Film) -> str:
    """What is wrong with a time outside the film, and which unit would put it inside."""
    begin, finish = film.time_of(0), film.time_of(film.frames)
    detail = f"column {time.cell.column}: {time}, but the film"
    if time.seconds < begin:
        return f"{detail}'s picture begins at {begin:.3f} s; write seconds from the start of the file, as players show"
    detail = f"{detail} {f'ends at {finish:.3f}' if begin else f'lasts {finish:.3f}'} s ({film.frames} frames)"
    if time.cell.timecode and film.start_timecode:
        return f"{detail}, and its own timecode begins at {film.start_timecode}; write a time inside it"
    if time.cell.seconds is not None and ":" not in time.cell.text and time.seconds <= 1000 * finish:
        return f"{detail}; numbers are seconds: for others, call the column {role}_frame or {role}_ms"
    return f"{detail}; write a time inside it, as players show it"


def ranges_to_scan(requests: Sequence[FrameRequest], film: Film, settings: CutSettings) -> list[tuple[int, int]]:
    """Return sorted, disjoint frame ranges in which cuts must be known, so far apart that their margins do not overlap.

    They are all frames if a request needs the shot around a time, or the detector depends on the complete film.
    """
    needing = [request for request in requests if request.needs_cuts]
    margins = detector_margins(settings)
    if needing and (margins is None or any(request.last is None for request in needing)):
        return [(0, film.frames)]
    return merge_ranges([(first, last or 0) for _, first, last, _ in needing], sum(margins or ()))


def merge_ranges(ranges: Sequence[tuple[int, int]], gap: int = 0) -> list[tuple[int, int]]:
    """Sort half-open ranges and merge those that overlap or are at most `gap` frames apart."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + gap:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def pieces_of(
    request: FrameRequest, cuts: Sequence[int], removed: Sequence[NoCut], film: Film, settings: CutSettings
) -> list[Piece] | Flaw:
    """The media to cut for a row, or a `Flaw` that names the cut in its range.

    Args:
        removed: Flashes, which a still from the middle of the range avoids.
    """
    row, first, last, _ = request
    if not request.needs_cuts:
        return [Piece(row, MediaKind.STILL, first, first + 1, (first, first + 1))]
    if last is None:
        shot = shot_containing(first, cuts, film.frames)
    else:
        shot = trim_to_shot(first, last, cuts, settings.trim_frames)
    if shot.cut is not None:
        return Flaw(
            DefectKind.ACROSS_CUT, f"a cut at {film.time_of(shot.cut):.3f} s divides it; give a range of one shot"
        )
    bounds = (shot.first, shot.last)
    pieces = []
    if row.labels_of(MediaKind.CLIP):
        pieces.append(Piece(row, MediaKind.CLIP, *bounds, bounds))
    if row.labels_of(MediaKind.STILL):
        still = min(max(_still_number(request, film, removed, *bounds), shot.first), shot.last - 1)
        pieces.append(Piece(row, MediaKind.STILL, still, still + 1, bounds))
    return pieces


def _still_number(request: FrameRequest, film: Film, removed: Sequence[NoCut], first: int, last: int) -> int:
    """Frame number of the still: at the `still` time, at the single time given, or in the middle of the range.

    If there is a flash in the middle, it is the frame before the flash.
    """
    if request.still is not None:
        return request.still
    if request.last is None:
        return request.first
    return middle_frame(film, removed, first, last)


def middle_frame(film: Film, removed: Iterable[NoCut], first: int, last: int) -> int:
    """Frame number of the middle of a range, or of the frame before the flash that is there.

    The latter may be before the range.
    """
    middle = film.frame_at((film.time_of(first) + film.time_of(last)) / 2)
    return min([change.first - 1 for change in removed if change.first <= middle < change.last], default=middle)
