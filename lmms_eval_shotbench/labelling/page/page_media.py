"""Media of the page of labels: embedded in small sizes up to `MOST_EMBEDDED` shots, else files that the page loads.

Stills become JPEG of at most 256 pixels. Clips are embedded as they are if all fit into the budget; otherwise each is
encoded smaller and shorter until it fits into its share, or left out. Encoded clips are kept in LABELS/.page_clips, so
that writing the page again takes no time.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lmms_eval_shotbench.atomic_file import write_atomic
from lmms_eval_shotbench.labelling.shot import FilmShot
from lmms_eval_shotbench.media.broken_medium import BrokenMedium, failures_as_broken
from lmms_eval_shotbench.media.clip_file import open_clip
from lmms_eval_shotbench.media.data_urls import data_url
from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.progress import with_progress

MOST_EMBEDDED = 300  # shots
SIDE, QUALITY = 256, 75  # longest side of a still in pixels, JPEG quality
CLIPS = ".page_clips"  # in the folder of the labels
# Longest side in pixels, H.264 quality and seconds of an embedded clip, from the best to the smallest.
CLIP_SIZES = ((320, 30, 6.0), (256, 34, 4.0), (192, 38, 3.0))


class PageMedia(NamedTuple):
    """Addresses of stills and clips by shot id, as data URIs or relative paths, and what is missing."""

    addresses: dict[str, tuple[str, str]]  # still, clip; empty if there is none
    embedded: bool
    remarks: list[str]


def page_media(folder: Path, shots: Sequence[FilmShot], budget: int) -> PageMedia:
    """Return the media of a page: embedded in at most `budget` bytes, or as paths if there are too many shots."""
    if len(shots) > MOST_EMBEDDED:
        return PageMedia({shot.shot_id: (shot.still, shot.clip) for shot in shots}, False, [])
    stills = _in_threads(partial(_still_uri, folder), shots, "stills of the page", "still")
    share = _share(folder, shots, budget - sum(map(len, stills)))
    clips = _in_threads(partial(_clip_uri, folder, share), shots, "clips of the page", "clip")
    addresses = {shot.shot_id: (still, clip) for shot, still, clip in zip(shots, stills, clips, strict=True)}
    return PageMedia(addresses, True, _remarks_on_media(shots, stills, clips))


def _in_threads(made: Callable[[FilmShot], str], shots: Sequence[FilmShot], label: str, unit: str) -> list[str]:
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(with_progress(threads.map(made, shots), label, len(shots), unit))


def _remarks_on_media(shots: Sequence[FilmShot], stills: Sequence[str], clips: Sequence[str]) -> list[str]:
    """Return sentences on media that the page lacks."""
    no_still = sum(bool(shot.still) and not uri for shot, uri in zip(shots, stills, strict=True))
    no_clip = sum(bool(shot.clip) and not uri for shot, uri in zip(shots, clips, strict=True))
    causes = {
        f"Stills that are missing or broken: {no_still:,}": no_still,
        f"Clips that are too large for the page, missing or broken: {no_clip:,}": no_clip,
    }
    return [sentence for sentence, number in causes.items() if number]


def _still_uri(folder: Path, shot: FilmShot) -> str:
    if not shot.still:
        return ""
    try:
        picture = open_still((folder / shot.still).read_bytes())
    except (BrokenMedium, OSError):
        return ""
    picture.thumbnail((SIDE, SIDE), reducing_gap=2.0)
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=QUALITY, optimize=True)
    return data_url("image/jpeg", encoded.getvalue())


def _share(folder: Path, shots: Sequence[FilmShot], budget: int) -> int | None:
    """Return the bytes that each clip may take in the page; None if all fit as they are."""
    files = [folder / shot.clip for shot in shots if shot.clip]
    embedded = sum(file.stat().st_size * 4 // 3 + 64 for file in files if file.is_file())
    return None if not files or embedded <= budget else max(0, budget) // len(files)


def _clip_uri(folder: Path, share: int | None, shot: FilmShot) -> str:
    """Return a clip as a data URI of at most `share` bytes; empty if there is none of this size."""
    if not shot.clip:
        return ""
    try:
        stored = (folder / shot.clip).read_bytes()
        for size in (None, *CLIP_SIZES):
            uri = data_url("video/mp4", _smaller_clip(folder, stored, size) if size else stored)
            if share is None or len(uri) <= share:
                return uri
    except (BrokenMedium, OSError):
        pass
    return ""


def _smaller_clip(folder: Path, stored: bytes, size: tuple[int, int, float]) -> bytes:
    """Return the clip in another size, from LABELS/.page_clips if it was encoded before."""
    key = hashlib.sha256(repr(size).encode() + stored).hexdigest()[:32]
    kept = folder / CLIPS / f"{key}.mp4"
    if not kept.is_file():
        write_atomic(kept, _encoded_again(stored, *size))
    return kept.read_bytes()


def _encoded_again(stored: bytes, side: int, crf: int, seconds: float) -> bytes:
    import av

    encoded = io.BytesIO()
    options = {"preset": "veryfast", "crf": str(crf), "threads": "1"}
    with (
        failures_as_broken("clip"),
        av.open(encoded, "w", format="mp4") as output,
        open_clip(stored) as (source, video),
    ):
        stream: Any = None
        for frame in source.decode(video):
            if frame.time is not None and frame.time > seconds:
                break
            if stream is None:
                scale = min(1.0, side / max(frame.width, frame.height))
                stream = output.add_stream("libx264", rate=video.average_rate, options=options)
                stream.width, stream.height = (max(2, round(n * scale / 2) * 2) for n in (frame.width, frame.height))
                stream.pix_fmt, stream.codec_context.time_base = "yuv420p", video.time_base
            small = frame.reformat(stream.width, stream.height, "yuv420p")
            small.pts, small.time_base = frame.pts, frame.time_base
            output.mux(stream.encode(small))
        if stream is not None:
            output.mux(stream.encode())
    return encoded.getvalue()
