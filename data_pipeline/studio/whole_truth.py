"""The truth of all eight dimensions of a studio shot: a label, none, or uncertain.

Every shot is staged for one term, but it shows something of every dimension. The truth follows from what was staged
(camera, figures, lights, set) and from the instance ids of the rendered picture, by the same rules for every shot:

shot size: The lowest visible point of the main figures: soles wide, knees medium wide, waist medium, chest medium
    close up, shoulders close up, face extreme close up. Whole people of at most 15 % of the frame's height: extreme
    wide. Main figures of different sizes: uncertain. An object without people is a close up or an extreme close up.
shot framing: The number of people whose visible area is at least a quarter of the largest one's; from 4 %, they may
    count. Insert: an object and nobody. Establishing shot: a place with houses in which people are tiny. Over the
    shoulder: someone near, seen from behind and cut by the frame, and someone farther away who looks this way.
camera angle: Pitch (high from -25 degrees, low from 18, overhead from -80), height above the ground (aerial from 20
    m) and roll (Dutch from 11 degrees). None if the camera is within 9 degrees of level and 5 of upright, and not 20
    degrees above or below the main figure's face.
lens size: Focal length on a full frame: ultra wide to 14.5 mm, wide 18 to 28, medium 40 to 60, long from 85.
lighting type: Sky, sun, moon, and the colour of lamps. A lit lamp in the picture is a practical light. Rooms without
    visible lamps may be lit by day or by lamps: uncertain. White lamps may be of any kind.
lighting condition: Direction, angular size and power of the lights on the main figure's face relative to the ambient
    light. Hard light is certain where a cast shadow is visible, or where nothing fills the shadows. A silhouette is
    an unlit figure that is black in the picture, in front of something bright.
composition: The area of the figures on both sides of the frame. A side is certainly heavy only in sets without
    furniture. Symmetrical: set, camera and figures are mirrored. Short side: the only figure is off centre and looks
    towards the near edge. Without people: uncertain.
camera movement: What a clip was staged for. A still that is held in a film is a static shot; of a still file
    it is uncertain.

Between the ranges in which the studio stages a term, the truth is uncertain. Still dimensions of clips hold at the
middle frame, which is the key still, and at a quarter and three quarters of the clip; what changes is uncertain. A
term that a shot was staged for is always true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from data_pipeline.studio.camera_truth import camera_angle, camera_movement, lens_size
from data_pipeline.studio.claims import claim, over_time
from data_pipeline.studio.films import FilmedShot
from data_pipeline.studio.light_truth import lighting_condition, lighting_type
from data_pipeline.studio.measured_frame import MeasuredFrame
from data_pipeline.studio.people_truth import composition, shot_framing, shot_size
from lmms_eval_shotbench import vocabulary
from lmms_eval_shotbench.labelling.truth import UNKNOWN, ShotTruth
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, Dimension, dimension_named

RULES: Mapping[Dimension, Callable[[MeasuredFrame], ShotTruth]] = {
    vocabulary.SHOT_SIZE: shot_size,
    vocabulary.SHOT_FRAMING: shot_framing,
    vocabulary.CAMERA_ANGLE: camera_angle,
    vocabulary.LENS_SIZE: lens_size,
    vocabulary.LIGHTING_TYPE: lighting_type,
    vocabulary.LIGHTING_CONDITION: lighting_condition,
    vocabulary.COMPOSITION: composition,
}


def whole_truth(shot: FilmedShot, *, in_film: bool = False) -> dict[str, ShotTruth]:
    """Return the truth of every dimension, by slug; `in_film` means that a still is shown in a film for a while."""
    truths = measured_truth(shot)
    truths[CAMERA_MOVEMENT.slug] = _movement(shot, in_film)
    for slug, label in shot.labels.items():
        dimension, truth = dimension_named(slug), truths[slug]
        staged = {term.name for term in dimension.parse(label).terms}
        if dimension is not CAMERA_MOVEMENT and not staged <= truth.terms(dimension):
            truths[slug] = claim(dimension, truth.terms(dimension) | staged, truth.possible)
    return truths


def measured_truth(shot: FilmedShot) -> dict[str, ShotTruth]:
    """Return the truth of the still dimensions by the rules alone, whatever the shot was staged for."""
    count = len(shot.frames)
    numbers = sorted({count // 4, count // 2, 3 * count // 4})
    moments = [MeasuredFrame(shot.stage(number), shot.cameras[number], shot.frames[number]) for number in numbers]
    return {
        dimension.slug: over_time(dimension, [rule(moment) for moment in moments]) for dimension, rule in RULES.items()
    }


def _movement(shot: FilmedShot, in_film: bool) -> ShotTruth:
    if shot.clip is not None:
        return camera_movement(shot.plan.label, shot.clip)
    return claim(CAMERA_MOVEMENT, ["Static shot"]) if in_film else UNKNOWN
