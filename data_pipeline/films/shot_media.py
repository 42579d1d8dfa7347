"""The media of one shot while its frames arrive: the key still at its middle, and the clip.

Owns which frames they show. The still is the middle frame of the shot, as in a data set that is cut from an annotation
table: the frame before the flash if there is a flash. The clip shows the shot from its beginning, at most
`LONGEST_CLIP_SECONDS`, so that a shot of an hour costs no more than one of a minute. Unlike there, dark, blurred and
short shots are kept, with a remark. Encoding is in `cut_media.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from data_pipeline.films.cut_media import ClipCutter, cut_still, encoded_still, still_suffix
from data_pipeline.films.cut_pieces import crop_of_still
from data_pipeline.films.cut_plan import middle_frame
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.film_probe import Film
from data_pipeline.films.letterbox import Crop
from data_pipeline.films.middle_frames import MiddleFrames
from data_pipeline.films.no_cuts import NoCut
from data_pipeline.films.quality import check_still
from data_pipeline.medium_guard import MediumGuard

LONGEST_CLIP_SECONDS = 64.0  # the protocol shows at most 768 frames of a clip, 12 a second
FEWEST_CLIP_FRAMES = 2  # one frame shows no movement


class OpenShot:
    """A shot whose end is not known yet.

    Args:
        first: Frame number of its first frame.
        stem: Path of its media files without suffix.
        clip: Whether it gets a clip.
    """

    def __init__(
        self, film: Film, first: int, crop: Crop, stem: Path, settings: CutSettings, clip: bool = True
    ) -> None:
        self.first, self.last = first, first  # frames first to last - 1 have been added
        self.still = self.clip = ""  # names of the files, after `finish`
        self.still_frame: int | None = None  # number of the frame that the still shows, after `finish`
        self.remarks: list[str] = []
        self._film, self._crop, self._stem, self._settings = film, crop, stem, settings
        self._middle = MiddleFrames(film, first, settings.flash_frames)
        self._path = stem.with_name(f"{stem.name}.mp4")
        self._cutter: ClipCutter | None = None
        self._clip_frames = 0
        if clip:
            with self._clip_guard():
                self._cutter = ClipCutter(self._path, film, first, crop, settings)

    def add_frame(self, frame: Any) -> None:
        """Take the next frame (`av.VideoFrame`)."""
        number, self.last = self.last, self.last + 1
        self._middle.add_frame(number, frame)
        if self._cutter is None:
            return
        with self._clip_guard():
            if self._film.time_of(number) - self._film.time_of(self.first) >= LONGEST_CLIP_SECONDS:
                self._end_clip()
                self.remarks.append(f"the clip shows its first {LONGEST_CLIP_SECONDS:g} s")
                return
            self._cutter.add_frame(number, frame)
            self._clip_frames += 1

    def finish(self, removed: Sequence[NoCut]) -> None:
        """Write the media; what cannot be written becomes a remark.

        Args:
            removed: Flashes, which the still avoids.
        """
        with self._clip_guard():
            self._end_clip()
        if self._path.exists() and self._clip_frames < FEWEST_CLIP_FRAMES:
            self._path.unlink()
            self.remarks.append("no clip: it has one frame")
        self.clip = self._path.name if self._path.exists() else ""
        with MediumGuard(lambda flaw: self.remarks.append(f"no still: {flaw.detail}"), "cutting it"):
            middle = middle_frame(self._film, removed, self.first, self.last)
            number = min(max(middle, self.first), self.last - 1)
            frame = self._middle.frame(number)
            crop = crop_of_still(self._film, frame, self._crop)
            picture = cut_still(self._film, frame, crop, self._settings)
            path = self._stem.with_name(self._stem.name + still_suffix(self._settings))
            path.write_bytes(encoded_still(picture, self._settings))
            self.still, self.still_frame = path.name, number
            if flaw := check_still(picture, self._settings):
                self.remarks.append(f"{flaw.kind}: {flaw.detail}")

    def discard(self) -> None:
        """Close the unfinished clip and remove it."""
        with suppress(Exception):  # what broke the clip may also break its end
            self._end_clip()
        self._path.unlink(missing_ok=True)

    def _end_clip(self) -> None:
        cutter, self._cutter = self._cutter, None
        if cutter:
            cutter.close()

    def _clip_guard(self) -> MediumGuard:
        return MediumGuard(lambda flaw: self._lose_clip(flaw.detail), "encoding it")

    def _lose_clip(self, detail: str) -> None:
        self.discard()
        self.remarks.append(f"no clip: {detail}")
