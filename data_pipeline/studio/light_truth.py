"""Lighting type and lighting condition of a frame, from its lights and sky. Defined in `whole_truth.py`."""

from __future__ import annotations

import numpy as np

from data_pipeline.studio.claims import Terms, claim
from data_pipeline.studio.lights import Tone
from data_pipeline.studio.measured_frame import LUMINANCE, Beam, MeasuredFrame, luminance
from lmms_eval_shotbench.labelling.truth import ShotTruth
from lmms_eval_shotbench.vocabulary import LIGHTING_CONDITION, LIGHTING_TYPE

NIGHT_SKY = 0.05  # luminance of the zenith below which it is night
WARM, BULB, COLD = 3.2, 4.5, 0.6  # ratio of red to blue: of a warm lamp, of a bulb without white balance, of skylight
WHITE_LAMPS = {"HMI", "LED", "Fluorescent"}  # white lamps, which a picture does not distinguish
CEILING = 2.4  # metres; lamps above it are part of the building rather than of the scene
STRONG, WEAK = 0.1, 0.35  # ambient light relative to the key: up to the first it is directional, from the second not
LARGE = 0.2  # height of a figure, as a share of the frame's, from which its shadow shows how hard the light is
NARROW, SOFT, BROAD = 0.045, 0.06, 0.25  # tangent of a source's angular radius: hard up to, perhaps soft, soft from


def lighting_type(measured: MeasuredFrame) -> ShotTruth:
    """Where the light comes from. Several terms may be true at the same time."""
    return claim(LIGHTING_TYPE, *(_lamp_light(measured) if measured.is_indoors else _light_outdoors(measured)))


def _light_outdoors(measured: MeasuredFrame) -> Terms:
    lighting = measured.stage.lighting
    suns = [light for light in lighting.lights if light.is_sun]
    if luminance(lighting.zenith) > NIGHT_SKY:
        if not suns:
            return {"Daylight"}, {"Sunny"} if lighting.disc else {"Overcast"}
        if suns[0].size > 0.1:
            return {"Daylight", "Overcast"}, set()
        blue_sky = lighting.zenith[2] > 6 * lighting.zenith[0]
        return ({"Daylight", "Sunny"}, set()) if blue_sky else ({"Daylight"}, {"Sunny"})
    if suns:
        return {"Moonlight"}, set()
    if any(light.position[2] < 0.6 for light in lighting.lights):  # a fire on the ground
        return {"Firelight"}, {"Practical light"}
    return {"Artificial light"} | ({"Practical light"} if measured.lamps else set()), {"Practical light", "Tungsten"}


def _lamp_light(measured: MeasuredFrame) -> Terms:
    lighting, beams = measured.stage.lighting, measured.beams
    strong = [beam for beam in beams if beam.power >= 0.25 * beams[0].power]
    ratios = [_red_to_blue(beam.light.tone) for beam in strong]
    practical = {"Practical light"} if measured.lamps else set()
    fixed = practical and all(z > CEILING for _, _, z in measured.lamps)
    certain, possible = (set(), practical) if fixed else (practical, set[str]())
    red, green, blue = beams[0].light.tone
    if min(ratios) < COLD and max(ratios) > WARM:
        return certain | {"Mixed light"}, possible | {"Tungsten"}
    if green > 1.1 * max(red, blue):
        return certain | {"Artificial light", "Fluorescent"}, possible | {"LED"}
    lamps = ({"Tungsten"} if max(ratios) > 2.2 else set()) | (WHITE_LAMPS if min(ratios) < WARM else set())
    if min(ratios) > BULB and _red_to_blue(lighting.ambient) > 2:
        return certain | {"Artificial light", "Tungsten"}, possible
    if measured.ambient < 0.1 or measured.lamps:
        return certain | {"Artificial light"}, possible | lamps
    return certain, possible | lamps | {"Artificial light", "Daylight", "Mixed light"}


def _red_to_blue(tone: Tone) -> float:
    return tone[0] / max(1e-6, tone[2])


def lighting_condition(measured: MeasuredFrame) -> ShotTruth:
    """How the light falls on the subject. Several terms may be true at the same time."""
    certain, possible = _silhouette(measured)
    if measured.beams:
        for found, possibly in (_directions(measured), _contrast(measured), _quality(measured)):
            certain, possible = certain | found, possible | possibly
    return claim(LIGHTING_CONDITION, certain, possible)


