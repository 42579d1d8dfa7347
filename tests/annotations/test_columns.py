"""Which columns of a table are read, and that no column that looks like a time, a path or a label is ignored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data_pipeline.annotations.annotation_table import AnnotatedRange, TableOptions, read_annotations
from data_pipeline.annotations.columns import TableRefused
from data_pipeline.annotations.row_times import TimeRole
from data_pipeline.defects import Defect, DefectKind

NEEDED = {"film_id": "Heat", "media": "heat.mp4", "shot_size": "CU"}


def read(folder: Path, cells: dict[str, str], *ignored: str) -> tuple[AnnotatedRange, list[Defect]]:
    """The only row of a table with these cells, in addition to those that every table needs."""
    (folder / "heat.mp4").touch()
    table = folder / "table.jsonl"
    table.write_text(json.dumps(NEEDED | cells), encoding="utf-8")
    defects: list[Defect] = []
    (row,) = read_annotations(table, folder, defects, TableOptions(ignored))
    return row, defects


def given(row: AnnotatedRange) -> dict[str, object]:
    """The times of a row as written, by what they are."""
    return {str(role): time.seconds if time.seconds is not None else time.frame or time.timecode
            for role, (time, *_) in row.times.items()}  # fmt: skip


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("start", "end"),
        ("start_time", "end_time"),
        ("Start Time", "End Time"),
        ("startTime", "endTime"),
        ("starttime", "endtime"),
        ("in", "out"),
        ("IN", "OUT"),
        ("time_in", "time_out"),
        ("In Point", "Out Point"),
        ("from", "to"),
        ("begin", "end"),
        ("start_sec", "end_sec"),
        ("start_seconds", "end_seconds"),
        ("Start (s)", "End (s)"),
        ("Start Time (seconds)", "End Time (seconds)"),
    ],
)
def test_times_in_seconds_are_read_under_their_usual_names(tmp_path: Path, start: str, end: str) -> None:
    row, defects = read(tmp_path, {start: "1.5", end: "0:00:04.25"})
    assert (given(row), defects) == ({"start": 1.5, "end": 4.25}, [])


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("tc_in", "tc_out"),
        ("TC In", "TC Out"),
        ("in_tc", "out_tc"),
        ("tcIn", "tcOut"),
        ("tcin", "tcout"),
        ("SMPTE In", "SMPTE Out"),
        ("start_timecode", "end_timecode"),
        ("Start Timecode", "End Timecode"),
        ("timecode_in", "timecode_out"),
        ("start", "end"),
    ],
)
def test_timecode_is_read_under_its_usual_names(tmp_path: Path, start: str, end: str) -> None:
    row, defects = read(tmp_path, {start: "00:00:01:05", end: "00:00:02:00"})
    assert (given(row), defects) == ({"start": (0, 0, 1, 5), "end": (0, 0, 2, 0)}, [])


def test_frames_milliseconds_durations_and_times_of_stills_are_read(tmp_path: Path) -> None:
    row, defects = read(tmp_path, {"start_frame": "30", "End Frame": "40", "still_frame": "35"})
    assert (given(row), defects) == ({"start": 30, "end": 40, "still": 35}, [])
    row, defects = read(tmp_path, {"start_ms": "1500", "duration_ms": "2000", "still_time": "2"})
    assert (given(row), defects) == ({"start": 1.5, "duration": 2.0, "still": 2.0}, [])
    row, _ = read(tmp_path, {"frame_in": "30", "Length (frames)": "12"})
    assert given(row) == {"start": 30, "duration": 12}


def test_the_columns_of_pyscenedetect_are_forms_of_the_same_times(tmp_path: Path) -> None:
    row, defects = read(
        tmp_path,
        {
            **{"Scene Number": "1", "Start Frame": "31", "Start Timecode": "00:00:01.200"},
            **{"Start Time (seconds)": "1.2", "End Frame": "60", "End Timecode": "00:00:02.400"},
            **{"End Time (seconds)": "2.4", "Length (frames)": "30", "Length (timecode)": "00:00:01.200"},
            "Length (seconds)": "1.2",
        },
    )
    assert {str(role): len(forms) for role, forms in row.times.items()} == {"start": 3, "end": 3, "duration": 3}
    assert [defect.detail for defect in defects] == ["'Scene Number'"]


@pytest.mark.parametrize(
    ("column", "cell", "kind", "called"),
    [
        ("timecode", "00:00:13", "a time", "start"),
        ("time", "13.5", "a time", "start"),
        ("timestamp", "13.5", "a time", "start"),
        ("ts", "13.5", "a time", "start"),
        ("t0", "13.5", "a time", "start"),
        ("shot_start", "1.5", "a time", "start"),
        ("Shot End", "2.5", "a time", "end"),
        ("rec_in", "00:00:01:00", "a time", "start"),
        ("rec_out", "00:00:02:00", "a time", "end"),
        ("t_end", "2.5", "a time", "end"),
        ("finish", "2.5", "a time", "end"),
        ("when", "00:00:13", "a time", "start"),
        ("span", "0.5-2.5", "a time", "start and end, in two columns"),
        ("Marke", "00:00:01.5 - 00:00:03.0", "a time", "start"),
        ("shot_length", "2.5", "a time", "duration"),
        ("frame", "120", "a frame number", "start_frame"),
        ("first_frame", "120", "a frame number", "start_frame"),
        ("last_frame", "140", "a frame number", "end_frame"),
        ("frame_idx", "140", "a frame number", "start_frame"),
        ("file", "clips/heat.mp4", "a path", "media"),
        ("Proxy", "heat_proxy.MOV", "a path", "media"),
        ("path", "C:\\heat", "a path", "media"),
        ("movement", "Pan left -> tilt up", "a label", "camera_movement"),
        ("Camera", "push-in", "a label", "camera_movement"),
        ("Camera Movement (ShotDeck)", "handheld", "a label", "camera_movement"),
        ("angle", "eye level", "a label", "camera_angle"),
        ("Type", "OTS", "a label", "shot_framing"),
        ("beleuchtung", "rim light + backlit", "a label", "lighting_condition"),
        ("lens", "fisheye", "a label", "lens_size"),
    ],
)
def test_a_column_that_looks_like_one_that_is_read_is_refused_with_that_name(
    tmp_path: Path, column: str, cell: str, kind: str, called: str
) -> None:
    with pytest.raises(TableRefused) as refused:
        read(tmp_path, {column: cell})
    message = str(refused.value)
    assert f"a column {column!r}, which looks like {kind} ({cell!r})" in message
    advice = f"the table has {called} already:" if called == "media" else f"call it {called}, or"
    assert f"{advice} let it pass with --ignore-columns {column!r}" in message
    row, defects = read(tmp_path, {column: cell}, column)
    assert not row.times and row.labels == {"shot_size": "Close Up"}
    assert [(defect.kind, defect.detail) for defect in defects] == [(DefectKind.UNREAD_COLUMN, repr(column))]


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("remark", "a fine shot"),
        ("year", "1995"),
        ("fps", "24"),
        ("frame_rate", "23.976"),
        ("frame_width", "1920"),
        ("focal_length", "35"),
        ("aspect_ratio", "16:10"),
        ("aspect", "16:09"),
        ("time", "Night"),
        ("time_of_day", "dusk"),
        ("take", "2"),
        ("rating", "3"),
        ("file_size", "12 MB"),
        ("shot_date", "2024-01-01"),
        ("annotator", "Ann"),
        ("movement_confidence", "0.9"),
        ("start_time_note", ""),
    ],
)
def test_other_columns_are_named_and_cost_nothing(tmp_path: Path, column: str, cell: str) -> None:
    row, defects = read(tmp_path, {column: cell})
    assert row.labels == {"shot_size": "Close Up"}
    assert [(defect.kind, defect.detail, defect.loses_row) for defect in defects] == [
        (DefectKind.UNREAD_COLUMN, repr(column), False)
    ]


def test_all_refused_columns_are_named_at_once_and_may_be_listed_at_once(tmp_path: Path) -> None:
    cells = {"start": "1", "cue": "00:00:05:00", "movement": "odd move", "t1": "2.5"}
    with pytest.raises(TableRefused, match=r"'cue', .*has start already: let .*; and a column 'movement', .*'t1'"):
        read(tmp_path, cells)
    for ignored in (("cue", "movement", "t1"), ("cue,movement,T1",)):
        _, defects = read(tmp_path, cells, *ignored)
        assert [defect.detail for defect in defects] == ["'cue'", "'movement'", "'t1'"]


def test_a_known_column_can_be_ignored_and_an_absent_one_cannot(tmp_path: Path) -> None:
    row, _ = read(tmp_path, {"start": "1", "duration": "7200"}, "Duration")
    assert list(row.times) == [TimeRole.START]
    with pytest.raises(TableRefused, match="no column 'timecode' to ignore; its columns: film_id"):
        read(tmp_path, {"start": "1"}, "timecode")


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TableRefused, match="the column start_time twice"):
        read(tmp_path, {"start_time": "1", "Start Time": "2"})


def test_confidence_agreement_and_source_of_a_label_are_its_provenance(tmp_path: Path) -> None:
    cells = {
        **{"shot_size_confidence": "0.82", "Shot Size Agreement": "3/3", "shot_size_source": "two annotators"},
        **{"lighting": "hard", "lighting_confidence": "0.5", "camera_angle_confidence": "0.1"},
    }
    row, defects = read(tmp_path, cells)
    assert row.provenance == {
        "shot_size_confidence": "0.82",
        "shot_size_agreement": "3/3",
        "shot_size_source": "two annotators",
        "lighting_condition_confidence": "0.5",
    }
    assert not defects
