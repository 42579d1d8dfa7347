"""Sampling and decoding of clips in many formats, compared with qwen_vl_utils and decord."""

from __future__ import annotations

import io
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.media import clips
from lmms_eval_shotbench.media.clips import (
    CLIP_FPS,
    FRAMES_PER_BATCH,
    Clip,
    clip_header,
    protocol_clip_path,
    sampled_frames,
)
from lmms_eval_shotbench.media.stills import BrokenMedium

av = pytest.importorskip("av")
numpy = pytest.importorskip("numpy")
decord = pytest.importorskip("decord")
psutil = pytest.importorskip("psutil")

from tests.support.rendered_clips import Rendering, copied, encode, number_shown, render  # imports av

NTSC_FILM = Fraction(24000, 1001)
DICE = random.Random(12)
JITTER = [max(0.0, (n + DICE.uniform(-0.4, 0.4)) / 24) for n in range(60)]
DROPPED = [n / 24 for n in range(120) if n % 5 not in (2, 3)]
VP9: dict[str, Any] = {"codec": "libvpx-vp9"}
OPEN_GOP = {"bf": "3", "x264-params": "open-gop=1:b-pyramid=normal:scenecut=0:keyint=20"}
HEVC: dict[str, Any] = {"codec": "libx265"}

CLIPS = {
    "0.2 s": Rendering(5),
    "two frames": Rendering(2),
    "12 fps": Rendering(36, Fraction(12)),
    "23.976 fps": Rendering(72, NTSC_FILM),
    "25 fps": Rendering(51, Fraction(25)),
    "20 s at 60 fps": Rendering(1200, Fraction(60)),
    "B-frames": Rendering(96, codec_options={"bf": "3", "g": "20"}),
    "HEVC": Rendering(72, **HEVC),
    "VP9 in MP4": Rendering(60, **VP9),
    "VP9 in WebM": Rendering(60, container="webm", **VP9),
    "jitter": Rendering(60, times=JITTER),
    "jitter in WebM": Rendering(60, times=JITTER, container="webm", **VP9),
    "dropped frames": Rendering(len(DROPPED), times=DROPPED),
    "dropped frames in Matroska": Rendering(len(DROPPED), times=DROPPED, container="matroska"),
    "turned by 90": Rendering(30, turned=90, size=(64, 48)),
    "turned by 180": Rendering(30, turned=180),
    "turned by 270": Rendering(30, turned=270, size=(64, 48)),
    "odd size": Rendering(30, size=(321, 181), codec="mpeg4"),
    "odd size, VP9": Rendering(30, size=(321, 181), container="webm", **VP9),
    "odd size, 4:4:4": Rendering(30, size=(321, 181), pixels="yuv444p"),
    "ten bits": Rendering(24, pixels="yuv420p10le"),
    "colours of BT.709": Rendering(24, context={"colorspace": 1, "color_range": 1}),
    "full range": Rendering(24, pixels="yuvj420p", context={"color_range": 2}),
    "from 1 s on": Rendering(48, start=24),
    "from 1 s on, no edit list": Rendering(48, start=24, container_options={"use_editlist": "0"}),
    "fragments": Rendering(48, codec_options={"g": "12"}, container_options={"movflags": "frag_keyframe+empty_moov"}),
    "AVI": Rendering(48, container="avi", codec="mpeg4"),
    "ProRes": Rendering(12, container="mov", codec="prores_ks", pixels="yuv422p10le"),
}
# Clips that decord, and therefore qwen_vl_utils, decodes incorrectly or not at all.
BEYOND_DECORD = {
    "one frame": Rendering(1),
    "open groups of pictures": Rendering(96, codec_options=OPEN_GOP),
    "MPEG-TS": Rendering(48, container="mpegts"),
    "FLV": Rendering(48, container="flv"),
    "AV1": Rendering(24, codec="libsvtav1", codec_options={"preset": "12", "svtav1-params": "lp=1"}),
}


@pytest.fixture(autouse=True)
def isolated_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOTBENCH_CACHE", str(tmp_path / "cache"))


def all_pictures(clip: Clip) -> Any:
    return numpy.concatenate(list(clip.read(range(clip.frames))))


def numbers_shown(source: bytes | Path) -> list[int]:
    with Clip(source) as clip:
        return [number_shown(picture) for picture in all_pictures(clip)]


