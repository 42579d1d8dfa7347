"""Camera movements: what each term does to the camera, by how much, and at what time of a clip.

Owns the table of terms and drawing from it: ranges that leave no doubt about a term, terms combined at once or in turn,
as labels do. The rig that the camera is moved with is in `rig.py`, who stands and walks on the stage in `clips.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from data_pipeline.studio.rig import Rig, Tremble, eased

Range = tuple[float, float]
Spans = Mapping[str, tuple[Range, Range]]  # a rig's field: where it starts, where it ends

# Metres, degrees, millimetres on a 36 mm gate. At 12 frames a second nothing goes faster than about 14 of 320 pixels.
PUSH: Spans = {"distance": ((4.6, 5.6), (1.7, 2.1))}
BOOM: Spans = {"height": ((0.5, 0.7), (2.2, 2.5))}
TRUCK: Spans = {"right": ((-1.7, -1.25), (1.25, 1.7))}
PAN: Spans = {"yaw": ((-17.0, -13.0), (13.0, 17.0))}
TILT: Spans = {"pitch": ((-16.0, -12.0), (10.0, 14.0))}
ROLL: Spans = {"roll": ((0.0, 0.0), (24.0, 38.0))}
ZOOM: Spans = {"focal": ((25.0, 30.0), (74.0, 88.0))}
ARC: Spans = {"azimuth": ((-27.0, -22.0), (22.0, 27.0))}
DOLLY_ZOOM: Spans = {"distance": ((1.8, 2.1), (5.2, 6.0))}
FORE, BACK = 1.75, 5.4  # metres: how far the two figures of a rack focus are from the camera
RACK: Spans = {"focus": ((BACK, BACK), (FORE, FORE))}


def _back(spans: Spans) -> Spans:
    return {name: (end, start) for name, (start, end) in spans.items()}


TERMS: Mapping[str, Spans] = {
    "Push in": PUSH,
    "Pull out": _back(PUSH),
    "Boom up": BOOM,
    "Boom down": _back(BOOM),
    "Move to the left": _back(TRUCK),
    "Move to the right": TRUCK,
    "Pan left": _back(PAN),
    "Pan right": PAN,
    "Tilt up": TILT,
    "Tilt down": _back(TILT),
    "Camera roll": ROLL,
    "Zoom in": ZOOM,
    "Zoom out": _back(ZOOM),
    "Dolly zoom": DOLLY_ZOOM,
    "Arc": ARC,
    "Rack focus to foreground": RACK,
    "Rack focus to background": _back(RACK),
    "Static shot": {},
}
EITHER_WAY = frozenset({"Camera roll", "Dolly zoom", "Arc"})  # the term does not say which way round
STRIDES: Mapping[str, tuple[float, float]] = {  # which way the subject of a tracking shot walks, seen from the camera
    "Move to the left": (-1.0, 0.0),
    "Move to the right": (1.0, 0.0),
    "Push in": (0.0, 1.0),
    "Pull out": (0.0, -1.0),
}


@dataclass(frozen=True)
class Turn:
    """One field of the rig going from one value to another during one step of the movement."""

    name: str
    step: int
    start: float
    end: float


@dataclass(frozen=True)
class Movement:
    """A movement drawn for one clip; `steps` are the terms of its label, at once within a step, in turn over steps."""

    steps: tuple[tuple[str, ...], ...]
    rest: Rig
    turns: tuple[Turn, ...] = ()
    tremble: Tremble = field(default_factory=lambda: Tremble(0.0))
    lens_follows: bool = False  # the lens grows with the distance, so that the subject keeps its size
    walks: tuple[float, float] = (0.0, 0.0)  # metres a second, across and away, of the subject whom the camera follows

    def rig(self, share: float, seconds: float = 0.0) -> Rig:
        """The rig at a share of the clip."""
        values: dict[str, float] = {}
        for turn in self.turns:
            begun = share * len(self.steps) - turn.step
            if begun >= 0 or turn.name not in values:
                values[turn.name] = turn.start + (turn.end - turn.start) * eased(min(1.0, max(0.0, begun)))
        rig = replace(self.rest, **values)
        if self.lens_follows:
            rig = replace(rig, focal=self.rest.focal * rig.distance / self.rest.distance)
        return self.tremble.of(rig, seconds)

    @property
    def follows(self) -> bool:
        """Whether the camera goes with somebody who walks."""
        return self.walks != (0.0, 0.0)


def draw_movement(steps: Sequence[Sequence[str]], draw: Random) -> Movement:
    """Draw a movement of these terms."""
    names = {name for step in steps for name in step}
    rest = _rest(names, draw)
    if "Tracking" in names:
        return _tracking(steps, rest, draw)
    turns: list[Turn] = []
    for number, step in enumerate(steps):
        for name in step:
            turns += _turns(name, number, {turn.name: turn.end for turn in turns}, draw)
    tremble = _tremble((0.0,) if names == {"Static shot"} else (0.0, 0.06, 0.12), draw)
    return Movement(_frozen(steps), rest, tuple(turns), tremble, lens_follows="Dolly zoom" in names)


def _turns(name: str, step: int, reached: Mapping[str, float], draw: Random) -> list[Turn]:
    way = draw.choice((True, False)) if name in EITHER_WAY else True
    sign = -1.0 if name == "Camera roll" and draw.random() < 0.5 else 1.0
    turns = []
    for part, (start, end) in TERMS[name].items():
        first, last = sign * draw.uniform(*start), sign * draw.uniform(*end)
        first, last = (first, last) if way else (last, first)
        turns.append(Turn(part, step, reached.get(part, first), last))
    return turns


def _rest(names: set[str], draw: Random) -> Rig:
    rest = Rig(
        distance=draw.uniform(3.9, 4.7),
        height=draw.uniform(1.35, 1.6),
        focal=draw.uniform(29.0, 35.0),
        azimuth=draw.uniform(-8.0, 8.0),
        right=draw.uniform(-0.25, 0.25),
        pitch=draw.uniform(-4.0, -1.0),
    )
    if names & {"Push in", "Pull out", "Zoom in", "Zoom out"}:  # towards a face, which the picture opens from
        rest = replace(rest, right=0.0, height=draw.uniform(1.3, 1.45), pitch=draw.uniform(-1.0, 1.0))
    if names & {"Boom up", "Boom down"}:  # from above it looks down on people, or it would seem to tilt
        rest = replace(rest, distance=draw.uniform(4.4, 5.2), pitch=draw.uniform(-6.5, -4.5))
    if names & {"Rack focus to foreground", "Rack focus to background"}:
        rest = replace(
            rest, distance=BACK, azimuth=0.0, right=0.0, height=1.5, pitch=0.0, focal=draw.uniform(52.0, 58.0)
        )
    if "Dolly zoom" in names:
        rest = replace(rest, distance=2.0, height=draw.uniform(1.35, 1.45), focal=draw.uniform(17.0, 20.0), pitch=-1.0)
    return rest


def _tracking(steps: Sequence[Sequence[str]], rest: Rig, draw: Random) -> Movement:
    """The camera goes with somebody who walks, at the walker's pace."""
    (beside,) = (STRIDES[name] for name in steps[0] if name in STRIDES)
    pace = draw.uniform(1.15, 1.4)
    rest = replace(rest, azimuth=0.0, distance=draw.uniform(3.0, 3.8))
    tremble = _tremble((0.06, 0.12), draw)
    return Movement(_frozen(steps), rest, (), tremble, walks=(beside[0] * pace, beside[1] * pace))


def _tremble(degrees: Sequence[float], draw: Random) -> Tremble:
    return Tremble(draw.choice(degrees), tuple(draw.uniform(0, math.tau) for _ in range(9)))


def _frozen(steps: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(step) for step in steps)
