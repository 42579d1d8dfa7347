"""One film of three shots, and files of every annotation tool that say the same about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from lmms_eval_shotbench.labelling.exports.timelines import write_timelines
from lmms_eval_shotbench.labelling.label_cell import LabelCell, Status
from lmms_eval_shotbench.labelling.shot import FilmFacts, FilmShot
from lmms_eval_shotbench.labelling.shot_sheet import SheetRow, ShotSheet
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE
from tests.support.made_films import MadeFilm, MadeShot

RATE = Fraction(24000, 1001)  # so that milliseconds, frames and timecode differ
FILM = MadeFilm(shots=(MadeShot(36, 1), MadeShot(49, 2), MadeShot(35, 3)), rate=RATE)
RANGES = ((0, 36), (36, 85), (85, 120))
LABELS = (
    {SHOT_SIZE: "Close Up"},
    {SHOT_SIZE: "Medium", CAMERA_MOVEMENT: "Pan left"},
    {SHOT_SIZE: "Extreme Wide"},
)
TIMELINES = ("demo.otio", "demo.edl", "demo.xml", "demo.fcpxml")
NAMES = ("demo.eaf", "cvat.xml", "studio.json", "via.json", "demo-Scenes.csv", *TIMELINES)


def write_tool_files(folder: Path, name: str = "demo.mp4") -> dict[str, Path]:
    """Write the files of all tools; returns them by name."""
    texts = {
        "demo.eaf": _elan(name),
        "cvat.xml": _cvat(name),
        "studio.json": _label_studio(name),
        "via.json": _via(name),
        "demo-Scenes.csv": _scene_list(),
    }
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    for path in write_timelines(folder, labelled_sheet(folder / name)):
        path.rename(folder / f"demo{path.suffix}")
    return {file: folder / file for file in NAMES}


def labelled_sheet(film: Path, timecode: str = "") -> ShotSheet:
    """The shots of the film with their labels."""
    facts = FilmFacts("demo", film.name, str(film), RATE, FILM.frames, 256, 144, timecode)
    rows = []
    for number, ((first, end), labels) in enumerate(zip(RANGES, LABELS, strict=True), start=1):
        shot = FilmShot(f"demo-{number:04}", "demo", number, "", "", first, end, float(first / RATE), float(end / RATE))
        cells = {dimension.slug: LabelCell(Status.LABELLED, label, 0.9) for dimension, label in labels.items()}
        rows.append(SheetRow(shot, cells))
    return ShotSheet([facts], rows)


def _milliseconds(frame: int) -> int:
    return round(1000 * frame / RATE)


def _elan(name: str) -> str:
    slots, tiers = "", dict[str, str]()
    for number, ((first, end), labels) in enumerate(zip(RANGES, LABELS, strict=True)):
        for letter, frame in (("s", first), ("e", end)):
            slots += f'<TIME_SLOT TIME_SLOT_ID="{letter}{number}" TIME_VALUE="{_milliseconds(frame)}"/>'
        for dimension, label in labels.items():
            ends = f'TIME_SLOT_REF1="s{number}" TIME_SLOT_REF2="e{number}"'
            tiers[dimension.release_label] = tiers.get(dimension.release_label, "") + (
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{dimension.slug}{number}" {ends}>'
                f"<ANNOTATION_VALUE>{label}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
            )
    listed = "".join(f'<TIER TIER_ID="{tier}">{content}</TIER>' for tier, content in tiers.items())
    return (
        '<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds">'
        f'<MEDIA_DESCRIPTOR MEDIA_URL="file:///elsewhere/{name}" MIME_TYPE="video/mp4"/></HEADER>'
        f"<TIME_ORDER>{slots}</TIME_ORDER>{listed}</ANNOTATION_DOCUMENT>"
    )


def _cvat(name: str) -> str:
    def box(frame: int, outside: int, labels: Mapping[str, str]) -> str:
        inner = "".join(f'<attribute name="{one}">{label}</attribute>' for one, label in labels.items())
        return f'<box frame="{frame}" keyframe="1" outside="{outside}">{inner}</box>'

    tracks = ""
    for (first, end), labels in zip(RANGES, LABELS, strict=True):
        named = {dimension.release_label: label for dimension, label in labels.items()}
        closing = box(end, 1, named) if end < FILM.frames else ""
        tracks += f'<track label="Shot">{box(first, 0, named)}{closing}</track>'
    task = f"<task><id>1</id><stop_frame>{FILM.frames - 1}</stop_frame><source>{name}</source></task>"
    return f"<annotations><meta>{task}</meta>{tracks}</annotations>"


def _label_studio(name: str) -> str:
    results = [
        {
            "id": f"{dimension.slug}{first}",
            "from_name": dimension.slug,
            "type": "timelinelabels",
            "value": {"ranges": [{"start": first + 1, "end": end}], "timelinelabels": [label]},
        }
        for (first, end), labels in zip(RANGES, LABELS, strict=True)
        for dimension, label in labels.items()
    ]
    data = {"video": f"/data/upload/1/0123abcd-{name}"}
    return json.dumps([{"id": 1, "data": data, "annotations": [{"id": 2, "result": results}]}])


def _via(name: str) -> str:
    attribute = {
        dimension.slug: {
            "aname": dimension.release_label,
            "type": 3,
            "options": dict(enumerate(map(str, dimension.terms))),
        }
        for dimension in (SHOT_SIZE, CAMERA_MOVEMENT)
    }
    metadata = {}
    for number, ((first, end), labels) in enumerate(zip(RANGES, LABELS, strict=True)):
        chosen = {one.slug: str(list(map(str, one.terms)).index(label)) for one, label in labels.items()}
        metadata[f"1_{number}"] = {
            "vid": "1",
            "z": [_milliseconds(first) / 1000, _milliseconds(end) / 1000],
            "av": chosen,
        }
    file, view = {"1": {"fname": name, "type": 4}}, {"1": {"fid_list": ["1"]}}
    return json.dumps({"attribute": attribute, "metadata": metadata, "file": file, "view": view})


def _scene_list() -> str:
    lines = ["Scene Number,Start Frame,Start Time (seconds),End Frame,End Time (seconds),Shot Size,Camera Movement"]
    for number, ((first, end), labels) in enumerate(zip(RANGES, LABELS, strict=True), start=1):
        times = f"{first + 1},{first / float(RATE):.3f},{end},{end / float(RATE):.3f}"
        lines.append(f"{number},{times},{labels[SHOT_SIZE]},{labels.get(CAMERA_MOVEMENT, '')}")
    return "\n".join(lines) + "\n"
