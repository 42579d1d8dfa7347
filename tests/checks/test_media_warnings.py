"""Valid media that other backends refuse or show differently are reported; stills with EXIF are stored upright."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from data_pipeline.checks.audit import audit_shards
from data_pipeline.checks.check_media import check_header, check_medium, check_stored
from data_pipeline.defects import DefectKind
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import write_shards
from data_pipeline.workers import Workers
from lmms_eval_shotbench.media.stills import open_still
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.rendered_clips import Rendering, render
from tests.support.rotated_stills import INVERSE, PICTURE, animated, rotated, saved
from tests.support.shard_rows import ABOUT, row


def kinds(kind: MediaKind, encoded: bytes) -> list[DefectKind]:
    checked = check_medium(kind, encoded)
    assert checked.flaw is None
    return [warning.kind for warning in checked.warnings]


@pytest.mark.parametrize("orientation", INVERSE)
@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_a_still_with_an_exif_orientation_is_rewritten_as_the_same_pixels_upright(form: str, orientation: int) -> None:
    encoded = rotated(orientation, form, lossless=True)
    checked = check_medium(MediaKind.STILL, encoded)
    assert [warning.detail for warning in checked.warnings] == [f"EXIF orientation {orientation}"]
    assert numpy.array_equal(open_still(checked.upright), PICTURE)
    assert check_medium(MediaKind.STILL, checked.upright) == (None, (), b"")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_keeps_its_decoded_pixels_in_every_mode(mode: str) -> None:
    encoded = rotated(6, "JPEG", PICTURE.convert(mode))
    upright = open_still(check_medium(MediaKind.STILL, encoded).upright)
    assert numpy.array_equal(upright, open_still(encoded).transpose(Image.Transpose.ROTATE_270))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_a_png_keeps_its_mode_and_transparency(mode: str) -> None:
    picture = PICTURE.convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        picture = Image.fromarray(numpy.asarray(picture).astype("uint16") * 2)
    if mode in ("LA", "RGBA"):
        picture.putalpha(picture.getchannel(0))
    options = {"transparency": 3} if mode == "P" else {}
    encoded = rotated(8, "PNG", picture, **options)
    upright = Image.open(io.BytesIO(check_medium(MediaKind.STILL, encoded).upright))
    assert upright.mode == mode
    assert upright.info.get("transparency") == options.get("transparency")
    assert numpy.array_equal(upright, picture)


def test_an_orientation_after_the_pixels_of_a_png_is_found() -> None:
    encoded = rotated(6, "PNG")
    start = encoded.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(encoded[start : start + 4], "big")
    last = encoded.index(b"IEND") - 4
    late = encoded[:start] + encoded[end:last] + encoded[start:end] + encoded[last:]
    assert kinds(MediaKind.STILL, late) == [DefectKind.STORED_UPRIGHT]


XMP = """<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>"""


@pytest.mark.parametrize("compressed", [False, True])
def test_orientations_in_text_chunks_of_a_png_are_found(compressed: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = b"Exif\0\0" + exif.tobytes()[6:]
    as_xmp, as_profile = PngInfo(), PngInfo()
    as_xmp.add_itxt("XML:com.adobe.xmp", XMP, zip=compressed)
    as_profile.add_text("Raw profile type exif", f"\nexif\n{len(profile)}\n{profile.hex()}\n", zip=compressed)
    for info in (as_xmp, as_profile):
        encoded = saved(PICTURE.transpose(INVERSE[6]), "PNG", pnginfo=info)
        checked = check_medium(MediaKind.STILL, encoded)
        assert [warning.detail for warning in checked.warnings] == ["EXIF orientation 6"]
        assert numpy.array_equal(open_still(checked.upright), PICTURE)
        assert check_medium(MediaKind.STILL, checked.upright) == (None, (), b"")


@pytest.mark.parametrize("orientation", [0, 1, 9, 600])
def test_an_orientation_that_rotates_nothing_leaves_a_still_as_it_is(orientation: int) -> None:
    assert check_medium(MediaKind.STILL, saved(PICTURE, "JPEG", orientation)) == (None, (), b"")


def test_a_tiff_that_pillow_rotates_itself_is_not_rotated_again() -> None:
    encoded = rotated(6, "TIFF")
    assert kinds(MediaKind.STILL, encoded) == []
    assert numpy.array_equal(open_still(encoded), PICTURE)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_a_still_with_broken_exif_that_datasets_cannot_decode_is_stored_without_it(form: str) -> None:
    import datasets

    stream = io.BytesIO()
    PICTURE.save(stream, form, exif=b"Exif\0\0garbage", lossless=True)
    column = datasets.Image()
    with pytest.raises(SyntaxError):
        column.decode_example({"path": None, "bytes": stream.getvalue()})
    checked = check_medium(MediaKind.STILL, stream.getvalue())
    assert [warning.kind for warning in checked.warnings] == [DefectKind.UNREADABLE_EXIF]
    assert numpy.array_equal(column.decode_example({"path": None, "bytes": checked.upright}), PICTURE)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "MPO", "TIFF"])
def test_frames_behind_the_first_of_a_still_are_reported(form: str) -> None:
    assert kinds(MediaKind.STILL, animated(form)) == [DefectKind.HIDDEN_FRAMES]
    assert kinds(MediaKind.STILL, animated(form, frames=1)) == []


def test_of_a_rotated_still_of_several_frames_the_first_is_stored() -> None:
    checked = check_medium(MediaKind.STILL, animated("WEBP", orientation=6))
    assert [warning.kind for warning in checked.warnings] == [DefectKind.STORED_UPRIGHT]
    assert open_still(checked.upright).size == PICTURE.size[::-1]


def test_broken_data_behind_the_first_frame_is_a_warning_and_no_loss() -> None:
    encoded = animated("GIF", frames=3)
    assert kinds(MediaKind.STILL, encoded[:-180]) == [DefectKind.HIDDEN_FRAMES]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((2010, 10), [DefectKind.EXTREME_ASPECT_RATIO]),
        ((3, 603), [DefectKind.EXTREME_ASPECT_RATIO]),
        ((2000, 10), []),
    ],
)
def test_the_aspect_ratio_that_qwen_refuses_is_reported(size: tuple[int, int], expected: list[DefectKind]) -> None:
    from qwen_vl_utils.vision_process import smart_resize

    assert kinds(MediaKind.STILL, saved(Image.new("RGB", size))) == expected
    if expected:
        with pytest.raises(ValueError, match="aspect ratio"):
            smart_resize(size[1], size[0], 28)
    else:
        smart_resize(size[1], size[0], 28)


def hidden_by_edit_list() -> bytes:
    """Frames before the start of a stream copy that an edit list hides."""
    encoded = render(Rendering(120, codec_options={"g": "30", "bf": "2", "x264-params": "scenecut=0"}))
    offset = encoded.index(b"elst") + 12
    first = int.from_bytes(encoded[offset + 4 : offset + 8], "big") + 512 * 10
    return encoded[: offset + 4] + first.to_bytes(4, "big") + encoded[offset + 8 :]


CLIPS: dict[str, tuple[Callable[[], bytes], list[DefectKind]]] = {
    "one frame": (lambda: render(Rendering(1)), [DefectKind.ONE_FRAME]),
    "one frame, without a count in the header": (
        lambda: render(Rendering(1, container="matroska")),
        [DefectKind.ONE_FRAME],
    ),
    "two frames": (lambda: render(Rendering(2)), []),
    "B-frames": (lambda: render(Rendering(60, codec_options={"bf": "2"})), []),
    "a ribbon": (lambda: render(Rendering(3, size=(3224, 16))), [DefectKind.EXTREME_ASPECT_RATIO]),
    "rotated": (lambda: render(Rendering(3, turned=90)), [DefectKind.ROTATED_CLIP]),
    "mirrored": (lambda: render(Rendering(3, mirrored=True)), [DefectKind.ROTATED_CLIP]),
    "interlaced": (lambda: render(Rendering(3, codec_options={"flags": "+ildct"})), [DefectKind.INTERLACED_CLIP]),
    "edit list": (hidden_by_edit_list, [DefectKind.HIDDEN_FRAMES]),
}


@pytest.mark.parametrize("name", CLIPS)
def test_clips_that_other_backends_refuse_or_misread_are_reported(name: str) -> None:
    encode, expected = CLIPS[name]
    encoded = encode()
    assert kinds(MediaKind.CLIP, encoded) == expected
    assert [warning.kind for warning in check_stored(MediaKind.CLIP, encoded).warnings] == expected


def test_the_header_alone_shows_what_decoding_shows() -> None:
    stills = [rotated(6, "JPEG"), rotated(6, "PNG"), animated("GIF"), saved(Image.new("RGB", (2010, 10))), saved()]
    for encoded in stills:
        assert check_header(MediaKind.STILL, encoded) == check_medium(MediaKind.STILL, encoded)
    assert check_header(MediaKind.STILL, b"no picture") == (None, (), b"")


def test_the_audit_reports_media_of_existing_shards(tmp_path: Path) -> None:
    rotated_row, plain, ribbon, same = row(0), row(1), row(2, MediaKind.CLIP), row(3)
    media = [rotated(6, "JPEG"), saved(), render(Rendering(1)), rotated(6, "JPEG")]
    rows = [
        PendingRow.of("test", replace(pending.item, media_sha256="0" if pending in (rotated_row, same) else ""), medium)
        for pending, medium in zip((rotated_row, plain, ribbon, same), media, strict=True)
    ]
    write_shards(rows, tmp_path / "out", ABOUT, splits=["test"])
    report = audit_shards(str(tmp_path / "out"), (), None, Workers(0))
    assert report.media_warnings == {"EXIF orientation": ["t-0"], "clip of one frame": ["t-2"]}
    assert "EXIF orientation: 1 (t-0)" in report.to_markdown()
    assert json.loads(report.to_json())["media_warnings"] == report.media_warnings
