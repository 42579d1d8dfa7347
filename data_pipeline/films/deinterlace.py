"""Decode frames of a film deinterlaced: frame n has the first field of frame n, and its other lines interpolated.

Owns the filter: FFmpeg's bwdif, one frame for each, so that frame numbers do not change. Only frames that the film
marks as interlaced are changed. In these bwdif changes what moves between the fields: film transferred as "progressive
segmented frames", which is often marked as interlaced, loses a little vertical detail where it moves. The filter needs
a frame on each side, which are decoded as well, so that a frame is the same in every still and clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from typing import Any, NamedTuple

from data_pipeline.films.film_probe import BrokenFilm, Film, read_frames
from data_pipeline.films.filter_graph import frame_source

BWDIF = "mode=send_frame:parity=auto:deint=interlaced"


class ProgressiveFrame(NamedTuple):
    """A frame (`av.VideoFrame`) with its number, and whether it was deinterlaced."""

    number: int
    frame: Any
    deinterlaced: bool


def read_progressive_frames(
    film: Film, first: int, last: int, observe: Callable[[int, Any], None] = lambda number, frame: None
) -> Iterator[ProgressiveFrame]:
    """Decode frames first to last - 1, deinterlaced where they are interlaced.

    Args:
        observe: Called with the number of every decoded frame and the frame as stored, before it is yielded; where
            deinterlacing begins, with the two frames before that once more.

    Raises:
        BrokenFilm: a frame is missing or damaged (raised while iterating).
    """
    with closing(read_frames(film, first, last)) as frames:
        for number, frame in frames:
            observe(number, frame)
            if frame.interlaced_frame:
                break
            yield ProgressiveFrame(number, frame, False)
        else:
            return
    yield from _deinterlaced(film, number, last, observe)


def _deinterlaced(film: Film, first: int, last: int, observe: Callable[[int, Any], None]) -> Iterator[ProgressiveFrame]:
    """The frames from an interlaced one on, each filtered with its neighbours."""
    import av.filter

    before = max(first - 1, 0)
    interlaced: list[bool] = []  # of the frames from `before` on
    results = enumerate(_filtered(film, before, last, interlaced, observe), before)
    try:
        for number, frame in islice(results, first - before, last - before):
            yield ProgressiveFrame(number, frame, interlaced[number - before])
    except av.FFmpegError as error:
        raise BrokenFilm(f"its picture cannot be deinterlaced: {error.strerror}") from error


def _filtered(
    film: Film, first: int, last: int, interlaced: list[bool], observe: Callable[[int, Any], None]
) -> Iterator[Any]:
    """Push frames to the filter, which returns each when it has the next one, or at the end; adds to `interlaced`."""
    import av.filter

    graph: Any = None
    frames = read_frames(film, first, min(last + 1, film.frames))
    while True:
        try:
            number, frame = next(frames, (film.frames, None))
        except BrokenFilm:
            if len(interlaced) < last - first:
                raise
            frame = None  # only the last frame's neighbour is damaged
        if graph is None:
            graph = av.filter.Graph()
            steps = [frame_source(graph, frame, film.full_range), graph.add("bwdif", BWDIF), graph.add("buffersink")]
            graph.link_nodes(*steps).configure()
        if frame:
            observe(number, frame)
            interlaced.append(frame.interlaced_frame)
        graph.vpush(frame)
        yield from _pulled(graph)
        if frame is None:
            return


def _pulled(graph: Any) -> Iterator[Any]:
    """The frames that a graph has ready."""
    import av

    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
