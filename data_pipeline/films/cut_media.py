"""Convert frames of a film to stills and frame ranges to clips: turned upright, square pixels, black bars cropped.

Owns geometry, colour conversion and encoding. Stills are RGB, as JPEG or PNG. Clips are H.264 in MP4 without audio:
exactly the given frames, with presentation times relative to the first of them. They have no B-frames, so that every
decoder returns the same frames at the same times, also after seeking; encoding is single-threaded, so that the same
film gives the same bytes. Which frames are cut is decided in `cut_film.py`, the crop in `letterbox.py`.

Interlaced frames come here deinterlaced (`deinterlace.py`). A clip keeps the colour matrix of its film and records it
in the stream, except that high dynamic range is mapped to BT.709 (`tone_map.py`). If a film specifies no matrix, BT.709
is assumed for 720 rows or more and BT.601 below, as players do.
"""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.film_probe import BrokenFilm, Film
from data_pipeline.films.filter_graph import frame_source
from data_pipeline.films.letterbox import Crop
from data_pipeline.films.tone_map import SCALING, tone_mapping

if TYPE_CHECKING:
    from PIL.Image import Image

BT709, BT601, BT2020 = 1, 6, 9  # FFmpeg's AVColorSpace values
# AVColorSpace value -> name of the matrix in FFmpeg's scale filter.
MATRICES = {BT709: "bt709", 4: "fcc", 5: "bt470", BT601: "smpte170m", 7: "smpte240m", BT2020: "bt2020", 10: "bt2020"}
HD_ROWS = 720
LIMITED_RANGE = 1  # FFmpeg's AVCOL_RANGE_MPEG
# FFmpeg filters that rotate a picture counterclockwise; the index is the number of quarter turns.
ROTATION_FILTERS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (),
    (("transpose", "cclock"),),
    (("hflip",), ("vflip",)),
    (("transpose", "clock"),),
)


def shown_size(film: Film, crop: Crop, longest_side: int) -> tuple[int, int]:
    """Return width and height of the output in pixels: upright, square pixels, both even.

    The crop is scaled down if its longer side exceeds `longest_side` pixels (0: never), and not scaled up.
    """
    width, height = Fraction(crop.width), Fraction(crop.height)
    if film.pixel_aspect > 1:
        width *= film.pixel_aspect
    else:
        height /= film.pixel_aspect
    scale = min(Fraction(1), longest_side / max(width, height)) if longest_side else Fraction(1)
    across, down = (max(2, round(side * scale / 2) * 2) for side in (width, height))
    return (down, across) if film.orientation.quarter_turns % 2 else (across, down)


class FrameConverter:
    """Crops, scales and rotates decoded frames of one film, and converts them to one pixel format.

    Args:
        longest_side: Maximum width or height of the output in pixels; 0: no limit.
        pixels: FFmpeg's name of the output pixel format, such as "rgb24" or "yuv420p".
    """

    def __init__(self, film: Film, crop: Crop, longest_side: int, pixels: str) -> None:
        self._film, self._crop, self._pixels = film, crop, pixels
        self.width, self.height = shown_size(film, crop, longest_side)
        self._graphs: dict[str, Any] = {}  # by input pixel format, which may change between frames

    @property
    def matrix(self) -> int:
        """Colour matrix of the output, as FFmpeg's AVColorSpace value."""
        film = self._film
        if film.is_high_dynamic_range:
            return BT709
        if film.matrix in MATRICES:
            return film.matrix
        return BT709 if film.height >= HD_ROWS else BT601

    def convert(self, frame: Any) -> Any:
        """Convert an `av.VideoFrame` and return a new one; raises `BrokenFilm` if FFmpeg cannot convert it."""
        import av

        try:
            graph = self._graphs.get(frame.format.name)
            if graph is None:
                graph = self._graphs[frame.format.name] = self._graph(frame)
            graph.vpush(frame)
            return graph.vpull()
        except av.FFmpegError as error:
            raise BrokenFilm(f"its picture ({frame.format.name}) cannot be converted: {error.strerror}") from error

    def _graph(self, frame: Any) -> Any:
        import av.filter

        film, crop, graph = self._film, self._crop, av.filter.Graph()
        source_range = "full" if film.full_range else "limited"
        steps = [
            frame_source(graph, frame, film.full_range),
            graph.add("crop", f"{crop.width}:{crop.height}:{crop.left}:{crop.top}:exact=1"),
        ]
        if film.is_high_dynamic_range:
            steps += tone_mapping(graph, film.transfer, film.full_range)
        steps += [graph.add("hflip")] if film.orientation.mirrored else []
        steps += [graph.add(*turn) for turn in ROTATION_FILTERS[film.orientation.quarter_turns]]
        from_matrix = (
            ""
            if film.is_high_dynamic_range or frame.format.is_rgb
            else f":in_color_matrix={MATRICES[self.matrix]}:in_range={source_range}"
        )
        to_matrix = "" if self._pixels == "rgb24" else f":out_color_matrix={MATRICES[self.matrix]}:out_range=limited"
        steps.append(graph.add("scale", f"{self.width}:{self.height}:flags={SCALING}{from_matrix}{to_matrix}"))
        steps += [graph.add("format", self._pixels), graph.add("buffersink")]
        graph.link_nodes(*steps).configure()
        return graph


