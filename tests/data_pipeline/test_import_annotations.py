"""`shotbench data annotations`: from files of annotation tools to a table, and from there to shards."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy
import pyarrow.parquet
import pytest
from PIL import Image

from data_pipeline.annotations.label_map import LabelMap, read_map
from data_pipeline.annotations.tools.tool_annotation import BadAnnotations
from data_pipeline.films.film_sources import FilmSource, find_films
from data_pipeline.import_annotations import ImportedAnnotations, import_annotations
from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.labelling.exports.timelines import write_timelines
from tests.support.annotated_films import FILM, LABELS, NAMES, RANGES, RATE, labelled_sheet, write_tool_files
from tests.support.made_films import clip_frames, number_on

EDL_OF_ANOTHER = """TITLE: cut
FCM: DROP FRAME

001  AX       V     C        00:00:59;20 00:01:00;02 01:00:00;00 01:00:00;10
* FROM CLIP NAME: demo.mp4
* LOC: 01:00:00;02 RED     CLOSE UP; LOW ANGLE
002  AX       V     C        00:01:00;02 00:01:01;00 01:00:00;10 01:00:01;08
* FROM CLIP NAME: demo.mp4
* LOC: 01:00:00;12 RED     STUNNING
"""


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the film in `films`, and a file of every tool beside it."""
    folder = tmp_path_factory.mktemp("team")
    FILM.write(folder / "films" / "sub" / "demo.mp4")
    write_tool_files(folder)
    return folder


def table(done: ImportedAnnotations) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(done.table)))


def films_of(team: Path) -> list[FilmSource]:
    return find_films([team / "films"], team / "films")


def expected_rows() -> Iterator[dict[str, str]]:
    for number, ((first, end), labels) in enumerate(zip(RANGES, LABELS, strict=True), start=1):
        start, stop = (f"{float(frame / RATE):.6f}" for frame in (first, end))
        named = {"film_id": "sub-demo", "media": "sub/demo.mp4", "shot_id": f"sub-demo-{number:04}"}
        yield named | {"start": start, "end": stop} | {one.slug: label for one, label in labels.items()}


@pytest.mark.parametrize("name", NAMES)
def test_every_tool_gives_the_same_rows_to_the_frame(team: Path, name: str) -> None:
    done = import_annotations([team / name], films=films_of(team), rate=RATE if name == "studio.json" else None)
    rows = [{key: cell for key, cell in row.items() if cell and "timecode" not in key} for row in table(done)]
    assert rows == list(expected_rows())
    assert [row["start_timecode"] for row in table(done)] == ["00:00:00:00", "00:00:01:12", "00:00:03:13"]
    assert all("label 'Shot'" in defect.detail for defect in done.defects)


@pytest.mark.parametrize("name", NAMES)
def test_without_the_film_the_table_has_the_times_of_the_tool(team: Path, name: str) -> None:
    done = import_annotations([team / name], rate=RATE)
    rows = table(done)
    if name == "demo.edl":
        assert [row["start_timecode"] for row in rows] == ["00:00:00:00", "00:00:01:12", "00:00:03:13"]
    else:
        found = [[float(row[name]) for name in ("start", "end")] for row in rows]
        assert found == [pytest.approx([float(frame / RATE) for frame in ends], abs=0.0006) for ends in RANGES]
    if name not in ("demo.eaf", "studio.json", "via.json", "demo.edl"):
        assert [(int(row["start_frame"]), int(row["end_frame"])) for row in rows] == list(RANGES)
    assert [row["shot_size"] for row in table(done)] == ["Close Up", "Medium", "Extreme Wide"]


@pytest.mark.parametrize("name", ["cvat.xml", "demo.edl", "studio.json"])
def test_a_frame_rate_that_a_file_does_not_state_is_asked_for(team: Path, name: str) -> None:
    with pytest.raises(BadAnnotations, match="--fps"):
        import_annotations([team / name])


def test_tools_that_agree_are_one_row_and_where_they_contradict_each_other_no_label_is_used(team: Path) -> None:
    other = (team / "via.json").read_text().replace('"shot_size": "3"', '"shot_size": "4"')
    (team / "other.json").write_text(other)
    done = import_annotations([team / "demo.eaf", team / "other.json"], films=films_of(team))
    assert [row["shot_size"] for row in table(done)] == ["Close Up", "", "Extreme Wide"]
    assert [row["camera_movement"] for row in table(done)] == ["", "Pan left", ""]
    details = [defect.detail for defect in done.defects]
    assert len(details) == 2 and all(
        "annotators disagree about shot_size: Medium, Medium Wide" in one for one in details
    )


