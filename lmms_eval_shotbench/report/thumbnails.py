"""Thumbnails inside the page: stills as WebP, clips as a strip of frames from first to last.

The size budget is divided evenly among the media, with several shares per clip. Each picture is as large as its share
allows; a medium that cannot be decoded, or exceeds its share at every size, has none.
"""

from __future__ import annotations

import io
import os
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from lmms_eval_shotbench.media.clips import Clip
from lmms_eval_shotbench.media.data_urls import data_url
from lmms_eval_shotbench.media.stills import BrokenMedium, open_still
from lmms_eval_shotbench.progress import with_progress
from lmms_eval_shotbench.questions.question_files import locate_questions
from lmms_eval_shotbench.questions.shards import DatasetNotFound, ShardFolder
from lmms_eval_shotbench.report.gather import ReportRun
from lmms_eval_shotbench.vocabulary import MediaKind

if TYPE_CHECKING:
    from PIL.Image import Image

FRAMES = 6  # in a clip's strip, evenly spaced from first to last
CLIP_SHARES = 4  # shares of a clip; a still has one
# Longest side in pixels and WebP quality, from largest to smallest.
SIZES = ((320, 70), (256, 60), (208, 50), (160, 45), (128, 40), (104, 35), (88, 30), (72, 25), (56, 20))


class ThumbnailSource(NamedTuple):
    """A still or clip of the shards, read on demand."""

    kind: MediaKind
    read: Callable[[], bytes]


class Thumbnail(NamedTuple):
    """A picture as a data URI; for a clip, a horizontal strip of `frames` frames of the same size."""

    uri: str
    frames: int


def media_of_runs(runs: Sequence[ReportRun]) -> dict[str, ThumbnailSource]:
    """Return the media of all runs with shards, each once, by `QAItem.medium`."""
    media: dict[str, ThumbnailSource] = {}
    for run in runs:
        if folder := _shards(run):
            for item in run.items:
                media.setdefault(item.medium, ThumbnailSource(item.media_kind, partial(folder.media, item.item_id)))
    return media


def _shards(run: ReportRun) -> ShardFolder | None:
    """Return the shards with a run's media; None for a TSV."""
    try:
        path = locate_questions(run.data) if run.data else None
        return ShardFolder(path, run.split) if path and path.is_dir() else None
    except DatasetNotFound:
        return None


def thumbnails(media: Mapping[str, ThumbnailSource], budget: int) -> dict[str, Thumbnail]:
    """Return thumbnails by media name, with at most `budget` characters of data URIs; some may be missing."""
    shares = sum(_shares(medium) for medium in media.values())
    if not shares or budget <= 0:
        return {}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        made = threads.map(lambda medium: _thumbnail(medium, budget * _shares(medium) // shares), media.values())
        named = zip(media, with_progress(made, "pictures", len(media), "medium"), strict=True)
        return {name: one for name, one in named if one}


def _shares(medium: ThumbnailSource) -> int:
    return CLIP_SHARES if medium.kind is MediaKind.CLIP else 1


def _thumbnail(medium: ThumbnailSource, most: int) -> Thumbnail | None:
    try:
        pictures = _pictures(medium)
    except BrokenMedium:
        return None
    made = [cache(partial(_data_uri, pictures, *size)) for size in SIZES]  # evaluated lazily
    index = bisect_left(made, True, key=lambda uri: len(uri()) <= most)
    return Thumbnail(made[index](), len(pictures)) if index < len(made) else None


def _pictures(medium: ThumbnailSource) -> list[Image]:
    """Return the still, or frames of the clip, reduced to the largest size."""
    if medium.kind is MediaKind.STILL:
        return [_shrunk(open_still(medium.read()), SIZES[0][0])]
    return _clip_frames(medium.read())


def _clip_frames(encoded: bytes) -> list[Image]:
    from PIL import Image

    with Clip(encoded) as clip:
        wanted = [round(index * (clip.frames - 1) / (FRAMES - 1)) for index in range(FRAMES)]
        return [_shrunk(Image.fromarray(frame), SIZES[0][0]) for batch in clip.read(wanted) for frame in batch]


def _shrunk(picture: Image, side: int) -> Image:
    """Return a copy whose longer side is at most `side` pixels."""
    small = picture.copy()
    small.thumbnail((side, side), reducing_gap=2.0)
    return small


def _strip(pictures: Sequence[Image], side: int) -> Image:
    """Return the pictures side by side, each reduced to `side` pixels."""
    from PIL import Image

    small = [_shrunk(picture, side) for picture in pictures]
    width, height = small[0].size
    strip = Image.new("RGB", (width * len(small), height))
    for index, picture in enumerate(small):
        strip.paste(picture, (index * width, 0))
    return strip


def _data_uri(pictures: Sequence[Image], side: int, quality: int) -> str:
    encoded = io.BytesIO()
    _strip(pictures, side).save(encoded, "WEBP", quality=quality)
    return data_url("image/webp", encoded.getvalue())
