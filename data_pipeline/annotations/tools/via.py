"""A project of VIA 3, the VGG video annotator: JSON with times in seconds.

A range is `z` of two times, a moment `z` of one, all of the film `z` of none. What holds is `av`: attribute ids with
the ids of options, whose texts the project has, or free text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from data_pipeline.annotations.tools.tool_annotation import Span, ToolAnnotation, ToolFile, Unread

TEXT, CHECKBOX = 1, 2  # types of attributes
SOUND = 8  # type of a file
DEFAULT = "_DEFAULT"
Object = Mapping[str, Any]


def read_via(project: Object) -> ToolFile:
    """Read the metadata of all views."""
    found: list[ToolAnnotation] = []
    unread: list[Unread] = []
    attributes = project.get("attribute") or {}
    for key, metadata in (project.get("metadata") or {}).items():
        where = f"metadata {key}"
        media = _first_files(project, str(metadata.get("vid") or key.partition("_")[0]))
        span = _span(metadata.get("z") or [])
        if isinstance(span, str):
            unread.append(Unread(where, span))
            continue
        for attribute_id, given in (metadata.get("av") or {}).items():
            attribute = attributes.get(str(attribute_id))
            if not isinstance(attribute, dict):
                unread.append(Unread(where, f"the project has no attribute {attribute_id}"))
                continue
            name = str(attribute.get("aname", attribute_id))
            found += [ToolAnnotation(name, text, span, media, where) for text in _texts(attribute, str(given))]
    return ToolFile(found, unread)


def _first_files(project: Object, view: str) -> tuple[str, ...]:
    """Names of the first file of a view that is no sound."""
    ids = ((project.get("view") or {}).get(view) or {}).get("fid_list") or [view]
    files = [one for fid in ids if isinstance(one := (project.get("file") or {}).get(str(fid)), dict)]
    shown = next((one for one in files if one.get("type") != SOUND), files[0] if files else {})
    return tuple(str(shown[name]) for name in ("fname", "src") if shown.get(name))


def _span(times: Sequence[Any]) -> Span | str | None:
    """The range of a segment, None for all of the file, or why it is none."""
    if not all(isinstance(time, (int, float)) and not isinstance(time, bool) and time >= 0 for time in times):
        return f"{times} are no times in seconds"
    exact = [Fraction(str(time)) for time in times]
    match exact:
        case []:
            return None
        case [moment]:
            return Span((moment, None))
        case [start, end] if start < end:
            return Span((start, end))
    return f"{times} is no range of a start and an end"


def _texts(attribute: Object, given: str) -> Iterator[str]:
    """The texts of an attribute's value; an option that the project does not list is its own text."""
    options = attribute.get("options") or {}
    ids = given.split(",") if attribute.get("type") == CHECKBOX else [given]
    for one in ids if attribute.get("type") != TEXT else [given]:
        option = str(attribute.get("default_option_id", "")) if one == DEFAULT else one.strip()
        if text := str(options.get(option, option)).strip():
            yield text
