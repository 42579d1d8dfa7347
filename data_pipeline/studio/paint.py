"""Paints one picture of a stage: sky, floor, backdrop, shadows, then things and figures from far to near."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from data_pipeline.studio import rounds
from data_pipeline.studio.camera import NEAR, Array, Camera, Size
from data_pipeline.studio.light import Light, eight_bit, graded, sky
from data_pipeline.studio.sets import Scenery
from data_pipeline.studio.shadows import floor_shadows, wall_shadows
from data_pipeline.studio.solids import Thing

OVERSAMPLING = 2
FAR = 500.0
STRAIGHT_UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True, eq=False)
class Stage:
    """A dressed and lit set with its figures: all that is in front of the camera."""

    scenery: Scenery
    light: Light
    figures: tuple[Thing, ...] = ()
    props: tuple[Thing, ...] = ()


@dataclass(frozen=True)
class Canvas:
    """What one picture is painted with. Fine pictures (stills) are shaded in more steps and rounder."""

    camera: Camera
    light: Light
    size: Size
    image: Image.Image
    brush: ImageDraw.ImageDraw
    fine: bool

    def fill(self, pixels: Array, colour: tuple[int, int, int]) -> None:
        self.brush.polygon(pixels.ravel().tolist(), fill=colour)


def picture(stage: Stage, camera: Camera, size: Size, fine: bool = True) -> Image.Image:
    """The picture this camera takes of the stage. Painted large and reduced, which smooths the edges."""
    large = (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING)
    image = sky(camera, stage.light, large)
    canvas = Canvas(camera, stage.light, large, image, ImageDraw.Draw(image), fine)
    _paint_ground(canvas, stage.scenery)
    cast = (*stage.figures, *stage.props, *stage.scenery.things)
    if stage.light.shadow > 0:
        _paint_shadows(canvas, floor_shadows(cast, stage.light, stage.scenery.wall))
    _paint_things(canvas, stage.scenery.backdrop)
    if stage.light.shadow > 0 and stage.scenery.wall is not None:
        _paint_shadows(canvas, wall_shadows(stage.figures, stage.light, stage.scenery.wall))
    _paint_things(canvas, cast)
    return graded(image.reduce(OVERSAMPLING), camera, stage.light)


def _paint_ground(canvas: Canvas, scenery: Scenery) -> None:
    corners = np.array([(-FAR, -FAR, 0), (FAR, -FAR, 0), (FAR, FAR, 0), (-FAR, FAR, 0)])
    outline = canvas.camera.outline(canvas.camera.see(corners), canvas.size)
    if outline is not None:
        canvas.fill(outline, eight_bit(canvas.light.on_face(scenery.ground, STRAIGHT_UP)))
    _paint_faces(canvas, scenery.floor)


@lru_cache(maxsize=1024)
def _middle(thing: Thing) -> tuple[float, ...]:
    points = [corner for face in thing.faces for corner in face.corners]
    points += [centre for one in thing.rounds for centre in one.centres]
    return tuple(thing.placed(np.array(points)).mean(axis=0).tolist())


@lru_cache(maxsize=32)
def _gathered(things: tuple[Thing, ...], light: Light, fine: bool) -> rounds.Batch | None:
    return rounds.gather(things, light, fine) if any(thing.rounds for thing in things) else None


def _paint_things(canvas: Canvas, things: tuple[Thing, ...]) -> None:
    """Things from far to near, and the rounds of each thing from far to near."""
    by_distance = sorted(
        range(len(things)), key=lambda number: -math.dist(_middle(things[number]), canvas.camera.position)
    )
    batch = _gathered(things, canvas.light, canvas.fine)
    seen = None
    turns: dict[int, list[int]] = {}
    if batch is not None:
        seen = rounds.outlines(batch, canvas.camera, canvas.size, canvas.light, 48 if canvas.fine else 16)
        for row in np.argsort(-seen.distance, kind="stable").tolist():
            if seen.shown[row]:
                turns.setdefault(int(batch.owner[row]), []).append(row)
    for number in by_distance:
        _paint_faces(canvas, things[number])
        if batch is not None and seen is not None and number in turns:
            _paint_rounds(canvas, things[number], batch, seen, turns[number])


def _paint_rounds(canvas: Canvas, thing: Thing, batch: rounds.Batch, seen: rounds.Outlines, rows: list[int]) -> None:
    if canvas.light.rim and thing.is_figure:
        _paint_rim(canvas, seen.pixels[rows, 0], math.dist(_middle(thing), canvas.camera.position))
    outlines = seen.pixels[rows].reshape(len(rows), seen.steps, -1).tolist()
    for row, steps in zip(rows, outlines, strict=True):
        tones = batch.tones[row][: seen.steps]
        if seen.is_small[row]:
            steps, tones = steps[:1], tones[:2][-1:]
        for outline, tone in zip(steps, tones, strict=False):  # a mark has one tone
            canvas.brush.polygon(outline, fill=tone)


def _paint_rim(canvas: Canvas, outlines: Array, distance: float) -> None:
    """The figure's outline in the rim's colour, under the figure and shifted to the side the rim light is on."""
    colour = eight_bit(canvas.light.rim or (1.0, 1.0, 1.0))
    width = max(3.0, 0.010 * canvas.camera.focal_pixels(canvas.size) / distance)
    shift = np.array(canvas.light.rim_from) * width
    for outline in outlines:
        pixels = outline + shift
        canvas.fill(pixels, colour)
        canvas.brush.line([*pixels.ravel().tolist(), *pixels[0].tolist()], fill=colour, width=round(2 * width))


@lru_cache(maxsize=1024)
def _corners(thing: Thing) -> tuple[Array, Array]:
    """Corners of all faces of a thing (short ones end in repeats), and the directions they look in."""
    most = max(len(face.corners) for face in thing.faces)
    padded = [face.corners + face.corners[-1:] * (most - len(face.corners)) for face in thing.faces]
    corners = thing.placed(np.array(padded))
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return corners, np.asarray(normals / np.linalg.norm(normals, axis=1, keepdims=True))


@lru_cache(maxsize=1024)
def _face_tones(thing: Thing, light: Light) -> tuple[tuple[int, int, int], ...]:
    normals = _corners(thing)[1]
    return tuple(
        eight_bit(face.colour if face.glowing else light.on_face(face.colour, normal))
        for face, normal in zip(thing.faces, normals, strict=True)
    )


def _paint_faces(canvas: Canvas, thing: Thing) -> None:
    """The faces of a thing that are turned to the camera, in the order they were built."""
    if not thing.faces:
        return
    corners, normals = _corners(thing)
    tones = _face_tones(thing, canvas.light)
    seen = canvas.camera.see(corners)
    turned_to_us = np.einsum("ki,ki->k", normals, np.array(canvas.camera.position) - corners[:, 0]) > 0
    wanted = np.flatnonzero(turned_to_us & canvas.camera.may_show(seen, canvas.size))
    seen = seen[wanted]
    whole = np.asarray((seen[..., 2] >= NEAR).all(axis=1) & (not canvas.camera.fisheye))
    pixels = canvas.camera.image(seen, canvas.size)
    tiny = np.ptp(pixels, axis=1).max(axis=1) <= rounds.SMALLEST
    for place, number in enumerate(wanted.tolist()):
        outline = pixels[place] if whole[place] else canvas.camera.outline(seen[place], canvas.size)
        if outline is not None and not (whole[place] and tiny[place]):
            canvas.fill(outline, tones[number])


def _paint_shadows(canvas: Canvas, shadows: Array) -> None:
    """Darkens the picture where light is kept off the floor or the wall; overlapping shadows darken it once."""
    seen = canvas.camera.see(shadows)
    kept = (seen[..., 2] > NEAR).all(axis=1)
    pixels = canvas.camera.image(seen[kept], canvas.size)
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    inside = (high > 0).all(axis=1) & (low < np.array(canvas.size)).all(axis=1)
    if not inside.any():
        return
    left, top = np.maximum(np.floor(low[inside].min(axis=0)), 0).astype(int).tolist()
    blur = canvas.light.blur if canvas.fine else 0.0
    margin = round(3 * blur)
    right, bottom = np.minimum(np.ceil(high[inside].max(axis=0)) + 1, np.array(canvas.size)).astype(int).tolist()
    area = (
        max(0, left - margin),
        max(0, top - margin),
        min(canvas.size[0], right + margin),
        min(canvas.size[1], bottom + margin),
    )
    mask = Image.new("L", (area[2] - area[0], area[3] - area[1]), 255)
    brush = ImageDraw.Draw(mask)
    tone = round(255 * (1 - canvas.light.shadow))
    for outline in pixels[inside] - np.array(area[:2]):
        brush.polygon(outline.ravel().tolist(), fill=tone)
    if blur:
        mask = mask.filter(ImageFilter.GaussianBlur(blur))
    dimmed = ImageChops.multiply(canvas.image.crop(area), Image.merge("RGB", (mask, mask, mask)))
    canvas.image.paste(dimmed, area[:2])
