"""Cut stills and clips out of a frame range that is decoded once, and check each as soon as it is complete.

Owns the distribution of frames: each is passed to every still and clip that contains it and then released. Media that
fail `quality.py` or `picture_plugins.py`, or raise anything, are recorded as defects. Which pieces there are is in
`cut_plan.py`, their encoding in `cut_media.py`.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from data_pipeline.annotations.annotation_table import AnnotatedRange
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.films.cut_media import ClipCutter, cut_still, encoded_still, shown_size, still_suffix
from data_pipeline.films.cut_plan import Piece
from data_pipeline.films.cut_result import Cutting
from data_pipeline.films.deinterlace import read_progressive_frames
from data_pipeline.films.film_probe import Film
from data_pipeline.films.letterbox import Crop, luma, outline
from data_pipeline.films.picture_plugins import check_picture
from data_pipeline.films.quality import ClipMeasure, check_length, check_picture_size, check_still, thumbnail
from data_pipeline.medium_guard import MediumGuard
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, MediaKind

if TYPE_CHECKING:
    from PIL.Image import Image


def cut_run(film: Film, pieces: list[tuple[Piece, Crop]], run: tuple[int, int], cutting: Cutting) -> None:
    """Decode a frame range once and pass each frame to all pieces that contain it."""
    waiting = sorted(pieces, key=lambda entry: entry[0].first, reverse=True)
    open_clips: list[_OpenClip] = []
    deinterlaced: dict[int, AnnotatedRange] = {}  # by line

    def lose_unfinished(flaw: Flaw) -> None:
        for piece in [*(clip.piece for clip in open_clips), *(piece for piece, _ in waiting)]:
            cutting.lose(piece.row, flaw)

    try:
        with MediumGuard(lose_unfinished, "decoding the film", DefectKind.UNREADABLE_FILM):
            for number, frame, is_deinterlaced in read_progressive_frames(film, *run):
                if is_deinterlaced:
                    deinterlaced |= {clip.piece.row.line: clip.piece.row for clip in open_clips}
                while waiting and waiting[-1][0].first == number:
                    piece, crop = waiting.pop()
                    if is_deinterlaced:
                        deinterlaced[piece.row.line] = piece.row
                    with _guard(piece, cutting, "cutting"):
                        if piece.kind is MediaKind.STILL:
                            _cut_still(film, frame, piece, crop, cutting)
                        elif clip := _OpenClip.open(film, piece, crop, cutting):
                            open_clips.append(clip)
                for clip in list(open_clips):
                    with _guard(clip.piece, cutting, "encoding") as guard:
                        clip.add_frame(number, frame)
                        if clip.piece.last > number + 1:
                            continue
                        guard.stage = "checking the clip"
                        clip.finish()
                    open_clips.remove(clip)
                    clip.discard()
    finally:
        for clip in open_clips:
            clip.discard()
    for row in deinterlaced.values():
        cutting.warn(row, Flaw(DefectKind.DEINTERLACED, "frames of two fields; the second field was interpolated"))


def _guard(piece: Piece, cutting: Cutting, stage: str) -> MediumGuard:
    return MediumGuard(partial(cutting.lose, piece.row), f"{stage} the {piece.kind}", DefectKind.UNREADABLE_FILM)


def keep_still(
    picture: Image, row: AnnotatedRange, start: float | None, encoded: bytes, suffix: str, cutting: Cutting
) -> None:
    """Check a still and write its file."""
    flaw = check_still(picture, cutting.settings) or check_picture(picture, cutting.settings)
    if flaw:
        cutting.lose(row, flaw)
        return
    small = thumbnail(picture)
    path = cutting.path(row, MediaKind.STILL, suffix)
    path.write_bytes(encoded)
    cutting.keep(row, MediaKind.STILL, path, start, None)
    cutting.thumbnails[cutting.shots[-1].shot_id] = small


def _cut_still(film: Film, frame: Any, piece: Piece, crop: Crop, cutting: Cutting) -> None:
    settings = cutting.settings
    picture = cut_still(film, frame, crop_of_still(film, frame, crop), settings)
    encoded = encoded_still(picture, settings)
    keep_still(picture, piece.row, film.time_of(piece.first), encoded, still_suffix(settings), cutting)


def crop_of_still(film: Film, frame: Any, crop: Crop) -> Crop:
    """The crop of a shot, or the full frame if that would cut into the picture of this `av.VideoFrame`."""
    return crop if outline(luma(frame)).is_black_outside(crop) else Crop.full_frame(film.width, film.height)


class _OpenClip:
    """A clip that is being encoded and measured frame by frame."""

    def __init__(self, film: Film, piece: Piece, crop: Crop, cutting: Cutting) -> None:
        self.piece = piece
        self._film, self._cutting = film, cutting
        self._path = cutting.path(piece.row, MediaKind.CLIP, ".mp4")
        self._measure = ClipMeasure()
        self._middle: Image | None = None
        self._cutter = ClipCutter(self._path, film, piece.first, crop, cutting.settings)

    @classmethod
    def open(cls, film: Film, piece: Piece, crop: Crop, cutting: Cutting) -> _OpenClip | None:
        """Open a clip, or record why it is dropped and return None."""
        settings = cutting.settings
        seconds = film.time_of(piece.last) - film.time_of(piece.first)
        size = shown_size(film, crop, settings.clip_longest_side)
        if flaw := check_length(seconds, piece.last - piece.first, settings) or check_picture_size(*size, settings):
            cutting.lose(piece.row, flaw)
            return None
        return cls(film, piece, crop, cutting)

    def add_frame(self, number: int, frame: Any) -> None:
        """Encode and measure the next frame."""
        shown = self._cutter.add_frame(number, frame)
        self._measure.add_frame(shown, self._cutting.settings)
        settings = self._cutting.settings
        if number == (self.piece.first + self.piece.last) // 2 and (settings.aesthetic_model or settings.nsfw_model):
            self._middle = shown.to_image()

    def finish(self) -> None:
        """Complete the file, and keep it if it passes the quality checks."""
        self._cutter.close()
        row, settings = self.piece.row, self._cutting.settings
        movement = CAMERA_MOVEMENT.parse(row.labels[CAMERA_MOVEMENT.slug])
        flaw = self._measure.judge(movement, settings)
        if flaw is None and self._middle is not None:
            flaw = check_picture(self._middle, settings)
        if flaw:
            self._cutting.lose(row, flaw)
            return
        start, end = self._film.time_of(self.piece.first), self._film.time_of(self.piece.last)
        self._cutting.keep(row, MediaKind.CLIP, self._path, start, end)

    def discard(self) -> None:
        """Close the file if it is unfinished; like all files without a shot, it is removed at the end."""
        with suppress(Exception):  # what broke the clip may also break its end
            self._cutter.close()
