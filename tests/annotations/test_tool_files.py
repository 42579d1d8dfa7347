"""Files of annotation tools: what each format says, to the frame, and what in it is no annotation."""

from __future__ import annotations

import json
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.annotations.tools.read_tool_file import read_tool_file
from data_pipeline.annotations.tools.tool_annotation import BadAnnotations, Span, ToolFile

SLOTS = {"t1": "0", "t2": "2002", "t3": "2002", "t4": "5005", "t5": None}
VIA_ATTRIBUTES = {
    "1": {"aname": "shot size", "type": 4, "options": {"0": "Close Up", "1": "Wide"}, "default_option_id": "1"},
    "2": {"aname": "camera movement", "type": 2, "options": {"a": "Pan left", "b": "Tilt up"}},
    "3": {"aname": "notes", "type": 1, "options": {}},
}


def seconds(start: str, end: str | None) -> Span:
    return Span((Fraction(start), None if end is None else Fraction(end)))


def frames(first: int, end: int) -> Span:
    return Span(frames=(first, end))


def read(path: Path, content: str | bytes, rate: Fraction | None = None) -> ToolFile:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_tool_file(path, rate, lambda _: None)


def said(file: ToolFile) -> list[tuple[str, str, Span | None]]:
    return [(one.name, one.value, one.span) for one in file.annotations]


def elan(*tiers: str, header: str = '<MEDIA_DESCRIPTOR MIME_TYPE="video/mp4" RELATIVE_MEDIA_URL="./a.mp4"/>') -> str:
    slots = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="{name}"' + (f' TIME_VALUE="{value}"/>' if value else "/>")
        for name, value in SLOTS.items()
    )
    return (
        f'<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds">{header}</HEADER>'
        f"<TIME_ORDER>{slots}</TIME_ORDER>{''.join(tiers)}</ANNOTATION_DOCUMENT>"
    )


def tier(name: str, *annotations: str) -> str:
    return f'<TIER TIER_ID="{name}">{"".join(f"<ANNOTATION>{one}</ANNOTATION>" for one in annotations)}</TIER>'


def aligned(name: str, start: str, end: str, value: str = "") -> str:
    ends = f'TIME_SLOT_REF1="{start}" TIME_SLOT_REF2="{end}"'
    text = f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE>"
    return f'<ALIGNABLE_ANNOTATION ANNOTATION_ID="{name}" {ends}>{text}</ALIGNABLE_ANNOTATION>'


def referring(name: str, parent: str, value: str) -> str:
    text = f"<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE>"
    return f'<REF_ANNOTATION ANNOTATION_ID="{name}" ANNOTATION_REF="{parent}">{text}</REF_ANNOTATION>'


def test_an_annotation_of_elan_has_the_range_that_its_chain_of_parents_leads_to(tmp_path: Path) -> None:
    text = elan(
        tier("Shot", aligned("a1", "t1", "t2", "1"), aligned("a2", "t3", "t4", "2")),
        tier("Size", referring("a3", "a1", "Close Up"), referring("a4", "a2", "Wide &amp; wider")),
        tier("Why", referring("a5", "a4", "horizon")),
    )
    found = read(tmp_path / "a.eaf", '\ufeff<?xml version="1.0" encoding="UTF-8"?>' + text)
    one, two = seconds("0", "2.002"), seconds("2.002", "5.005")
    assert said(found) == [
        ("Shot", "1", one),
        ("Shot", "2", two),
        ("Size", "Close Up", one),
        ("Size", "Wide & wider", two),
        ("Why", "horizon", two),
    ]
    assert {one.media for one in found.annotations} == {("./a.mp4",)}


def test_annotations_of_elan_without_a_time_are_named_and_no_time_is_made_up(tmp_path: Path) -> None:
    found = read(
        tmp_path / "a.eaf",
        elan(
            tier("Move", aligned("a1", "t1", "t5", "Pan left"), aligned("a2", "t4", "t2", "Pan right")),
            tier("Size", referring("a3", "a1", "CU"), referring("a4", "a9", "CU"), referring("a5", "a5", "CU")),
        ),
    )
    assert not found.annotations
    assert [one.where.split()[1] for one in found.unread] == ["a1", "a2", "a3", "a4", "a5"]
    assert "align it there" in found.unread[0].reason and "not after its start" in found.unread[1].reason


