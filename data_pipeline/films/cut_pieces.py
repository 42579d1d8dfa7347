"""Cut stills and clips out of a frame range that is decoded once, and check each as soon as it is complete.

Owns the distribution of frames: each is passed to every still and clip that contains it and then released. Media that
fail `quality.py` or `picture_plugins.py`, or raise anything, are recorded as defects. Which pieces there are is in
`cut_plan.py`, their encoding in `cut_media.py`. Most pieces are cut before, while the film is scanned
(`foreseen_pieces.py`).
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from data_pipeline.annotations.annotation_table import AnnotatedRange
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.films.cut_media import ClipCutter, cut_still, encoded_still, shown_size, still_suffix
from data_pipeline.films.cut_plan import Piece
from data_pipeline.films.cut_result import Cutting
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.deinterlace import read_progressive_frames
from data_pipeline.films.film_probe import Film
from data_pipeline.films.letterbox import Crop, luma, outline
from data_pipeline.films.picture_plugins import check_picture
from data_pipeline.films.quality import ClipMeasure, check_length, check_picture_size, check_still, thumbnail
from data_pipeline.medium_guard import MediumGuard
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, MediaKind

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image


class CutMedium(NamedTuple):
    """A still or clip that is cut and checked, and not yet recorded."""

    piece: Piece
    crop: Crop
    path: Path = Path()  # of its file, which exists unless it has a flaw
    flaw: Flaw | None = None  # why it is dropped
    thumbnail: numpy.ndarray | None = None  # of a still
    deinterlaced: bool = False

    def record(self, film: Film, cutting: Cutting) -> None:
        """Record it as a shot, or why it is dropped."""
        piece = self.piece
        if self.flaw:
            cutting.lose(piece.row, self.flaw)
            return
        end = film.time_of(piece.last) if piece.kind is MediaKind.CLIP else None
        cutting.keep(piece.row, piece.kind, self.path, film.time_of(piece.first), end)
        if self.thumbnail is not None:
            cutting.thumbnails[cutting.shots[-1].shot_id] = self.thumbnail


def cut_run(
    film: Film,
    pieces: list[tuple[Piece, Crop]],
    run: tuple[int, int],
    cutting: Cutting,
    deinterlaced: dict[int, AnnotatedRange],
) -> None:
    """Decode a frame range once and pass each frame to all pieces that contain it.

    Args:
        deinterlaced: Receives the rows, by line, of which a frame was deinterlaced.
    """
    waiting = sorted(pieces, key=lambda entry: entry[0].first, reverse=True)
    open_clips: list[OpenClip] = []

    def lose_unfinished(flaw: Flaw) -> None:
        for piece in [*(clip.piece for clip in open_clips), *(piece for piece, _ in waiting)]:
            cutting.lose(piece.row, flaw)

    try:
        with MediumGuard(lose_unfinished, "decoding the film", DefectKind.UNREADABLE_FILM):
            for number, frame, is_deinterlaced in read_progressive_frames(film, *run):
                cutting.count.decoded()
                if is_deinterlaced:
                    deinterlaced |= {clip.piece.row.line: clip.piece.row for clip in open_clips}
                while waiting and waiting[-1][0].first == number:
                    piece, crop = waiting.pop()
                    if is_deinterlaced:
                        deinterlaced[piece.row.line] = piece.row
                    with _guard(piece, cutting, "cutting"):
                        if piece.kind is MediaKind.STILL:
                            cut_still_piece(film, frame, piece, crop, cutting).record(film, cutting)
                        elif flaw := flaw_of_bounds(film, piece, crop, cutting.settings):
                            cutting.lose(piece.row, flaw)
                        else:
                            open_clips.append(OpenClip(film, piece, crop, cutting))
                for clip in list(open_clips):
                    with _guard(clip.piece, cutting, "encoding") as guard:
                        clip.add_frame(number, frame)
                        if clip.piece.last > number + 1:
                            continue
                        guard.stage = "checking the clip"
                        clip.finish(number + 1).record(film, cutting)
                    open_clips.remove(clip)
                    clip.discard()
    finally:
        for clip in open_clips:
            clip.discard()


def _guard(piece: Piece, cutting: Cutting, stage: str) -> MediumGuard:
    return MediumGuard(partial(cutting.lose, piece.row), f"{stage} the {piece.kind}", DefectKind.UNREADABLE_FILM)


def cut_still_piece(film: Film, frame: Any, piece: Piece, crop: Crop, cutting: Cutting) -> CutMedium:
    """Cut a still out of its frame (`av.VideoFrame`), check it, and write its file if it passes."""
    settings = cutting.settings
    path = cutting.path(piece.row, MediaKind.STILL, still_suffix(settings))
    picture = cut_still(film, frame, crop_of_still(film, frame, crop), settings)
    encoded = encoded_still(picture, settings)
    if flaw := check_still(picture, settings) or check_picture(picture, settings):
        return CutMedium(piece, crop, path, flaw)
    small = thumbnail(picture)
    path.write_bytes(encoded)
    return CutMedium(piece, crop, path, None, small)


def crop_of_still(film: Film, frame: Any, crop: Crop) -> Crop:
    """The crop of a shot, or the full frame if that would cut into the picture of this `av.VideoFrame`."""
    return crop if outline(luma(frame)).is_black_outside(crop) else Crop.full_frame(film.width, film.height)


def flaw_of_bounds(film: Film, clip: Piece, crop: Crop, settings: CutSettings) -> Flaw | None:
    """Why a clip of these frames and this size is dropped, or None."""
    seconds = film.time_of(clip.last) - film.time_of(clip.first)
    size = shown_size(film, crop, settings.clip_longest_side)
    return check_length(seconds, clip.last - clip.first, settings) or check_picture_size(*size, settings)


class OpenClip:
    """A clip that is being encoded and measured frame by frame."""

    def __init__(self, film: Film, piece: Piece, crop: Crop, cutting: Cutting) -> None:
        self.piece = piece
        self._crop, self._settings = crop, cutting.settings
        self._path = cutting.path(piece.row, MediaKind.CLIP, ".mp4")
        self._measure = ClipMeasure()
        self._middles: dict[int, Image] | None = None  # by number, for models
        if cutting.settings.aesthetic_model or cutting.settings.nsfw_model:
            self._middles = {}
        self._cutter = ClipCutter(self._path, film, piece.first, crop, cutting.settings)

    def add_frame(self, number: int, frame: Any) -> None:
        """Encode and measure the next frame."""
        shown = self._cutter.add_frame(number, frame)
        self._measure.add_frame(shown, self._settings)
        latest = (self.piece.first + self.piece.last) // 2
        if self._middles is not None and latest - self._settings.trim_frames <= number <= latest:
            self._middles[number] = shown.to_image()

    def finish(self, last: int) -> CutMedium:
        """Complete the file after frame `last` - 1, and check it.

        Raises:
            KeyError: models check its middle, and the end is more than `trim_frames` before that of the piece.
        """
        self._cutter.close()
        piece, settings = self.piece._replace(last=last, shot=(self.piece.first, last)), self._settings
        movement = CAMERA_MOVEMENT.parse(piece.row.labels[CAMERA_MOVEMENT.slug])
        flaw = self._measure.judge(movement, settings)
        if flaw is None and self._middles is not None:
            flaw = check_picture(self._middles[(piece.first + last) // 2], settings)
        return CutMedium(piece, self._crop, self._path, flaw)

    def discard(self) -> None:
        """Close the file if it is unfinished; like all files without a shot, it is removed at the end."""
        with suppress(Exception):  # what broke the clip may also break its end
            self._cutter.close()
