"""Perceptual hashes of a few frames spread over a film, by which copies of one film are found.

Owns the choice of frames: at equal shares of the duration, so that copies with another frame rate or speed show the
same ones. Frames are decoded from the keyframe before, without reading the film between them. The comparison is in
`checks/same_films.py`.
"""

from __future__ import annotations

from data_pipeline.checks.duplicates import frame_hash
from data_pipeline.films.cut_media import FrameConverter
from data_pipeline.films.film_probe import BrokenFilm, Film, sample_frames
from data_pipeline.films.letterbox import Crop, luma, outline

FRAMES = 12  # of one file
FRAMES_OF_SHORT, SHORT_SECONDS = 3, 6.0  # of a file that is shorter
FRAMES_OF_FILM = 48  # maximum of a film with many files
LONGEST_SIDE = 256  # pixels


def film_frame_hashes(film: Film) -> list[str]:
    """Hashes of frames of a film, in hexadecimal; frames that cannot be decoded are left out."""
    count = FRAMES if film.seconds >= SHORT_SECONDS else FRAMES_OF_SHORT
    numbers = sorted({film.frame_at(film.time_of(0) + film.seconds * (index + 0.5) / count) for index in range(count)})
    hashes = []
    try:
        for frame in sample_frames(film, numbers):
            crop = outline(luma(frame)).picture() or Crop.full_frame(film.width, film.height)
            picture = FrameConverter(film, crop, LONGEST_SIDE, "rgb24").convert(frame)
            hashes.append(frame_hash(picture.to_image()).hex())
    except BrokenFilm:  # only the rows that show damaged frames are lost, when they are cut
        pass
    return hashes


def thinned(hashes: list[str]) -> list[str]:
    """At most `FRAMES_OF_FILM` hashes, evenly spaced."""
    return hashes[:: -(-len(hashes) // FRAMES_OF_FILM) or 1]
