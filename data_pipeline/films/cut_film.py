"""Cut the annotated stills and clips out of one film file.

Owns the order: probe, scan for cuts and black bars, cut, check quality. A film is decoded once, sequentially, over the
ranges in which cuts must be known: its stills and clips are cut in the same pass (`foreseen_pieces.py`). What that pass
cannot foresee is cut in a second decode of its frames only: the shot around a single time, a row whose crop other
shots decide, and everything if the detector depends on the complete film. A broken medium loses only its own rows. The
plan is in `cut_plan.py`, encoding in `cut_media.py`, quality checks in `quality.py` and `picture_plugins.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from data_pipeline.annotations.annotation_table import AnnotatedRange
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.films.cut_pieces import CutMedium, cut_run
from data_pipeline.films.cut_plan import FrameRequest, Piece, frame_request_of, merge_ranges, pieces_of, ranges_to_scan
from data_pipeline.films.cut_result import Cutting
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.detect_shots import FoundCuts, ShotDetector, detector_margins
from data_pipeline.films.film_frames import film_frame_hashes
from data_pipeline.films.film_probe import Film, probe_film, read_frames
from data_pipeline.films.foreseen_pieces import ForeseenPieces
from data_pipeline.films.letterbox import Crop, Outline, choose_crop, luma, merge_outlines, outline
from data_pipeline.films.no_cuts import NoCut
from data_pipeline.films.tone_map import mapped_colours, refused_range
from data_pipeline.high_dynamic_range import TAKEN_AS_STANDARD
from data_pipeline.medium_guard import MediumGuard
from lmms_eval_shotbench.remote_path import Location

OUTLINE_EVERY = 12  # frames; bars do not change within half a second
OUTLINES_OF_FILM = 24  # evenly spaced keyframes from which the bars of the film are estimated
MARGIN_GROWTH = 4  # factor by which the margin before a range grows until cuts do not depend on those before it
NOT_WORTH_A_SEEK = 48  # frames; a shorter gap between two pieces is decoded rather than seeked over


def cut_film_file(path: Location, rows: Sequence[AnnotatedRange], cutting: Cutting) -> None:
    """Cut the rows of one film file; shots and defects are added to `cutting`."""
    flaws: list[Flaw | None] = []
    with MediumGuard(flaws.append, "reading the film", DefectKind.UNREADABLE_FILM) as guard:
        film = probe_film(path)
        flaws.append(judge_colours(film, cutting.settings))
        if not flaws[0]:
            guard.stage = "finding its cuts and black bars"
            pieces = list(_pieces(film, rows, cutting))
    if flaw := flaws[-1]:
        lost = {defect.line for defect in cutting.defects if defect.loses_row}
        for row in rows:
            if row.line not in lost:
                cutting.lose(row, flaw)
        return
    for row in {piece.row.line: piece.row for piece, _, _ in pieces}.values():
        for warning in film_warnings(film):
            cutting.warn(row, warning)
    if pieces:
        cutting.frames += film_frame_hashes(film)
    _cut_pieces(film, pieces, cutting)


def _cut_pieces(film: Film, pieces: Sequence[ScannedPiece], cutting: Cutting) -> None:
    """Record the pieces that were cut while the film was scanned, and cut the others."""
    deinterlaced: dict[int, AnnotatedRange] = {}  # by line
    for piece, _, medium in pieces:
        if medium:
            deinterlaced |= {piece.row.line: piece.row} if medium.deinterlaced else {}
            with MediumGuard(partial(cutting.lose, piece.row), f"storing the {piece.kind}"):
                medium.record(film, cutting)
    rest = [(piece, crop) for piece, crop, medium in pieces if not medium]
    runs = merge_ranges([(piece.first, piece.last) for piece, _ in rest], NOT_WORTH_A_SEEK)
    cutting.count.plan(sum(last - first for first, last in runs))
    for first, last in runs:
        own = [(piece, crop) for piece, crop in rest if first <= piece.first < last]
        cut_run(film, own, (first, last), cutting, deinterlaced)
    for row in deinterlaced.values():
        cutting.warn(row, Flaw(DefectKind.DEINTERLACED, "frames of two fields; the second field was interpolated"))


def judge_colours(film: Film, settings: CutSettings) -> Flaw | None:
    """Why the colours of a film cannot be shown, or None."""
    if film.is_dolby_vision:
        return Flaw(DefectKind.HIGH_DYNAMIC_RANGE, f"Dolby Vision ({film.codec_tag}) without a standard picture")
    return refused_range(film.colours, settings)


def film_warnings(film: Film) -> list[Flaw]:
    """What is recorded with every row that is cut out of a film."""
    warnings = []
    if film.is_high_dynamic_range:
        warnings.append(Flaw(DefectKind.TONE_MAPPED, mapped_colours(film.colours)))
    if film.colours.may_be_high_dynamic_range:
        warnings.append(Flaw(DefectKind.UNKNOWN_TRANSFER, TAKEN_AS_STANDARD))
    if film.has_unmarked_fields:
        detail = (
            "the file declares interlaced frames, but does not mark them: those without a mark are not deinterlaced"
        )
        warnings.append(Flaw(DefectKind.UNMARKED_FIELDS, detail))
    if film.offset > 1 / (2 * film.rate):
        detail = f"its first frame is shown at {film.time_of(0):.3f} s: seconds count from the start of the file"
        warnings.append(Flaw(DefectKind.LATE_PICTURE, f"{detail}, as players show; frame numbers from the first frame"))
    return warnings


class ScannedPiece(NamedTuple):
    """A piece to cut and its crop, known after the scan, and its medium if it was cut in that pass."""

    piece: Piece
    crop: Crop
    medium: CutMedium | None


def _pieces(film: Film, rows: Sequence[AnnotatedRange], cutting: Cutting) -> Iterator[ScannedPiece]:
    """The pieces of all rows; rows outside the film or across a cut are recorded as defects."""
    settings = cutting.settings
    requests: list[FrameRequest] = []
    for row in rows:
        request = frame_request_of(row, film, settings)
        if isinstance(request, Flaw):
            cutting.lose(row, request)
        else:
            requests.append(request)
    ranges = ranges_to_scan(requests, film, settings)
    cutting.count.plan(sum(last - first for first, last in ranges))
    film_outline = outline_of_keyframes(film) if settings.crop_bars and requests else None
    foreseen = ForeseenPieces(film, requests, film_outline, cutting) if detector_margins(settings) else None
    cuts, removed, outlines = scan_ranges(film, ranges, settings, foreseen)
    for change in removed:
        cutting.note(rows[0].media, Flaw(DefectKind.NO_CUT, describe_change(change, film)))
    if film_outline:
        film_outline = merge_outlines([film_outline, *outlines.values()])
    for request in requests:
        pieces = pieces_of(request, cuts, removed, film, settings)
        if isinstance(pieces, Flaw):
            cutting.lose(request.row, pieces)
            continue
        for piece in pieces:
            shot_outline = merge_outlines(outlines[number] for number in range(*piece.shot) if number in outlines)
            crop = choose_crop(shot_outline, film_outline, film.width, film.height)
            yield ScannedPiece(piece, crop, foreseen.take(piece, crop) if foreseen else None)


def describe_change(change: NoCut, film: Film) -> str:
    """What a change that is no cut is, and when."""
    frames = change.last - change.first
    what = f"flash of {frames} frame{'s' * (frames > 1)}" if change.is_flash else "beginning of a fade-in"
    return f"{film.time_of(change.first):.3f} s ({what})"


def scan_ranges(
    film: Film, ranges: Sequence[tuple[int, int]], settings: CutSettings, foreseen: ForeseenPieces | None = None
) -> tuple[list[int], list[NoCut], dict[int, Outline]]:
    """Scan frame ranges for cuts (frame numbers), changes that are none, and black bars (outlines by frame number).

    Args:
        foreseen: Cuts pieces in the same pass; the detector must have margins.
    """
    cuts: list[int] = []
    removed: list[NoCut] = []
    outlines: dict[int, Outline] = {}

    def observe(number: int, frame: Any) -> None:
        if settings.crop_bars and number % OUTLINE_EVERY == 0:
            outlines[number] = outline(luma(frame))

    before, after = detector_margins(settings) or (0, 0)
    for first, last in ranges:
        margin, found = before, FoundCuts([], [], False)
        while not found.settled:
            scanned = (max(first - margin, 0), min(last + after, film.frames))
            if foreseen and margin == before:
                found = foreseen.scan((first, last), scanned, outlines, observe)
            else:
                found = _scan(film, scanned, ShotDetector(film, settings, first), observe)
            margin *= MARGIN_GROWTH
        cuts += [cut for cut in found.cuts if cut < last]
        removed += [change for change in found.removed if change.first < last]
    return cuts, removed, outlines


def _scan(
    film: Film, scanned: tuple[int, int], detector: ShotDetector, observe: Callable[[int, Any], object]
) -> FoundCuts:
    for number, frame in read_frames(film, *scanned):
        detector.process_frame(number, frame)
        observe(number, frame)
    return detector.finish()


def outline_of_keyframes(film: Film) -> Outline | None:
    """Merged outline of keyframes spread over the film; None if it has none.

    Raises:
        BrokenFilm: a keyframe cannot be decoded.
    """
    numbers = [max(bisect_right(film.times, key) - 1, 0) for key in film.keyframes]
    step = -(-len(numbers) // OUTLINES_OF_FILM)
    frames = (frame for number in numbers[::step] for _, frame in read_frames(film, number, number + 1))
    return merge_outlines(outline(luma(frame)) for frame in frames)