def test_the_time_origin_of_elan_is_where_the_film_begins_and_sound_is_no_film(tmp_path: Path) -> None:
    header = (
        '<MEDIA_DESCRIPTOR MIME_TYPE="audio/x-wav" MEDIA_URL="file:///a.wav" RELATIVE_MEDIA_URL="./a.wav"/>'
        '<MEDIA_DESCRIPTOR MIME_TYPE="video/mp4" MEDIA_URL="file:///films/b.mp4" TIME_ORIGIN="1500"/>'
    )
    (one,) = read(tmp_path / "a.eaf", elan(tier("Size", aligned("a1", "t1", "t2", "CU")), header=header)).annotations
    assert one.media == ("file:///films/b.mp4",) and one.span == seconds("1.5", "3.502")


@pytest.mark.parametrize(
    ("name", "root"),
    [("a.eaf", "ANNOTATION_DOCUMENT"), ("a.xml", "annotations"), ("a.xml", "xmeml"), ("a.fcpxml", "fcpxml")],
)
def test_entities_that_expand_are_refused_in_every_xml(tmp_path: Path, name: str, root: str) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
    with pytest.raises(BadAnnotations, match="declares the entity a"):
        read(tmp_path / name, f"{bomb}<{root}>&b;</{root}>")


def cvat(body: str, *, kind: str = "task", stop: int = 119, more: str = "") -> str:
    about = f"<id>7</id><name>x</name><start_frame>0</start_frame><stop_frame>{stop}</stop_frame>{more}"
    return f"<annotations><meta><{kind}>{about}<source>a.mp4</source></{kind}></meta>{body}</annotations>"


def box(frame: int, outside: int = 0, **attributes: str) -> str:
    inner = "".join(f'<attribute name="{name}">{value}</attribute>' for name, value in attributes.items())
    return f'<box frame="{frame}" keyframe="1" outside="{outside}" xtl="0">{inner}</box>'


def test_a_track_of_cvat_is_shown_up_to_the_outside_keyframe_and_its_attributes_change_at_keyframes(
    tmp_path: Path,
) -> None:
    track = f"""<track id="3" label="shot">{box(0, size="CU")}{box(10, size="MCU")}{box(24, 1, size="MCU")}
        {box(48, size="Wide")}</track>"""
    found = read(tmp_path / "a.xml", cvat(track, kind="job"))
    assert set(said(found)) == {
        ("label", "shot", frames(0, 24)),
        ("label", "shot", frames(48, 120)),
        ("size", "CU", frames(0, 10)),
        ("size", "MCU", frames(10, 24)),
        ("size", "Wide", frames(48, 120)),
    }
    assert {one.media for one in found.annotations} == {("a.mp4", "x")}


def test_tracks_of_a_project_of_cvat_are_of_the_film_of_their_task(tmp_path: Path) -> None:
    task = "<task><id>{0}</id><name>n</name><source>{0}.mp4</source><stop_frame>{1}</stop_frame></task>"
    tracks = f'<track label="CU" task_id="2">{box(5)}</track><track label="MCU" task_id="1">{box(0)}</track>'
    tasks = f"<tasks>{task.format(1, 9)}{task.format(2, 19)}</tasks>"
    found = read(tmp_path / "a.xml", f"<annotations><meta><project>{tasks}</project></meta>{tracks}</annotations>")
    assert [(one.media[0], one.span) for one in found.annotations] == [
        ("2.mp4", frames(5, 20)),
        ("1.mp4", frames(0, 10)),
    ]


def test_frames_of_cvat_are_those_of_the_film_where_a_task_takes_every_third(tmp_path: Path) -> None:
    more = "<frame_filter>step=3</frame_filter>"
    track = f'<track id="0" label="Close Up">{box(30)}{box(60, 1)}</track>'
    images = "".join(
        f'<image id="{number}" name="frame_{frame:06}"><tag label="{label}"/></image>'
        for number, (frame, label) in enumerate([(60, "Wide"), (63, "Wide"), (66, "Static"), (90, "Static")])
    )
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("annotations.xml", cvat(track + images, more=more))
    found = read_tool_file(tmp_path / "a.zip", None, lambda _: None)
    assert said(found) == [
        ("label", "Close Up", frames(30, 60)),
        ("label", "Wide", frames(60, 66)),
        ("label", "Static", frames(66, 69)),
        ("label", "Static", frames(90, 93)),
    ]


