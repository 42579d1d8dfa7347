"""Timelines of a labelled film: OpenTimelineIO reads the same shots, to the frame, out of every format."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import opentimelineio as otio
import pytest

from lmms_eval_shotbench.labelling.exports.timelines import FORMATS, write_timelines
from lmms_eval_shotbench.labelling.label_cell import LabelCell, Status
from lmms_eval_shotbench.labelling.shot import FilmFacts, FilmShot
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow, ShotSheet
from lmms_eval_shotbench.labelling.timecode import (
    SMPTE_RATES,
    BadTimecode,
    editing_rate,
    frame_timecode,
    has_drop_frame,
    timecode_number,
)
from lmms_eval_shotbench.vocabulary import CAMERA_ANGLE, CAMERA_MOVEMENT, LIGHTING_TYPE, SHOT_SIZE

NTSC_24, NTSC_30, NTSC_60 = (Fraction(rate * 1000, 1001) for rate in (24, 30, 60))
RATES = [NTSC_24, *map(Fraction, (24, 25)), NTSC_30, *map(Fraction, (30, 50)), NTSC_60]
# One frame, a gap, past the first dropped labels, to an hour; the film goes on.
RANGES = [(0, 24), (24, 25), (25, 1799), (1805, 18_001), (18_001, 86_399)]
LABELS = {
    SHOT_SIZE.slug: LabelCell(Status.LABELLED, "Close Up", 0.9),
    CAMERA_ANGLE.slug: LabelCell(Status.LABELLED, "Low angle", 0.8),
    CAMERA_MOVEMENT.slug: LabelCell(Status.LABELLED, "Firstly Push in, then Pan left", 0.7),
    LIGHTING_TYPE.slug: LabelCell(Status.UNSURE, "Daylight", 0.3),
}
MARKER = "CU · Low angle · Push in, then Pan left"


def a_film(rate: Fraction, timecode: str = "", **facts: Any) -> FilmFacts:
    known = {"frames": 90_000, "width": 1920, "height": 1080} | facts
    return FilmFacts("A film & more", "a film.mov", "/films/a film.mov", rate, start_timecode=timecode, **known)


def a_sheet(film: FilmFacts, ranges: Iterable[tuple[int, int]] = RANGES, offset: float = 0.0) -> ShotSheet:
    rate = float(film.frame_rate or 1)
    shots = [
        FilmShot(f"f-{number:04}", film.film_id, number, "", "", first, end, first / rate + offset, end / rate + offset)
        for number, (first, end) in enumerate(ranges, start=1)
    ]
    return ShotSheet([film], [SheetRow(shot, LABELS if shot.number != 2 else {}) for shot in shots])


def written(folder: Path, sheet: ShotSheet) -> dict[str, Path]:
    return {path.suffix: path for path in write_timelines(folder, sheet)}


def clips(timeline: Any) -> list[Any]:
    (track,) = timeline.video_tracks()
    return list(track.find_clips())


def frames(time_range: Any, start: int = 0) -> tuple[float, float]:
    return time_range.start_time.value - start, time_range.end_time_exclusive().value - start


@pytest.mark.parametrize(
    ("rate", "timecode"),
    [(rate, timecode) for rate in RATES for timecode in ("", "01:00:00:00")]
    + [(rate, "00:59:50;12") for rate in (NTSC_30, NTSC_60)],
)
def test_adapters_read_back_the_same_shots_to_the_frame(tmp_path: Path, rate: Fraction, timecode: str) -> None:
    start = timecode_number(timecode, rate) if timecode else 0
    paths = written(tmp_path, a_sheet(a_film(rate, timecode)))
    fractional = float(rate)
    for suffix, options in ((".otio", {}), (".edl", {"rate": fractional}), (".xml", {})):
        timeline = otio.adapters.read_from_file(str(paths[suffix]), **options)
        found = clips(timeline)
        assert [frames(clip.source_range, start) for clip in found] == RANGES, suffix
        assert found[0].source_range.start_time.rate == pytest.approx(fractional, abs=1e-9)
        ranges = [clip.range_in_parent() for clip in found]
        assert [frames(one) for one in ranges] == RANGES, suffix
        if ";" not in timecode or suffix != ".edl":  # the EDL adapter reads no marker with drop-frame timecode
            markers = [
                [(marker.name, marker.marked_range.start_time.value) for marker in clip.markers] for clip in found
            ]
            text = MARKER.replace(" · ", ", ") if suffix == ".edl" else MARKER
            counted = 0 if suffix == ".xml" else start
            expected = [[(text, first + counted)] for first, _ in RANGES]
            expected[1] = [("no label", RANGES[1][0] + counted)]
            assert markers == expected, suffix


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: f"{float(rate):.3f}")
def test_fcpxml_has_exact_times_on_frame_boundaries(tmp_path: Path, rate: Fraction) -> None:
    paths = written(tmp_path, a_sheet(a_film(rate, "01:00:00:00")))
    root = ElementTree.fromstring(paths[".fcpxml"].read_text(encoding="utf-8"))

    def frame(element: ElementTree.Element, name: str) -> int:
        number = Fraction(element.attrib[name].removesuffix("s")) * rate
        assert number.denominator == 1, f"{name} is between two frames"
        return int(number) - (0 if name == "duration" else 3600 * round(rate))

    (form,) = root.iter("format")
    assert 1 / Fraction(form.attrib["frameDuration"].removesuffix("s")) == rate
    found = list(root.iter("asset-clip"))
    assert [(frame(clip, "start"), frame(clip, "duration")) for clip in found] == [(a, b - a) for a, b in RANGES]
    assert [frame(clip, "offset") for clip in found] == [first for first, _ in RANGES]
    assert [frame(marker, "start") for marker in root.iter("marker")] == [first for first, _ in RANGES]
    assert [(frame(gap, "offset"), frame(gap, "duration")) for gap in root.iter("gap")] == [(1799, 6)]
    (sequence,) = root.iter("sequence")
    assert (frame(sequence, "duration"), frame(sequence, "tcStart")) == (86_399, 0)


def test_the_fcpxml_adapter_reads_the_same_shots_at_a_rate_that_it_can_count(tmp_path: Path) -> None:
    paths = written(tmp_path, a_sheet(a_film(Fraction(24))))
    found = clips(otio.adapters.read_from_file(str(paths[".fcpxml"])))
    assert [frames(clip.source_range) for clip in found] == RANGES
    assert [clip.markers[0].name for clip in found] == [MARKER, "no label", MARKER, MARKER, MARKER]


def test_otio_carries_every_cell_and_the_other_formats_all_labels(tmp_path: Path) -> None:
    sheet = a_sheet(a_film(NTSC_24))
    paths = written(tmp_path, sheet)
    timeline = otio.adapters.read_from_file(str(paths[".otio"]))
    metadata = clips(timeline)[0].metadata["shotbench"]
    cells = {slug: LabelCell.from_row(cell) for slug, cell in metadata["labels"].items()}
    assert (cells, metadata["schema"]) == (LABELS, 1)
    assert FilmFacts.from_row(timeline.metadata["shotbench"]["film"]) == sheet.films[0]
    assert clips(timeline)[0].media_reference.target_url == "file:///films/a%20film.mov"
    for suffix in (".edl", ".fcpxml", ".xml"):
        text = paths[suffix].read_text(encoding="utf-8")
        assert "shot size: Close Up; camera angle: Low angle" in text
        assert "Daylight" not in text  # unsure


def test_an_edl_says_whether_it_is_drop_frame_as_the_film_is(tmp_path: Path) -> None:
    for timecode, form, event in (
        ("", "NON-DROP FRAME", "00:00:59:29 00:10:00:01 00:00:59:29 00:10:00:01"),
        ("00:00:00;00", "DROP FRAME", "00:00:59;29 00:10:00;19 00:00:59;29 00:10:00;19"),
    ):
        paths = written(tmp_path, a_sheet(a_film(NTSC_30, timecode), [(1799, 18_001)]))
        lines = paths[".edl"].read_text(encoding="utf-8").splitlines()
        assert f"FCM: {form}" in lines
        assert f"001  AX       V     C        {event}" in lines


def test_a_picture_that_starts_late_is_counted_from_its_first_frame(tmp_path: Path) -> None:
    paths = written(tmp_path, a_sheet(a_film(NTSC_24), offset=2.5))
    found = clips(otio.adapters.read_from_file(str(paths[".xml"])))
    assert [frames(clip.source_range) for clip in found] == RANGES


@pytest.mark.parametrize("rate", [Fraction(2987, 100), Fraction(1373, 100)])
def test_a_rate_that_no_editor_has_is_approximated_and_stated(
    tmp_path: Path, rate: Fraction, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        paths = written(tmp_path, a_sheet(a_film(rate, frames=2000), [(0, 700), (700, 1999)]))
    nearest = NTSC_30 if rate > 20 else Fraction(24_000, 1001)
    second = round(700 / rate * nearest)
    found = clips(otio.adapters.read_from_file(str(paths[".xml"])))
    assert [frames(clip.source_range) for clip in found] == [(0, second), (second, round(1999 / rate * nearest))]
    assert "shots are placed by time" in caplog.text
    for suffix, path in paths.items():
        assert "shots are placed by time" in path.read_text(encoding="utf-8"), suffix


def test_a_variable_rate_is_placed_by_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    film = a_film(Fraction(30), frames=300)
    shots = [FilmShot("f-1", film.film_id, 1, "", "", 0, 100, 0.0, 5.0)]
    shots += [FilmShot("f-2", film.film_id, 2, "", "", 100, 300, 5.0, 10.0)]
    with caplog.at_level(logging.WARNING):
        paths = written(tmp_path, ShotSheet([film], [SheetRow(shot, {}) for shot in shots]))
    assert "varies" in caplog.text
    found = clips(otio.adapters.read_from_file(str(paths[".otio"])))
    assert [frames(clip.source_range) for clip in found] == [(0, 150), (150, 300)]


def test_a_rate_that_only_films_have_is_counted_at_a_multiple_where_the_format_needs_one(tmp_path: Path) -> None:
    paths = written(tmp_path, a_sheet(a_film(Fraction(12), "01:00:00:06")))
    timeline = otio.adapters.read_from_file(str(paths[".edl"]), rate=24)
    start = 2 * (3600 * 12 + 6)
    assert [frames(clip.source_range, start) for clip in clips(timeline)] == [(2 * a, 2 * b) for a, b in RANGES]
    assert "counts 24 frames per second, 2 for each frame of the film" in paths[".edl"].read_text(encoding="utf-8")
    root = ElementTree.fromstring(paths[".fcpxml"].read_text(encoding="utf-8"))
    (sequence,), (asset,) = root.iter("sequence"), root.iter("asset")
    rates = {form.attrib["id"]: form.attrib["frameDuration"] for form in root.iter("format")}
    assert (rates[sequence.attrib["format"]], rates[asset.attrib["format"]]) == ("1/24s", "1/12s")
    found = clips(otio.adapters.read_from_file(str(paths[".otio"])))
    assert [frames(clip.source_range, start // 2) for clip in found] == RANGES


def test_overlapping_shots_stand_one_after_the_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        paths = written(tmp_path, a_sheet(a_film(Fraction(25)), [(0, 50), (40, 90), (100, 120)]))
    timeline = otio.adapters.read_from_file(str(paths[".edl"]), rate=25)
    found = clips(timeline)
    assert [frames(clip.source_range) for clip in found] == [(0, 50), (40, 90), (100, 120)]
    assert [frames(clip.range_in_parent()) for clip in found] == [(0, 50), (50, 100), (100, 120)]
    assert "overlap the shot before: 1" in caplog.text


def test_an_invalid_start_timecode_is_reported_and_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        paths = written(tmp_path, a_sheet(a_film(Fraction(25), "01:00:00:29")))
    assert "has frame 29, but a second has 25" in caplog.text
    assert " 00:00:00:00 00:00:00:24 " in paths[".edl"].read_text(encoding="utf-8")


def test_every_film_with_shots_has_timelines_and_stills_have_none(tmp_path: Path) -> None:
    films = [
        FilmFacts(name, f"{name}.mp4", f"/films/{name}.mp4", Fraction(24), 100)
        for name in ("A/b", "a b", "\u00e9\u4e2d", "empty")
    ]
    films.append(FilmFacts("still", "still.jpg", "/films/still.jpg"))
    rows = [SheetRow(FilmShot(f"s-{film.film_id}", film.film_id, 1), {}) for film in films if film.film_id != "empty"]
    paths = write_timelines(tmp_path, ShotSheet(films, rows))
    assert [path.name for path in paths] == [
        f"{stem}{suffix}" for stem in ("A-b", "a-b-2", "\u00e9\u4e2d") for suffix in FORMATS
    ]
    for path in paths:
        if path.suffix in {".xml", ".fcpxml"}:
            ElementTree.parse(path)


@pytest.mark.parametrize("drop_frame", [False, True])
@pytest.mark.parametrize("rate", [*RATES, Fraction(12), Fraction(120)])
def test_timecode_is_the_inverse_of_its_number(rate: Fraction, drop_frame: bool) -> None:
    drop_frame = drop_frame and has_drop_frame(rate)
    around = [minute * 60 * round(rate) for minute in (0, 1, 9, 10, 11, 59, 60, 600)]
    numbers = {number + near for number in around for near in range(-20, 20) if number + near >= 0}
    for number in numbers:
        text = frame_timecode(number, rate, drop_frame=drop_frame)
        assert timecode_number(text, rate) == number
        if rate in SMPTE_RATES:
            assert otio.opentime.from_timecode(text, float(rate)).value == number


def test_a_timecode_that_no_frame_has_is_refused() -> None:
    for text, rate, reason in (
        ("10 s", Fraction(24), "no timecode"),
        ("00:00:00:24", Fraction(24), "a second has 24"),
        ("00:01:00;00", Fraction(25), "does not exist at 25"),
        ("00:01:00;01", NTSC_30, "does not exist in drop-frame"),
    ):
        with pytest.raises(BadTimecode, match=reason):
            timecode_number(text, rate)


def test_rounded_and_measured_rates_are_the_exact_ones() -> None:
    assert editing_rate(Fraction("23.976")) == editing_rate(Fraction("23.98")) == NTSC_24
    assert editing_rate(Fraction(19_001, 317)) == NTSC_60
    assert editing_rate(Fraction(25)) == 25
    assert editing_rate(Fraction("24.5")) is None
