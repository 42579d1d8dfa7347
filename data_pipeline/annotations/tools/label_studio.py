"""Label Studio's exports JSON and JSON-MIN: ranges of a timeline, and choices about all of a film.

Ranges of a timeline are frames from 1, both ends included, counted at the frame rate of the labelling configuration
(`<Video frameRate="…">`, 24 if it is not set, whatever the film has). The export does not state that rate. Ranges of an
audio track are seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from data_pipeline.annotations.annotation_table import FILM_SUFFIXES, STILL_SUFFIXES
from data_pipeline.annotations.tools.tool_annotation import (
    BadAnnotations,
    Span,
    ToolAnnotation,
    ToolFile,
    Unread,
    moment_of,
)

# Keys of a task of JSON-MIN that are no controls, in addition to those of the data.
ABOUT_TASK = frozenset(
    ["id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement", "inner_id", "meta"]
)
MEDIA = (*FILM_SUFFIXES, *STILL_SUFFIXES)
Object = Mapping[str, Any]


def read_label_studio(tasks: Sequence[Any], rate: Fraction | None) -> ToolFile:
    """Read the annotations of all tasks that were not cancelled; predictions of models are left out and named.

    Args:
        rate: Frames per second of the labelling configuration; None if it is not known.

    Raises:
        BadAnnotations: a range counts frames, and the rate is not known.
    """
    found: list[ToolAnnotation] = []
    unread: list[Unread] = []
    for number, task in enumerate(tasks, start=1):
        if not isinstance(task, dict):
            unread.append(Unread(f"task {number}", f"it is {type(task).__name__}, not an object"))
            continue
        where = f"task {task.get('id', number)}"
        if "data" in task or "annotations" in task:
            media = _media_addresses(task.get("data") or {})
            for one in _list(task.get("annotations") or task.get("completions")):
                if one.get("was_cancelled"):
                    unread.append(Unread(f"{where}, annotation {one.get('id')}", "it was cancelled"))
                else:
                    _read_results(_list(one.get("result")), media, where, str(one.get("id", "")), rate, found, unread)
            if predictions := _list(task.get("predictions")):
                unread.append(Unread(where, f"{len(predictions)} predictions of a model are no annotations"))
        else:
            _read_results(
                list(_results_of_min(task)),
                _media_addresses(task),
                where,
                str(task.get("annotator", "")),
                rate,
                found,
                unread,
            )
    return ToolFile(found, unread)


def _list(value: Any) -> list[Any]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _media_addresses(data: Object) -> tuple[str, ...]:
    """Addresses of the medium: the texts of a task's data that are names of media."""
    texts = {name: value for name, value in data.items() if isinstance(value, str)}
    named = [
        text
        for text in texts.values()
        if text.partition("?")[0].lower().endswith(MEDIA) or text.lower().endswith(MEDIA)
    ]
    return tuple(named or [texts[name] for name in ("video", "url", "image") if name in texts])


def _results_of_min(task: Object) -> Iterator[dict[str, Any]]:
    """The results of a task of JSON-MIN in the form of JSON."""
    media = set(_media_addresses(task))
    for name, value in task.items():
        if name in ABOUT_TASK or value is None or (isinstance(value, str) and value in media):
            continue
        values = value if isinstance(value, list) else [value]
        if all(isinstance(one, str) for one in values):
            yield {"from_name": name, "type": "choices", "value": {"choices": values}}
            continue
        for one in values:
            if isinstance(one, dict):
                yield {"from_name": name, "type": "", "value": one}


def _read_results(
    results: Iterable[Object],
    media: tuple[str, ...],
    where: str,
    annotator: str,
    rate: Fraction | None,
    found: list[ToolAnnotation],
    unread: list[Unread],
) -> None:
    results = list(results)
    ranges = {one["id"]: one.get("value") for one in results if "id" in one and _has_range(one.get("value"))}
    for result in results:
        name, value = str(result.get("from_name", "")), result.get("value")
        here = f"{where}, region {result['id']}" if "id" in result else where
        values = _values(value)
        if not values:
            unread.append(Unread(here, f"a result of type {result.get('type')} of {name} is no label of a range"))
            continue
        # A choice about a region has the region's id.
        timed = value if _has_range(value) else ranges.get(result.get("id"))
        spans = _spans(timed, rate) if timed else [None]
        for span in spans:
            if isinstance(span, str):
                unread.append(Unread(here, span))
            else:
                found += [ToolAnnotation(name, text, span, media, here, annotator) for text in values]


def _has_range(value: Any) -> bool:
    return isinstance(value, dict) and ("ranges" in value or {"start", "end"} <= value.keys())


def _values(value: Any) -> list[str]:
    """The labels of a result: its lists of texts."""
    lists = [one for one in value.values() if isinstance(one, list)] if isinstance(value, dict) else []
    return [text.strip() for texts in lists for text in texts if isinstance(text, str) and text.strip()]


def _spans(value: Object, rate: Fraction | None) -> Iterator[Span | str]:
    """The ranges of a result, or why one is none."""
    if "ranges" not in value:
        ends = value["start"], value["end"]
        if not all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in ends) or ends[0] >= ends[1]:
            yield f"{ends[0]} to {ends[1]} is no range of seconds"
        else:
            yield Span((Fraction(str(ends[0])), Fraction(str(ends[1]))))
        return
    for one in value["ranges"] or ():
        first, last = one.get("start"), one.get("end")
        if not (isinstance(first, int) and isinstance(last, int) and 1 <= first <= last):
            yield f"{first} to {last} is no range of frames, which count from 1"
        elif rate is None:
            raise BadAnnotations(
                "Label Studio counts frames at the rate of its labelling configuration and does not export it; give "
                "--fps with the frameRate of <Video …> there (24 if it is not set), also with --films"
            )
        else:
            yield Span((moment_of(first - 1, rate), moment_of(last, rate)))
