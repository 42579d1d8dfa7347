"""Stills and clips are exactly the frames shown at the given times, for all frame rates, formats and colour spaces."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy
import pytest

from data_pipeline.films.cut_media import ClipCutter, cut_still, encoded_still
from data_pipeline.films.cut_settings import CutSettings
from data_pipeline.films.film_probe import BrokenFilm, Film, probe_film, read_frames
from data_pipeline.films.letterbox import Crop
from data_pipeline.films.tone_map import DIFFUSE_WHITE, to_standard_range
from lmms_eval_shotbench.media.clips import Clip
from tests.support.made_films import MadeFilm, MadeShot, clip_frames, number_on

ONE_SHOT = MadeFilm(shots=(MadeShot(60, 1),))
UNEVEN = [0.0]
for step in range(59):
    UNEVEN.append(UNEVEN[-1] + (1 / 24, 1 / 30, 1 / 60, 0.2)[step % 4])


def cut_clip(film: Film, first: int, last: int, target: Path, settings: CutSettings | None = None) -> Path:
    """Cut frames first to last - 1 to a file."""
    cutter = ClipCutter(target, film, first, Crop.full_frame(film.width, film.height), settings or CutSettings())
    for number, frame in read_frames(film, first, last):
        cutter.add_frame(number, frame)
    cutter.close()
    return target


def still_at(film: Film, seconds: float, settings: CutSettings | None = None) -> Any:
    number = film.frame_at(seconds)
    ((_, frame),) = read_frames(film, number, number + 1)
    return numpy.asarray(cut_still(film, frame, Crop.full_frame(film.width, film.height), settings or CutSettings()))


FORMS = {
    "constant": {},
    "ntsc": {"rate": Fraction(24000, 1001)},
    "variable": {"times": UNEVEN},
    "variable in matroska": {"times": UNEVEN, "container": "matroska"},
    "transport stream": {"container": "mpegts", "options": {"g": "12"}},
    "open groups": {"options": {"g": "10", "x264-params": "open-gop=1:bframes=3:scenecut=0"}},
    "hevc": {"codec": "libx265", "pixels": "yuv420p10le"},
    "turned": {"turned": 90},
    "upside down": {"turned": 180},
    "full range": {"pixels": "yuvj420p"},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_clip_has_exactly_the_frames_from_start_to_end_with_their_timestamps(
    tmp_path: Path, form: dict[str, Any]
) -> None:
    film = probe_film(ONE_SHOT.write(tmp_path / "film", **form))
    expected = [film.time_of(number) - film.time_of(17) for number in range(17, 43)]
    assert film.frames == 60
    frames = clip_frames(cut_clip(film, 17, 43, tmp_path / "clip.mp4"))
    assert [number_on(upright(picture, form)) for _, picture in frames] == list(range(17, 43))
    assert [time for time, _ in frames] == pytest.approx(expected, abs=1e-4)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        stream = container.streams.video[0]
        duration = float(stream.duration * stream.time_base)
        assert duration == pytest.approx(film.time_of(43) - film.time_of(17), abs=1e-3)
        assert not container.streams.audio


def upright(picture: Any, form: dict[str, Any]) -> Any:
    assert picture.shape == (144, 256, 3)  # also if it is stored rotated
    return picture


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_still_is_the_frame_on_the_screen_at_that_time(tmp_path: Path, form: dict[str, Any]) -> None:
    film = probe_film(ONE_SHOT.write(tmp_path / "film", **form))
    for number in (0, 1, 30, 58, 59):
        start, end = film.time_of(number), film.time_of(number + 1)
        for seconds in (start, (start + end) / 2, end - 0.002):
            assert number_on(still_at(film, seconds)) == number


def test_times_of_a_variable_frame_rate_are_those_encoded(tmp_path: Path) -> None:
    film = probe_film(ONE_SHOT.write(tmp_path / "film", times=UNEVEN))
    assert [film.time_of(number) for number in range(60)] == pytest.approx(UNEVEN, abs=1e-3)
    assert film.first_frame_from(UNEVEN[20] + 0.0004) == 20  # times in a table may be rounded up to a millisecond
    assert film.first_frame_from(UNEVEN[20] + 0.002) == 21


COLOURS = {
    "unspecified": {},
    "bt709": {"context": {"colorspace": 1}},
    "bt2020": {"context": {"colorspace": 9}},
    "full range": {"pixels": "yuvj420p"},
    "rgb": {"codec": "libx264rgb", "pixels": "rgb24"},
}


@pytest.mark.parametrize("colours", COLOURS.values(), ids=COLOURS)
def test_clips_and_stills_keep_their_colours(tmp_path: Path, colours: dict[str, Any]) -> None:
    film = probe_film(ONE_SHOT.write(tmp_path / "film", **colours))
    original = block_colours(list(ONE_SHOT.pictures())[30])  # its blocks have drifted by exactly five blocks
    cut_clip(film, 30, 32, tmp_path / "clip.mp4")
    with Clip(tmp_path / "clip.mp4") as clip:
        shown = block_colours(next(iter(clip.read([0])))[0])
    assert abs(block_colours(still_at(film, film.time_of(30))) - original).mean() < 2.5
    assert abs(shown - original).mean() < 2.5


def block_colours(picture: Any) -> Any:
    """Mean colour of the middle of every block of 12 x 12 pixels: float [12, 21, 3]."""
    blocks = picture[:144, :252].reshape(12, 12, 21, 12, 3)
    return blocks[:, 4:8, :, 4:8].mean(axis=(1, 3))


def test_pixels_that_are_not_square_are_made_square(tmp_path: Path) -> None:
    film = probe_film(ONE_SHOT.write(tmp_path / "film.mkv", container="matroska", aspect=Fraction(4, 3)))
    assert clip_frames(cut_clip(film, 0, 3, tmp_path / "clip.mp4"))[0][1].shape == (144, 342, 3)
    assert still_at(film, 0).shape == (144, 342, 3)


def test_large_pictures_are_scaled_down(tmp_path: Path) -> None:
    film = probe_film(ONE_SHOT.write(tmp_path / "film"))
    small = CutSettings(clip_longest_side=128, still_longest_side=64)
    assert clip_frames(cut_clip(film, 0, 3, tmp_path / "clip.mp4", small))[0][1].shape == (72, 128, 3)
    assert still_at(film, 0, small).shape == (36, 64, 3)


def test_the_same_film_gives_the_same_bytes(tmp_path: Path) -> None:
    film = probe_film(ONE_SHOT.write(tmp_path / "film"))
    one, other = (cut_clip(film, 5, 25, tmp_path / name).read_bytes() for name in ("one.mp4", "other.mp4"))
    assert one == other


@pytest.mark.parametrize("transfer", [16, 18])
def test_high_dynamic_range_is_mapped_to_standard_range(tmp_path: Path, transfer: int) -> None:
    context = {"color_primaries": 9, "color_trc": transfer, "colorspace": 9}
    hdr = {"codec": "libx265", "pixels": "yuv420p10le", "context": context}
    film = probe_film(ONE_SHOT.write(tmp_path / "film", **hdr))
    assert film.is_high_dynamic_range
    frames = clip_frames(cut_clip(film, 17, 43, tmp_path / "clip.mp4"))
    assert [number_on(picture) for _, picture in frames] == list(range(17, 43))
    with av.open(str(tmp_path / "clip.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace) == (1, 1, 1)
    signal = list(ONE_SHOT.pictures())[17] / 255
    expected = to_standard_range(signal, transfer).mean(axis=(0, 1)) * 255
    assert still_at(film, film.time_of(17)).mean(axis=(0, 1)) == pytest.approx(expected, abs=8)


def test_the_mapping_keeps_black_white_and_neutral_grey() -> None:
    pq_of_white = 0.5807  # 203 nits, BT.2408
    black, white, peak = (float(to_standard_range(numpy.full(3, signal), 16)[1]) for signal in (0, pq_of_white, 0.7518))
    assert black == 0
    assert 0.7 < white < 0.9
    assert peak == pytest.approx(1, abs=0.01)
    grey = to_standard_range(numpy.full(3, 0.4), 16)
    assert grey.max() - grey.min() < 0.01
    assert DIFFUSE_WHITE == 203


def test_encoded_stills_are_jpeg_or_png(tmp_path: Path) -> None:
    film = probe_film(ONE_SHOT.write(tmp_path / "film"))
    ((_, frame),) = read_frames(film, 3, 4)
    picture = cut_still(film, frame, Crop(0, 0, 256, 144), CutSettings())
    assert encoded_still(picture, CutSettings()).startswith(b"\xff\xd8")
    assert encoded_still(picture, CutSettings(still_format="png")).startswith(b"\x89PNG")


def test_a_truncated_film_or_one_without_video_is_broken(tmp_path: Path) -> None:
    encoded = ONE_SHOT.write(tmp_path / "film.mkv", container="matroska").read_bytes()
    unknown = ONE_SHOT.write(tmp_path / "film.mp4").read_bytes().replace(b"avc1", b"zzz1")
    broken = {"half": encoded[: len(encoded) // 2], "none": b"", "text": b"not a film" * 99, "unknown codec": unknown}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BrokenFilm):
            probe_film(tmp_path / name)


def test_a_frame_without_the_timestamp_of_its_packet_breaks_the_film(tmp_path: Path) -> None:
    film = probe_film(ONE_SHOT.write(tmp_path / "film", options={"g": "12"}))
    assert len(film.keyframes) == 5
    times = [*film.times[:30], film.times[30] - 1, *film.times[31:]]
    with pytest.raises(BrokenFilm, match=r"at 1\.250 s"):
        list(read_frames(replace(film, times=times), 26, 40))
    wrong = replace(film, keyframes=[film.times[0], *film.times[20:40]])  # a seek may end before or after its target
    assert [number for number, _ in read_frames(wrong, 26, 40)] == list(range(26, 40))
