"""The folder of a team: films, a table in timecode, a camera-raw film, a film twice, a phone's video, odd stills."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.support.made_films import MadeFilm, MadeShot

BT2020_PRIMARIES, HLG, BT2020_MATRIX = 9, 18, 9
SHOTS, FRAMES = 4, 36  # of each film
RATE = Fraction(24)
SIZES, MOVES = ("CU", "MS", "WS", "ECU"), ("Pan left", "Push in", "Tilt up", "Static")
HEADER = "Scene,film_id,media,in,out,shot_size,camera_movement"
RAW_CODEC = b"BRAW"  # of Blackmagic's cameras


def write_team_folder(folder: Path, hdr_still: bytes | None = None) -> None:
    """Write the media to `folder/films` and the table to `folder/shots.csv`.

    Args:
        hdr_still: An AVIF in high dynamic range; None: one that is made here.
    """
    films = folder / "films"
    for number, name in enumerate(("harbour", "market", "pier")):
        _film(number).write(films / f"{name}.mp4")
    (films / "harbour copy.mp4").write_bytes((films / "harbour.mp4").read_bytes())
    raw = _film(4).write(films / "raw.mov", container="mov").read_bytes()
    (films / "raw.mov").write_bytes(raw.replace(b"avc1", RAW_CODEC))
    _phone_video().write(films / "phone.mov")
    (films / "seine.avif").write_bytes(hdr_still or made_hdr_still())
    (films / "paris.png").write_bytes(still_with_broken_exif())
    _picture(7).save(films / "plain.jpg")
    (films / "torn.jpg").write_bytes((films / "plain.jpg").read_bytes()[:2000])
    rows = [
        *(row for name in ("harbour", "market", "pier") for row in _rows(name, f"{name}.mp4", _timecode)),
        *_rows("raw", "raw.mov", _timecode),
        *_rows("harbour copy", "harbour copy.mp4", _timecode),
        *_rows("phone", "phone.mov", lambda frame: f"{frame / 24 + 0.001:.3f}"),
        *(f"S,stills,{name},,,{size}," for name, size in zip(STILLS, ("CU", "WS", "MS", "ECU"), strict=True)),
        "S,market,market.mp4,00:00:01:00,00:00:02:00,wobbly,Pan left",
    ]
    (folder / "shots.csv").write_text("\ufeff" + "\r\n".join([HEADER, *rows, ""]), encoding="utf-8")


STILLS = ("seine.avif", "paris.png", "plain.jpg", "torn.jpg")


def _film(number: int) -> MadeFilm:
    shots = [MadeShot(FRAMES, 100 * number + seed, numbered=False) for seed in range(SHOTS)]
    return MadeFilm(shots, timecode="" if number else "00:00:00:00")


def _phone_video() -> MadeFilm:
    """Upright, at a variable frame rate, in HLG."""
    return MadeFilm(
        [MadeShot(FRAMES, 900 + seed, numbered=False) for seed in range(SHOTS)],
        (144, 256),
        times=tuple(number / 24 + (number % 3) / 200 for number in range(SHOTS * FRAMES)),
        codec="libx265",
        container="mov",
        pixels="yuv420p10le",
        turned=90,
        context={"color_primaries": BT2020_PRIMARIES, "color_trc": HLG, "colorspace": BT2020_MATRIX},
    )


def _rows(film_id: str, media: str, notation: Any) -> list[str]:
    return [
        f"{shot + 1},{film_id},{media},{notation(shot * FRAMES)},{notation((shot + 1) * FRAMES)},{size},{move}"
        for shot, (size, move) in enumerate(zip(SIZES, MOVES, strict=True))
    ]


def _timecode(frame: int) -> str:
    return f"00:00:{frame // 24:02d}:{frame % 24:02d}"


def _picture(seed: int) -> Image.Image:
    blocks = numpy.random.default_rng(seed).integers(20, 235, (18, 32, 3), dtype="uint8")
    return Image.fromarray(numpy.kron(blocks, numpy.ones((12, 12, 1), numpy.uint8)))


def still_with_broken_exif() -> bytes:
    """A PNG whose EXIF block is no hexadecimal text, as image libraries wrote it; `datasets` cannot decode it."""
    info, encoded = PngInfo(), io.BytesIO()
    info.add_text("Raw profile type exif", "\nexif\n      20\nno hexadecimal text\n", zip=True)
    _picture(8).save(encoded, "PNG", pnginfo=info)
    return encoded.getvalue()


def made_hdr_still() -> bytes:
    """An AVIF of 10 bits in PQ and BT.2020."""
    encoded = io.BytesIO()
    with av.open(encoded, "w", format="avif") as container:
        stream: Any = container.add_stream("libaom-av1", options={"still-picture": "1", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = 384, 216, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = BT2020_PRIMARIES, 16, BT2020_MATRIX
        frame = av.VideoFrame.from_ndarray(numpy.asarray(_picture(9)), format="rgb24").reformat(format="yuv420p10le")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return encoded.getvalue()
