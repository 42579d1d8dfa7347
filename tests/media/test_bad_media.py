"""Whatever a decoder raises is a `BrokenMedium`, which costs an evaluation one item; imports keep what it can read."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random

import av
import pytest
from PIL import Image

from data_pipeline.checks.check_media import check_medium, check_stored
from data_pipeline.defects import DefectKind
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.media.clips import Clip, clip_header
from lmms_eval_shotbench.media.hidden_frames import shows_nothing
from lmms_eval_shotbench.media.stills import BrokenMedium, open_still, still_size
from lmms_eval_shotbench.questions.shards import MEDIA_COLUMNS, ShardFolder
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.injected_faults import FAULTS, inject
from tests.support.releases import still
from tests.support.rendered_clips import Rendering, render


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_an_exception_of_any_type_while_decoding_is_a_broken_medium(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    encoded, picture = render(Rendering(4)), still(1, "PNG")
    for target in ("list_frames", "frame_rate", "_decoded"):
        with monkeypatch.context() as patch, pytest.raises(BrokenMedium, match="clip cannot be decoded: "):
            inject(patch, f"lmms_eval_shotbench.media.clips.{target}", fault, lambda *_: True)
            with Clip(encoded) as clip:
                list(clip.read([0, 3]))
    with monkeypatch.context() as patch:
        inject(patch, "PIL.Image.open", fault, lambda *_, **__: True)
        for read in (open_still, still_size):
            with pytest.raises(BrokenMedium, match="still cannot be decoded: "):
                read(picture)
    with monkeypatch.context() as patch, pytest.raises(BrokenMedium, match="clip cannot be decoded: "):
        inject(patch, "av.open", fault, lambda *_, **__: True)
        clip_header(encoded)


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
@pytest.mark.parametrize("container", ["webm", "matroska", "mp4"])
def test_hidden_frames_are_not_counted(codec: str, container: str) -> None:
    if (codec, container) == ("libvpx", "mp4"):
        pytest.skip("FFmpeg stores no VP8 in MP4")
    options = {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "200k", "g": "60", "deadline": "good", "cpu-used": "4"}
    encoded = render(Rendering(60, container=container, codec=codec, codec_options=options))
    with av.open(io.BytesIO(encoded)) as opened:
        decoded = sum(1 for _ in opened.decode(video=0))
    with Clip(encoded) as clip:
        assert clip.frames == decoded == 60
        assert sum(len(batch) for batch in clip.read(range(60))) == 60
    assert check_medium(MediaKind.CLIP, encoded).flaw is None


@pytest.mark.parametrize(
    ("codec", "packet", "hidden"),
    [
        ("vp8", "90bc019d", False),
        ("vp8", "01210106", True),
        ("vp9", "82498342", False),  # profile 0, key frame
        ("vp9", "84008600", True),  # profile 0, hidden
        ("vp9", "94008049", True),  # profile 2, hidden
        ("vp9", "b1000000", False),  # profile 3 has a reserved bit
        ("vp9", "b0000000", True),
        ("vp9", "8a", False),  # one byte: shows an existing frame
        ("vp9", "8400860082498342c10404c1", False),  # a superframe: hidden, then shown
        ("vp9", "8400860084008600c10404c1", True),
        ("h264", "0000000165", False),
    ],
)
def test_the_header_of_a_packet_tells_whether_it_shows_a_frame(codec: str, packet: str, hidden: bool) -> None:
    assert shows_nothing(codec, bytes.fromhex(packet)) is hidden


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "ax-roadtrip-vp92-10bit.webm", "vp8_altref.webm", "ax-sample.avi", "chaplin.mp4", "im-cockatoo.mp4",
        "flash.mp4", "ax-sample_rotate_and_reflect.mp4", "video_starts_at_2s.mp4",
    ],
)  # fmt: skip
def test_an_import_keeps_a_real_clip_with_the_frames_that_ffmpeg_and_the_evaluation_show(
    real_data: Path, name: str
) -> None:
    encoded = (real_data / "failing_media" / name).read_bytes()
    with av.open(io.BytesIO(encoded)) as opened:
        decoded = sum(1 for _ in opened.decode(video=0))
    with Clip(encoded) as clip:
        assert clip.frames == decoded
        assert sum(len(batch) for batch in clip.read(clip.sampled())) == len(clip.sampled())
    assert check_medium(MediaKind.CLIP, encoded).flaw is None


@pytest.mark.slow
def test_a_film_without_a_decoder_and_a_still_with_broken_exif_cost_no_others(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import datasets

    folder = real_data / "failing_media"
    common = ["--unbalanced", "--no-gate", "--workers", "0", "--splits", "sft:1"]
    for table in ("no_decoder", "broken_exif"):
        command = ["data", "films", str(folder), "--table", str(folder / f"{table}.csv"), *common]
        assert main([*command, "--out", str(tmp_path / table), "--report", str(tmp_path / "lost.jsonl")]) == 0
        rows = datasets.load_dataset(str(tmp_path / table), split="sft", cache_dir=str(tmp_path / "cache"))
        rows = rows.remove_columns(MEDIA_COLUMNS[MediaKind.CLIP])  # decoding it needs FFmpeg's libraries
        assert len(list(rows)) == len(list(ShardFolder(tmp_path / table, "sft").items())) > 0
        if table == "no_decoder":
            assert "no decoder for 'dav1'" in (tmp_path / "lost.jsonl").read_text()
            assert "no decoder for 'dav1'" in capsys.readouterr().err


def test_real_stills_are_kept_as_datasets_can_decode_them(real_data: Path) -> None:
    import datasets

    for name in ("paris.png", "im-coffee.png", "av-seine_hdr_rec2020.avif", "pl-16bit.cropped.tif"):
        encoded = (real_data / "failing_media" / name).read_bytes()
        flaw, warnings, upright = check_medium(MediaKind.STILL, encoded)
        assert flaw is None
        kinds = {"paris.png": [DefectKind.UNREADABLE_EXIF], "im-coffee.png": []}
        assert [one.kind for one in warnings] == kinds.get(name, [DefectKind.UNMAPPED_TONES])
        decoded = datasets.Image().decode_example({"path": None, "bytes": upright or encoded})
        assert decoded.size == open_still(encoded).size


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_still_with_damaged_exif_is_stored_so_that_datasets_can_decode_it_or_fails_the_audit(form: str) -> None:
    import datasets

    def decoded(stored: bytes) -> tuple[int, int] | None:
        try:
            size: tuple[int, int] = datasets.Image().decode_example({"path": None, "bytes": stored}).size
        except Exception:
            return None
        return size

    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.5
    exif.get_ifd(0x8769)[0x829A] = 0.01
    for seed in range(60):
        random, damaged = Random(seed), bytearray(exif.tobytes())
        for _ in range(random.randint(1, 5)):
            damaged[random.randrange(6, len(damaged))] = random.choice([0, 255, random.randrange(256)])
        stream = io.BytesIO()
        try:
            Image.new("RGB", (40, 30)).save(stream, form, exif=bytes(damaged))
        except Exception:  # Pillow cannot write all of them as TIFF
            continue
        encoded = stream.getvalue()
        flaw, _, upright = check_medium(MediaKind.STILL, encoded)
        assert flaw is None
        assert decoded(upright or encoded) == open_still(upright or encoded).size, seed
        assert (decoded(encoded) is None) == (check_stored(MediaKind.STILL, encoded).flaw is not None), seed
