"""Clips: people on a set and a moving camera.

Owns the positions and walks of people during a movement of `moves.py`, and a clear view for the camera: an obstructed
sample is rejected and sampled again. Encoding is in `encoding.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np

from data_pipeline.studio.appearances import Appearance
from data_pipeline.studio.camera import Camera, Size
from data_pipeline.studio.figures import Arm, Figure, Pose
from data_pipeline.studio.lights import Lighting
from data_pipeline.studio.moves import BACK, FORE, Movement, draw_movement
from data_pipeline.studio.render import SIZE, SKY, Frame, render
from data_pipeline.studio.stage import Scenery, Stage

FRAME_RATE = 12
FRAMES = (24, 26, 28)
FRAMES_SIMULTANEOUS, FRAMES_SEQUENTIAL = 30, 36  # frames of compound movements
STRIDE_METRES = 1.35  # metres per walk cycle of two steps
PREVIEW: Size = (64, 36)  # size of the preview frames for checking the view
MAX_ATTEMPTS = 12  # samples before an obstructed one is accepted
STATIC, RACK_FOCUSES = "Static shot", {"Rack focus to foreground", "Rack focus to background"}
APPROACHING = {"Push in", "Pull out", "Zoom in", "Zoom out", "Dolly zoom"}  # a walking person would fill half the frame


@dataclass(frozen=True)
class Person:
    """A person on the set, standing or walking straight ahead."""

    appearance: Appearance
    x: float
    y: float
    facing: float
    pose: Pose = field(default_factory=Pose)
    pace: float = 0.0  # metres per second

    def figure(self, seconds: float) -> Figure:
        """Return the figure at a time of the clip."""
        if not self.pace:
            return Figure(self.appearance, self.x, self.y, self.facing, self.pose)
        forward, walked = math.radians(self.facing), self.pace * seconds
        pose = Pose(walk=(self.x % 1.0) + walked / STRIDE_METRES)
        return Figure(
            self.appearance, self.x + walked * math.sin(forward), self.y + walked * math.cos(forward), self.facing, pose
        )


@dataclass(frozen=True)
class Scene:
    """Set, lighting and cast of a clip."""

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
        """Return the stage and camera of a frame."""
        seconds, share = number / FRAME_RATE, number / (self.frames - 1)
        figures = tuple(person.figure(seconds) for person in self.people)
        subject = (figures[0].x, figures[0].y) if self.movement.follows else (0.0, 0.0)
        camera = self.movement.rig(share, seconds).camera(subject)
        return Stage(self.scene.scenery, figures, self.scene.lighting), camera

    def filmed(self, size: Size = SIZE) -> list[Frame]:
        """Render all frames; `size` is (width, height) in pixels."""
        return [render(*self.at(number), size) for number in range(self.frames)]

    def beyond(self, before: int, after: int, size: Size = SIZE) -> tuple[list[Frame], list[Frame]]:
        """Render frames before the first and after the last one, in which the camera rests and people walk on."""
        numbers = range(-before, 0), range(self.frames, self.frames + after)
        first, last = ([render(*self.at(number), size) for number in side] for side in numbers)
        return first, last


def stage_clip(scene: Scene, steps: Sequence[Sequence[str]], draw: Random) -> StagedClip:
    """Sample a clip with these terms in which the camera has a clear view."""
    clip = _draw_clip(scene, steps, draw)
    for _ in range(MAX_ATTEMPTS):
        if _is_clear(clip):
            break
        clip = _draw_clip(scene, steps, draw)
    return clip


def _draw_clip(scene: Scene, steps: Sequence[Sequence[str]], draw: Random) -> StagedClip:
    movement = draw_movement(steps, draw)
    names = {name for step in steps for name in step}
    frames = FRAMES_SEQUENTIAL if len(steps) > 1 else FRAMES_SIMULTANEOUS if len(steps[0]) > 1 else draw.choice(FRAMES)
    if names & RACK_FOCUSES:
        people = _rack_focus_people(scene.cast, draw)
    elif movement.follows:
        followed = _tracked_person(scene.cast[0], movement, frames / FRAME_RATE)
        people = (followed, *_bystanders(scene, draw, 0.0))
    else:
        crossing = 1.0 if names == {STATIC} else 0.0 if names & APPROACHING else 0.35
        people = (_standing(scene.cast[0], 0.0, 0.0, draw), *_bystanders(scene, draw, crossing))
    return StagedClip(movement, people, scene, frames)


def _standing(appearance: Appearance, x: float, y: float, draw: Random) -> Person:
    left, right = (Arm(draw.uniform(-8, 22), draw.uniform(5, 14), draw.uniform(8, 60)) for _ in range(2))
    pose = Pose(left, right, head_turn=draw.uniform(-15, 15))
    return Person(appearance, x, y, draw.uniform(155, 205), pose)


def _bystanders(scene: Scene, draw: Random, crossing: float) -> tuple[Person, ...]:
    """Return two people behind the subject, one on each side; with probability `crossing`, one of them walks across."""
    side, deep = draw.choice((-1, 1)), _depth_behind(scene.scenery)
    near = _standing(scene.cast[1], side * draw.uniform(1.0, 1.6), draw.uniform(0.35, 0.5) * deep, draw)
    if draw.random() < crossing:
        pace, start = draw.uniform(1.0, 1.4), side * draw.uniform(1.4, 2.1)
        far = Person(scene.cast[2], start, draw.uniform(0.6, 0.8) * deep, -90.0 * side % 360, pace=pace)
    else:
        far = _standing(scene.cast[2], -side * draw.uniform(1.0, 1.7), draw.uniform(0.7, 1.0) * deep, draw)
    return near, far


def _depth_behind(scenery: Scenery) -> float:
    """Return the maximum distance of people behind the subject: in a room, in front of the furniture."""
    back, height = scenery.room[2:]
    return max(1.0, back - 1.4) if height > 0 else 3.0


def _tracked_person(appearance: Appearance, movement: Movement, seconds: float) -> Person:
    """Return the tracked person, who reaches the centre of the set at half of the clip."""
    across, away = movement.walk_velocity
    facing, pace = math.degrees(math.atan2(across, away)) % 360, math.hypot(across, away)
    return Person(appearance, -across * seconds / 2, -away * seconds / 2, facing, pace=pace)


def _rack_focus_people(cast: Sequence[Appearance], draw: Random) -> tuple[Person, ...]:
    """Return the two people of a rack focus, one near and one far, on either side of the frame's centre."""
    side = draw.choice((-1, 1))
    far = _standing(cast[0], -side * draw.uniform(0.35, 0.6), 0.0, draw)
    near = Person(cast[1], side * draw.uniform(0.24, 0.32), FORE - BACK, 180.0 + side * draw.uniform(20, 60))
    return far, near


def _is_clear(clip: StagedClip) -> bool:
    """Return whether nothing is close to the lens, not all is sky, and the subject is visible."""
    previews = [render(*clip.at(round(share * (clip.frames - 1))), PREVIEW) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    if any(float(np.percentile(frame.depth, 1)) < 0.7 or (frame.ids == SKY).mean() > 0.75 for frame in previews):
        return False
    return max(float(frame.figure_mask(1).mean()) for frame in previews) > 0.01
