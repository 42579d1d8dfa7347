"""Cut what the table wants out of one film file.

Owns the order of things: probe, look through for cuts and bars, cut, judge. A film is decoded at most twice, in order:
once where cuts must be known, small; once where something is cut, and there each frame goes to every still and clip
that wants it and is forgotten. A medium that is broken costs its own rows. What is cut is in `cut_plan.py`, how it is
encoded in `cut_media.py`, whether it is any good in `quality.py` and `picture_plugins.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from data_pipeline.annotations.annotation_table import AnnotatedRange
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.films.cut_pieces import cut_run
from data_pipeline.films.cut_plan import FrameRequest, Piece, joined, pieces_of, stretches_to_scan, wish_of
from data_pipeline.films.cut_result import Cutting
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.detect_shots import ShotDetector
from data_pipeline.films.film_probe import BrokenFilm, Film, probe_film, read_frames
from data_pipeline.films.letterbox import Crop, Outline, choose_crop, grey, outline, together

OUTLINE_EVERY = 12  # frames; bars do not change within half a second
OUTLINES_OF_FILM = 24  # keyframes, evenly spread, that show the bars of the film
NOT_WORTH_A_SEEK = 48  # frames between two pieces that are decoded through


def cut_film_file(path: Path, rows: Sequence[AnnotatedRange], cutting: Cutting) -> None:
    """Cut the rows of one film file."""
    try:
        film = probe_film(path)
        flaw = _judge_colours(film, cutting.settings)
        if flaw is None:
            pieces = list(_pieces(film, rows, cutting))
    except BrokenFilm as error:
        flaw = Flaw(DefectKind.UNREADABLE_FILM, str(error))
    if flaw:
        lost = {defect.line for defect in cutting.defects if defect.loses_row}
        for row in rows:
            if row.line not in lost:
                cutting.lose(row, flaw)
        return
    if film.is_high_dynamic_range:
        for row in {piece.row.line: piece.row for piece, _ in pieces}.values():
            cutting.warn(row, Flaw(DefectKind.TONE_MAPPED, f"transfer characteristics {film.transfer}"))
    for first, last in joined([(piece.first, piece.last) for piece, _ in pieces], NOT_WORTH_A_SEEK):
        cut_run(film, [(piece, crop) for piece, crop in pieces if first <= piece.first < last], (first, last), cutting)


def _judge_colours(film: Film, settings: CutSettings) -> Flaw | None:
    if film.is_dolby_vision:
        return Flaw(DefectKind.HIGH_DYNAMIC_RANGE, f"Dolby Vision ({film.codec_tag}) without a standard picture")
    if film.is_high_dynamic_range and settings.high_dynamic_range == "refuse":
        return Flaw(DefectKind.HIGH_DYNAMIC_RANGE, f"transfer characteristics {film.transfer}; the settings refuse it")
    return None


def _pieces(film: Film, rows: Sequence[AnnotatedRange], cutting: Cutting) -> Iterator[tuple[Piece, Crop]]:
    """What is to be cut, with its crop; what is not in the film or across a cut is noted."""
    settings = cutting.settings
    wishes: list[FrameRequest] = []
    for row in rows:
        wish = wish_of(row, film, settings)
        if isinstance(wish, Flaw):
            cutting.lose(row, wish)
        else:
            wishes.append(wish)
    cuts, outlines = _scan(film, stretches_to_scan(wishes, film, settings), settings)
    of_film = _outline_of_film(film, outlines) if settings.crop_bars and wishes else None
    for wish in wishes:
        pieces = pieces_of(wish, cuts, film, settings)
        if isinstance(pieces, Flaw):
            cutting.lose(wish.row, pieces)
            continue
        for piece in pieces:
            of_shot = together(outlines[number] for number in range(*piece.shot) if number in outlines)
            yield piece, choose_crop(of_shot, of_film, film.width, film.height)


def _scan(
    film: Film, stretches: Sequence[tuple[int, int]], settings: CutSettings
) -> tuple[list[int], dict[int, Outline]]:
    """Look through parts of the film for cuts and bars."""
    cuts: list[int] = []
    outlines: dict[int, Outline] = {}
    for first, last in stretches:
        detector = ShotDetector(settings)
        for number, frame in read_frames(film, first, last):
            detector.see(number, frame)
            if settings.crop_bars and number % OUTLINE_EVERY == 0:
                outlines[number] = outline(grey(frame))
        cuts += detector.cuts
    return cuts, outlines


def _outline_of_film(film: Film, outlines: dict[int, Outline]) -> Outline | None:
    """The brightest that was seen, in the scan and at keyframes all over the film."""
    numbers = [film.shown_at(float((key - film.times[0]) * film.tick)) for key in film.keyframes]
    step = -(-len(numbers) // OUTLINES_OF_FILM)
    frames = (frame for number in numbers[::step] for _, frame in read_frames(film, number, number + 1))
    return together([*outlines.values(), *(outline(grey(frame)) for frame in frames)])
