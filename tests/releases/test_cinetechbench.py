"""Import of CineTechBench: questions as published with local media, mapped by class names, never pushed in public."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.releases.checked_rows import RowsLost
from data_pipeline.releases.import_published_set import import_published_set
from data_pipeline.shards.push import push
from data_pipeline.shards.push_result import PushRefused
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.published_sets import cinetech_clip, cinetech_still, imported, losses, write_clips
from tests.support.releases import clip, still

NAME = "cinetechbench"
STILLS = [
    cinetech_still(1, "Scale", "Medium Long Shot", "Long Shot", "Medium Long Shot", "Close-Up", answer="B"),
    cinetech_still(2, "Angle", "Worm's Eye View"),
    cinetech_still(3, "Compostion", "Central"),
    cinetech_still(4, "Focal Lengths", "Medium Focal Lens", "Medium Focal Length", "Macro Lengs"),
    cinetech_still(5, "Lighting", "Back Light", "Back Light", "Top Light", "Side Light", "Low Key"),
]
LEFT_OUT = [
    cinetech_still(6, "Colors", "Red"),
    cinetech_still(7, "Angle", "Profile Shot"),
    cinetech_still(8, "Focal Lengths", "Macro Lengs"),
    cinetech_still(9, "Mood", "Gloomy"),
]


def release(folder: Path, stills: list[Any], clips: list[Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "image_annotation.json").write_text(json.dumps(stills))
    (folder / "video_annotation.json").write_text(json.dumps(clips))
    return folder


def media_of(folder: Path, stills: list[Any], clips: list[Any]) -> Path:
    write_clips(folder, [row["video_name"] for row in clips])
    for number, row in enumerate(stills):
        (folder / row["Image_name"]).write_bytes(still(number))
    return folder


def test_questions_keep_their_words_and_classes_are_found_by_name(tmp_path: Path) -> None:
    clips = [cinetech_clip(1, "Fixed Shot"), cinetech_clip(2, "Rolling Clockwise Shot")]
    others = [cinetech_clip(3, "Crane Shot"), cinetech_clip(4, "Pan Left Shot and Tilt Up Shot")]
    source = release(tmp_path / "set", STILLS + LEFT_OUT, clips + others)
    media = media_of(tmp_path / "media", STILLS, clips)
    done, items = imported(NAME, source, tmp_path / "out", media=[media])
    assert (done.rows_read, done.rows_written, done.rows_broken) == (13, 7, 0)
    assert losses(done.defects) == [
        ("class that corresponds to no term", "'Crane Shot' of video"),
        ("label that names no term", "'Pan Left Shot and Tilt Up Shot' of video is not in the table of classes"),
        ("class that corresponds to no term", "'Red' of Colors"),
        ("class that corresponds to no term", "'Profile Shot' of Angle"),
        ("class that corresponds to no term", "'Macro Lens' of Focal Lengths"),
        ("label that names no term", "category 'Mood' is not in the table of classes"),
    ]
    assert items[0].options == ("Long Shot", "Medium Long Shot", "Close-Up")
    assert [item.gold for item in items[:3]] == ["Medium Long Shot", "Worm's Eye View", "Central"]
    assert [item.media_kind for item in items] == [MediaKind.STILL] * 5 + [MediaKind.CLIP] * 2
    assert len({item.dimension for item in items}) == 6
    assert [item.film_id for item in (items[0], items[5])] == ["tt0000001", "movie 1"]
    card = (tmp_path / "out/README.md").read_text()
    assert "| Angle: Worm's Eye View | camera_angle | Low angle (approximate) | 1 | 0 |" in card
    assert "| Colors: Red |  | none | 0 | 1 |" in card
    with pytest.raises(PushRefused, match=r"cc-by-nc-nd-4\.0"):
        push(tmp_path / "out", "someone/cinetech")


def test_broken_rows_media_and_contradictions_are_recorded(tmp_path: Path) -> None:
    stills = [
        cinetech_still(1, "Scale", "Long Shot", "Long Shot", "Medium Shot", answer="B"),
        cinetech_still(2, "Scale", "Long Shot", answer="E"),
        cinetech_still(3, "Scale", "Long Shot") | {"QA": {"Prompt": "What is it?", "Answer": "A"}},
        {"Image_name": "x.jpg", "Category": "Scale"},
    ]
    clips = [
        cinetech_clip(1, "Zoom In Shot", "00:10:05", "00:10:06"),
        cinetech_clip(2, "Zoom In Shot", "01:00:00", "01:00:00"),
    ]
    source, media = release(tmp_path / "set", stills, clips), media_of(tmp_path / "media", stills[:3], clips)
    (media / clips[1]["video_name"]).write_bytes(clip(50))  # two seconds, of which nothing is annotated
    with pytest.raises(RowsLost, match="4 of 6 rows") as refusal:
        import_published_set(NAME, str(source), tmp_path / "out", media=[media])
    assert [(str(one.kind), one.index) for one in refusal.value.report.defects] == [
        ("answer that is not among the tags of the shot", "cinetechbench-image-00000"),
        ("bad row", "cinetechbench-image-00001"),
        ("bad row", "cinetechbench-video-00001"),
        ("bad row", "cinetechbench-image-00002"),
        ("bad row", "cinetechbench-image-00003"),
    ]
    details = " ".join(defect.detail for defect in refusal.value.report.defects)
    assert "only the part from 01:00:00 to 01:00:00 (minutes, seconds, frames); cut it out" in details
    assert "keys is ['Category', 'Image_name'], expected one of Annotation" in details
    assert len(imported(NAME, source, tmp_path / "out", media=[media], allow_missing=True)[1]) == 2