def _directions(measured: MeasuredFrame) -> Terms:
    """Directions of the strong lights, seen from the subject, and whether they outline it."""
    key, ambient = measured.beams[0].power, measured.ambient
    certain, possible = set[str](), set[str]()
    if ambient > WEAK * key:
        return certain, possible
    if abs(measured.camera.pitch) > 60:  # seen from above, behind and beside are the same
        return certain, {"Side light", "Backlight", "Top light"}
    strong = [beam for beam in measured.beams if beam.power >= 0.4 * key]
    on_one_side = len({*map(_is_behind, strong)}) == 1  # lit from front and back alike, no direction is certain
    for beam in strong:
        sure, maybe = _directions_of(beam)
        (certain if ambient <= STRONG * key and on_one_side else possible).update(sure)
        possible |= maybe
    front = ambient + sum(beam.power for beam in measured.beams if not _is_behind(beam))
    if all(map(_is_behind, strong)):
        outlined = front <= 0.05 * key and len(strong) > 1
        (certain if outlined else possible).add("Edge light")
    return certain, possible


def _is_behind(beam: Beam) -> bool:
    return beam.azimuth > 120 and abs(beam.elevation) < 60


def _directions_of(beam: Beam) -> Terms:
    """Return the directions that a light certainly and possibly has."""
    azimuth, elevation = beam.azimuth, beam.elevation
    if elevation >= 48:
        return ({"Top light"}, set()) if elevation >= 68 else (set(), {"Top light"})
    if elevation <= -15:
        return ({"Underlight"}, set()) if elevation <= -35 else (set(), {"Underlight"})
    if azimuth >= 155:
        return {"Backlight"}, set()
    if azimuth >= 110:
        return set(), {"Backlight"} | ({"Side light"} if azimuth < 130 else set())
    if azimuth >= 72 and elevation < 30:
        return {"Side light"}, set()
    return set(), {"Side light"} if azimuth >= 42 else set()


def _contrast(measured: MeasuredFrame) -> Terms:
    lighting, key = measured.stage.lighting, measured.beams[0].power
    fill = measured.ambient + sum(beam.power for beam in measured.beams[1:] if not _is_behind(beam))
    flat = lighting.fog_density > 0.02 or lighting.contrast < 0.9
    if measured.ambient >= key and flat:
        return {"Low contrast"}, set()
    if fill <= 0.03 * key and key >= 1.2:
        return {"High contrast"}, set()
    return set(), {"Low contrast"} if fill >= WEAK * key else {"High contrast"} if fill < 0.2 * key else set()


def _quality(measured: MeasuredFrame) -> Terms:
    key, ratio = measured.beams[0], measured.ambient / measured.beams[0].power
    if ratio >= 1.0 or key.spread >= BROAD:
        return {"Soft light"}, set()
    is_hard = key.spread <= NARROW and ratio <= 0.22 and not _is_behind(key)
    if is_hard and (ratio <= 0.05 < key.power or _casts_visible_shadow(measured, key)):
        return {"Hard light"}, set()
    hard = {"Hard light"} if key.spread <= NARROW and ratio <= 0.5 else set()
    return set(), hard | ({"Soft light"} if key.spread >= SOFT or ratio >= 0.25 else set())


def _casts_visible_shadow(measured: MeasuredFrame, beam: Beam) -> bool:
    """Whether the main figure's shadow by a light, on the ground or on the back wall, is in the picture."""
    main, wall = measured.figures[0] if measured.figures else None, measured.stage.scenery.room[2]
    if main is None or main.height < LARGE:
        return False
    for share in (0.5, 0.7, 0.9):
        point = np.array(main.figure.at(share))
        way = np.array(beam.light.position) - (0 if beam.light.is_sun else point)
        falls = [point[2] / way[2]] if way[2] > 0 else []
        falls += [(wall - point[1]) / -way[1]] if measured.is_indoors and way[1] < 0 else []
        if falls and measured.shows(point - way * min(falls)):
            return True
    return False


def _silhouette(measured: MeasuredFrame) -> Terms:
    """A silhouette is certain if unlit figures are black in front of something bright; it is lit from behind."""
    front = measured.ambient + sum(beam.power for beam in measured.beams if not _is_behind(beam))
    figures = np.isin(measured.frame.ids, range(1, len(measured.stage.figures) + 1))
    if front > 0.4 or figures.mean() < 0.002 or figures.all():
        return set(), set()
    grey = measured.frame.rgb @ LUMINANCE
    inside, around = float(np.median(grey[figures])), float(np.median(grey[~figures]))
    if around < 75 or inside >= 60:
        return set(), set()
    if front < 0.05 and inside < 45:
        return {"Silhouette", "Backlight"}, {"High contrast"}
    return set(), {"Silhouette"}
