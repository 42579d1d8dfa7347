"""What a model is shown: frames by the protocol's rule, stills at their own size."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from lmms_eval_shotbench.media import (
    CLIP_FPS,
    BrokenMedium,
    clip_path,
    open_still,
    protocol_clip_path,
    sampled_frames,
)

av = pytest.importorskip("av")
numpy = pytest.importorskip("numpy")
decord = pytest.importorskip("decord")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOTBENCH_CACHE", str(tmp_path / "cache"))


def grey_clip(frames: int, rate: int, size: tuple[int, int] = (1280, 720)) -> bytes:
    """A clip whose frame k has the grey level 2 k."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "1"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            picture = numpy.full((size[1], size[0], 3), 2 * number, dtype=numpy.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return target.getvalue()


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 23, 24, 48, 61, 192, 2000])
@pytest.mark.parametrize("rate", [12.0, 23.976, 24.0, 25.0, 60.0])
def test_frames_are_those_that_qwen_vl_utils_picks(frames: int, rate: float) -> None:
    torch = pytest.importorskip("torch")
    vision = pytest.importorskip("qwen_vl_utils.vision_process")
    try:
        count = vision.smart_nframes({"fps": CLIP_FPS}, total_frames=frames, video_fps=rate)
    except ValueError:  # it refuses clips of one frame; we show that frame
        assert sampled_frames(frames, rate) == [0]
        return
    expected = torch.linspace(0, frames - 1, count).round().long().tolist()
    assert sampled_frames(frames, rate) == expected


def test_a_copy_for_models_without_settings_has_the_protocols_rate_and_size() -> None:
    path = protocol_clip_path(grey_clip(frames=48, rate=24))
    reader = decord.VideoReader(str(path))
    height, width = reader[0].shape[:2]
    assert reader.get_avg_fps() == CLIP_FPS
    assert (width, height) == (640, 360)
    shown = [round(float(reader[number].asnumpy().mean()) / 2) for number in range(len(reader))]
    assert shown == pytest.approx(sampled_frames(48, 24.0), abs=1)


def test_a_clip_is_stored_once_under_its_checksum() -> None:
    encoded = grey_clip(frames=4, rate=24, size=(64, 36))
    path = clip_path(encoded)
    assert path.read_bytes() == encoded
    assert clip_path(encoded) == path
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_still_keeps_its_size_and_a_broken_one_says_why() -> None:
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
