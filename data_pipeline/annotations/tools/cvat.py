"""CVAT's XML, "for video 1.1" (tracks) and "for images 1.1" (tags), of a task, a job or a project.

Frames have the numbers of the film, from 0, also where a task begins later or takes every n-th frame. A track is shown
from a keyframe that is not `outside` up to the keyframe that is, which is not part of it, or to the end of the task. An
attribute holds from its keyframe to the next. A tag is of one frame: tags that are equal on successive frames are one
range. In a task of pictures, frames are stills.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple
from xml.etree.ElementTree import Element

from data_pipeline.annotations.tools.tool_annotation import Span, ToolAnnotation, ToolFile, Unread

LABEL = "label"  # name of the annotations that are a label of CVAT, not an attribute
_STEP = re.compile(r"step\s*=\s*(\d+)")
_FRAME = re.compile(r"frame_(\d+)")
Statements = frozenset[tuple[str, str]]  # names and values that hold


class _CvatTask(NamedTuple):
    media: tuple[str, ...]
    end: int | None  # number after that of its last frame
    step: int  # from one frame to the next


@dataclass
class _Open:
    """What has held since which frame."""

    since: dict[tuple[str, str], int] = field(default_factory=dict)

    def change(self, frame: int, statements: Statements) -> Iterator[tuple[tuple[str, str], tuple[int, int]]]:
        """Take what holds from a frame on; yields what ended there, with its range of frames."""
        for ended in [one for one in self.since if one not in statements]:
            yield ended, (self.since.pop(ended), frame)
        for one in sorted(statements):
            self.since.setdefault(one, frame)


def read_cvat(root: Element) -> ToolFile:
    """Read the tracks and tags; shapes of single pictures are left out and named."""
    tasks = _tasks(root)
    found: list[ToolAnnotation] = []
    unread: list[Unread] = []
    for number, track in enumerate(root.iter("track")):
        task = tasks.get(track.get("task_id", ""), tasks[""])
        where = f"track {track.get('id', number)}"
        _read_track(track, task, where, found, unread)
    _read_tags(list(root.iter("image")), tasks, found, unread)
    return ToolFile(found, unread)


def _tasks(root: Element) -> dict[str, _CvatTask]:
    """The tasks by id; "" is the only or first one."""
    meta = root.find("meta")
    described = [] if meta is None else [one for tag in ("task", "job") for one in meta.iter(tag)]
    tasks = {one.findtext("id") or "": _task(one, meta) for one in described}
    return {"": next(iter(tasks.values()), _CvatTask((), None, 1)), **tasks}


def _task(described: Element, meta: Element | None) -> _CvatTask:
    source = described.findtext("source") or (meta.findtext("source") if meta is not None else "")
    names = (source, described.findtext("name"))
    stop = (described.findtext("stop_frame") or "").strip()
    step = _STEP.search(described.findtext("frame_filter") or "")
    media = tuple(name.strip() for name in names if name and name.strip())
    return _CvatTask(media, int(stop) + 1 if stop.isdigit() else None, int(step[1]) if step else 1)


def _read_track(track: Element, task: _CvatTask, where: str, found: list[ToolAnnotation], unread: list[Unread]) -> None:
    shapes = sorted(
        (shape for shape in track if (shape.get("frame") or "").isdigit()), key=lambda shape: int(shape.get("frame", 0))
    )
    still_open = _Open()
    label, ranges = track.get("label", ""), list[tuple[tuple[str, str], tuple[int, int]]]()
    fixed = _attributes(track)
    for shape in shapes:
        holds = {(LABEL, label), *fixed, *_attributes(shape)} if shape.get("outside") != "1" else set()
        ranges += still_open.change(int(shape.get("frame", 0)), frozenset(holds))
    if still_open.since and task.end is None:
        unread.append(Unread(where, "it is open at the end, and the file does not state the last frame of the task"))
    elif still_open.since:
        ranges += still_open.change(task.end or 0, frozenset())
    for (name, value), frames in ranges:
        if frames[0] >= frames[1]:
            unread.append(Unread(where, f"it begins at frame {frames[0]}, after the last frame of the task"))
        else:
            found.append(ToolAnnotation(name, value, Span(frames=frames), task.media, where))


def _attributes(element: Element) -> set[tuple[str, str]]:
    """Names and values of the attributes that are set."""
    given = {(one.get("name", ""), (one.text or "").strip()) for one in element.findall("attribute")}
    return {(name, value) for name, value in given if value}


def _read_tags(
    images: Sequence[Element], tasks: Mapping[str, _CvatTask], found: list[ToolAnnotation], unread: list[Unread]
) -> None:
    of_films: dict[str, dict[int, Statements]] = {}
    for image in images:
        name = image.get("name", "")
        for shape in {one.tag for one in image if one.tag != "tag"}:
            unread.append(
                Unread(f"image {name}", f"a {shape} is a part of the picture, not a label of all of it; use tags")
            )
        tags = [{(LABEL, tag.get("label", "")), *_attributes(tag)} for tag in image.findall("tag")]
        holds = frozenset(one for tag in tags for one in tag)
        if number := _FRAME.fullmatch(PurePosixPath(name).stem):
            of_films.setdefault(image.get("task_id", ""), {})[int(number[1])] = holds
        else:
            found += [ToolAnnotation(*one, None, (name,), f"image {name}") for one in sorted(holds)]
    for task_id, frames in of_films.items():
        task = tasks.get(task_id, tasks[""])
        for (name, value), span in _runs(frames, task.step):
            where = f"tag of frames {span[0]} to {span[1] - 1}"
            found.append(ToolAnnotation(name, value, Span(frames=span), task.media, where))


def _runs(frames: Mapping[int, Statements], step: int) -> Iterable[tuple[tuple[str, str], tuple[int, int]]]:
    """The ranges in which each statement holds, of those on single frames that are `step` apart."""
    still_open, last = _Open(), None
    for number in sorted(frames):
        if last is not None and number > last + step:
            yield from still_open.change(last + step, frozenset())
        yield from still_open.change(number, frames[number])
        last = number
    if last is not None:
        yield from still_open.change(last + step, frozenset())
