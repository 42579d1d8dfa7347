"""Clips: people on a set, and a camera that moves.

Owns who stands and walks where while a movement of `moves.py` is filmed, and that the camera has a clear view: a draw
in which something stands in its way is thrown away and drawn again. Encoding is in `encoding.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np

from data_pipeline.studio.camera import Camera, Size
from data_pipeline.studio.figures import Arm, Figure, Pose
from data_pipeline.studio.lights import Lighting
from data_pipeline.studio.looks import Appearance
from data_pipeline.studio.moves import BACK, FORE, Movement, draw_movement
from data_pipeline.studio.render import SIZE, SKY, Frame, render
from data_pipeline.studio.stage import Scenery, Stage

FRAME_RATE = 12
FRAMES = (24, 26, 28)
FRAMES_AT_ONCE, FRAMES_IN_TURN = 30, 36  # of compound movements
PACE_OF_STEP = 1.35  # metres that two steps take a walker
FINDER: Size = (64, 36)  # small pictures in which the view is checked
TRIES = 12
STATIC, RACKS = "Static shot", {"Rack focus to foreground", "Rack focus to background"}
CLOSING = {"Push in", "Pull out", "Zoom in", "Zoom out", "Dolly zoom"}  # a walker would fill half the picture


@dataclass(frozen=True)
class Person:
    """Somebody on the set, who stands or walks straight on."""

    look: Appearance
    x: float
    y: float
    facing: float
    pose: Pose = field(default_factory=Pose)
    pace: float = 0.0  # metres a second

    def figure(self, seconds: float) -> Figure:
        """The figure at this time of the clip."""
        if not self.pace:
            return Figure(self.look, self.x, self.y, self.facing, self.pose)
        way, gone = math.radians(self.facing), self.pace * seconds
        pose = Pose(walk=(self.x % 1.0) + gone / PACE_OF_STEP)
        return Figure(self.look, self.x + gone * math.sin(way), self.y + gone * math.cos(way), self.facing, pose)


@dataclass(frozen=True)
class Scene:
    """Where a clip is filmed, and with whom."""

    scenery: Scenery
    lighting: Lighting
    cast: Sequence[Appearance]


@dataclass(frozen=True)
class StagedClip:
    """A staged clip, frame by frame; the subject is the first figure."""

    movement: Movement
    people: tuple[Person, ...]
    scene: Scene
    frames: int

    def at(self, number: int) -> tuple[Stage, Camera]:
        """The stage and the camera at a frame."""
        seconds, share = number / FRAME_RATE, number / (self.frames - 1)
        figures = tuple(person.figure(seconds) for person in self.people)
        subject = (figures[0].x, figures[0].y) if self.movement.follows else (0.0, 0.0)
        camera = self.movement.rig(share, seconds).camera(subject)
        return Stage(self.scene.scenery, figures, self.scene.lighting), camera

    def filmed(self, size: Size = SIZE) -> list[Frame]:
        """All frames."""
        return [render(*self.at(number), size) for number in range(self.frames)]


def stage_clip(scene: Scene, steps: Sequence[Sequence[str]], draw: Random) -> StagedClip:
    """Draw a clip of these terms in which the camera has a clear view."""
    clip = _draw_clip(scene, steps, draw)
    for _ in range(TRIES):
        if _is_clear(clip):
            break
        clip = _draw_clip(scene, steps, draw)
    return clip


def _draw_clip(scene: Scene, steps: Sequence[Sequence[str]], draw: Random) -> StagedClip:
    movement = draw_movement(steps, draw)
    names = {name for step in steps for name in step}
    frames = FRAMES_IN_TURN if len(steps) > 1 else FRAMES_AT_ONCE if len(steps[0]) > 1 else draw.choice(FRAMES)
    if names & RACKS:
        people = _one_before_another(scene.cast, draw)
    elif movement.follows:
        followed = _followed(scene.cast[0], movement, frames / FRAME_RATE)
        people = (followed, *_bystanders(scene, draw, 0.0))
    else:
        walks = 1.0 if names == {STATIC} else 0.0 if names & CLOSING else 0.35
        people = (_standing(scene.cast[0], 0.0, 0.0, draw), *_bystanders(scene, draw, walks))
    return StagedClip(movement, people, scene, frames)


def _standing(look: Appearance, x: float, y: float, draw: Random) -> Person:
    left, right = (Arm(draw.uniform(-8, 22), draw.uniform(5, 14), draw.uniform(8, 60)) for _ in range(2))
    pose = Pose(left, right, head_turn=draw.uniform(-15, 15))
    return Person(look, x, y, draw.uniform(155, 205), pose)


def _bystanders(scene: Scene, draw: Random, walks: float) -> tuple[Person, ...]:
    """One on either side, further away than the subject; now and then one of them crosses behind it."""
    side, deep = draw.choice((-1, 1)), _depth_behind(scene.scenery)
    near = _standing(scene.cast[1], side * draw.uniform(1.0, 1.6), draw.uniform(0.35, 0.5) * deep, draw)
    if draw.random() < walks:
        pace, start = draw.uniform(1.0, 1.4), side * draw.uniform(1.4, 2.1)
        far = Person(scene.cast[2], start, draw.uniform(0.6, 0.8) * deep, -90.0 * side % 360, pace=pace)
    else:
        far = _standing(scene.cast[2], -side * draw.uniform(1.0, 1.7), draw.uniform(0.7, 1.0) * deep, draw)
    return near, far


def _depth_behind(scenery: Scenery) -> float:
    """How far behind the subject people may stand: in a room, not in the furniture at its back."""
    back, height = scenery.room[2:]
    return max(1.0, back - 1.4) if height > 0 else 3.0


def _followed(look: Appearance, movement: Movement, seconds: float) -> Person:
    """Who the camera goes with: in the middle of the set in the middle of the clip."""
    across, away = movement.walks
    facing, pace = math.degrees(math.atan2(across, away)) % 360, math.hypot(across, away)
    return Person(look, -across * seconds / 2, -away * seconds / 2, facing, pace=pace)


def _one_before_another(cast: Sequence[Appearance], draw: Random) -> tuple[Person, ...]:
    """A rack focus goes between two people, one near and one far, on either side of the frame's middle."""
    side = draw.choice((-1, 1))
    far = _standing(cast[0], -side * draw.uniform(0.35, 0.6), 0.0, draw)
    near = Person(cast[1], side * draw.uniform(0.24, 0.32), FORE - BACK, 180.0 + side * draw.uniform(20, 60))
    return far, near


def _is_clear(clip: StagedClip) -> bool:
    """Nothing is right before the lens, there is something to see, and the subject can be seen."""
    looks = [render(*clip.at(round(share * (clip.frames - 1))), FINDER) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    if any(float(np.percentile(frame.depth, 1)) < 0.7 or (frame.ids == SKY).mean() > 0.75 for frame in looks):
        return False
    return max(float(frame.figure_mask(1).mean()) for frame in looks) > 0.01
