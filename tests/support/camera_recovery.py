"""Recover a camera movement from the decoded frames of a clip alone, by fitting a model to the flow of tracked corners.

The optical flow of rotation and zoom does not depend on depth. A rotation (yaw, pitch, roll) and a scale are therefore
fitted to the flow of every pair of frames; the residual is parallax, which only a camera that changes its position
causes. Labels, camera and scene are not used.
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
FOCAL = 285.0  # pixels, normal lens at width 320; affects only how flow bends towards the edges
MIN_SHIFT = 42.0  # pixels per clip from which a pan or tilt is recognised; camera shake is below
MIN_LOG_SCALE = 0.15  # natural logarithm of the scale over a clip
MIN_ROLL = 19.0  # degrees of roll over a clip
MIN_STATIC_SHARE = 0.06  # share of central corners that are static while the surroundings move
MIN_PARALLAX = 15.0  # pixels per clip; the residual of rotation and zoom is below 10


def grey_frames(encoded: bytes) -> list[Picture]:
    """Decode a clip into uint8 grey frames (180, 320); all pixel thresholds refer to this size."""
    with av.open(io.BytesIO(encoded)) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    return [cv2.resize(frame, SIZE, interpolation=cv2.INTER_CUBIC) for frame in frames]


@dataclass(frozen=True)
class Flow:
    """Flow between two frames in pixels, x right and y down from the image centre. Arrays of n corners: (n, 2)."""

    corners: Array
    flow: Array
    residual: Array
    turn: Array  # (4,): image shift right and down in pixels, log scale, clockwise roll in radians

    @property
    def growth(self) -> Array:
        """Relative change of each corner's distance from the centre, without effects of yaw and pitch; shape (n,)."""
        grown = self.turn[2] + (self.residual * self.corners).sum(1) / np.maximum((self.corners**2).sum(1), 1.0)
        return np.asarray(grown)


@dataclass(frozen=True)
class Motion:
    """Motion over consecutive frames, summed. Spreads are those of the residual flow, in pixels."""

    right: float  # image shift in pixels
    down: float
    growth: float
    rolled: float  # degrees, clockwise
    spread_across: float
    spread_down: float
    spread_radial: float
    near_growth: float  # log scale of the lower part of the image
    far_growth: float  # log scale of the upper half, at both sides of the subject
    still_middle: float  # share of corners below the centre that are static while the rest moves


def flow_between(before: Picture, after: Picture) -> Flow:
    """Track corners forward and backward between grey frames (h, w), and fit a rotation and scale to their flow."""
    size = np.array(before.shape[::-1])
    corners = cv2.goodFeaturesToTrack(before, 500, 0.01, 6)
    forward, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, winSize=(15, 15), maxLevel=4)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, forward, None, winSize=(15, 15), maxLevel=4)
    reliable = (found[:, 0] == 1) & (found_back[:, 0] == 1) & (np.abs(back - corners).max(axis=(1, 2)) < 0.5)
    flow = (forward - corners)[reliable, 0].astype(np.float64)
    positions = corners[reliable, 0].astype(np.float64) - size / 2
    turn, residual = fit_rotation(positions, flow)
    return Flow(positions, flow, residual, turn)


def fit_rotation(positions: Array, flow: Array) -> tuple[Array, Array]:
    """Fit rotation and scale (4,) to the flow (n, 2) by robust least squares; return the fit and residual (n, 2)."""
    x, y = positions.T
    bend = 1 / FOCAL**2
    across = np.stack([1 + x * x * bend, x * y * bend, x, -y], axis=1)
    down = np.stack([x * y * bend, 1 + y * y * bend, y, x], axis=1)
    system, wanted, weights = np.concatenate([across, down]), flow.T.ravel(), np.ones(len(x))
    for _ in range(10):
        root = np.sqrt(np.tile(weights, 2))
        turn = np.linalg.lstsq(system * root[:, None], wanted * root, rcond=None)[0]
        residual = (wanted - system @ turn).reshape(2, -1).T
        off = np.hypot(*residual.T)
        weights = 1 / (1 + (off / max(0.3, 1.5 * float(np.median(off)))) ** 2)
    return turn, residual