def faststart(frames: int = 96) -> bytes:
    return render(Rendering(frames, container_options={"movflags": "faststart"}))


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="this system has no scheduling policies")
def test_rendering_a_clip_keeps_the_scheduling_policy() -> None:
    before = os.sched_getscheduler(0)
    encode(BEYOND_DECORD["AV1"])
    assert os.sched_getscheduler(0) == before


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 23, 24, 48, 61, 192, 2000])
@pytest.mark.parametrize("rate", [12.0, 23.976, 24.0, 25.0, 60.0])
def test_sampled_frames_are_those_of_qwen_vl_utils(frames: int, rate: float) -> None:
    torch = pytest.importorskip("torch")
    vision = pytest.importorskip("qwen_vl_utils.vision_process")
    try:
        count = vision.smart_nframes({"fps": CLIP_FPS}, total_frames=frames, video_fps=rate)
    except ValueError:  # qwen_vl_utils rejects clips of one frame
        assert sampled_frames(frames, rate) == [0]
        return
    expected = torch.linspace(0, frames - 1, count).round().long().tolist()
    assert sampled_frames(frames, rate) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CLIPS, *BEYOND_DECORD])
def test_every_frame_is_the_requested_one(name: str) -> None:
    rendering = (CLIPS | BEYOND_DECORD)[name]
    with Clip(render(rendering)) as clip:
        assert (clip.frames, clip.width, clip.height) == (rendering.frames, *rendering.size)
        everything = [number_shown(picture) for picture in all_pictures(clip)]
        assert everything == list(range(rendering.frames))
        sampled = clip.sampled()
        assert [number_shown(picture) for batch in clip.read(sampled) for picture in batch] == sampled


@pytest.mark.parametrize("name", CLIPS)
def test_frames_and_pixels_are_those_of_qwen_vl_utils(name: str, tmp_path: Path) -> None:
    vision = pytest.importorskip("qwen_vl_utils.vision_process")
    path = tmp_path / "clip"
    path.write_bytes(render(CLIPS[name]))
    theirs, metadata, _ = vision._read_video_decord({"video": str(path), "fps": CLIP_FPS})
    with Clip(path) as clip:
        ours = numpy.concatenate(list(clip.read(clip.sampled())))
        assert float(clip.frame_rate) == metadata["fps"]
        assert clip.sampled() == metadata["frames_indices"]
    assert numpy.array_equal(ours, theirs.permute(0, 2, 3, 1).numpy())


def test_a_rotated_clip_of_odd_size_has_nearly_the_pixels_of_decord() -> None:
    encoded = render(Rendering(12, size=(181, 321), codec="mpeg4", turned=90))
    theirs = decord.VideoReader(io.BytesIO(encoded), num_threads=1).get_batch(range(12)).asnumpy()
    with Clip(encoded) as clip:
        ours = all_pictures(clip)
    assert ours.shape == theirs.shape  # decord rotates before conversion: chroma is upsampled differently
    assert numpy.abs(ours.astype(int) - theirs).mean() < 3


MANY_B_FRAMES = {
    "pyramid": {"bf": "8", "x264-params": "b-pyramid=normal:scenecut=0"},
    "strict pyramid": {"bf": "3", "x264-params": "b-pyramid=strict"},
    "no pyramid": {"bf": "5", "x264-params": "b-pyramid=none:b-adapt=0"},
    "open groups": OPEN_GOP,
    "interlaced": {"bf": "3", "flags": "+ildct+ilme", "x264-params": "tff=1"},
}


@pytest.mark.slow
@pytest.mark.parametrize("options", MANY_B_FRAMES.values(), ids=MANY_B_FRAMES)
@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts", "flv"])
def test_skipping_frames_does_not_change_the_decoded_pixels(container: str, options: dict[str, str]) -> None:
    clip = Clip(render(Rendering(90, size=(128, 72), container=container, codec_options=options)))
    everything = all_pictures(clip)
    for indices in ([0, 89], [44], sorted(random.Random(3).sample(range(90), 20)), range(1, 90, 2), [3, 3, 7]):
        assert numpy.array_equal(numpy.concatenate(list(clip.read(indices))), everything[list(indices)])


