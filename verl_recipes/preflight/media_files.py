"""Check the media files that rows refer to: whether they exist and are complete. Also returns their sizes.

Each file is opened once, in a thread pool, because shared disks have a high latency and decoders release the GIL. For a
JPEG the header and the last bytes are checked, for a PNG the checksums; this takes well under a millisecond, while
decoding takes ten. Images of other formats are decoded. Clips are demuxed to the end without decoding. If there are
more than `CLIPS_READ` clips, this is done for an evenly spaced sample; of the others only the header is read, which
does not reveal a truncated file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from lmms_eval_shotbench.media.clips import Clip, clip_header
from lmms_eval_shotbench.media.stills import MAX_PICTURE_PIXELS, BrokenMedium, reject_truncated_images
from lmms_eval_shotbench.progress import with_progress
from lmms_eval_shotbench.vocabulary import MediaKind
from verl_recipes.preflight.problem import Problem
from verl_recipes.preflight.training_files import RowMedium, TrainingRow

THREADS = 8
CLIPS_READ = 2000
END_OF_JPEG, TAIL = b"\xff\xd9", 1024  # some cameras append a few bytes after the end marker
NEXT_STEP = "Write the rows and their media again (delete the file first), or leave the question out"


class Shape(NamedTuple):
    """Size of a still or clip in pixels; number of frames and frames per second of a clip."""

    width: int
    height: int
    frames: int = 1
    frame_rate: Fraction = Fraction(0)


def media_shapes(rows: Iterable[TrainingRow]) -> tuple[dict[str, Shape], list[Problem], list[str]]:
    """Check all media files of the rows.

    Returns:
        The shape of each valid file by path, problems of the others in the order of the rows, and notes.
    """
    first_row: dict[RowMedium, str] = {}
    for row in rows:
        for medium in row.media:
            first_row.setdefault(medium._replace(shown=()), row.location)
    clips = [medium for medium in first_row if medium.kind is MediaKind.CLIP]
    read = set(clips[:: -(-len(clips) // CLIPS_READ) or 1])
    with reject_truncated_images(), ThreadPoolExecutor(THREADS) as threads:
        found = threads.map(lambda medium: _checked_medium(medium, medium in read), first_row, chunksize=64)
        results = list(with_progress(found, "media", len(first_row), "file"))
    shapes, problems = dict[str, Shape](), list[Problem]()
    for (medium, location), result in zip(first_row.items(), results, strict=True):
        if isinstance(result, Shape):
            shapes[medium.path] = result
        else:
            problems.append(Problem(result, f"{medium.path} ({location})", NEXT_STEP))
    return shapes, problems, list(_notes(len(first_row) - len(clips), len(clips), len(read)))


def _notes(stills: int, clips: int, read: int) -> Iterator[str]:
    yield f"media: {stills:,} stills and {clips:,} clips opened here; they must be at the same path on every node"
    if read < clips:
        yield f"media: {read:,} of the clips were read to their end, only the header of the others"


def _checked_medium(medium: RowMedium, to_the_end: bool) -> Shape | str:
    """Shape of a file, or what is wrong with it."""
    path = Path(medium.path)
    if not medium.path:
        return "the row names no file (verl would keep the bytes of all rows in memory, in every process)"
    try:
        if not path.stat().st_size:
            return "the file is empty"
        return _still(path) if medium.kind is MediaKind.STILL else _clip(path, to_the_end)
    except BrokenMedium as error:
        return str(error)
    except OSError as error:
        return f"it cannot be opened ({error.strerror or error})"


def _still(path: Path) -> Shape:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            shape = Shape(*picture.size)
            if shape.width * shape.height > MAX_PICTURE_PIXELS:
                raise BrokenMedium(f"still of {shape.width}x{shape.height} pixels, too large to open")
            if picture.format == "PNG":
                picture.verify()
            elif picture.format != "JPEG" or not _ends_like_a_jpeg(path):
                picture.load()
            return shape
    except UnidentifiedImageError:
        raise BrokenMedium("still cannot be decoded: not a picture") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BrokenMedium(f"still cannot be decoded: {error}") from None


def _ends_like_a_jpeg(path: Path) -> bool:
    with path.open("rb") as encoded:
        encoded.seek(-min(TAIL, path.stat().st_size), 2)
        return END_OF_JPEG in encoded.read()


def _clip(path: Path, to_the_end: bool) -> Shape:
    if not to_the_end:
        header = clip_header(path)
        return Shape(header.width, header.height, header.frames, header.frame_rate)
    with Clip(path) as clip:
        return Shape(clip.width, clip.height, clip.frames, clip.frame_rate)
