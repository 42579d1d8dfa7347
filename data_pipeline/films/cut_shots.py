"""Cut all shots of one film file for labelling: a film becomes `FilmFacts` and `FilmShot`s with their media.

Owns the course of a film: probe, black bars from spread keyframes, then one decode in which cuts are found
(`shot_frames.py`), unless the shots are given, and media written (`shot_media.py`). Nothing is dropped: what is noticed
is in `FilmFacts.defects` and `FilmShot.remark`. Where the film is damaged, its shot ends, and the next begins at the
following keyframe. Shots with labels for a data set are cut in `cut_film.py`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from data_pipeline.annotations.annotation_table import AnnotatedRange
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.films.cut_film import (
    NOT_WORTH_A_SEEK,
    describe_change,
    judge_colours,
    outline_of_keyframes,
)
from data_pipeline.films.cut_plan import merge_ranges
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.detect_shots import detector_margins
from data_pipeline.films.film_facts import facts_of
from data_pipeline.films.film_probe import BrokenFilm, Film, probe_film
from data_pipeline.films.film_sources import FilmSource
from data_pipeline.films.frame_progress import FrameCount
from data_pipeline.films.letterbox import Crop, Outline, choose_crop, outline_of_beginning
from data_pipeline.films.no_cuts import NoCut
from data_pipeline.films.shot_frames import (
    CutFinder,
    KnownCuts,
    WaitingFrame,
    cuts_of_film,
    read_shot_frames,
)
from data_pipeline.films.shot_list import frame_ranges
from data_pipeline.films.shot_media import OpenShot
from data_pipeline.medium_guard import MediumGuard
from lmms_eval_shotbench.labelling.shot import FilmFacts, FilmShot
from lmms_eval_shotbench.runs.formatting import first_few

OUTLINE_EVERY = 3  # of the frames that wait, as each is much like the next
CHANGES_NAMED = 5  # of those that are no cuts
MOST_DAMAGES = 8  # of a film, after each of which decoding continues at the next keyframe


class CutShots(NamedTuple):
    """The shots of a film or still file, whose media are written, what is known of it, and frames decoded for that."""

    facts: FilmFacts
    shots: list[FilmShot]
    decoded: int = 0


def cut_shots(
    source: FilmSource,
    folder: Path,
    media_path: str,
    settings: CutSettings,
    listed: Sequence[AnnotatedRange] | None = None,
    limit: int = 0,
    *,
    clips: bool = True,
    count: FrameCount | None = None,
) -> CutShots:
    """Cut the shots of a film into a folder; whatever cannot be decoded is recorded.

    Args:
        folder: Existing folder for the media files.
        media_path: POSIX path of that folder relative to the folder of the labels.
        listed: Times of the shots; None: the cuts are detected.
        limit: Maximum number of shots, from the beginning; 0: all.
        clips: Whether shots get a clip, in addition to the key still.
        count: Counts the frames that are decoded.
    """
    facts = source.facts
    cutting: _ShotCutting | None = None
    flaws: list[Flaw] = []
    with MediumGuard(flaws.append, "reading the film", DefectKind.UNREADABLE_FILM) as guard:
        film = probe_film(source.path)
        facts = facts_of(film, source)
        if flaw := judge_colours(film, settings):
            flaws.append(flaw)
        else:
            guard.stage = "cutting its shots"
            cutting = _ShotCutting(film, source.film_id, folder, media_path, settings, limit, clips)
            cutting.count = count or cutting.count
            cutting.run(listed)
    shots, defects = (cutting.shots, cutting.defects) if cutting else ([], [])
    defects += [flaw.detail for flaw in flaws]
    decoded = cutting.count.frames if cutting else 0
    return CutShots(replace(facts, defects=(*facts.defects, *defects)), shots, decoded)


class _EnoughShots(Exception):
    """The limit of shots is reached."""


@dataclass
class _ShotCutting:
    """One film being cut."""

    film: Film
    film_id: str
    folder: Path
    media_path: str
    settings: CutSettings
    limit: int
    clips: bool = True
    count: FrameCount = field(default_factory=FrameCount)
    shots: list[FilmShot] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    _open: OpenShot | None = None
    _outline: Outline | None = None
    _deinterlaced: int = 0
    _removed: set[NoCut] = field(default_factory=set)
    _position: int = 0  # number of the next frame

    def run(self, listed: Sequence[AnnotatedRange] | None) -> None:
        """Cut the listed shots, or find them."""
        film, settings = self.film, self.settings
        runs, ends = [(0, film.frames)], dict[int, int]()
        if listed is not None:
            found = frame_ranges(listed, film, settings)
            self.defects += found.defects if listed else ["the list has no shot of this film"]
            ends = dict(found.ranges)
            runs = merge_ranges(found.ranges, NOT_WORTH_A_SEEK)
        twice = listed is None and detector_margins(settings) is None
        self.count.plan(sum(last - first for first, last in runs) * (1 + twice))
        self._outline = self._outline_of_film() if settings.crop_bars else None
        known = cuts_of_film(film, settings, self.count.decoded) if twice else None
        known = KnownCuts(list(ends)) if listed is not None else known
        try:
            for first, last in runs:
                self._cut_run(first, last, known, ends)
        except _EnoughShots:
            self.defects.append(f"only its first {self.limit} shots were cut, as requested")
        finally:
            if self._open:
                self._open.discard()
        self._note(ends, is_detected=listed is None)

    def _note(self, ends: Mapping[int, int], is_detected: bool) -> None:
        """Record what was noticed about the film as a whole."""
        if self._removed:
            changes = [describe_change(change, self.film) for change in sorted(self._removed)]
            self.defects.append(f"changes that are no cuts: {first_few(changes, CHANGES_NAMED)}")
        if self._deinterlaced:
            self.defects.append(f"{self._deinterlaced:,} frames of two fields were deinterlaced")
        if is_detected and not self.limit and len(self.shots) == 1 and self.film.frames > 1:
            self.defects.append("no cut was found: the film is one shot")
        if (missing := len(ends) - len(self.shots)) > 0 and not self.limit:
            self.defects.append(f"{missing:,} listed shots could not be cut")

    def _outline_of_film(self) -> Outline | None:
        try:
            return outline_of_keyframes(self.film)
        except BrokenFilm:  # reported when its frames are reached
            return None

    def _cut_run(self, first: int, last: int, known: KnownCuts | None, ends: Mapping[int, int]) -> None:
        """Cut the shots of a frame range; after damage, continue at the next keyframe."""
        damages = 0
        self._position = first
        while self._position < last:
            cuts = known or CutFinder(self.film, self.settings, self._position)
            try:
                for waiting in read_shot_frames(self.film, cuts, self._position, last, self.count.decoded):
                    self._add_frame(waiting, cuts, ends)
                self._removed.update(cuts.removed)
            except BrokenFilm as error:
                self._removed.update(cuts.removed)
                damages += 1
                following = self._keyframe_after(self._position)
                advice = "" if following < last and damages <= MOST_DAMAGES else "; the rest of the film is not cut"
                self.defects.append(f"{error}{advice}")
                self._close(cuts, "it ends where the film is damaged")
                if advice:
                    return
                self._position = following
        self._close(cuts)

    def _keyframe_after(self, number: int) -> int:
        """The first keyframe after a frame, or the number of frames."""
        film = self.film
        index = bisect_right(film.keyframes, film.times[number])
        return film.frames if index == len(film.keyframes) else bisect_left(film.times, film.keyframes[index])

    def _add_frame(self, waiting: WaitingFrame, cuts: CutFinder | KnownCuts, ends: Mapping[int, int]) -> None:
        number, frame, deinterlaced = waiting.frame
        self._position = number + 1
        if self._open and (waiting.is_cut or ends.get(self._open.first) == number):
            self._close(cuts)
        if not self._open and (number in ends or not ends):
            stem = self.folder / self._shot_id()
            self._open = OpenShot(self.film, number, self._crop(waiting), stem, self.settings, self.clips)
        if self._open:
            self._deinterlaced += deinterlaced
            self._open.add_frame(frame)

    def _crop(self, waiting: WaitingFrame) -> Crop:
        """The crop of a shot that begins, by the bars of the film and of its first frames."""
        film = self.film
        if not self.settings.crop_bars:
            return Crop.full_frame(film.width, film.height)
        frames = [waiting.frame, *waiting.following][::OUTLINE_EVERY]
        own = outline_of_beginning(frame.frame for frame in frames)
        return choose_crop(own, self._outline, film.width, film.height)

    def _close(self, cuts: CutFinder | KnownCuts, *remarks: str) -> None:
        """Finish the open shot, if there is one."""
        if self._open is None:
            return
        shot, self._open = self._open, None
        shot.finish(cuts.removed)
        first, last = shot.first, shot.last
        still, clip = (f"{self.media_path}/{name}" if name else "" for name in (shot.still, shot.clip))
        start, end = self.film.time_of(first), self.film.time_of(last)
        number = len(self.shots) + 1
        remark = "; ".join((*shot.remarks, *remarks))
        moment = None if shot.still_frame is None else self.film.time_of(shot.still_frame)
        self.shots.append(
            FilmShot(self._shot_id(), self.film_id, number, still, clip, first, last, start, end, remark, moment)
        )
        if number == self.limit:
            raise _EnoughShots

    def _shot_id(self) -> str:
        return f"{self.film_id}-{len(self.shots) + 1:04}"
