"""Stills of high dynamic range, of more than 8 bits and of other colour spaces are kept as people see them."""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
from PIL import Image, ImageCms

from data_pipeline.checks.check_media import check_medium, check_stored
from data_pipeline.defects import Defect, DefectKind
from data_pipeline.films.check_films import check_films
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.tone_map import to_standard_range
from data_pipeline.workers import Workers
from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.film_cuts import Cut, row
from tests.support.made_films import MadeFilm
from tests.support.rendered_clips import restored_scheduling

SIGNAL = next(MadeFilm(size=(256, 144)).pictures())  # R'G'B'
PQ, HLG = 16, 18
GREY = numpy.broadcast_to(numpy.linspace(0, 1, 256), (144, 256)) * numpy.linspace(0.6, 1, 144)[:, None]


def png(pixels: Any, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of uint8 or uint16 pixels with additional chunks."""
    kinds = {2: 0, 3: 2}  # number of axes: colour type
    depth = 8 * pixels.dtype.itemsize
    big_endian = pixels.astype(pixels.dtype.newbyteorder(">"))
    lines = b"".join(b"\0" + line.tobytes() for line in big_endian)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, kinds[pixels.ndim], 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    written = (
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def avif(transfer: int, pixels: str = "yuv444p10le") -> bytes:
    target = io.BytesIO()
    with restored_scheduling(), av.open(target, "w", format="avif") as container:
        options = {"cpu-used": "8", "crf": "10", "still-picture": "1"}
        stream: Any = container.add_stream("libaom-av1", rate=Fraction(1), options=options)
        stream.width, stream.height, stream.pix_fmt = SIGNAL.shape[1], SIGNAL.shape[0], pixels
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, transfer, 9, 1
        frame = av.VideoFrame.from_ndarray(SIGNAL, format="rgb24").reformat(
            format=pixels, dst_colorspace=9, dst_color_range=1
        )
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return target.getvalue()


def profile(changes: dict[bytes, bytes] | None = None, cicp: bytes = b"") -> bytes:
    """The ICC profile of sRGB, with tags exchanged for others, and with a tag of coding-independent code points."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    count = int.from_bytes(plain[128:132], "big")
    tags = [plain[start : start + 12] for start in range(132, 132 + 12 * count, 12)]
    content = {tag[:4]: plain[int.from_bytes(tag[4:8], "big") :][: int.from_bytes(tag[8:], "big")] for tag in tags}
    content |= {name: content[other] for name, other in (changes or {}).items()}
    content |= {b"cicp": b"cicp\0\0\0\0" + cicp} if cicp else {}
    table, body, start = b"", b"", 132 + 12 * len(content)
    for name, data in content.items():
        padded = data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", start + len(body), len(data))
        body += padded
    rest = plain[4:128] + struct.pack(">I", len(content)) + table + body
    return struct.pack(">I", len(rest) + 4) + rest


EXCHANGED = profile({b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"})  # red means green


def saved(form: str, picture: Image.Image | None = None, **options: Any) -> bytes:
    stream = io.BytesIO()
    (picture or Image.fromarray(SIGNAL)).save(stream, form, **options)
    return stream.getvalue()


DEEP = (SIGNAL.astype("u2") * 257).astype("u2")
HIGH_RANGE = {
    "png with cicp": (lambda: png(DEEP, (b"cICP", bytes((9, PQ, 0, 1)))), PQ),
    "png of 8 bits": (lambda: png(SIGNAL, (b"cICP", bytes((9, HLG, 0, 1)))), HLG),
    "avif pq": (lambda: avif(PQ), PQ),
    "avif hlg": (lambda: avif(HLG), HLG),
    "jpeg with a profile": (
        lambda: saved("JPEG", quality=98, subsampling=0, icc_profile=profile(cicp=bytes((9, PQ, 0, 1)))),
        PQ,
    ),
    "tiff with a profile": (lambda: saved("TIFF", icc_profile=profile(cicp=bytes((9, HLG, 0, 1)))), HLG),
}


def kept(folder: Path, name: str, encoded: bytes, **settings: Any) -> tuple[Any, list[DefectKind]]:
    (folder / name).write_bytes(encoded)
    cut = Cut(folder, [row(size="CU", media=name)], still_format="png", **settings)
    kinds = [defect.kind for defect in cut.defects]
    return numpy.asarray(Image.open(folder / "work" / cut.shots[0].media_path)).astype(float), kinds


@pytest.mark.parametrize(("make", "transfer"), HIGH_RANGE.values(), ids=HIGH_RANGE)
def test_a_still_of_high_dynamic_range_is_mapped_as_films_are(tmp_path: Path, make: Any, transfer: int) -> None:
    encoded = make()
    picture, kinds = kept(tmp_path, "still.png", encoded)  # the format is found by content
    expected = to_standard_range(SIGNAL / 255, transfer) * 255
    assert kinds == [DefectKind.TONE_MAPPED]
    assert picture.shape == SIGNAL.shape
    assert abs(picture - expected).mean() < 8
    imported = check_medium(MediaKind.STILL, encoded)
    assert [warning.kind for warning in imported.warnings] == [DefectKind.UNMAPPED_TONES]
    assert (imported.flaw, imported.upright) == (None, b"")  # an import keeps the bytes, as the reference does
    assert [warning.kind for warning in check_stored(MediaKind.STILL, encoded).warnings] == [DefectKind.UNMAPPED_TONES]


def test_the_settings_can_refuse_stills_of_high_dynamic_range(tmp_path: Path) -> None:
    (tmp_path / "still.avif").write_bytes(avif(PQ))
    cut = Cut(tmp_path, [row(size="CU", media="still.avif")], high_dynamic_range="refuse")
    assert cut.losses == [(DefectKind.HIGH_DYNAMIC_RANGE, 2)]
    defects: list[Defect] = []
    settings = CutSettings(high_dynamic_range="refuse")
    assert check_films(tmp_path / "table.csv", tmp_path, settings, Workers(), defects).usable == 0
    assert [defect.kind for defect in defects] == [DefectKind.HIGH_DYNAMIC_RANGE]


def test_more_than_8_bits_are_used_in_the_mapping(tmp_path: Path) -> None:
    ramp = numpy.broadcast_to(numpy.linspace(0.3, 0.5, 256)[None, :, None], (144, 256, 3))
    pixels = (ramp * 65535).astype("u2")
    picture, _ = kept(tmp_path, "ramp.png", png(pixels, (b"cICP", bytes((9, PQ, 0, 1)))), least_sharpness=0)
    assert len(numpy.unique(picture)) > 60  # 8 bits have 51 levels in this range


def test_standard_range_and_unknown_transfer_stay_as_they_are(tmp_path: Path) -> None:
    plain = png(SIGNAL, (b"cICP", bytes((1, 13, 0, 1))))
    picture, kinds = kept(tmp_path, "plain.png", plain)
    assert numpy.array_equal(picture, SIGNAL)
    assert not kinds
    unknown = png(SIGNAL, (b"cICP", bytes((9, 2, 0, 1))))
    (tmp_path / "table.csv").unlink()
    picture, kinds = kept(tmp_path, "unknown.png", unknown)
    assert numpy.array_equal(picture, SIGNAL)
    assert kinds == [DefectKind.UNKNOWN_TRANSFER]


@pytest.mark.parametrize("orientation", [2, 3, 6, 7])
def test_a_still_of_high_dynamic_range_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoded = png(DEEP, (b"cICP", bytes((9, PQ, 0, 1))), (b"eXIf", exif.tobytes()[6:]))
    picture, kinds = kept(tmp_path, "still.png", encoded)
    mapped = Image.fromarray((to_standard_range(SIGNAL / 255, PQ) * 255).astype("u1"))
    turn = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 6: "ROTATE_270", 7: "TRANSVERSE"}[orientation]
    expected = numpy.asarray(mapped.transpose(Image.Transpose[turn])).astype(float)
    assert kinds == [DefectKind.STORED_UPRIGHT, DefectKind.TONE_MAPPED]
    assert picture.shape == expected.shape
    assert abs(picture - expected).mean() < 3


def deep_grey(white: float) -> Any:
    return (GREY * white).astype("u2")


GUESSED = [DefectKind.GUESSED_TONES]
DEEP_GREYS: dict[str, tuple[Any, float, list[DefectKind]]] = {  # encoded, expected white of 255, warnings
    "still.png": (lambda: png(deep_grey(65535)), 255, []),
    "sensor.png": (lambda: png(deep_grey(4095)), 255, GUESSED),
    "dark.png": (lambda: png(deep_grey(30000)), 30000 / 257, []),
    "scaled.png": (lambda: png(deep_grey(16000), (b"sBIT", b"\x0c")), 16000 / 257, []),
    "still.tif": (lambda: saved("TIFF", Image.fromarray(deep_grey(65535))), 255, []),
    "sensor.tif": (lambda: saved("TIFF", Image.fromarray(deep_grey(1000))), 1000 / 1023 * 255, GUESSED),
    "big endian.tif": (lambda: saved("TIFF", Image.fromarray(deep_grey(65535).astype(">u2"))), 255, []),
    "bytes.tif": (lambda: saved("TIFF", Image.fromarray(deep_grey(255))), 255, GUESSED),
    "negative.tif": (
        lambda: saved("TIFF", Image.fromarray(65535 - deep_grey(65535)), tiffinfo={262: 0}), 255, [],
    ),
    "integers.tif": (lambda: saved("TIFF", Image.fromarray((GREY * 1e6).astype("i4"))), 255, GUESSED),
    "float.tif": (lambda: saved("TIFF", Image.fromarray((GREY * 7).astype("f4"))), 255, GUESSED),
    "still.jp2": (lambda: saved("JPEG2000", Image.fromarray(deep_grey(65535))), 255, []),
}  # fmt: skip


@pytest.mark.parametrize(("name", "case"), DEEP_GREYS.items(), ids=DEEP_GREYS)
def test_grey_of_more_than_8_bits_keeps_its_tones(
    tmp_path: Path, name: str, case: tuple[Any, float, list[DefectKind]]
) -> None:
    make, white, warnings = case
    encoded = make()
    picture, kinds = kept(tmp_path, name, encoded, least_sharpness=0)
    assert abs(picture - (GREY * white)[..., None]).max() < 4
    assert kinds == warnings
    assert DefectKind.UNMAPPED_TONES in [warning.kind for warning in check_medium(MediaKind.STILL, encoded).warnings]


def test_the_evaluation_shows_published_stills_as_the_reference_does() -> None:
    encoded = png(deep_grey(65535))
    reference = Image.open(io.BytesIO(encoded)).convert("RGB")
    assert numpy.array_equal(numpy.asarray(open_still(encoded)), numpy.asarray(reference))


def test_colours_of_another_profile_are_converted(tmp_path: Path) -> None:
    exchanged = SIGNAL[..., [1, 0, 2]]
    picture, kinds = kept(tmp_path, "still.png", saved("PNG", Image.fromarray(exchanged), icc_profile=EXCHANGED))
    assert abs(picture - SIGNAL).mean() < 3
    assert not kinds


@pytest.mark.parametrize("icc", [profile(), b"not a profile"], ids=["sRGB", "broken"])
def test_a_still_in_srgb_keeps_its_bytes(tmp_path: Path, icc: bytes) -> None:
    encoded = saved("JPEG", icc_profile=icc)
    (tmp_path / "still.jpg").write_bytes(encoded)
    (shot,) = Cut(tmp_path, [row(size="CU", media="still.jpg")]).shots
    assert (tmp_path / "work" / shot.media_path).read_bytes() == encoded


def test_real_stills_look_as_their_twins_do(tmp_path: Path, real_data: Path) -> None:
    names = ("av-seine_hdr_rec2020.avif", "av-seine_sdr_gainmap_srgb.avif")
    for name in names:
        (tmp_path / name).symlink_to(real_data / "failing_media" / name)
    cut = Cut(tmp_path, [row(size="WS", media=name, film_id=name) for name in names])
    high, standard = (
        numpy.asarray(Image.open(tmp_path / "work" / shot.media_path)).astype(float) for shot in cut.shots
    )
    assert [(defect.kind, defect.line) for defect in cut.defects] == [(DefectKind.TONE_MAPPED, 2)]
    assert numpy.corrcoef(high.ravel(), standard.ravel())[0, 1] > 0.95
    assert abs(high - standard).mean() < 20
    flat = numpy.asarray(open_still((real_data / "failing_media" / names[0]).read_bytes())).astype(float)
    assert abs(flat - standard).mean() > 40


def test_a_real_still_of_16_bits_keeps_its_tones(tmp_path: Path, real_data: Path) -> None:
    path = real_data / "failing_media" / "pl-16bit.cropped.tif"
    picture, kinds = kept(tmp_path, "grey.tif", path.read_bytes(), least_side=0)
    assert numpy.allclose(picture[..., 0], numpy.asarray(Image.open(path)) / 1023 * 255, atol=1)
    assert kinds == GUESSED
