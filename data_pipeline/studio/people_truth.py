"""Shot size, shot framing and composition of a frame: what its visible figures decide. Defined in `whole_truth.py`."""

from __future__ import annotations

import math

import numpy as np

from data_pipeline.studio.claims import Terms, claim, exactly_one
from data_pipeline.studio.measured_frame import MeasuredFrame, VisibleFigure
from lmms_eval_shotbench.labelling.truth import UNKNOWN, ShotTruth
from lmms_eval_shotbench.vocabulary import COMPOSITION, SHOT_FRAMING, SHOT_SIZE

# Lowest visible point of a person whose head is visible, as a share of the stature -> sizes that it may be.
CUTS: tuple[tuple[float, tuple[str, ...]], ...] = (
    (0.15, ("Wide", "Medium Wide")),  # ankles
    (0.36, ("Medium Wide",)),  # knees
    (0.42, ("Medium Wide", "Medium")),
    (0.58, ("Medium",)),  # hips and waist
    (0.64, ("Medium", "Medium Close Up")),
    (0.745, ("Medium Close Up",)),  # chest
    (0.79, ("Medium Close Up", "Close Up")),
    (0.86, ("Close Up",)),  # shoulders
    (1.01, ("Extreme Close Up",)),  # face
)
EYES, SOLES = 0.92, 0.05  # above the eyes, and below the ankles, as shares of the stature
TINY, FULL, CROPPED = 0.15, 0.28, 0.95  # height of a whole person: up to tiny extreme wide, from full to cropped wide
FACE, NOT_FACE = 7.0, 6.4  # stature in frame heights: an extreme close up from the first, a close up to the second
FILLED = 0.5  # the person's visible part fills this share of the height of the frame, or the size is not certain
SUBJECT, BACKGROUND = 0.25, 0.04  # area relative to the largest figure's: people who count, people who do not
COUNTS = {1: "Single", 2: "2 shot", 3: "3 shot"}
BUILT = ("street", "city", "avenue")  # sets that are a location with houses
PLAIN = ("beach", "heath", "bare wall")  # sets without other visual weight than the figures
MIRRORED = ("avenue", "corridor")  # sets that are symmetrical at x = 0


def shot_size(measured: MeasuredFrame) -> ShotTruth:
    """How much of the main figures is visible."""
    if not measured.figures:
        if measured.median_depth > 12:
            return claim(SHOT_SIZE, ["Extreme Wide"])
        return claim(SHOT_SIZE, (), ["Extreme Close Up", "Close Up"]) if measured.median_depth < 1.5 else UNKNOWN
    largest = measured.figures[0].share
    sizes = [_sizes_of(one) for one in measured.figures if one.share >= SUBJECT * largest]
    return exactly_one(SHOT_SIZE, frozenset().union(*sizes)) if all(sizes) else UNKNOWN


def _sizes_of(one: VisibleFigure) -> frozenset[str]:
    """Return the sizes that a figure's visible part allows; none if it allows no conclusion."""
    if one.highest < EYES:
        return frozenset()
    if one.lowest <= SOLES:
        names = {"Extreme Wide"} if one.height < FULL else set[str]()
        names |= {"Wide"} if one.height > TINY else set()
        return frozenset(names | ({"Medium Wide"} if one.height > CROPPED else set()))
    names = set(next(names for limit, names in CUTS if one.lowest < limit))
    if names & {"Close Up", "Extreme Close Up"}:
        names = names - {"Close Up", "Extreme Close Up"} | ({"Close Up"} if one.height < FACE else set())
        names |= {"Extreme Close Up"} if one.height > NOT_FACE else set()
    return frozenset(names) if (one.highest - one.lowest) * one.height >= FILLED else frozenset()


def shot_framing(measured: MeasuredFrame) -> ShotTruth:
    """How many people are shown, or what is shown instead of them."""
    if not measured.figures:
        if not measured.stage.figures and measured.median_depth < 1.5:
            return claim(SHOT_FRAMING, ["Insert"])
        return claim(SHOT_FRAMING, (), ["Establishing shot"]) if measured.median_depth > 12 else UNKNOWN
    least, most = _people(measured)
    counts = {COUNTS.get(number, "Group shot") for number in range(least, most + 1)}
    if all(one.height <= TINY for one in measured.figures):
        is_location = measured.stage.scenery.name in BUILT and measured.camera.pitch > -20
        return claim(SHOT_FRAMING, ["Establishing shot"] if is_location else (), counts | {"Establishing shot"})
    if _is_over_the_shoulder(measured):
        return claim(SHOT_FRAMING, ["Over the shoulder"], counts)
    return exactly_one(SHOT_FRAMING, counts)