def motion(frames: list[Picture]) -> Motion:
    """Measure the motion over consecutive grey frames (h, w)."""
    flows = [flow_between(before, after) for before, after in pairwise(frames)]
    turn = np.sum([flow.turn for flow in flows], axis=0)
    spreads = np.sum([_spreads(flow) for flow in flows], axis=0)
    growths = np.sum([_growths(flow) for flow in flows], axis=0)
    stills = [share for flow in flows if not np.isnan(share := _still_middle(flow))]
    still = float(np.mean(stills)) if stills else 0.0
    right, down, growth, roll = map(float, turn)
    return Motion(right, down, growth, float(np.degrees(roll)), *map(float, spreads), *map(float, growths), still)


def _spread(values: Array) -> float:
    """Range without the outer eighths, so that a moving figure is not taken for parallax."""
    return float(np.percentile(values, 87) - np.percentile(values, 13)) if len(values) > 7 else 0.0


def _spreads(flow: Flow) -> tuple[float, float, float]:
    reach = np.hypot(*flow.corners.T)
    outer = reach > 30
    radial = (flow.residual * flow.corners).sum(1)[outer] / reach[outer]
    return _spread(flow.residual[:, 0]), _spread(flow.residual[:, 1]), _spread(radial)


def _growths(flow: Flow) -> tuple[float, float]:
    outer = np.hypot(*flow.corners.T) > 45
    x, y = flow.corners.T
    near, far = outer & (y > 45), outer & (y < -5) & (np.abs(x) > 60)
    return tuple(float(np.median(flow.growth[part])) if part.sum() > 4 else 0.0 for part in (near, far))  # type: ignore


def _still_middle(flow: Flow) -> float:
    speed, expected = np.hypot(*flow.flow.T), np.hypot(*(flow.flow - flow.residual).T)
    middle = (np.abs(flow.corners[:, 0]) < 40) & (flow.corners[:, 1] > 8) & (expected > 0.5)
    return float((speed[middle] < 0.35 * expected[middle]).mean()) if middle.sum() > 4 else float("nan")


def recovered(frames: list[Picture]) -> frozenset[str]:
    """Return the vocabulary terms of the camera movement in grey frames (180, 320)."""
    seen = motion(frames)
    names = _horizontal_terms(seen) | _vertical_terms(seen) | _forward_terms(seen)
    if abs(seen.rolled) > MIN_ROLL:
        names |= {"Camera roll"}
    return frozenset(names or {"Static shot"})


def _horizontal_terms(seen: Motion) -> set[str]:
    if max(abs(seen.right), 0.5 * seen.spread_across) < MIN_SHIFT:
        return set()
    if seen.spread_across < max(MIN_PARALLAX, 0.35 * abs(seen.right)):
        return {"Pan left" if seen.right > 0 else "Pan right"}
    if seen.right * seen.rolled > 0:  # near objects, low in the image, move less than far ones or the opposite way
        return {"Arc"}
    way = {"Move to the left" if seen.right > 0 else "Move to the right"}
    return way | {"Tracking"} if seen.still_middle > MIN_STATIC_SHARE else way


def _vertical_terms(seen: Motion) -> set[str]:
    if max(abs(seen.down), 0.6 * seen.spread_down) < MIN_SHIFT:
        return set()
    if seen.spread_down < max(MIN_PARALLAX, 0.3 * abs(seen.down)):
        return {"Tilt up" if seen.down > 0 else "Tilt down"}
    return {"Boom up" if seen.down > 0 else "Boom down"}


def _forward_terms(seen: Motion) -> set[str]:
    if abs(seen.growth) < MIN_LOG_SCALE:
        return set()
    if seen.spread_radial < max(MIN_PARALLAX, 20 * abs(seen.growth)):  # tracking errors grow with the scale change
        return {"Zoom in" if seen.growth > 0 else "Zoom out"}
    if max(seen.spread_across, seen.spread_down) > 1.05 * seen.spread_radial:
        return set()
    if seen.near_growth * np.sign(seen.growth) < 0.85 * abs(seen.far_growth) and seen.still_middle > MIN_STATIC_SHARE:
        return {"Dolly zoom"}  # far objects change more than near ones, the subject not at all
    way = {"Push in" if seen.growth > 0 else "Pull out"}
    return way | {"Tracking"} if seen.still_middle > MIN_STATIC_SHARE else way