def test_labels_changed_in_a_timeline_come_back_if_marker_and_note_agree(team: Path, tmp_path: Path) -> None:
    paths = write_timelines(tmp_path, labelled_sheet(team / "films" / "sub" / "demo.mp4"))
    for path in paths:
        path.write_text(path.read_text().replace("Medium", "Medium Wide"))
        done = import_annotations([path], films=films_of(team))
        assert table(done)[1]["shot_size"] == "", path
        assert {"exclude each other: both say what the size is" in one.detail for one in done.defects} == {True}, path
        path.write_text(path.read_text().replace("MS", "MWS"))
        done = import_annotations([path], films=films_of(team))
        assert table(done)[1]["shot_size"] == "Medium Wide" and not done.defects, path


def test_drop_frame_timecode_of_a_film_that_begins_within_a_minute(tmp_path: Path) -> None:
    rate = Fraction(30000, 1001)
    film = FILM.write(tmp_path / "films" / "demo.mp4", rate=rate, timecode="00:00:59;20")
    (tmp_path / "cut.edl").write_text(EDL_OF_ANOTHER)
    done = import_annotations([tmp_path / "cut.edl"], films=[FilmSource("demo", film.name, film)])
    rows = table(done)
    ends = [float(row[name]) * float(rate) for row in rows for name in ("start", "end")]
    assert [round(end, 3) for end in ends] == [0, 10, 10, 38]
    assert [row["start_timecode"] for row in rows] == ["00:00:59;20", "00:01:00;02"]
    assert (rows[0]["shot_size"], rows[0]["camera_angle"]) == ("Close Up", "Low angle")
    assert [one.value for one, _ in done.unmapped] == ["STUNNING"]


def test_a_map_makes_the_tier_of_shots_the_rows_and_a_template_lists_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    FILM.write(tmp_path / "films" / "demo.mp4")
    rows = [
        ("Plan", 0, 1502, "GP"),
        ("Plan", 1502, 3545, "HT"),
        ("Plan", 3545, 5005, "OTS MCU"),
        ("Kamera", 1500, 2500, "Schwenk links"),
        ("Kamera", 2500, 3500, "Tilt up"),
        ("Licht", 0, 5005, "Backlight"),
        ("Notiz", 100, 200, "schön"),
    ]
    slots = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="{letter}{number}" TIME_VALUE="{time}"/>'
        for number, (_, *times, _) in enumerate(rows)
        for letter, time in zip("se", times, strict=True)
    )
    tiers = "".join(
        f'<TIER TIER_ID="{tier}"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{number}" '
        f'TIME_SLOT_REF1="s{number}" TIME_SLOT_REF2="e{number}"><ANNOTATION_VALUE>{value}</ANNOTATION_VALUE>'
        "</ALIGNABLE_ANNOTATION></ANNOTATION></TIER>"
        for number, (tier, _, _, value) in enumerate(rows)
    )
    Path("a.eaf").write_text(f"<ANNOTATION_DOCUMENT><TIME_ORDER>{slots}</TIME_ORDER>{tiers}</ANNOTATION_DOCUMENT>")
    command = ["data", "annotations", "a.eaf", "--films", "films", "--out", "table.csv"]
    assert main([*command, "--map-template", "map.toml"]) == 0
    assert "no term: Plan 'GP': 1; exactly a term of no dimension" in capsys.readouterr().err
    template = Path("map.toml").read_text()
    assert read_map(Path("map.toml")).values == {}  # a template that is not filled says nothing
    for empty, filled in (
        ('"Plan" = ""', '"Plan" = ["shots", "shot size"]'),
        ('"Notiz" = ""', '"Notiz" = "skip"'),
        ('"GP" = ""', '"GP" = "Close Up"'),
        ('"HT" = ""', '"HT" = "Wide"'),
        ('"OTS MCU" = ""', '"OTS MCU" = ["MCU", "shot framing: Over the shoulder"]'),
        ('"Schwenk links" = ""', '"Schwenk links" = "camera movement: Pan left"'),
    ):
        assert template.count(empty) == 1
        template = template.replace(empty, filled)
    Path("map.toml").write_text(template)
    assert main([*command, "--map", "map.toml"]) == 0
    captured = capsys.readouterr()
    assert "annotations: 7; in the table: 6; not: 0, 1 skipped by the map" in captured.out and not captured.err
    found = list(csv.DictReader(io.StringIO(Path("table.csv").read_text())))
    assert [row["shot_size"] for row in found] == ["Close Up", "Wide", "Medium Close Up"]
    assert [row["shot_framing"] for row in found] == ["", "", "Over the shoulder"]
    assert [row["camera_movement"] for row in found] == ["", "Firstly Pan left, then Tilt up", ""]
    assert [row["lighting_condition"] for row in found] == ["Backlight"] * 3


