"""Cut the annotated stills and clips out of one film file.

Owns the order: probe, scan for cuts and black bars, cut, check quality. A film is decoded at most twice, sequentially:
once, downscaled, over the ranges in which cuts must be known; once over the ranges that are cut, where each frame is
passed to every still and clip that contains it and then released. A broken medium loses only its own rows. The plan is
in `cut_plan.py`, encoding in `cut_media.py`, quality checks in `quality.py` and `picture_plugins.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

from data_pipeline.annotations.annotation_table import AnnotatedRange
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.films.cut_pieces import cut_run
from data_pipeline.films.cut_plan import FrameRequest, Piece, frame_request_of, merge_ranges, pieces_of, ranges_to_scan
from data_pipeline.films.cut_result import Cutting
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.detect_shots import FoundCuts, ShotDetector, detector_margins
from data_pipeline.films.film_frames import film_frame_hashes
from data_pipeline.films.film_probe import Film, probe_film, read_frames
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
    for row in {piece.row.line: piece.row for piece, _ in pieces}.values():
        for warning in film_warnings(film):
            cutting.warn(row, warning)
    if pieces:
        cutting.frames += film_frame_hashes(film)
    for first, last in merge_ranges([(piece.first, piece.last) for piece, _ in pieces], NOT_WORTH_A_SEEK):
        cut_run(film, [(piece, crop) for piece, crop in pieces if first <= piece.first < last], (first, last), cutting)


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


def _pieces(film: Film, rows: Sequence[AnnotatedRange], cutting: Cutting) -> Iterator[tuple[Piece, Crop]]:
    """The pieces to cut, each with its crop; rows outside the film or across a cut are recorded as defects."""
    settings = cutting.settings
    requests: list[FrameRequest] = []
    for row in rows:
        request = frame_request_of(row, film, settings)
        if isinstance(request, Flaw):
            cutting.lose(row, request)
        else:
            requests.append(request)
    cuts, removed, outlines = scan_ranges(film, ranges_to_scan(requests, film, settings), settings)
    for change in removed:
        cutting.note(rows[0].media, Flaw(DefectKind.NO_CUT, describe_change(change, film)))
    film_outline = outline_of_film(film, outlines) if settings.crop_bars and requests else None
    for request in requests:
        pieces = pieces_of(request, cuts, removed, film, settings)
        if isinstance(pieces, Flaw):
            cutting.lose(request.row, pieces)
            continue
        for piece in pieces:
            shot_outline = merge_outlines(outlines[number] for number in range(*piece.shot) if number in outlines)
            yield piece, choose_crop(shot_outline, film_outline, film.width, film.height)


def describe_change(change: NoCut, film: Film) -> str:
    """What a change that is no cut is, and when."""
    frames = change.last - change.first
    what = f"flash of {frames} frame{'s' * (frames > 1)}" if change.is_flash else "beginning of a fade-in"
    return f"{film.time_of(change.first):.3f} s ({what})"


def scan_ranges(
    film: Film, ranges: Sequence[tuple[int, int]], settings: CutSettings
) -> tuple[list[int], list[NoCut], dict[int, Outline]]:
    """Scan frame ranges for cuts (frame numbers), changes that are none, and black bars (outlines by frame number)."""
    cuts: list[int] = []
    removed: list[NoCut] = []
    outlines: dict[int, Outline] = {}
    before, after = detector_margins(settings) or (0, 0)
    for first, last in ranges:
        margin, found = before, FoundCuts([], [], False)
        while not found.settled:
            detector = ShotDetector(film, settings, first)
            for number, frame in read_frames(film, max(first - margin, 0), min(last + after, film.frames)):
                detector.process_frame(number, frame)
                if settings.crop_bars and number % OUTLINE_EVERY == 0:
                    outlines[number] = outline(luma(frame))
            found = detector.finish()
            margin *= MARGIN_GROWTH
        cuts += [cut for cut in found.cuts if cut < last]
        removed += [change for change in found.removed if change.first < last]
    return cuts, removed, outlines


def outline_of_film(film: Film, outlines: Mapping[int, Outline]) -> Outline | None:
    """Merged outline of these frames, by number, and of keyframes spread over the film; None if it has neither.

    Raises:
        BrokenFilm: a keyframe cannot be decoded.
    """
    numbers = [max(bisect_right(film.times, key) - 1, 0) for key in film.keyframes]
    step = -(-len(numbers) // OUTLINES_OF_FILM)
    frames = (frame for number in numbers[::step] for _, frame in read_frames(film, number, number + 1))
    return merge_outlines([*outlines.values(), *(outline(luma(frame)) for frame in frames)])
