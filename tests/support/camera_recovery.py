"""How a camera moved, told from the decoded frames of a clip alone: corners are tracked, and their flow is explained.

What turning and zooming do to a picture does not depend on how far away things are. So a turn (yaw, pitch, roll) and a
growth are fitted to the flow of every pair of frames; what they leave over is parallax, which only a camera that
changes its place makes. Nothing here knows the label, the camera or the stage.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import av
import cv2
import numpy as np
import numpy.typing as npt

Picture: TypeAlias = npt.NDArray[np.uint8]
Array: TypeAlias = npt.NDArray[np.float64]

SIZE = (320, 180)
FOCAL = 285.0  # pixels; of an ordinary lens on 320: only how flow bends towards the edges depends on it
MOVED = 42.0  # pixels over a clip that are a pan or tilt, and no tremble
GREW = 0.15  # natural logarithm of the growth over a clip
ROLLED = 19.0  # degrees
STILL = 0.06  # share of the middle that stays, although all around it moves
PARALLAX = 15.0  # pixels over a clip; turning and zooming leave below 10


def grey_frames(encoded: bytes) -> list[Picture]:
    """A clip's frames, decoded, and enlarged where they are small: all numbers here are pixels of 320."""
    with av.open(io.BytesIO(encoded)) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    return [cv2.resize(frame, SIZE, interpolation=cv2.INTER_CUBIC) for frame in frames]


@dataclass(frozen=True)
class Flow:
    """Corners (right and down of the middle) and where they went, in pixels; and the flow that turns leave over."""

    corners: Array
    flow: Array
    left_over: Array
    turn: Array  # to the right, down; growth, roll clockwise of the picture

    @property
    def growth(self) -> Array:
        """How much each corner's distance from the middle grew, but for what a turn sideways or upright did to it."""
        grown = self.turn[2] + (self.left_over * self.corners).sum(1) / np.maximum((self.corners**2).sum(1), 1.0)
        return np.asarray(grown)


@dataclass(frozen=True)
class Motion:
    """A stretch of a clip: sums over its frames. Spreads are those of what turns leave over."""

    right: float  # how the picture moved
    down: float
    growth: float
    rolled: float  # degrees, clockwise
    spread_across: float
    spread_down: float
    spread_radial: float
    near_growth: float  # of what is low in the picture
    far_growth: float  # of the upper half, beside the subject
    still_middle: float  # share of the corners below the middle that stay where they are, although the rest moves


def flow_between(before: Picture, after: Picture) -> Flow:
    """Track corners there and back, and explain their flow by a turn."""
    size = np.array(before.shape[::-1])
    corners = cv2.goodFeaturesToTrack(before, 500, 0.01, 6)
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, winSize=(15, 15), maxLevel=4)
    back, again, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, winSize=(15, 15), maxLevel=4)
    sure = (found[:, 0] == 1) & (again[:, 0] == 1) & (np.abs(back - corners).max(axis=(1, 2)) < 0.5)
    flow = (there - corners)[sure, 0].astype(np.float64)
    places = corners[sure, 0].astype(np.float64) - size / 2
    turn, left_over = explain_by_turn(places, flow)
    return Flow(places, flow, left_over, turn)


def explain_by_turn(places: Array, flow: Array) -> tuple[Array, Array]:
    """The turn and growth that explain most of the flow, and what is left over; outliers lose their weight."""
    x, y = places.T
    bend = 1 / FOCAL**2
    across = np.stack([1 + x * x * bend, x * y * bend, x, -y], axis=1)
    down = np.stack([x * y * bend, 1 + y * y * bend, y, x], axis=1)
    system, wanted, weights = np.concatenate([across, down]), flow.T.ravel(), np.ones(len(x))
    for _ in range(10):
        root = np.sqrt(np.tile(weights, 2))
        turn = np.linalg.lstsq(system * root[:, None], wanted * root, rcond=None)[0]
        left_over = (wanted - system @ turn).reshape(2, -1).T
        off = np.hypot(*left_over.T)
        weights = 1 / (1 + (off / max(0.3, 1.5 * float(np.median(off)))) ** 2)
    return turn, left_over


