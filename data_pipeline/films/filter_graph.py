"""The first filter of FFmpeg's graphs, which takes decoded frames."""

from __future__ import annotations

from typing import Any


def frame_source(graph: Any, frame: Any, is_full_range: bool) -> Any:
    """Source of a graph (`av.filter.Graph`) for frames of the size and pixel format of this `av.VideoFrame`.

    Timestamps pass unchanged. The matrix is nominal: filters that convert colours are given the true one.
    """
    matrix, levels = "gbr" if frame.format.is_rgb else "bt709", "pc" if is_full_range else "tv"
    return graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/25"
        f":colorspace={matrix}:range={levels}",
    )
