"""ELAN's .eaf: tiers of annotations, with times in milliseconds.

An annotation has two time slots, or refers to one that has (of any depth), whose range it then shares. A slot without a
value has no time in ELAN either, which draws such annotations at even distances: they are left out.

Read here and not by pympi-ling (1.71): it expands XML entities, refuses a document without a schema location, fails on
an annotation without a value, and knows nothing of TIME_ORIGIN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple
from xml.etree.ElementTree import Element

from data_pipeline.annotations.tools.tool_annotation import BadAnnotations, Span, ToolAnnotation, ToolFile, Unread

MILLISECONDS = 1000
SOUND = ("audio/", "unknown/audio")  # beginnings of MIME types


class _Annotation(NamedTuple):
    tier: str
    annotator: str
    value: str
    slots: tuple[str, str] | None
    parent: str


def read_elan(root: Element) -> ToolFile:
    """Read the annotations of all tiers.

    Raises:
        BadAnnotations: its times are not milliseconds.
    """
    header = root.find("HEADER")
    units = "milliseconds" if header is None else header.get("TIME_UNITS", "milliseconds")
    if units != "milliseconds":
        raise BadAnnotations(f"its times are {units}; save it with a version of ELAN that writes milliseconds")
    media, origin, remarks = _linked_film(header)
    slots = {slot.get("TIME_SLOT_ID", ""): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    annotations = dict(_annotations(root))
    found: list[ToolAnnotation] = []
    unread: list[Unread] = []
    for name, annotation in annotations.items():
        where = f"annotation {name} of tier {annotation.tier}"
        span = _span(name, annotations, slots, origin)
        if isinstance(span, str):
            unread.append(Unread(where, span))
        else:
            found.append(ToolAnnotation(annotation.tier, annotation.value, span, media, where, annotation.annotator))
    return ToolFile(found, unread, remarks)


def _linked_film(header: Element | None) -> tuple[tuple[str, ...], Fraction, list[str]]:
    """Names of the film, the time in it at which the annotations' time 0 is, and remarks."""
    described = [] if header is None else list(header.iter("MEDIA_DESCRIPTOR"))
    films = [one for one in described if not one.get("MIME_TYPE", "").startswith(SOUND)] or described
    if not films:
        old = "" if header is None else header.get("MEDIA_FILE", "")
        return ((old,) if old else ()), Fraction(0), []
    names = [films[0].get(name, "") for name in ("RELATIVE_MEDIA_URL", "MEDIA_URL")]
    others = [one.get("RELATIVE_MEDIA_URL") or one.get("MEDIA_URL") or "" for one in films[1:]]
    remarks = [f"it has several films; the first is read, not {', '.join(others)}"] if others else []
    origin = Fraction(films[0].get("TIME_ORIGIN") or 0) / MILLISECONDS
    return tuple(name for name in names if name), origin, remarks


def _annotations(root: Element) -> Iterator[tuple[str, _Annotation]]:
    for tier in root.iter("TIER"):
        for one in tier.iter():
            if one.tag not in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION"):
                continue
            value = (one.findtext("ANNOTATION_VALUE") or "").strip()
            ends = one.get("TIME_SLOT_REF1"), one.get("TIME_SLOT_REF2")
            slots = (ends[0], ends[1]) if ends[0] and ends[1] else None
            annotation = _Annotation(
                tier.get("TIER_ID", ""), tier.get("ANNOTATOR", ""), value, slots, one.get("ANNOTATION_REF", "")
            )
            yield one.get("ANNOTATION_ID", ""), annotation


def _span(
    name: str, annotations: Mapping[str, _Annotation], slots: Mapping[str, str | None], origin: Fraction
) -> Span | str:
    """The range of an annotation, or why it has none."""
    seen = {name}
    annotation = annotations[name]
    while annotation.slots is None:
        if annotation.parent in seen or annotation.parent not in annotations:
            return f"it refers to the annotation {annotation.parent}, which has no time; repair the file in ELAN"
        seen.add(annotation.parent)
        annotation = annotations[annotation.parent]
    values = [slots.get(slot) for slot in annotation.slots]
    if None in values:
        return "an end of it has no time in ELAN; align it there"
    start, end = (Fraction(value or 0) / MILLISECONDS + origin for value in values)
    if start >= end:
        return f"its end is not after its start ({float(start):.3f} s)"
    return Span((start, end))