def test_labels_of_one_tool_belong_to_the_shots_that_another_lists(team: Path, tmp_path: Path) -> None:
    scenes = (team / "demo-Scenes.csv").read_text().replace("Close Up", "").replace("Medium", "")
    (tmp_path / "demo-Scenes.csv").write_text(scenes)
    metadata = {
        "1_a": {
            "vid": "1",
            "z": [0.1, 3.6],
            "av": {"1": "Moonlight"},
        },  # the first two shots, and two frames of the third
        "1_b": {"vid": "1", "z": [1.0], "av": {"2": "Close Up"}},  # a moment of the first
        "1_c": {"vid": "1", "z": [3.7, 3.9], "av": {"3": "Tilt up"}},  # a part of the third
    }
    attributes = {"1": "lighting type", "2": "shot size", "3": "camera movement"}
    project = {
        "attribute": {key: {"aname": name, "type": 1} for key, name in attributes.items()},
        "metadata": metadata,
        "file": {"1": {"fname": "demo.mp4", "type": 4}},
        "view": {"1": {"fid_list": ["1"]}},
    }
    (tmp_path / "via.json").write_text(json.dumps(project))
    files = [tmp_path / "demo-Scenes.csv", tmp_path / "via.json"]
    rows = table(import_annotations(files, films=films_of(team)))
    assert [row["lighting_type"] for row in rows] == ["Moonlight", "Moonlight", ""]
    assert [row["shot_size"] for row in rows] == ["Close Up", "", "Extreme Wide"]
    assert [row["camera_movement"] for row in rows] == ["", "Pan left", "Tilt up"]
    shots_of_cvat = LabelMap(shots=frozenset(["label"]))
    without_film = import_annotations([team / "cvat.xml", tmp_path / "via.json"], shots_of_cvat, rate=RATE)
    assert [defect.index for defect in without_film.defects] == [f"metadata {key}" for key in metadata]
    assert all("it counts seconds, the shots frames: give --films" in one.detail for one in without_film.defects)


def test_every_annotation_that_is_not_in_the_table_has_a_reason(team: Path, tmp_path: Path) -> None:
    project = json.loads((team / "via.json").read_text())
    ends = {"1_x": [100.0, 101.0], "1_y": [1.002, 1.01]}
    for key, times in ends.items():
        project["metadata"][key] = {"vid": "1", "z": times, "av": {"shot_size": "1"}}
    project["file"]["2"] = {"fname": "lost.mp4", "type": 4}
    project["view"]["2"] = {"fid_list": ["2"]}
    project["metadata"]["2_z"] = {"vid": "2", "z": [0, 1], "av": {"shot_size": "1"}}
    (tmp_path / "via.json").write_text(json.dumps(project))
    done = import_annotations([tmp_path / "via.json"], films=films_of(team))
    assert {defect.index: str(defect.kind) for defect in done.defects} == {
        "metadata 1_x": "time outside the film",
        "metadata 1_y": "too short",
        "metadata 2_z": "missing medium",
    }
    assert (done.annotations, done.used, len(done.rows)) == (7, 4, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_files_of_every_tool_become_shards_whose_media_are_the_annotated_frames(
    team: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    films, rate = str(team / "films"), ["--fps", "24000/1001"] if name == "studio.json" else []
    assert main(["data", "annotations", str(team / name), "--films", films, "--out", "table.csv", *rate]) == 0
    command = ["data", "films", films, "--table", "table.csv", "--out", "shards", "--workers", "0"]
    assert main([*command, "--splits", "test:1", "--unbalanced", "--no-gate"]) == 0
    rows = pyarrow.parquet.read_table(next(Path("shards").rglob("*.parquet")).parent).to_pylist()
    pictures = {row["media_path"]: Image.open(io.BytesIO(row["image"]["bytes"])) for row in rows if row["image"]}
    stills = {
        row["options"]["ABCD".index(row["answer"])]: number_on(numpy.asarray(pictures[row["media_path"]]))
        for row in rows
        if row["media_path"] in pictures
    }
    assert stills == {"Close Up": 18, "Medium": 60, "Extreme Wide": 102}
    (clip,) = [row for row in rows if row["media_kind"] == "clip"]
    assert [clip["start_seconds"], clip["end_seconds"]] == pytest.approx([float(frame / RATE) for frame in RANGES[1]])
    Path("clip.mp4").write_bytes(clip["video"]["bytes"])
    assert [number_on(picture) for _, picture in clip_frames(Path("clip.mp4"))] == list(range(*RANGES[1]))
