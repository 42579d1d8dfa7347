"""Decoding of stills and caching of clips as files."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from lmms_eval_shotbench.media.stills import BrokenMedium, clip_path, open_still

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def isolated_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOTBENCH_CACHE", str(tmp_path / "cache"))


def test_a_clip_is_cached_once_under_its_checksum() -> None:
    encoded = b"bytes of a clip"
    path = clip_path(encoded)
    assert path.read_bytes() == encoded
    assert clip_path(encoded) == path
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_still_keeps_its_size_and_a_broken_one_gives_a_reason() -> None:
    encoded = io.BytesIO()
    Image.new("CMYK", (317, 211)).save(encoded, "JPEG")
    still = open_still(encoded.getvalue())
    assert (still.size, still.mode) == ((317, 211), "RGB")
    for broken in (b"", b"no picture", encoded.getvalue()[:200]):
        with pytest.raises(BrokenMedium, match="still cannot be decoded"):
            open_still(broken)
    bomb = io.BytesIO()
    Image.new("1", (20000, 6000)).save(bomb, "PNG")
    with pytest.raises(BrokenMedium, match="20000x6000"):
        open_still(bomb.getvalue())
