"""Cut stills and clips in the same decode that finds the cuts and black bars which decide about them.

Owns what is foreseen of a row when its first frame comes. Frames wait until the cuts around them are certain, so the
bounds of its pieces are known up to a trim at their end; their crop follows from the bars of keyframes spread over the
film, of the frames so far, and of the first frames of the row. `cut_film.py` decides about bounds and crop when all is
known: a piece that was foreseen otherwise, or not at all, is cut in a second decode of its frames, so that media do not
depend on what was foreseen. At most `KEPT_BYTES` of frames are kept for stills.

The shot around a single time is encoded from its first frame on if that time is at most `SOON_SECONDS` later, and given
up if a cut comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from data_pipeline.films.cut_pieces import CutMedium, OpenClip, cut_still_piece, flaw_of_bounds
from data_pipeline.films.cut_plan import FrameRequest, Piece, pieces_of
from data_pipeline.films.cut_result import Cutting
from data_pipeline.films.deinterlace import ProgressiveFrame
from data_pipeline.films.detect_shots import FoundCuts
from data_pipeline.films.film_probe import Film
from data_pipeline.films.letterbox import Crop, Outline, choose_crop, merge_outlines, outline_of_beginning
from data_pipeline.films.middle_frames import KEPT_BYTES, frame_bytes
from data_pipeline.films.no_cuts import NoCut
from data_pipeline.films.shot_frames import CutFinder, WaitingFrame, read_shot_frames
from data_pipeline.medium_guard import MediumGuard
from lmms_eval_shotbench.vocabulary import MediaKind

SOON_SECONDS = 10.0
OUTLINE_EVERY = 3  # of the first frames of a row, as each is much like the next


@dataclass
class _OpenRow:
    """A row whose frames first to last - 1, as far as foreseen, are being decoded."""

    request: FrameRequest
    first: int
    last: int
    crop: Crop
    stills: range  # numbers of the frames of which one is the still
    clip: OpenClip | None = None
    deinterlaced: bool = False

    def is_divided_at(self, number: int, trim_frames: int) -> bool:
        """Whether a cut before this frame ends it where no piece of the row can end."""
        if self.request.last is None and self.request.needs_cuts:
            return self.request.first >= number
        return self.last - number > trim_frames

    def discard_clip(self) -> None:
        """Give up its clip."""
        if self.clip:
            self.clip.discard()
        self.clip = None

    @property
    def guard(self) -> MediumGuard:
        """A context in which a fault costs the clip in advance only: it is cut again, where faults are recorded."""
        return MediumGuard(lambda flaw: self.discard_clip(), "cutting in advance")


class ForeseenPieces:
    """Cuts pieces of one film while it is scanned; `take` returns those whose bounds and crop are right.

    Args:
        film_outline: Merged outline of keyframes spread over the film; None: bars are not cropped.
    """

    def __init__(
        self, film: Film, requests: Sequence[FrameRequest], film_outline: Outline | None, cutting: Cutting
    ) -> None:
        self._film, self._cutting, self._settings = film, cutting, cutting.settings
        self._requests = requests
        self._film_outline = film_outline
        self._merged = 0  # number of outlines of scanned frames that are merged into it
        self._starts: dict[int, list[FrameRequest]] = {}  # rows that are yet to begin, by frame number
        self._moments: list[FrameRequest] = []  # rows of a single time that ask for the shot around it
        self._open: list[_OpenRow] = []
        self._kept: dict[int, ProgressiveFrame] = {}  # for stills, by number
        self._media: dict[tuple[int, MediaKind], CutMedium] = {}  # by line

    def scan(
        self,
        needed: tuple[int, int],
        scanned: tuple[int, int],
        outlines: Mapping[int, Outline],
        observe: Callable[[int, Any], object],
    ) -> FoundCuts:
        """Find the cuts of a half-open frame range, and cut the pieces in it.

        Args:
            needed: The range in which cuts must be known.
            scanned: The same with the margins of the detector.
            outlines: The outlines of scanned frames so far, by number.
            observe: Called with the number of every decoded frame and the frame as stored.
        """
        finder = CutFinder(self._film, self._settings, scanned[0], needed[0], self._settings.trim_frames, observe)
        self._starts, self._moments = {}, []
        for request in self._requests:
            if request.last is None and request.needs_cuts:
                self._moments.append(request)
            elif needed[0] <= request.first < needed[1]:
                self._starts.setdefault(request.first, []).append(request)
        try:
            for waiting in read_shot_frames(self._film, finder, *scanned, self._cutting.count.decoded):
                number = waiting.frame.number
                if needed[0] <= number < needed[1]:
                    self._end_rows(number, waiting.is_cut, finder)
                    if waiting.is_cut or number == 0:
                        self._starts.setdefault(number, []).extend(self._next_moment(number))
                    self._begin_rows(waiting, finder, outlines)
                    self._add_frame(waiting.frame)
            self._end_rows(needed[1], False, finder)
        finally:
            for row in self._open:
                row.discard_clip()
            self._open, self._kept = [], {}
        return finder.found

    def take(self, piece: Piece, crop: Crop) -> CutMedium | None:
        """The medium of exactly these frames with this crop, if it was cut."""
        medium = self._media.get((piece.row.line, piece.kind))
        return medium if medium and (medium.piece, medium.crop) == (piece, crop) else None

    def _next_moment(self, number: int) -> list[FrameRequest]:
        """The rows of a single time whose shot may begin at a frame: those of the next time, if it comes soon."""
        first = min((request.first for request in self._moments if request.first >= number), default=self._film.frames)
        if first == self._film.frames or self._film.time_of(first) - self._film.time_of(number) > SOON_SECONDS:
            return []
        return [request for request in self._moments if request.first == first]

    def _begin_rows(self, waiting: WaitingFrame, finder: CutFinder, outlines: Mapping[int, Outline]) -> None:
        number, trim = waiting.frame.number, self._settings.trim_frames
        for request in self._starts.pop(number, ()):
            if request.last is not None:
                last = request.last
                cut = next((cut for cut in range(number + 1, number + 1 + trim) if finder.is_cut(cut)), last)
                if number == request.first and cut < last:
                    self._starts.setdefault(cut, []).append(request)  # it is trimmed at its beginning
                    continue
                ends, margin = range(max(last - trim, number + 1), last + 1), self._settings.flash_frames
            else:
                last = self._film.frames if request.needs_cuts else number + 1
                ends, margin = range(last, last + 1), 0
            pieces = [piece for end in ends for piece in _pieces(request, number, end, (), self._film, self._cutting)]
            stills = [piece.first for piece in pieces if piece.kind is MediaKind.STILL]
            candidates = range(max(min(stills) - margin, number), max(stills) + 1) if stills else range(0)
            row = _OpenRow(request, number, last, self._crop(request, last, waiting, outlines), candidates)
            for piece in pieces:
                if piece.kind is MediaKind.CLIP and piece.last == last:
                    with row.guard:
                        if not flaw_of_bounds(self._film, piece, row.crop, self._settings):
                            row.clip = OpenClip(self._film, piece, row.crop, self._cutting)
            self._open.append(row)

    def _crop(self, request: FrameRequest, last: int, waiting: WaitingFrame, outlines: Mapping[int, Outline]) -> Crop:
        """The crop of a row that begins."""
        film = self._film
        if self._film_outline is None:
            return Crop.full_frame(film.width, film.height)
        new = list(islice(outlines.values(), self._merged, None))
        self._merged += len(new)
        self._film_outline = merge_outlines([self._film_outline, *new])
        if request.needs_cuts:
            frames = [frame for frame in (waiting.frame, *waiting.following) if frame.number < last]
            own = outline_of_beginning(frame.frame for frame in frames[::OUTLINE_EVERY])
        else:
            own = outlines.get(request.first)
        return choose_crop(own, self._film_outline, film.width, film.height)

    def _add_frame(self, frame: ProgressiveFrame) -> None:
        for row in self._open:
            row.deinterlaced |= frame.deinterlaced
            if row.clip:
                with row.guard:
                    row.clip.add_frame(frame.number, frame.frame)
        if any(frame.number in row.stills for row in self._open):
            sizes = (frame_bytes(kept.frame) for kept in (*self._kept.values(), frame))
            if sum(sizes) <= KEPT_BYTES:
                self._kept[frame.number] = frame

    def _end_rows(self, number: int, is_cut: bool, finder: CutFinder) -> None:
        """Finish the rows that end before a frame, and give up those that a cut divides."""
        ended = [row for row in self._open if is_cut or row.last == number]
        if not ended:
            return
        for row in ended:
            self._open.remove(row)
            if row.is_divided_at(number, self._settings.trim_frames):
                row.discard_clip()
                continue
            for piece in _pieces(row.request, row.first, number, finder.removed, self._film, self._cutting):
                with row.guard:
                    self._finish(row, piece)
            row.discard_clip()
        self._kept = {
            kept: frame for kept, frame in self._kept.items() if any(kept in row.stills for row in self._open)
        }

    def _finish(self, row: _OpenRow, piece: Piece) -> None:
        """Complete a piece, whose frames have come."""
        key, still = (piece.row.line, piece.kind), self._kept.get(piece.first)
        if piece.kind is MediaKind.STILL:
            if still:
                medium = cut_still_piece(self._film, still.frame, piece, row.crop, self._cutting)
                self._media[key] = medium._replace(deinterlaced=still.deinterlaced)
        elif flaw := flaw_of_bounds(self._film, piece, row.crop, self._settings):
            self._media[key] = CutMedium(piece, row.crop, flaw=flaw)
        elif row.clip and piece.first == row.first:
            self._media[key] = row.clip.finish(piece.last)._replace(deinterlaced=row.deinterlaced)


def _pieces(
    request: FrameRequest, first: int, last: int, removed: Sequence[NoCut], film: Film, cutting: Cutting
) -> list[Piece]:
    """The pieces of a row that is trimmed to a range."""
    pieces = pieces_of(request, [first, last], removed, film, cutting.settings)
    return pieces if isinstance(pieces, list) else []