def test_pictures_of_cvat_are_stills_and_boxes_in_them_no_labels(tmp_path: Path) -> None:
    image = '<image id="0" name="set/x.jpg"><tag label="Close Up"/><box label="face" xtl="1"/></image>'
    found = read(tmp_path / "a.xml", cvat(image))
    assert [(one.value, one.span, one.media) for one in found.annotations] == [("Close Up", None, ("set/x.jpg",))]
    assert [one.where for one in found.unread] == ["image set/x.jpg"]


def region(name: str, labels: list[str], *ranges: tuple[int, int]) -> dict[str, Any]:
    value = {"ranges": [{"start": start, "end": end} for start, end in ranges], "timelinelabels": labels}
    return {"id": name, "from_name": "size", "type": "timelinelabels", "value": value}


def studio_task(*results: dict[str, Any], **annotation: Any) -> dict[str, Any]:
    return {"id": 5, "data": {"video": "/data/a.mp4"}, "annotations": [{"id": 1, "result": results, **annotation}]}


def test_ranges_of_label_studio_count_from_one_and_include_both_ends(tmp_path: Path) -> None:
    task = studio_task(region("r", ["Close Up"], (1, 48)), region("s", ["Wide"], (49, 120), (121, 121)))
    found = read(tmp_path / "a.json", json.dumps([task]), Fraction(24000, 1001))
    assert said(found) == [
        ("size", "Close Up", seconds("0", "2.002")),
        ("size", "Wide", seconds("2.002", "5.005")),
        ("size", "Wide", seconds("5.005", "121121/24000")),
    ]


def test_label_studio_without_a_frame_rate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadAnnotations, match=r"a\.json.*give --fps"):
        read(tmp_path / "a.json", json.dumps([studio_task(region("r", ["Wide"], (1, 48)))]))


def test_choices_of_label_studio_are_about_their_region_or_all_of_the_film(tmp_path: Path) -> None:
    per_region = {"id": "r", "from_name": "angle", "type": "choices", "value": {"choices": ["Low angle"]}}
    whole = {"id": "q", "from_name": "movement", "type": "choices", "value": {"choices": ["Pan left", "Tilt up"]}}
    sound = {
        "id": "l",
        "from_name": "light",
        "type": "labels",
        "value": {"start": 0.5, "end": 1.25, "labels": ["Sunny"]},
    }
    task = studio_task(region("r", ["Wide"], (1, 24)), per_region, whole, sound)
    assert said(read(tmp_path / "a.json", json.dumps([task]), Fraction(24))) == [
        ("size", "Wide", seconds("0", "1")),
        ("angle", "Low angle", seconds("0", "1")),
        ("movement", "Pan left", None),
        ("movement", "Tilt up", None),
        ("light", "Sunny", seconds("0.5", "1.25")),
    ]


@pytest.mark.parametrize("name", ["a.mp4", "a.wmv", "a.mts", "b.jpeg", "b.webp", "B.TIFF"])
def test_the_medium_of_label_studio_is_the_text_with_the_suffix_of_a_film_or_still(tmp_path: Path, name: str) -> None:
    task = studio_task(region("r", ["Wide"], (1, 24))) | {"data": {"shown": f"/data/upload/1/{name}", "scene": "3"}}
    (found,) = read(tmp_path / "a.json", json.dumps([task]), Fraction(24)).annotations
    assert found.media == (f"/data/upload/1/{name}",)


def test_json_min_of_label_studio_says_the_same(tmp_path: Path) -> None:
    task = {
        "video": "/data/a.mp4",
        "id": 5,
        "annotator": 2,
        "lead_time": 3.5,
        "size": [{"ranges": [{"start": 1, "end": 24}], "timelinelabels": ["Wide"]}],
        "movement": "Pan left",
        "light": {"choices": ["Sunny", "Daylight"]},
    }
    found = read(tmp_path / "a.json", json.dumps([task]), Fraction(24))
    assert said(found) == [
        ("size", "Wide", seconds("0", "1")),
        ("movement", "Pan left", None),
        ("light", "Sunny", None),
        ("light", "Daylight", None),
    ]
    assert {(one.annotator, one.media) for one in found.annotations} == {("2", ("/data/a.mp4",))}


