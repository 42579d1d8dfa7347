"""Perceptual hashes of the media of a set: of stills, and of frames so close to each other that a clip cut from another
clip shows some of them.

Owns the choice of frames and their preparation: pictures with black edges are also hashed without these, and frames
that show next to nothing are left out. The hash is defined in `checks/duplicates.py`, the search in `find_leaks.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from data_pipeline.checks.duplicates import frame_hash, is_featureless
from data_pipeline.checks.media_hashes import ShardMedium, map_media
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.medium_guard import MediumGuard
from data_pipeline.workers import WORKER_DIED, Workers
from lmms_eval_shotbench.media.clips import Clip
from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import MANIFEST, file_sha256, locate_shards
from lmms_eval_shotbench.vocabulary import MediaKind

if TYPE_CHECKING:
    from PIL.Image import Image

FRAMES_PER_SECOND = 8.0  # so that any frame of a clip is at most a sixteenth of a second from a hashed one
MAX_FRAMES = 128  # per clip, 50 KB of hashes; frames of clips longer than 16 seconds are further apart
BLACK = 24  # luma of 255; black edges stay below it after compression
LIT = 0.03  # minimum share of the pixels of a row or column that are not black, for it to be no edge
SMALLEST = 0.4  # of width and height: smaller parts, such as a lit window at night, are not compared on their own
LONGEST_SIDE = 320  # pixels of the pictures that are searched for black edges and hashed; larger ones are scaled down


class Probe(NamedTuple):
    """Hashes of a still or of up to three frames of a clip, all of which must be found in another medium."""

    hashes: tuple[str, ...]
    mirrored: bool


class FrameHashes(NamedTuple):
    """What is compared of a medium; `probes` is empty if it cannot be decoded or shows next to nothing."""

    sha256: str = ""
    frames: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()
    flaw: Flaw | None = None  # why it cannot be decoded


class SetMedium(NamedTuple):
    """A medium of a set and the questions about it."""

    items: list[QAItem]
    hashes: FrameHashes


class MediaSet(NamedTuple):
    """A shard folder with its questions by split, and its distinct media."""

    name: str
    folder: Path
    sha256: str  # of the manifest
    rows: list[tuple[str, QAItem]]
    media: list[SetMedium]


def read_media_set(name: str, workers: Workers) -> MediaSet:
    """Hash all media of shards (a folder, an address or a Hub id); raises `DatasetNotFound`."""
    folder = locate_shards(name)
    rows = map_media(folder, _hash_media, _lost, workers)
    media: dict[tuple[MediaKind, str], SetMedium] = {}
    for _, item, hashes in rows:
        media.setdefault((item.media_kind, item.medium), SetMedium([], hashes)).items.append(item)
    questions = [(split, item) for split, item, _ in rows]
    return MediaSet(name, folder, file_sha256(folder / MANIFEST), questions, list(media.values()))


def hash_frames(kind: MediaKind, encoded: bytes) -> FrameHashes:
    """Hash a still or the frames of a clip; raises `BrokenMedium`."""
    from PIL import ImageOps

    if kind is MediaKind.STILL:
        pictures, chosen = [_reduced(open_still(encoded))], [0]
    else:
        pictures, chosen = _clip_pictures(encoded)
    frames, probes = list[str](), list[Probe]()
    for view in _views(pictures):
        hashes = [frame_hash(picture).hex() for picture in view]
        mirrored = [frame_hash(ImageOps.mirror(view[index])).hex() for index in chosen]
        frames += hashes
        probes.append(Probe(_with_features([hashes[index] for index in chosen]), mirrored=False))
        probes.append(Probe(_with_features(mirrored), mirrored=True))
    found = tuple(probe for probe in probes if probe.hashes)
    return FrameHashes(hashlib.sha256(encoded).hexdigest(), _with_features(frames), found)


def _clip_pictures(encoded: bytes) -> tuple[list[Image], list[int]]:
    """Return frames spread over a clip, and the indices of three of them, away from its ends."""
    from PIL import Image

    with Clip(encoded) as clip:
        last = clip.frames - 1
        count = min(MAX_FRAMES, max(2, round(float(clip.frames / clip.frame_rate) * FRAMES_PER_SECOND) + 1))
        chosen = sorted({last // 6, last // 2, last - last // 6})
        wanted = sorted({round(number * last / (count - 1)) for number in range(count)} | set(chosen))
        pictures = [_reduced(Image.fromarray(frame)) for batch in clip.read(wanted) for frame in batch]
        return pictures, [wanted.index(frame) for frame in chosen]


def _reduced(picture: Image) -> Image:
    from PIL import Image

    scale = min(1.0, LONGEST_SIDE / max(picture.size))
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BOX, reducing_gap=2.0)


def _views(pictures: Sequence[Image]) -> Iterator[Sequence[Image]]:
    """Yield the pictures as they are and, if all of them have black edges, without these.

    A copy in black bars then has a view that looks like one of the original, even of a picture with dark edges.
    """
    import numpy

    yield pictures
    lit = [numpy.asarray(picture.convert("L")) > BLACK for picture in pictures]
    rows = numpy.flatnonzero(numpy.max([one.mean(1) for one in lit], 0) > LIT)
    columns = numpy.flatnonzero(numpy.max([one.mean(0) for one in lit], 0) > LIT)
    if not (len(rows) and len(columns)):
        return
    width, height = pictures[0].size
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    if box != (0, 0, width, height) and min((box[2] - box[0]) / width, (box[3] - box[1]) / height) > SMALLEST:
        yield [picture.crop(box) for picture in pictures]


def _with_features(hashes: Sequence[str]) -> tuple[str, ...]:
    """The distinct hashes, without those of frames that look like many others, such as black ones."""
    return tuple(one for one in dict.fromkeys(hashes) if not is_featureless(one))


def _hash_media(media: Sequence[ShardMedium]) -> list[FrameHashes]:
    return list(_hashed(media))


def _hashed(media: Sequence[ShardMedium]) -> Iterator[FrameHashes]:
    for medium in media:
        flaws: list[Flaw] = []
        hashes = FrameHashes()
        with MediumGuard(flaws.append, "reading it") as guard:
            encoded = medium.encoded()
            hashes = FrameHashes(hashlib.sha256(encoded).hexdigest())
            guard.stage = "hashing its frames"
            hashes = hash_frames(medium.kind, encoded)
        yield hashes._replace(flaw=flaws[0]) if flaws else hashes


def _lost(medium: ShardMedium) -> FrameHashes:
    return FrameHashes(flaw=Flaw(DefectKind.UNDECODABLE_MEDIUM, WORKER_DIED))
