"""Broken media: each is reported with its defect, none raises, and none makes a decoder open other files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.checks.check_media import CheckedMedium, check_medium
from data_pipeline.defects import DefectKind
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.releases import bomb, clip, folders, good, import_defects, line, still, tars
from tests.support.rendered_clips import Rendering, render


def clip_cut_in_half() -> bytes:
    """Its first frames can be decoded, but not those that its header promises."""
    encoded = render(Rendering(60, container="matroska"))
    return encoded[: len(encoded) // 2]


@pytest.mark.parametrize("layout", [tars, folders])
@pytest.mark.parametrize(
    ("path", "data", "kind"),
    [
        ("image/gone.jpg", None, DefectKind.MISSING_MEDIUM),
        ("image/zero.jpg", b"", DefectKind.EMPTY_FILE),
        ("image/text.jpg", b"<html>404</html>", DefectKind.UNDECODABLE_MEDIUM),
        ("image/cut.jpg", still(5, "JPEG", (640, 360))[:-3000], DefectKind.UNDECODABLE_MEDIUM),
        ("image/cut.png", still(5, "PNG", (640, 360))[:-3000], DefectKind.UNDECODABLE_MEDIUM),
        ("image/bomb.png", bomb(), DefectKind.TOO_LARGE),
        ("image/big.png", bomb(10_001, 10_000), DefectKind.TOO_LARGE),
        ("image/script.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", DefectKind.UNDECODABLE_MEDIUM),
        ("video/text.mp4", b"404 not found", DefectKind.UNDECODABLE_MEDIUM),
        ("video/cut.mp4", clip(30)[:200], DefectKind.UNDECODABLE_MEDIUM),
        ("video/list.mp4", b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/x.ts\n", DefectKind.UNDECODABLE_MEDIUM),
        ("video/half.mkv", clip_cut_in_half(), DefectKind.UNDECODABLE_MEDIUM),
        ("video/no frames.mp4", clip(0), DefectKind.CLIP_WITHOUT_FRAMES),
        ("video/zero.mp4", b"", DefectKind.EMPTY_FILE),
    ],
)
def test_a_broken_medium_is_reported(
    tmp_path: Path, layout: Callable[..., Path], path: str, data: bytes | None, kind: DefectKind
) -> None:
    rows, media = good()
    release = layout(tmp_path / "release", [*rows, line(77, path)], media | ({} if data is None else {path: data}))
    assert import_defects(release, tmp_path / "out") == [(kind, "77", True)]


def test_a_clip_in_an_unknown_codec_is_reported() -> None:
    flaw = check_medium(MediaKind.CLIP, clip().replace(b"avc1", b"zzz1")).flaw
    assert flaw is not None and "no decoder for 'zzz1'" in flaw.detail


def test_a_file_of_more_than_a_gibibyte_is_not_read(tmp_path: Path) -> None:
    rows, media = good()
    release = folders(tmp_path / "release", [*rows, line(9, "video/long.mp4")], media)
    with (release / "video/long.mp4").open("wb") as stream:
        stream.truncate((1 << 30) + 1)  # sparse: takes no disk space
    assert import_defects(release, tmp_path / "out") == [(DefectKind.TOO_LARGE, "9", True)]


def test_all_rows_that_share_a_broken_medium_are_reported(tmp_path: Path) -> None:
    rows, media = good()
    release = tars(tmp_path / "release", rows, media | {"image/A 1.jpg": b"no picture"})
    broken = DefectKind.UNDECODABLE_MEDIUM
    assert import_defects(release, tmp_path / "out") == [(broken, "1", True), (broken, "4", True)]


def test_a_playlist_with_the_name_of_a_clip_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.mp4").write_bytes(clip())
    monkeypatch.chdir(tmp_path)
    flaw = check_medium(MediaKind.CLIP, b"ffconcat version 1.0\nfile other.mp4\n").flaw
    assert flaw is not None
    assert flaw.kind is DefectKind.UNDECODABLE_MEDIUM


@pytest.mark.parametrize(("container", "codec"), [("flv", "flv"), ("avi", "mpeg4"), ("webm", "libvpx-vp9")])
def test_a_valid_clip_in_any_supported_container_passes(container: str, codec: str) -> None:
    assert check_medium(MediaKind.CLIP, render(Rendering(5, container=container, codec=codec))) == CheckedMedium()


SAMPLES = {"JPEG": still(1), "PNG": still(1, "PNG"), "WEBP": still(1, "WEBP"), "TIFF": still(1, "TIFF"), "clip": clip()}


@pytest.mark.parametrize("sample", SAMPLES)
@settings(max_examples=60)
@given(st.data())
def test_no_broken_medium_raises(sample: str, data: st.DataObject) -> None:
    encoded = bytearray(SAMPLES[sample])
    for _ in range(data.draw(st.integers(0, 8))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(encoded[: data.draw(st.integers(0, len(encoded)))])
    check_medium(MediaKind.CLIP if sample == "clip" else MediaKind.STILL, cut)