def test_unwanted_non_reference_frames_are_not_decoded() -> None:
    encoded = render(Rendering(96, codec_options=MANY_B_FRAMES["no pyramid"]))
    with Clip(encoded) as clip, clips.open_clip(encoded) as opened:
        wanted = {clip._times[index] for index in (0, 50, 95)}
        times = [frame.pts for frame in clips._decoded(*opened, wanted)]
        assert wanted <= set(times) <= set(clip._times)
        assert len(times) < 96 / 4


@pytest.mark.parametrize("name", sorted({*CLIPS, *BEYOND_DECORD} - {"AVI"}))
def test_frames_of_nearly_all_clips_are_found_by_timestamp(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Clip, "_by_number")
    rendering = (CLIPS | BEYOND_DECORD)[name]
    with Clip(render(rendering)) as clip:
        assert [number_shown(one) for batch in clip.read(clip.sampled()) for one in batch] == clip.sampled()


def test_frames_without_their_timestamp_are_found_by_counting() -> None:
    with Clip(faststart()) as clip:
        clip._times = [*clip._times[:40], *(time + 1 for time in clip._times[40:])]
        assert [number_shown(picture) for picture in all_pictures(clip)] == list(range(96))


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
@pytest.mark.parametrize("start", [1.0, 1.6])
def test_frames_that_are_not_displayed_have_no_index(container: str, start: float) -> None:
    """Cut by stream copy: frames before the first key frame cannot be decoded, an edit list hides others."""
    encoded = render(Rendering(120, codec_options={"g": "30", "bf": "2", "x264-params": "scenecut=0"}))
    shown = numbers_shown(copied(encoded, container, start))
    assert shown == list(range(shown[0], 120))
    assert shown[0] in (30, 60)


