"""The light on the stage: where it comes from, its colour, and how the finished picture is graded."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

from data_pipeline.studio.camera import Array, Camera, Point, Size
from data_pipeline.studio.solids import Colour


@dataclass(frozen=True)
class Lamp:
    """A source seen in the picture: it brightens what is near it and has a halo of its own."""

    spot: Point
    reach: float
    colour: Colour
    halo: float = 0.0
    halo_reach: float = 0.3


@dataclass(frozen=True)
class Light:
    """One way to light the stage.

    `toward` points from the stage to the key light. `scenery` dims whatever is not a figure. `rim` outlines figures;
    `rim_from` says from which side in the picture (0, 0 for all round). `lift`, `contrast` and `saturation` grade.
    """

    toward: Point = (-0.55, -0.75, 0.7)
    key: Colour = (0.66, 0.63, 0.58)
    ambient: Colour = (0.46, 0.49, 0.54)
    zenith: Colour = (0.36, 0.58, 0.86)
    horizon: Colour = (0.80, 0.88, 0.95)
    shadow: float = 0.35
    blur: float = 0.0
    hard: bool = False
    scenery: float = 1.0
    rim: Colour | None = None
    rim_from: tuple[float, float] = (0.0, 0.0)
    lift: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0
    tint: Colour = (1.0, 1.0, 1.0)
    beyond_lamps: float = 1.0
    lamps: tuple[Lamp, ...] = field(default=())

    def direction(self) -> Array:
        toward = np.array(self.toward)
        return np.asarray(toward / np.linalg.norm(toward))

    def steps(self, fine: bool) -> tuple[tuple[float, float], ...]:
        """Steps of a round's shading: how much of the round is lit, and with what share of the key light."""
        if self.hard:
            return ((0.62, 0.80), (0.40, 1.0)) if fine else ((0.6, 0.9),)
        return (
            ((0.88, 0.3), (0.74, 0.52), (0.58, 0.72), (0.4, 0.88), (0.22, 1.0)) if fine else ((0.78, 0.5), (0.45, 1.0))
        )

    def on_skin(self, colour: Colour, share: float, dim: float) -> Colour:
        """A round's colour where it gets this share of the key light."""
        tones = zip(colour, self.ambient, self.key, strict=True)
        red, green, blue = (tone * (ambient + key * share) * dim for tone, ambient, key in tones)
        return (red, green, blue)

    def on_mark(self, outward: Array) -> float:
        """The share of the key light on a mark, which is too small to be shaded in steps."""
        cosine = float(outward @ self.direction())
        if self.hard:
            return 0.8 if cosine > 0.04 else 0.0
        return max(0.0, 0.25 + 0.75 * cosine)

    def on_face(self, colour: Colour, normal: Array) -> Colour:
        """A flat face's colour under this light."""
        return self.on_skin(colour, max(0.0, float(normal @ self.direction())), self.scenery)

    def is_graded(self) -> bool:
        plain = self.lift == 0 and self.contrast == 1 and self.saturation == 1 and self.tint == (1.0, 1.0, 1.0)
        return not plain or bool(self.lamps) or self.beyond_lamps != 1


def eight_bit(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (max(0, min(255, round(255 * tone))) for tone in colour)
    return (red, green, blue)


def sky(camera: Camera, light: Light, size: Size) -> Image.Image:
    """The sky as this camera sees it. It has no edges, so a coarse grid of rays stretched to size is enough."""
    columns, rows = 20, 24
    x = (np.arange(columns) + 0.5) / columns - 0.5
    y = (np.arange(rows) + 0.5) / rows - 0.5
    across: Array = np.tile(x * size[0], (rows, 1))
    down: Array = np.tile((y * size[1])[:, None], (1, columns))
    rays = np.stack([across, -down, np.full_like(across, camera.focal_pixels(size))], axis=-1) @ camera.axes
    height = np.clip(rays[..., 2] / np.linalg.norm(rays, axis=-1), 0, 0.6)[..., None] / 0.6
    share = np.sqrt(height)
    tones = np.array(light.horizon) * (1 - share) + np.array(light.zenith) * share
    coarse = Image.fromarray((255 * np.clip(tones, 0, 1)).astype(np.uint8))
    # Smooth to a quarter, then plain: a gradient shows no steps of four pixels, and large smooth resizing is slow.
    quarter = coarse.resize((size[0] // 4, size[1] // 4), Image.Resampling.BILINEAR)
    return quarter.resize(size, Image.Resampling.NEAREST)


def _falloff(camera: Camera, spot: Point, reach: float, size: Size) -> npt.NDArray[np.float32]:
    seen = camera.see(np.array(spot))
    middle = camera.image(seen, size)
    pixels = max(2.0, reach * camera.focal_pixels(size) / max(float(seen[2]), 0.3))
    across = (np.arange(size[0], dtype=np.float32) - np.float32(middle[0])) / np.float32(pixels)
    down = (np.arange(size[1], dtype=np.float32) - np.float32(middle[1])) / np.float32(pixels)
    return np.asarray(np.exp(-(down[:, None] ** 2 + across[None, :] ** 2)), dtype=np.float32)[..., None]


def graded(picture: Image.Image, camera: Camera, light: Light) -> Image.Image:
    """The finished picture after lamps, tint, saturation, contrast and lift."""
    if not light.is_graded():
        return picture
    tones = np.asarray(picture, dtype=np.float32) / 255
    gain: npt.NDArray[np.float32] = np.full((1, 1, 3), light.beyond_lamps, dtype=np.float32)
    for lamp in light.lamps:
        gain = gain + _falloff(camera, lamp.spot, lamp.reach, picture.size) * np.array(lamp.colour, dtype=np.float32)
    tones = tones * gain * np.array(light.tint, dtype=np.float32)
    for lamp in light.lamps:
        halo = lamp.halo * np.array(lamp.colour, dtype=np.float32)
        tones = tones + _falloff(camera, lamp.spot, lamp.halo_reach, picture.size) * halo
    grey = tones.mean(axis=-1, keepdims=True)
    tones = grey + (tones - grey) * light.saturation
    tones = (tones - 0.45) * light.contrast + 0.45 + light.lift
    return Image.fromarray((255 * np.clip(tones, 0, 1)).astype(np.uint8))
