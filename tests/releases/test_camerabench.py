"""Import of CameraBench: wrong options are excluded by a label, and rows without a movement are left out by name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from data_pipeline.releases.checked_rows import RowsLost
from data_pipeline.releases.import_published_set import import_published_set
from data_pipeline.releases.release_media import ImportRefused
from lmms_eval_shotbench.vocabulary import dimension_named
from tests.support.published_sets import camera_row, imported, json_lines, losses, write_clips
from tests.support.releases import clip

NAME = "camerabench"
STEADY = ("no-shaking", "regular-speed")
LABELS = [
    (*STEADY, "complex-motion", "pan-left"),
    (*STEADY, "complex-motion", "arc-CW"),
    ("minimal-shaking", "complex-motion", "regular-speed", "truck-right", "pan-left", "arc-CCW"),
    (*STEADY, "complex-motion", "dolly-in", "tail-tracking"),
    (*STEADY, "complex-motion", "arc-tracking", "zoom-out"),
]
OPTIONS = [
    ("Pan left", {"Pan left", "Pan right", "Static shot"}),
    ("Arc", {"Arc", "Static shot"}),
    (
        "Move to the right, Pan left, Arc",
        {f"Move to the {side}, Pan {other}, Arc" for side in ("left", "right") for other in ("left", "right")},
    ),
    ("Push in, Tracking", {"Push in, Tracking", "Pull out, Tracking"}),
    ("Zoom out, Arc, Tracking", {"Zoom out, Arc, Tracking", "Zoom in, Arc, Tracking"}),
]


def test_wrong_options_are_opposites_of_labelled_movements_or_static_shots(tmp_path: Path) -> None:
    rows = [camera_row(number, *labels) for number, labels in enumerate(LABELS)]
    json_lines(tmp_path / "set/test.jsonl", rows)
    videos = write_clips(tmp_path / "videos", [row["path"] for row in rows])
    done, items = imported(NAME, tmp_path / "set", tmp_path / "out", media=[videos])
    assert (done.rows_written, done.defects) == (5, ())
    assert [(item.gold, set(item.options)) for item in items] == OPTIONS
    assert items[0].film_id == "-2uIa-XMJC0"
    card = (tmp_path / "out/README.md").read_text()
    assert "| pan-left | camera_movement | Pan left | 2 | 0 |" in card
    assert "| regular-speed | camera_movement | none | 5 | 0 |" in card


def test_static_shots_have_the_options_of_a_movement(tmp_path: Path) -> None:
    static = [("static", "no-motion"), ("no-shaking", "no-motion"), ("static",)] * 8
    json_lines(tmp_path / "set/test.jsonl", [camera_row(number, *labels) for number, labels in enumerate(static)])
    write_clips(tmp_path / "set/videos", [camera_row(number)["path"] for number in range(24)])
    items = imported(NAME, tmp_path / "set", tmp_path / "out")[1]
    assert {item.gold for item in items} == {"Static shot"}
    assert {len(item.options) for item in items} == {2, 3}
    dimension = dimension_named(items[0].dimension)
    assert all(dimension.parse(option) for item in items for option in item.options)
    assert len({frozenset(item.options) for item in items}) > 4


def test_rows_without_a_movement_or_a_certainly_wrong_option_are_left_out_by_name(tmp_path: Path) -> None:
    rows = [
        camera_row(0, "unsteady", "no-motion", "regular-speed"),
        camera_row(1, "static", "pan-left"),
        camera_row(2, "pan-left", "tilt-up", "pan-right"),
        camera_row(3, "arc-CW", "roll-CW"),
        camera_row(4, "pan-left", "whip"),
        camera_row(5),
    ]
    json_lines(tmp_path / "set/test.jsonl", rows)
    write_clips(tmp_path / "set", [rows[4]["path"]])
    done, items = imported(NAME, tmp_path / "set", tmp_path / "out")
    assert [item.gold for item in items] == ["Pan left"]
    assert losses(done.defects) == [
        ("class that corresponds to no term", "no term corresponds to unsteady, no-motion, regular-speed"),
        ("labels that exclude each other", "static, and Pan left"),
        ("labels that exclude each other", "Pan left, Pan right, in an unknown order"),
        ("too few distractors", "no other movement is excluded by Camera roll, Arc"),
        ("class that corresponds to no term", "no term corresponds to no label"),
    ]
    assert [str(defect.kind) for defect in done.defects if not defect.loses_row] == ["label that names no term"]
    assert "| whip |  | not in the table of classes | 1 | 0 |" in (tmp_path / "out/README.md").read_text()


def test_clips_are_read_from_zip_files_and_doubtful_names_are_refused(tmp_path: Path) -> None:
    rows = [camera_row(number, "pan-left") for number in range(4)]
    rows[1]["path"] = f"/data3/authors/{rows[1]['path']}"
    json_lines(tmp_path / "set/test.jsonl", [*rows, {"labels": "pan-left", "path": "a.mp4"}, [], {"labels": []}])
    with zipfile.ZipFile(tmp_path / "set/videos.zip", "w") as archive:
        for folder, row in [("videos", rows[0]), ("videos", rows[1]), ("one", rows[2]), ("two", rows[2])]:
            archive.writestr(f"{folder}/{Path(row['path']).name}", clip())
    with pytest.raises(RowsLost, match="5 of 7 rows") as refusal:
        import_published_set(NAME, str(tmp_path / "set"), tmp_path / "out")
    kinds = [str(defect.kind) for defect in refusal.value.report.defects]
    assert kinds == ["ambiguous medium", "missing medium", "bad row", "bad row", "bad row"]
    assert len(imported(NAME, tmp_path / "set", tmp_path / "out", allow_missing=True)[1]) == 2
    (tmp_path / "set/videos.zip").write_bytes(b"PK cut off")
    with pytest.raises(ImportRefused, match="download it again"):
        import_published_set(NAME, str(tmp_path / "set"), tmp_path / "again")
    (tmp_path / "set/videos.zip").unlink()
    with pytest.raises(ImportRefused, match=r"none of the media .* --media"):
        import_published_set(NAME, str(tmp_path / "set"), tmp_path / "again")


def test_links_in_the_hub_cache_are_followed_and_links_out_of_a_folder_are_not(tmp_path: Path) -> None:
    rows = [camera_row(number, "pan-left") for number in range(2)]
    storage = tmp_path / "datasets--syCen--CameraBench"
    source = storage / "snapshots/0123"
    json_lines(storage / "blobs/0", rows)
    write_clips(storage / "blobs", ["1"])
    (source / "videos").mkdir(parents=True)
    (source / "test.jsonl").symlink_to("../../blobs/0")
    (source / rows[0]["path"]).symlink_to("../../../blobs/1")
    (source / rows[1]["path"]).symlink_to(write_clips(tmp_path / "outside", ["secret.mp4"]) / "secret.mp4")
    with pytest.raises(RowsLost) as refusal:
        import_published_set(NAME, str(source), tmp_path / "out")
    (defect,) = refusal.value.report.defects
    assert (defect.kind, defect.line) == ("not a regular file", 2)
    assert len(imported(NAME, source, tmp_path / "out", allow_missing=True)[1]) == 1