def cut_still(film: Film, frame: Any, crop: Crop, settings: CutSettings) -> Image:
    """Convert an `av.VideoFrame` to an upright, cropped RGB image of at most `settings.still_longest_side` pixels."""
    from PIL import Image

    converted = FrameConverter(film, crop, settings.still_longest_side, "rgb24").convert(frame)
    return Image.fromarray(converted.to_ndarray())


def still_suffix(settings: CutSettings) -> str:
    """Return the file name suffix of stills, with the dot."""
    return ".png" if settings.still_format == "png" else ".jpg"


def encoded_still(picture: Image, settings: CutSettings) -> bytes:
    """Encode a still as JPEG or PNG."""
    target = io.BytesIO()
    picture.save(target, settings.still_format, quality=settings.still_quality)
    return target.getvalue()


class ClipCutter:
    """Encodes consecutive frames of a film to an MP4 file, starting with frame number `first`."""

    def __init__(self, path: Path, film: Film, first: int, crop: Crop, settings: CutSettings) -> None:
        import av

        self._film, self._first = film, first
        self._converter = FrameConverter(film, crop, settings.clip_longest_side, "yuv420p")
        self._durations: dict[int, int] = {}
        self._container: Any = av.open(
            str(path), "w", format="mp4", options={"fflags": "+bitexact", "movflags": "+faststart"}
        )
        options = {"preset": settings.clip_preset, "crf": str(settings.clip_crf), "bf": "0", "threads": "1"}
        self._stream: Any = self._container.add_stream("libx264", rate=film.rate, options=options)
        self._stream.width, self._stream.height = self._converter.width, self._converter.height
        self._stream.pix_fmt = "yuv420p"
        self._configure_encoder(self._stream.codec_context)

    def _configure_encoder(self, context: Any) -> None:
        film, mapped = self._film, self._film.is_high_dynamic_range
        context.time_base = film.tick
        context.colorspace, context.color_range = self._converter.matrix, LIMITED_RANGE
        for name, value in (("color_primaries", film.primaries), ("color_trc", film.transfer)):
            setattr(context, name, BT709 if mapped else value)

    def add_frame(self, number: int, frame: Any) -> Any:
        """Encode frame `number` of the film, the successor of the last one; returns the converted `av.VideoFrame`."""
        converted = self._converter.convert(frame)
        ticks = [*self._film.times[number : number + 2], self._film.end][:2]
        converted.pts, converted.time_base = ticks[0] - self._film.times[self._first], self._film.tick
        self._durations[converted.pts] = ticks[1] - ticks[0]
        self._write(self._stream.encode(converted))
        return converted

    def close(self) -> None:
        """Flush the encoder and finalize the file."""
        if self._container is None:
            return
        try:
            self._write(self._stream.encode())
        finally:
            self._container.close()
            self._container = None

    def _write(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts)
            self._container.mux(packet)
