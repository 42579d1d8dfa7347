"""From radiance to an image: depth of field, bloom, exposure, tone mapping and grading.

The tone curve is Krzysztof Narkowicz's fit of the ACES filmic curve. Images are float64 in linear light, where not
stated otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from data_pipeline.studio.camera import GATE, Array, Camera
from data_pipeline.studio.kernel import cached_kernel, sources_digest
from data_pipeline.studio.lights import Lighting

MAX_BLUR = 9.0  # maximum blur radius in pixels at a width of 320
TAPS = 32  # samples of the blur disc per pixel


def develop(light: Array, depth: Array, camera: Camera, lighting: Lighting) -> npt.NDArray[np.uint8]:
    """Convert linear light (height, width, 3) and depth (height, width) in metres to uint8 RGB (height, width, 3)."""
    if camera.focus is not None:
        light = with_depth_of_field(light, blur_radii(depth, camera))
    if lighting.bloom > 0:
        light = light + lighting.bloom * bloom_of(light * lighting.exposure) / max(lighting.exposure, 1e-6)
    exposed = light * (lighting.exposure * np.array(lighting.white))
    toned = np.clip(exposed * (2.51 * exposed + 0.03) / (exposed * (2.43 * exposed + 0.59) + 0.14), 0, 1)
    tones = toned ** (1 / 2.2)
    grey = (tones @ np.array([0.30, 0.59, 0.11]))[..., None]
    tones = grey + (tones - grey) * lighting.saturation
    tones = (tones - 0.5) * lighting.contrast + 0.5
    return np.asarray(np.clip(tones * 255 + 0.5, 0, 255).astype(np.uint8))


def blur_radii(depth: Array, camera: Camera) -> Array:
    """Return the radius of the circle of confusion in pixels for each depth in metres; same shape."""
    width = depth.shape[1]
    focal = camera.focal_length / 1000
    focus = max(camera.focus or 1.0, focal * 1.5)
    aperture = focal / camera.f_number
    circle = aperture * focal / (focus - focal) * np.abs(1 - focus / np.maximum(depth, 0.05))  # metres on the sensor
    return np.asarray(np.minimum(circle / 2 / (GATE / 1000) * width, MAX_BLUR * width / 320))


@lru_cache(maxsize=1)
def blur_function() -> Callable[..., int]:
    """Return the compiled function that writes the blurred image to its last argument."""
    digest = sources_digest()

    @cached_kernel
    def blur(light: Any, radius: Any, taps: Any, blurred: Any) -> int:
        """Average each pixel over a disc; a neighbour contributes only if its own blur radius reaches the pixel."""
        height, width = radius.shape
        for j in range(height):
            for i in range(width):
                weight, red, green, blue = 1.0, light[j, i, 0], light[j, i, 1], light[j, i, 2]
                reach = radius[j, i]
                if reach < MAX_BLUR * width / 320 and reach < 8:
                    for k in range(8):  # a blurred foreground neighbour may cover this pixel
                        jj, ii = j + int(taps[k * 4 + 3, 0] * 5), i + int(taps[k * 4 + 3, 1] * 5)
                        if 0 <= jj < height and 0 <= ii < width and radius[jj, ii] > 5.0:
                            reach = max(reach, 0.5 * radius[jj, ii])
                if reach < 0.4:
                    blurred[j, i] = light[j, i]
                    continue
                for k in range(taps.shape[0]):
                    jj, ii = math.floor(j + taps[k, 0] * reach + 0.5), math.floor(i + taps[k, 1] * reach + 0.5)
                    if jj < 0 or ii < 0 or jj >= height or ii >= width:
                        continue
                    off = math.sqrt((jj - j) ** 2 + (ii - i) ** 2)
                    share = min(1.0, max(0.0, radius[jj, ii] - off + 1.0))
                    weight += share
                    red += share * light[jj, ii, 0]
                    green += share * light[jj, ii, 1]
                    blue += share * light[jj, ii, 2]
                blurred[j, i, 0], blurred[j, i, 1], blurred[j, i, 2] = red / weight, green / weight, blue / weight
        return digest

    return blur


def with_depth_of_field(light: Array, radius: Array) -> Array:
    """Blur linear light (height, width, 3) by the radius of each pixel (height, width), in pixels."""
    if radius.max() < 0.4:
        return light
    number = np.arange(TAPS)
    away = np.sqrt((number + 0.5) / TAPS)
    taps = np.stack([away * np.sin(number * 2.399963), away * np.cos(number * 2.399963)], axis=-1)
    blurred = np.empty_like(light)
    blur_function()(light, np.ascontiguousarray(radius), taps, blurred)
    return blurred


def bloom_of(light: Array) -> Array:
    """Return the bloom of exposed light, (height, width, 3): overexposed parts, blurred at a quarter of the size."""
    height, width = light.shape[:2]
    over = np.maximum(light - 1.1, 0)
    if not over.any():
        return np.zeros_like(light)
    tall, wide = height // 4 * 4, width // 4 * 4
    small = over[:tall, :wide].reshape(tall // 4, 4, wide // 4, 4, 3).mean(axis=(1, 3))
    return upsampled(0.6 * gaussian_blur(small, 1.5) + 0.4 * gaussian_blur(small, 5.0), height, width)


def upsampled(small: Array, height: int, width: int) -> Array:
    """Upsample an image (height // 4, width // 4, 3) to (height, width, 3) with bilinear interpolation."""
    for axis, size in ((0, height), (1, width)):
        position = np.clip((np.arange(size) + 0.5) / 4 - 0.5, 0, small.shape[axis] - 1)
        lower = np.minimum(position.astype(np.int64), small.shape[axis] - 2)
        share = (position - lower).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        small = np.take(small, lower, axis) * (1 - share) + np.take(small, lower + 1, axis) * share
    return np.asarray(small)


def gaussian_blur(light: Array, sigma: float) -> Array:
    """Apply a Gaussian blur to an image (height, width, 3); `sigma` is in pixels, edges are replicated."""
    reach = math.ceil(2.5 * sigma)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    bell /= bell.sum()
    for axis in (0, 1):
        padding = [(reach, reach) if side == axis else (0, 0) for side in range(3)]
        padded = np.pad(light, padding, mode="edge")
        size = light.shape[axis]
        light = sum(weight * np.take(padded, range(k, k + size), axis=axis) for k, weight in enumerate(bell))
    return np.asarray(light)