def _people(measured: MeasuredFrame) -> tuple[int, int]:
    """Return how many people are shown at least and at most: small ones in the background may count or not."""
    relative = [one.share / measured.figures[0].share for one in measured.figures]
    return sum(share >= SUBJECT for share in relative), sum(share >= BACKGROUND for share in relative)


def _is_over_the_shoulder(measured: MeasuredFrame) -> bool:
    """Whether someone near, seen from behind and cut by the frame, stands beside someone far who looks this way."""
    if len(measured.figures) < 2:
        return False
    near, far = sorted(measured.figures[:2], key=lambda one: one.distance)
    looks_away = abs(near.facing(measured.camera)) < 45
    looks_here = abs(far.facing(measured.camera)) > 120
    is_cut = near.lowest > 0.3 and abs(near.x) > 0.15
    return looks_away and looks_here and is_cut and near.distance < 0.7 * far.distance


def composition(measured: MeasuredFrame) -> ShotTruth:
    """Where the visual weight is, whether the picture is symmetrical, and where a figure looks."""
    if sum(one.share for one in measured.figures) < 0.01:
        return UNKNOWN
    (certain, possible), (mirrored, nearly) = _weight(measured), _symmetry(measured)
    certain, possible = certain | mirrored, possible | nearly
    if _people(measured)[0] == 1:
        main = measured.figures[0]
        sideways = math.sin(math.radians(main.facing(measured.camera)))
        towards_edge = sideways * math.copysign(1.0, main.x)
        certain |= {"Short side"} if abs(main.x) >= 0.15 and towards_edge > 0.77 else set()
        possible |= {"Short side"} if abs(main.x) >= 0.07 and towards_edge > 0.3 else set()
    return claim(COMPOSITION, certain, possible)


def _weight(measured: MeasuredFrame) -> Terms:
    """Return the certain and the possible terms of weight, from the area of the figures on both sides."""
    columns = measured.columns
    positions = (np.arange(len(columns)) + 0.5) / len(columns) - 0.5  # of the columns, -0.5 left to 0.5 right
    centre = float((columns * positions).sum())
    sides = float(columns[positions < 0].sum()), float(columns[positions >= 0].sum())
    lighter = min(sides) / max(sides)
    heavy = "Left heavy" if centre < 0 else "Right heavy"
    least, most = _people(measured)
    if lighter < 0.14 and abs(centre) >= 0.15:
        is_certain = measured.stage.scenery.name in PLAIN and abs(centre) >= 0.18
        return ({heavy}, set()) if is_certain else (set(), {heavy, "Balanced"})
    if most == 1:
        if abs(centre) <= 0.05:
            return {"Center"}, set()
        return set(), {heavy, "Balanced"} | ({"Center"} if abs(centre) < 0.1 else set())
    middle = float(columns[np.abs(positions) < 0.08].sum())
    if least == most == 2 and lighter >= 0.55 and middle <= 0.15:
        return {"Balanced"}, set()
    return set(), {"Balanced"} | ({"Center"} if middle > 0.15 else set()) | ({heavy} if lighter < 0.6 else set())


def _symmetry(measured: MeasuredFrame) -> Terms:
    """Symmetrical is certain if set, camera and figures are mirrored at the middle of the frame."""
    camera, figures = measured.camera, measured.stage.figures
    off_axis = max(abs(camera.eye[0]), abs(camera.yaw) / 25, abs(camera.roll) / 25)
    if measured.stage.scenery.name not in MIRRORED or off_axis > 0.2:
        return set(), set()
    spots = sorted((round(one.x, 3), one.y, one.facing % 360) for one in figures)
    mirrored = sorted((round(-one.x, 3), one.y, -one.facing % 360) for one in figures)
    return ({"Symmetrical"}, set()) if off_axis < 0.02 and spots == mirrored else (set(), {"Symmetrical"})