def motion(frames: list[Picture]) -> Motion:
    """Measure a stretch of frames."""
    flows = [flow_between(before, after) for before, after in pairwise(frames)]
    turn = np.sum([flow.turn for flow in flows], axis=0)
    spreads = np.sum([_spreads(flow) for flow in flows], axis=0)
    growths = np.sum([_growths(flow) for flow in flows], axis=0)
    stills = [share for flow in flows if not np.isnan(share := _still_middle(flow))]
    still = float(np.mean(stills)) if stills else 0.0
    right, down, growth, roll = map(float, turn)
    return Motion(right, down, growth, float(np.degrees(roll)), *map(float, spreads), *map(float, growths), still)


def _spread(values: Array) -> float:
    """Without the outer eighths: a figure that walks through is no parallax."""
    return float(np.percentile(values, 87) - np.percentile(values, 13)) if len(values) > 7 else 0.0


def _spreads(flow: Flow) -> tuple[float, float, float]:
    reach = np.hypot(*flow.corners.T)
    outer = reach > 30
    radial = (flow.left_over * flow.corners).sum(1)[outer] / reach[outer]
    return _spread(flow.left_over[:, 0]), _spread(flow.left_over[:, 1]), _spread(radial)


def _growths(flow: Flow) -> tuple[float, float]:
    outer = np.hypot(*flow.corners.T) > 45
    x, y = flow.corners.T
    near, far = outer & (y > 45), outer & (y < -5) & (np.abs(x) > 60)
    return tuple(float(np.median(flow.growth[part])) if part.sum() > 4 else 0.0 for part in (near, far))  # type: ignore


def _still_middle(flow: Flow) -> float:
    speed, expected = np.hypot(*flow.flow.T), np.hypot(*(flow.flow - flow.left_over).T)
    middle = (np.abs(flow.corners[:, 0]) < 40) & (flow.corners[:, 1] > 8) & (expected > 0.5)
    return float((speed[middle] < 0.35 * expected[middle]).mean()) if middle.sum() > 4 else float("nan")


def recovered(frames: list[Picture]) -> frozenset[str]:
    """The terms of what the camera does in these frames."""
    seen = motion(frames)
    names = _sideways(seen) | _upright(seen) | _forward(seen)
    if abs(seen.rolled) > ROLLED:
        names |= {"Camera roll"}
    return frozenset(names or {"Static shot"})


def _sideways(seen: Motion) -> set[str]:
    if max(abs(seen.right), 0.5 * seen.spread_across) < MOVED:
        return set()
    if seen.spread_across < max(PARALLAX, 0.35 * abs(seen.right)):
        return {"Pan left" if seen.right > 0 else "Pan right"}
    if seen.right * seen.rolled > 0:  # what is near, low in the picture, moves less than what is far, or against it
        return {"Arc"}
    way = {"Move to the left" if seen.right > 0 else "Move to the right"}
    return way | {"Tracking"} if seen.still_middle > STILL else way


def _upright(seen: Motion) -> set[str]:
    if max(abs(seen.down), 0.6 * seen.spread_down) < MOVED:
        return set()
    if seen.spread_down < max(PARALLAX, 0.3 * abs(seen.down)):
        return {"Tilt up" if seen.down > 0 else "Tilt down"}
    return {"Boom up" if seen.down > 0 else "Boom down"}


def _forward(seen: Motion) -> set[str]:
    if abs(seen.growth) < GREW:
        return set()
    if seen.spread_radial < max(PARALLAX, 20 * abs(seen.growth)):  # the faster it grows, the coarser the tracking
        return {"Zoom in" if seen.growth > 0 else "Zoom out"}
    if max(seen.spread_across, seen.spread_down) > 1.05 * seen.spread_radial:
        return set()
    if seen.near_growth * np.sign(seen.growth) < 0.85 * abs(seen.far_growth) and seen.still_middle > STILL:
        return {"Dolly zoom"}  # what is far changes more than what is near, and the subject not at all
    way = {"Push in" if seen.growth > 0 else "Pull out"}
    return way | {"Tracking"} if seen.still_middle > STILL else way
