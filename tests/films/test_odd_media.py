"""Media of kinds that teams have: each is cut as it should be, or lost with a reason, and what is kept can be read."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import av
import numpy
import pytest
from PIL import Image

from lmms_eval_shotbench.media.clips import Clip
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.film_cuts import Cut, row
from tests.support.made_films import MadeFilm, MadeShot
from tests.support.team_folder import made_hdr_still

pytestmark = pytest.mark.slow  # many films are encoded
Make = Callable[[Path], object]


def film(path: Path, **options: Any) -> bytes:
    """Write a film with pictures of its own, and return its bytes."""
    return MadeFilm((MadeShot(30, sum(path.name.encode())),)).write(path, **options).read_bytes()


def with_tag(tag: bytes, path: Path) -> None:
    path.write_bytes(film(path, container="mov").replace(b"avc1", tag))


def shortened(share: float, path: Path, **options: Any) -> None:
    encoded = film(path, **options)
    path.write_bytes(encoded[: int(len(encoded) * share)])


def end_in_zeros(path: Path) -> None:
    path.write_bytes(film(path)[:-2000] + bytes(2000))


def with_bytes_flipped(path: Path) -> None:
    encoded, random = bytearray(film(path)), Random(1)
    for _ in range(200):
        encoded[random.randrange(1000, len(encoded) - 3000)] ^= 255
    path.write_bytes(bytes(encoded))


def sound(path: Path, cover: bool = False) -> None:
    """A second of silence, with a picture of the cover or with an empty video stream."""
    with av.open(str(path), "w", format="mp4") as container:
        video: Any = container.add_stream("mjpeg" if cover else "libx264", rate=24)
        video.width, video.height, video.pix_fmt = 200, 200, "yuvj420p" if cover else "yuv420p"
        audio: Any = container.add_stream("aac", rate=44100)
        if cover:
            video.disposition = 0x400  # FFmpeg's AV_DISPOSITION_ATTACHED_PIC
            noise = numpy.asarray(picture(5).resize((200, 200)))
            frame = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format="yuvj420p")
            container.mux([*video.encode(frame), *video.encode()])
        for number in range(44):
            samples = av.AudioFrame.from_ndarray(numpy.zeros((2, 1024), "float32"), format="fltp", layout="stereo")
            samples.rate, samples.pts = 44100, number * 1024
            container.mux(audio.encode(samples))
        container.mux(audio.encode())


def picture(seed: int) -> Image.Image:
    blocks = numpy.random.default_rng(seed).integers(20, 235, (18, 32, 3), dtype="uint8")
    return Image.fromarray(numpy.kron(blocks, numpy.ones((12, 12, 1), numpy.uint8)))


def still(path: Path, form: str, mode: str = "RGB", **options: Any) -> bytes:
    encoded = io.BytesIO()
    picture(sum(path.name.encode())).convert(mode).save(encoded, form, **options)
    path.write_bytes(encoded.getvalue())
    return encoded.getvalue()


def several_frames(form: str, path: Path) -> None:
    still(path, form, save_all=True, append_images=[picture(1), picture(2)])


def with_chunk_of_wrong_checksum(path: Path) -> None:
    encoded, text = still(path, "PNG"), b"tEXtComment\0Ann"
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text) ^ 1)
    path.write_bytes(encoded[:33] + chunk + encoded[33:])


def with_large_exif(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x9C9B] = 6, b"x" * 60000
    still(path, "JPEG", exif=exif)


LOST: dict[str, tuple[Make, str]] = {
    "prores_raw.mov": (partial(with_tag, b"aprn"), "no decoder for 'aprn'"),
    "red.mov": (partial(with_tag, b"RED1"), "no decoder for 'RED1'"),
    "canon.mov": (partial(with_tag, b"CRAW"), "no decoder for 'CRAW'"),
    "half.mxf": (partial(shortened, 0.6, container="mxf", codec="mpeg2video"), "cut off"),
    "half.mkv": (partial(shortened, 0.5, container="matroska"), "cut off after"),
    "half.mp4": (partial(shortened, 0.5), "cannot be decoded: Invalid data"),
    "zeros.mp4": (end_in_zeros, "cannot be decoded: Invalid data"),
    "flipped.mp4": (with_bytes_flipped, "cannot be decoded"),
    "sound.m4a": (sound, "no video stream"),
    "cover.m4a": (partial(sound, cover=True), "only the picture of a cover"),
    "titles.srt": (lambda path: path.write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n\n"), "is it a film, in MP4"),
    "page.mp4": (lambda path: path.write_text("<!DOCTYPE html><html>404</html>"), "cannot be decoded"),
    "archive.mp4": (lambda path: path.write_bytes(b"PK\3\4" + bytes(3000)), "cannot be decoded"),
    "empty.mov": (lambda path: path.touch(), "an empty file"),
    "photo.heic": (lambda path: path.write_bytes(made_hdr_still()), "a picture (avif), not a film; save it as JPEG"),
    "page.jpg": (lambda path: path.write_text("<html>404</html>"), "no known picture format"),
    "drawing.png": (lambda path: path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>"), "no known picture"),
    "checksum.png": (with_chunk_of_wrong_checksum, "still cannot be decoded"),
}
KEPT_FILMS: dict[str, Make] = {
    "grey.mkv": partial(film, container="matroska", codec="ffv1", pixels="gray"),
    "rgb.mkv": partial(film, container="matroska", codec="ffv1", pixels="bgr0"),
    "alpha.mov": partial(film, container="mov", codec="prores_ks", pixels="yuva444p10le"),
    "windows.wmv": partial(film, container="asf", codec="wmv2"),
    "studio.mxf": partial(film, container="mxf", codec="mpeg2video"),
    "camera.avi": partial(film, container="avi", codec="mjpeg", pixels="yuvj420p"),
    "broadcast.ts": partial(film, container="mpegts"),
    "odd.mp4": partial(film, size=(257, 147), pixels="yuv444p"),
    "more.mp4": lambda path: path.write_bytes(film(path) + bytes(range(256)) * 20),  # data behind the end
}
KEPT_STILLS: dict[str, Make] = {
    "moving.gif": partial(several_frames, "GIF"),
    "moving.webp": partial(several_frames, "WEBP"),
    "moving.png": partial(several_frames, "PNG"),
    "print.jpg": lambda path: still(path, "JPEG", "CMYK"),
    "print.tif": lambda path: still(path, "TIFF", "LAB"),
    "fax.tif": lambda path: still(path, "TIFF", "1", compression="group4"),
    "palette.png": lambda path: still(path, "PNG", "P"),
    "alpha.png": lambda path: still(path, "PNG", "LA"),
    "alpha.webp": lambda path: still(path, "WEBP", "RGBA"),
    "more.jpg": lambda path: path.write_bytes(still(path, "JPEG") + bytes(range(256)) * 20),
    "exif.jpg": with_large_exif,
    "png.jpg": lambda path: still(path, "PNG"),
    "jpeg.png": lambda path: still(path, "JPEG"),
}


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Cut:
    """All media, cut by one table."""
    folder = tmp_path_factory.mktemp("odd")
    rows = []
    for name, make in {**{name: make for name, (make, _) in LOST.items()}, **KEPT_FILMS, **KEPT_STILLS}.items():
        make(folder / name)
        times = {} if Path(name).suffix in (".jpg", ".png", ".tif", ".gif", ".webp") else {"start": 0.1, "end": 1.0}
        movement = "Arc" if times else ""
        rows.append(row(size="CU", move=movement, film_id=name, media=name, shot_id=name, **times))
    return Cut(folder, rows)


@pytest.mark.parametrize("name", LOST)
def test_what_is_no_film_or_still_is_lost_with_the_reason(cut: Cut, name: str) -> None:
    assert not [shot for shot in cut.shots if shot.film_id == name]
    (defect,) = (defect for defect in cut.defects if defect.path == name)
    assert defect.loses_row and LOST[name][1] in defect.detail


@pytest.mark.parametrize("name", [*KEPT_FILMS, *KEPT_STILLS])
def test_what_is_kept_can_be_read_by_datasets_and_by_the_evaluation(cut: Cut, name: str) -> None:
    import datasets

    assert not [defect for defect in cut.defects if defect.path == name and defect.loses_row]
    shots = [shot for shot in cut.shots if shot.film_id == name]
    assert [shot.media_kind for shot in shots] == [MediaKind.CLIP] * (name in KEPT_FILMS) + [MediaKind.STILL]
    for shot in shots:
        encoded = shot.read(cut.folder / "work")
        if shot.media_kind is MediaKind.STILL:
            assert min(datasets.Image().decode_example({"path": None, "bytes": encoded}).size) >= 144
            continue
        with Clip(encoded) as clip:
            assert clip.frames >= 20 and len(list(clip.read(clip.sampled()))) > 0
