"""A scene list of PySceneDetect: a CSV table of shots, whose columns beyond those of PySceneDetect are labels.

The header is the first or second line: a list of cuts may be before it. Frames count from 1, and the last frame of a
scene is part of it. The separator is the one of the header. The film is the one whose name the list has.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from data_pipeline.annotations.annotation_files import table_text
from data_pipeline.annotations.columns import TableRefused
from data_pipeline.annotations.tools.tool_annotation import SHOT, Span, ToolAnnotation, ToolFile

SCENE = "Scene Number"  # first column
SCENES_FILE = re.compile(r"(.+)-Scenes", re.IGNORECASE)  # the list of a film of that name
FIRST, LAST = "Start Frame", "End Frame"
SECONDS = ("Start Time (seconds)", "End Time (seconds)")
MEASURED = frozenset(
    [
        *(SCENE, FIRST, LAST, *SECONDS, "Start Timecode", "End Timecode"),
        *("Length (frames)", "Length (timecode)", "Length (seconds)"),
    ]
)


class ListedScene(NamedTuple):
    """One row: the half-open range of frames, counted from 0, and all cells."""

    line: int
    first: int
    end: int
    cells: Mapping[str, str]


def read_scenes(path: Path) -> list[ListedScene] | None:
    """Read the scenes of a list; None if the file is another table.

    Raises:
        TableRefused: it is no text, or a row has no frames.
    """
    lines = table_text(path).splitlines()
    header = next((number for number, line in enumerate(lines[:2]) if line.lstrip('"').startswith(SCENE)), None)
    if header is None:
        return None
    separator = lines[header].lstrip('"').removeprefix(SCENE).lstrip('"')[:1] or ","
    rows = list(csv.reader(io.StringIO("\n".join(lines[header:])), delimiter=separator))
    return list(_scenes(path, rows[0], rows[1:], header + 2))


def _scenes(path: Path, names: list[str], rows: list[list[str]], first_line: int) -> Iterator[ListedScene]:
    for line, cells in enumerate(rows, start=first_line):
        if not any(cells):
            continue
        row = dict(zip(names, cells, strict=False))
        try:
            yield ListedScene(line, int(row[FIRST]) - 1, int(row[LAST]), row)
        except (KeyError, ValueError):
            detail = f"no scene with the columns {FIRST} and {LAST} of PySceneDetect"
            raise TableRefused(f"{path} line {line}: {detail}") from None


def film_of_scenes(path: Path) -> str:
    """The name of the film of a scene list, without suffix; empty if the list has another name."""
    named = SCENES_FILE.fullmatch(path.stem)
    return named[1] if named else ""


def read_scene_list(path: Path) -> ToolFile | None:
    """Read a scene list as annotations; None if the file is another table."""
    scenes = read_scenes(path)
    if scenes is None:
        return None
    media = (name,) if (name := film_of_scenes(path)) else ()
    found: list[ToolAnnotation] = []
    for scene in scenes:
        start, end = (Fraction(scene.cells[name]) if scene.cells.get(name) else None for name in SECONDS)
        span = Span(None if start is None or end is None else (start, end), (scene.first, scene.end))
        where = f"line {scene.line}"
        found.append(ToolAnnotation(SHOT, "", span, media, where, is_shot=True))
        labels = {name: text.strip() for name, text in scene.cells.items() if name not in MEASURED}
        found += [ToolAnnotation(name, text, span, media, where) for name, text in labels.items() if text]
    return ToolFile(found)