@pytest.mark.parametrize(
    ("begin", "end", "expected"), [(0, 48, range(48)), (10, 86, range(10, 96)), (10, 48, range(10, 58))]
)
def test_an_edit_list_hides_frames_at_both_ends(begin: int, end: int, expected: range) -> None:
    encoded = render(Rendering(96))
    offset = encoded.index(b"elst") + 12
    length, first = (int.from_bytes(encoded[offset + at : offset + at + 4], "big") for at in (0, 4))
    edited = (length * end // 96).to_bytes(4, "big") + (first + 512 * begin).to_bytes(4, "big")
    assert numbers_shown(encoded[:offset] + edited + encoded[offset + 8 :]) == list(expected)


def test_frames_come_in_small_batches_and_a_clip_can_be_read_again() -> None:
    with Clip(render(Rendering(40))) as clip:
        batches = list(clip.read(range(2 * FRAMES_PER_BATCH + 1)))
        assert [len(batch) for batch in batches] == [FRAMES_PER_BATCH, FRAMES_PER_BATCH, 1]
        assert batches[0].dtype == numpy.uint8
        next(clip.read([0, 1]))  # not exhausted
        again = [number_shown(picture) for batch in clip.read([3, 3, 39]) for picture in batch]
        assert again == [3, 3, 39]
        assert list(clip.read([])) == []
        for wrong in ([2, 1], [40], [-1]):
            with pytest.raises(IndexError, match="ascend"):
                clip.read(wrong)


def test_closing_a_clip_ends_its_iterator() -> None:
    with Clip(render(Rendering(40))) as clip:
        batches = clip.read(range(40))
        next(batches)
    assert list(batches) == []


def test_a_header_estimates_the_number_of_frames() -> None:
    assert clip_header(render(Rendering(51, Fraction(25)))) == (51, 25.0, 64, 36)
    assert clip_header(render(Rendering(60, container="webm", **VP9))) == (60, 24.0, 64, 36)
    with pytest.raises(BrokenMedium):
        clip_header(b"no clip")


@pytest.mark.parametrize("container", ["mp4 with its index first", "mp4", "matroska", "webm", "flv", "avi"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_truncated_clip_is_broken(container: str, part: float) -> None:
    codec = {"webm": "libvpx-vp9", "avi": "mpeg4"}.get(container, "libx264")
    options = {"movflags": "faststart"} if "first" in container else {}
    rendering = Rendering(96, container=container.split()[0], codec=codec, container_options=options)
    encoded = render(rendering)
    with pytest.raises(BrokenMedium, match=r"cut off|cannot be decoded|no video stream"):
        numbers_shown(encoded[: int(len(encoded) * part)])


def test_a_clip_in_an_unknown_codec_is_broken() -> None:
    encoded = render(Rendering(5)).replace(b"avc1", b"zzz1")
    with pytest.raises(BrokenMedium, match="no decoder for 'zzz1'"):
        Clip(encoded)


def test_a_clip_truncated_between_two_frames_is_broken() -> None:
    encoded = faststart()
    with av.open(io.BytesIO(encoded)) as container:
        offsets = [packet.pos for packet in container.demux(video=0) if packet.size]
    with pytest.raises(BrokenMedium, match="cut off after 2"):
        Clip(encoded[: offsets[50]])


def test_a_truncated_clip_without_an_index_gives_the_frames_it_has() -> None:
    """MPEG-TS does not store its length: of a truncated file, the remaining frames are decoded, none repeated."""
    encoded = render(Rendering(96, container="mpegts"))
    shown = numbers_shown(encoded[: len(encoded) // 2])
    assert shown == sorted(set(shown))
    assert len(shown) > 30


@pytest.mark.parametrize("encoded", [b"", b"no clip", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"])
def test_a_file_that_is_not_a_clip_is_broken(encoded: bytes) -> None:
    with pytest.raises(BrokenMedium, match="cannot be decoded"):
        Clip(encoded)


def test_audio_without_video_is_broken() -> None:
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(numpy.zeros((1, 1024), "float32"), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(BrokenMedium, match="no video stream"):
        Clip(target.getvalue())


def test_a_decompression_bomb_is_rejected_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmms_eval_shotbench.media.clip_file.MAX_PICTURE_PIXELS", 64 * 36 - 1)
    with pytest.raises(BrokenMedium, match="64x36"):
        Clip(render(Rendering(2)))


@pytest.mark.slow
def test_memory_is_bounded_with_a_slow_consumer() -> None:
    encoded = render(Rendering(120, size=(1280, 720), codec_options={"preset": "ultrafast"}))
    process, frame = psutil.Process(), 1280 * 720 * 3
    with Clip(encoded) as clip:
        before = process.memory_info().rss
        for _ in clip.read(clip.sampled()):
            time.sleep(0.02)
            assert process.memory_info().rss - before < 64 * frame


@pytest.mark.slow
def test_clips_are_read_by_several_threads_concurrently() -> None:
    sources = [render(Rendering(frames)) for frames in (20, 48, 72)] * 6
    with ThreadPoolExecutor(4) as threads:
        shown = list(threads.map(numbers_shown, sources))
    assert shown == [list(range(frames)) for frames in (20, 48, 72)] * 6


def resources_in_use() -> tuple[int, int, set[threading.Thread]]:
    process = psutil.Process()
    return process.memory_info().rss, process.num_fds(), set(threading.enumerate())


def read_often(source: bytes, times: int) -> tuple[int, int, set[threading.Thread]]:
    """Read one clip many times in threads, sometimes only in part; return `resources_in_use`."""

    def read(turn: int) -> None:
        with Clip(source) as clip:
            batches = clip.read(clip.sampled())
            next(batches)
            if turn % 4:
                list(batches)

    with ThreadPoolExecutor(3) as threads:
        for start in range(0, times, 500):
            list(threads.map(read, range(start, min(start + 500, times))))
    return resources_in_use()


@pytest.mark.slow
def test_ten_thousand_reads_leak_no_memory_files_or_threads() -> None:
    source = render(Rendering(5))
    memory, files, threads = read_often(source, 500)
    memory_after, files_after, threads_after = read_often(source, 9_500)
    assert memory_after - memory < 8 << 20
    assert files_after <= files and threads_after <= threads  # leftovers of other tests may be freed meanwhile


@pytest.mark.slow
def test_the_re_encoded_copy_has_the_rate_and_size_of_the_protocol() -> None:
    path = protocol_clip_path(render(Rendering(48, size=(1280, 720))))
    reader = decord.VideoReader(str(path))
    height, width = reader[0].shape[:2]
    assert reader.get_avg_fps() == CLIP_FPS
    assert (width, height) == (640, 360)
    assert [number_shown(reader[number].asnumpy()) for number in range(len(reader))] == sampled_frames(48, 24.0)
