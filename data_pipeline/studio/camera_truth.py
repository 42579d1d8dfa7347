"""Camera angle, lens size and movement of a shot: what the camera alone decides. Defined in `whole_truth.py`."""

from __future__ import annotations

import math

from data_pipeline.studio.claims import claim, exactly_one
from data_pipeline.studio.clips import StagedClip
from data_pipeline.studio.measured_frame import MeasuredFrame
from lmms_eval_shotbench.labelling.truth import ShotTruth
from lmms_eval_shotbench.vocabulary import CAMERA_ANGLE, CAMERA_MOVEMENT, LENS_SIZE

LEVEL = 9.0  # degrees: up to here the camera is level
HIGH, LOW = -25.0, 18.0  # degrees of pitch from which an angle is high or low
OVERHEAD, NEARLY_OVERHEAD = -80.0, -65.0
TOWER = 20.0  # metres above the ground from which a high angle is aerial
LOOKING = 20.0  # degrees up or down from the camera to the main figure's face from which the angle may be low or high
UPRIGHT, CANTED = 5.0, 11.0  # degrees of roll: no Dutch angle up to the first, one from the second
# Focal length in mm on a full frame up to which the lens may be one of these.
LENSES: tuple[tuple[float, tuple[str, ...]], ...] = (
    (14.5, ("Ultra Wide / Fisheye",)),
    (18.0, ("Ultra Wide / Fisheye", "Wide")),
    (28.0, ("Wide",)),
    (40.0, ("Wide", "Medium")),
    (60.0, ("Medium",)),
    (85.0, ("Medium", "Long Lens")),
    (math.inf, ("Long Lens",)),
)


def camera_angle(measured: MeasuredFrame) -> ShotTruth:
    """Elevation and roll of the camera. A level, upright camera has no term."""
    camera = measured.camera
    certain, possible = set[str](), set[str]()
    if camera.pitch <= NEARLY_OVERHEAD:
        (certain if camera.pitch <= OVERHEAD else possible).add("Overhead")
        possible |= {"Aerial"} if camera.eye[2] > TOWER else {"High angle"} if camera.pitch > OVERHEAD else set()
    elif camera.pitch <= HIGH:
        certain.add("Aerial" if camera.eye[2] > TOWER else "High angle")
        possible |= {"High angle"} if camera.eye[2] > TOWER else set()
    elif camera.pitch >= LOW:
        certain.add("Low angle")
    else:
        looking = camera.pitch
        if measured.figures:
            face = measured.figures[0].figure.face()
            level = math.hypot(face[0] - camera.eye[0], face[1] - camera.eye[1])
            looking = math.degrees(math.atan2(face[2] - camera.eye[2], level))
        possible |= {"High angle"} if camera.pitch < -LEVEL or looking < -LOOKING else set()
        possible |= {"Low angle"} if camera.pitch > LEVEL or looking > LOOKING else set()
    if abs(camera.roll) > UPRIGHT:
        (certain if abs(camera.roll) >= CANTED else possible).add("Dutch angle")
    return claim(CAMERA_ANGLE, certain, possible)


def lens_size(measured: MeasuredFrame) -> ShotTruth:
    """Focal length. Every shot has one, but between the ranges its class is not certain."""
    camera = measured.camera
    focal_length = 0.0 if camera.fisheye else camera.focal_length
    return exactly_one(LENS_SIZE, next(names for limit, names in LENSES if focal_length <= limit))


def camera_movement(label: str, clip: StagedClip) -> ShotTruth:
    """The staged movement of a clip, and movements that it contains or may be called."""
    terms = {term.name for term in CAMERA_MOVEMENT.parse(label).terms}
    possible = {"Rack focus"} if any(term.startswith("Rack focus") for term in terms) else set[str]()
    first, last = (clip.movement.rig(share) for share in (0.0, 1.0))
    if "Dolly zoom" in terms:
        possible |= {"Pull out", "Zoom in"} if last.distance > first.distance else {"Push in", "Zoom out"}
    if "Arc" in terms:
        possible.add("Move to the right" if last.azimuth > first.azimuth else "Move to the left")
    truth = claim(CAMERA_MOVEMENT, terms, possible)
    return ShotTruth(truth.status, str(CAMERA_MOVEMENT.canonical(CAMERA_MOVEMENT.parse(label))), truth.possible)
