"""What every reader of an annotation tool's file returns: annotations with their times as the tool writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

SHOT = "shot"  # name of the annotations of formats that list shots


class BadAnnotations(ValueError):
    """A file of an annotation tool cannot be used; the message says what is wrong and what to do."""


class Span(NamedTuple):
    """A half-open range of a film; where several forms are set, they mean the same.

    The end of `seconds` is None for a moment: the frame on screen at that time. `timecode` is that of the film, whose
    first frame need not be 00:00:00:00.
    """

    seconds: tuple[Fraction, Fraction | None] | None = None
    frames: tuple[int, int] | None = None  # of the film, counted from 0
    timecode: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ToolAnnotation:
    """One statement about a range of a film, such as an annotation of a tier of ELAN or an attribute of CVAT."""

    name: str  # of the tier, attribute, control or column
    value: str
    span: Span | None  # None: all of the medium
    media: tuple[str, ...]  # paths or names of the medium, most certain first
    where: str  # in the file, such as "annotation a3"
    annotator: str = ""
    is_shot: bool = False  # its range is a shot, whether or not it has a label


class Unread(NamedTuple):
    """Something in a file that gives no annotation: what it is, and why."""

    where: str
    reason: str


class ToolFile(NamedTuple):
    """The content of a file; remarks are sentences on what was decided."""

    annotations: Sequence[ToolAnnotation]
    unread: Sequence[Unread] = ()
    remarks: Sequence[str] = ()


def moment_of(frames: int, rate: Fraction) -> Fraction:
    """Seconds from the first frame to a frame, at a constant rate in frames per second."""
    return frames / rate
