"""Camera movements: the rig parameters that each term changes, by how much and when.

Owns the table of terms, with ranges in which a movement cannot be mistaken for another, and sampling from it, for
single terms and for compound labels with simultaneous or sequential terms. The camera rig is in `rig.py`, the people on
the stage are in `clips.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from data_pipeline.studio.rig import CameraShake, Rig, eased

Range = tuple[float, float]
Spans = Mapping[str, tuple[Range, Range]]  # field of `Rig` -> ranges of its start and end value

# In metres and degrees; focal lengths in mm for a full-frame sensor. The ranges are chosen so that at 12 fps nothing
# moves by more than about 14 pixels per frame, at a width of 320.
PUSH: Spans = {"distance": ((4.6, 5.6), (1.7, 2.1))}
BOOM: Spans = {"height": ((0.5, 0.7), (2.2, 2.5))}
TRUCK: Spans = {"right": ((-1.7, -1.25), (1.25, 1.7))}
PAN: Spans = {"yaw": ((-17.0, -13.0), (13.0, 17.0))}
TILT: Spans = {"pitch": ((-16.0, -12.0), (10.0, 14.0))}
ROLL: Spans = {"roll": ((0.0, 0.0), (24.0, 38.0))}
ZOOM: Spans = {"focal": ((25.0, 30.0), (74.0, 88.0))}
ARC: Spans = {"azimuth": ((-27.0, -22.0), (22.0, 27.0))}
DOLLY_ZOOM: Spans = {"distance": ((1.8, 2.1), (5.2, 6.0))}
FORE, BACK = 1.75, 5.4  # metres from the camera to the two figures of a rack focus
RACK: Spans = {"focus": ((BACK, BACK), (FORE, FORE))}


def _reversed(spans: Spans) -> Spans:
    return {name: (end, start) for name, (start, end) in spans.items()}


TERMS: Mapping[str, Spans] = {
    "Push in": PUSH,
    "Pull out": _reversed(PUSH),
    "Boom up": BOOM,
    "Boom down": _reversed(BOOM),
    "Move to the left": _reversed(TRUCK),
    "Move to the right": TRUCK,
    "Pan left": _reversed(PAN),
    "Pan right": PAN,
    "Tilt up": TILT,
    "Tilt down": _reversed(TILT),
    "Camera roll": ROLL,
    "Zoom in": ZOOM,
    "Zoom out": _reversed(ZOOM),
    "Dolly zoom": DOLLY_ZOOM,
    "Arc": ARC,
    "Rack focus to foreground": RACK,
    "Rack focus to background": _reversed(RACK),
    "Static shot": {},
}
REVERSIBLE = frozenset({"Camera roll", "Dolly zoom", "Arc"})  # terms that apply to both directions
# Walking direction of a tracked subject, as (right, away) from the camera.
WALK_DIRECTIONS: Mapping[str, tuple[float, float]] = {
    "Move to the left": (-1.0, 0.0),
    "Move to the right": (1.0, 0.0),
    "Push in": (0.0, 1.0),
    "Pull out": (0.0, -1.0),
}


@dataclass(frozen=True)
class RigChange:
    """Change of one field of the rig, from `start` to `end`, during one step (index) of a movement."""

    name: str
    step: int
    start: float
    end: float


@dataclass(frozen=True)
class Movement:
    """A movement sampled for one clip; terms within a step are simultaneous, the steps are sequential."""

    steps: tuple[tuple[str, ...], ...]  # names of the terms; all steps last equally long
    base: Rig  # values of the fields that do not change
    changes: tuple[RigChange, ...] = ()
    shake: CameraShake = field(default_factory=lambda: CameraShake(0.0))
    focal_compensates: bool = False  # focal length scales with the distance, so that the subject keeps its size
    walk_velocity: tuple[float, float] = (0.0, 0.0)  # velocity of the tracked subject in m/s, (right, away)

    def rig(self, share: float, seconds: float = 0.0) -> Rig:
        """Return the rig at `share` of the clip, from 0 to 1; `seconds` is the time for the camera shake."""
        values: dict[str, float] = {}
        for change in self.changes:
            progress = share * len(self.steps) - change.step
            if progress >= 0 or change.name not in values:
                values[change.name] = change.start + (change.end - change.start) * eased(min(1.0, max(0.0, progress)))
        rig = replace(self.base, **values)
        if self.focal_compensates:
            rig = replace(rig, focal=self.base.focal * rig.distance / self.base.distance)
        return self.shake.of(rig, seconds)

    @property
    def follows(self) -> bool:
        """Whether the camera tracks a walking person."""
        return self.walk_velocity != (0.0, 0.0)


def draw_movement(steps: Sequence[Sequence[str]], draw: Random) -> Movement:
    """Sample a movement; `steps` are the names of the terms, simultaneous within a step."""
    names = {name for step in steps for name in step}
    base = _base_rig(names, draw)
    if "Tracking" in names:
        return _tracking(steps, base, draw)
    changes: list[RigChange] = []
    for number, step in enumerate(steps):
        for name in step:
            changes += _changes_of(name, number, {change.name: change.end for change in changes}, draw)
    shake = _shake((0.0,) if names == {"Static shot"} else (0.0, 0.06, 0.12), draw)
    return Movement(_as_tuples(steps), base, tuple(changes), shake, focal_compensates="Dolly zoom" in names)


def _changes_of(name: str, step: int, reached: Mapping[str, float], draw: Random) -> list[RigChange]:
    forward = draw.choice((True, False)) if name in REVERSIBLE else True
    sign = -1.0 if name == "Camera roll" and draw.random() < 0.5 else 1.0
    changes = []
    for part, (start, end) in TERMS[name].items():
        first, last = sign * draw.uniform(*start), sign * draw.uniform(*end)
        first, last = (first, last) if forward else (last, first)
        changes.append(RigChange(part, step, reached.get(part, first), last))
    return changes


def _base_rig(names: set[str], draw: Random) -> Rig:
    base = Rig(
        distance=draw.uniform(3.9, 4.7),
        height=draw.uniform(1.35, 1.6),
        focal=draw.uniform(29.0, 35.0),
        azimuth=draw.uniform(-8.0, 8.0),
        right=draw.uniform(-0.25, 0.25),
        pitch=draw.uniform(-4.0, -1.0),
    )
    if names & {"Push in", "Pull out", "Zoom in", "Zoom out"}:  # a face is the centre of the scaling
        base = replace(base, right=0.0, height=draw.uniform(1.3, 1.45), pitch=draw.uniform(-1.0, 1.0))
    if names & {"Boom up", "Boom down"}:  # look down on people, or the movement would resemble a tilt
        base = replace(base, distance=draw.uniform(4.4, 5.2), pitch=draw.uniform(-6.5, -4.5))
    if names & {"Rack focus to foreground", "Rack focus to background"}:
        base = replace(
            base, distance=BACK, azimuth=0.0, right=0.0, height=1.5, pitch=0.0, focal=draw.uniform(52.0, 58.0)
        )
    if "Dolly zoom" in names:
        base = replace(base, distance=2.0, height=draw.uniform(1.35, 1.45), focal=draw.uniform(17.0, 20.0), pitch=-1.0)
    return base


def _tracking(steps: Sequence[Sequence[str]], base: Rig, draw: Random) -> Movement:
    """Sample a movement in which the camera tracks a walking person at the same speed."""
    (direction,) = (WALK_DIRECTIONS[name] for name in steps[0] if name in WALK_DIRECTIONS)
    pace = draw.uniform(1.15, 1.4)
    base = replace(base, azimuth=0.0, distance=draw.uniform(3.0, 3.8))
    shake = _shake((0.06, 0.12), draw)
    return Movement(_as_tuples(steps), base, (), shake, walk_velocity=(direction[0] * pace, direction[1] * pace))


def _shake(degrees: Sequence[float], draw: Random) -> CameraShake:
    return CameraShake(draw.choice(degrees), tuple(draw.uniform(0, math.tau) for _ in range(9)))


def _as_tuples(steps: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(step) for step in steps)