def test_what_label_studio_cancelled_or_predicted_is_no_annotation(tmp_path: Path) -> None:
    task = studio_task(region("r", ["Wide"], (1, 24)), was_cancelled=True) | {"predictions": [{"result": []}]}
    box_region = {"id": "b", "from_name": "box", "type": "videorectangle", "value": {"sequence": [{"frame": 1}]}}
    other = studio_task(box_region, region("z", ["Wide"], (0, 3)))
    found = read(tmp_path / "a.json", json.dumps([task, other]), Fraction(24))
    assert not found.annotations
    assert [reason for _, reason in found.unread] == [
        "it was cancelled",
        "1 predictions of a model are no annotations",
        "a result of type videorectangle of box is no label of a range",
        "0 to 3 is no range of frames, which count from 1",
    ]


def test_options_of_via_are_their_texts(tmp_path: Path) -> None:
    metadata = {
        "1_a": {"vid": "1", "z": [0, 2.002], "xy": [], "av": {"1": "0", "2": "a,b"}},
        "1_b": {"vid": "1", "z": [2.002, 5.005], "xy": [], "av": {"1": "_DEFAULT", "3": "0, or so"}},
        "1_c": {"vid": "1", "z": [3.5], "xy": [2, 1, 1, 9, 9], "av": {"1": "1"}},
        "1_d": {"vid": "1", "z": [], "xy": [], "av": {"1": "Static"}},
        "1_e": {"vid": "1", "z": [1, 2, 3], "xy": [], "av": {"1": "0"}},
        "1_f": {"vid": "1", "z": [1, 2], "xy": [], "av": {"9": "0"}},
    }
    project = {
        "attribute": VIA_ATTRIBUTES,
        "file": {"7": {"fid": "7", "fname": "a.wav", "type": 8}, "8": {"fid": "8", "fname": "a.mp4", "type": 4}},
        "view": {"1": {"fid_list": ["7", "8"]}},
        "metadata": metadata,
    }
    found = read(tmp_path / "a.json", json.dumps(project))
    one, two = seconds("0", "2.002"), seconds("2.002", "5.005")
    assert said(found) == [
        ("shot size", "Close Up", one),
        ("camera movement", "Pan left", one),
        ("camera movement", "Tilt up", one),
        ("shot size", "Wide", two),
        ("notes", "0, or so", two),
        ("shot size", "Wide", seconds("3.5", None)),
        ("shot size", "Static", None),
    ]
    assert {one.media for one in found.annotations} == {("a.mp4",)}
    assert [one.where for one in found.unread] == ["metadata 1_e", "metadata 1_f"]


@pytest.mark.parametrize("first", ["", "\n", "Timecode List:;00:00:02.002\n"])
def test_a_scene_list_may_have_columns_of_labels_and_another_separator(tmp_path: Path, first: str) -> None:
    names = "Scene Number;Start Frame;Start Timecode;Start Time (seconds);End Frame;End Time (seconds);Shot Size"
    rows = "1;1;00:00:00.000;0.000;48;2.002;Close Up\n2;49;00:00:02.002;2.002;120;5.005;\n"
    found = read(tmp_path / "a-Scenes.csv", f"{first}{names}\n{rows}")
    one = Span((Fraction(0), Fraction("2.002")), (0, 48))
    two = Span((Fraction("2.002"), Fraction("5.005")), (48, 120))
    assert said(found) == [("shot", "", one), ("Shot Size", "Close Up", one), ("shot", "", two)]
    assert {one.media for one in found.annotations} == {("a",)}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.eaf", "<ANNOTATION_DOCUMENT", "line 1: no well-formed XML"),
        ("a.eaf", '<A><HEADER TIME_UNITS="PAL-frames"/></A>', "its times are PAL-frames"),
        ("a.xml", "<html/>", "an XML document html"),
        ("a.json", "{", "no JSON"),
        ("a.json", '{"a": 1}', "neither an export of Label Studio nor a project of VIA 3; it has a"),
        ("a.csv", "start,end\n0,1\n", "a table is read by shotbench data films"),
        ("a.txt", "", "no format that is read"),
        ("a.edl", "TITLE: x\n001  AX  V  C  00:00:00:00 00:00:01:00 00:00:00:00 00:00:01:00\n", "frame rate"),
        ("a.zip", b"PK", "not as its tool writes it"),
    ],
)
def test_a_file_of_no_tool_is_refused_by_name(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(BadAnnotations, match=message) as refused:
        read(tmp_path / name, content)
    assert name in str(refused.value)
