"""Procedural textures: brightness of each point relative to the material's colour.

All are functions of texture coordinates in metres and of `pixel`, the size of a pixel on the surface in metres. They
fade out before their pattern becomes finer than a pixel, to avoid aliasing when the camera moves.
"""

from __future__ import annotations

import math

from data_pipeline.studio.kernel import Vector, clamp, kernel

PLAIN, CLOTH, SKIN, HAIR, GRASS, BRICK, WINDOWS, WOOD, PAVING, STRIPES = range(10)
LEAVES, ASPHALT, BOOKS, FOLDS, CHECKS, SAND, PRINT = range(10, 17)


@kernel
def lattice_hash(x: float, y: float) -> float:
    """Hash of an integer lattice point to [0, 1]."""
    mixed = (int(x) * 374761393 + int(y) * 668265263) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 16)) & 0xFFFF) / 65535.0


@kernel
def value_noise(x: float, y: float) -> float:
    """Value noise in [0, 1]: hashes of lattice points, smoothly interpolated."""
    column, row = math.floor(x), math.floor(y)
    right, down = x - column, y - row
    right, down = right * right * (3 - 2 * right), down * down * (3 - 2 * down)
    upper = lattice_hash(column, row) * (1 - right) + lattice_hash(column + 1, row) * right
    lower = lattice_hash(column, row + 1) * (1 - right) + lattice_hash(column + 1, row + 1) * right
    return upper * (1 - down) + lower * down


@kernel
def fractal_noise(x: float, y: float, pixel: float) -> float:
    """Fractal noise around 0, without octaves finer than the pixel."""
    total, weight, scale = 0.0, 0.5, 1.0
    for octave in range(5):
        kept = 1 - clamp((pixel * scale - 0.25) * 2.5, 0.0, 1.0)
        if kept <= 0.0:
            break
        total += weight * kept * (value_noise(x * scale + octave * 17.3, y * scale + octave * 9.1) * 2 - 1)
        weight *= 0.6
        scale *= 2.1
    return total


@kernel
def line(x: float, half: float, pixel: float) -> float:
    """Coverage of a pixel by lines at the integers, from 0 to 1."""
    off = abs(x - math.floor(x + 0.5))
    edge = max(pixel, 1e-4)
    seen = clamp((half - off) / edge + 0.5, 0.0, 1.0)
    return seen * min(1.0, 2 * half / edge) if edge > 2 * half else seen


@kernel
def tile(x: float, y: float, wide: float, high: float, pixel: float) -> tuple[float, float]:
    """Random value of a tile (fading with distance), and coverage of a pixel by the joint between tiles."""
    kept = 1 - clamp(pixel / min(wide, high) - 0.4, 0.0, 1.0)
    joint = max(line(x / wide, 0.008 / wide, pixel / wide), line(y / high, 0.008 / high, pixel / high))
    return (lattice_hash(math.floor(x / wide), math.floor(y / high)) - 0.5) * kept, joint


@kernel
def brick(x: float, y: float, pixel: float) -> float:
    row = math.floor(y / 0.085)
    shifted = x + 0.12 * (row - 2 * math.floor(row / 2))
    own, joint = tile(shifted, y, 0.24, 0.085, pixel)
    stain = 0.20 * fractal_noise(x * 0.7, y * 0.7, pixel * 0.7)
    return (1 + 0.5 * own + stain + 0.18 * fractal_noise(x * 12, y * 12, pixel * 12)) * (1 - joint) + 1.3 * joint


@kernel
def window(x: float, y: float, pixel: float) -> float:
    """Coverage of a pixel by a window of a facade, from 0 to 1."""
    across, up = x / 1.7 - math.floor(x / 1.7) - 0.5, y / 2.6 - math.floor(y / 2.6) - 0.5
    edge = max(pixel / 1.7, 1e-3)
    return clamp((0.26 - abs(across)) / edge + 0.5, 0.0, 1.0) * clamp((0.29 - abs(up)) / edge + 0.5, 0.0, 1.0)


@kernel
def facade(x: float, y: float, pixel: float) -> float:
    pane = window(x, y, pixel)
    glass = 0.20 + 0.45 * lattice_hash(math.floor(x / 1.7), math.floor(y / 2.6))
    band = 0.12 * line(y / 2.6, 0.06, pixel / 2.6)
    wall = (1 + 0.14 * fractal_noise(x * 2, y * 2, pixel * 2)) * (1 - band)
    return wall * (1 - pane) + glass * pane


@kernel
def boards(x: float, y: float, pixel: float) -> float:
    board = math.floor(x / 0.16)
    own = 0.4 * (lattice_hash(board, 3.0) - 0.5) * (1 - clamp(pixel / 0.16 - 0.4, 0.0, 1.0))
    fibre = 0.30 * fractal_noise(x * 40, y * 3 + board * 7, pixel * 40)
    return (1 + own + fibre) * (1 - 0.6 * line(x / 0.16, 0.03, pixel / 0.16))


@kernel
def cloth(x: float, y: float, pixel: float) -> float:
    thread = line(x * 160, 0.2, pixel * 160) + line(y * 160, 0.2, pixel * 160) - 0.8
    crease = 0.10 * fractal_noise(x * 9 + y * 4, y * 5, pixel * 9)
    return 1.0 + crease + 0.08 * fractal_noise(x * 60, y * 60, pixel * 60) + 0.06 * thread


@kernel
def leaves(x: float, y: float, pixel: float) -> float:
    return 1.0 + 0.9 * fractal_noise(x * 7, y * 7, pixel * 7) + 0.5 * fractal_noise(x * 1.5, y * 1.5, pixel * 1.5)


@kernel
def checks(x: float, y: float, pixel: float) -> float:
    across, down = line(x * 14, 0.2, pixel * 14), line(y * 14, 0.2, pixel * 14)
    return cloth(x, y, pixel) * (1.1 - 0.35 * across - 0.35 * down)


@kernel
def texture_brightness(texture: int, x: float, y: float, pixel: float) -> float:
    """Relative brightness of a texture at a point, around 1."""
    if texture == CLOTH:
        return cloth(x, y, pixel)
    if texture == SKIN:
        return (
            1.0 + 0.06 * fractal_noise(x * 30, y * 30, pixel * 30) + 0.05 * fractal_noise(x * 200, y * 200, pixel * 200)
        )
    if texture == HAIR:
        return 1.0 + 0.9 * fractal_noise(x * 130, y * 14, pixel * 130)
    if texture == GRASS:
        near = 0.55 * fractal_noise(x * 5, y * 5, pixel * 5) + 0.3 * fractal_noise(x * 40, y * 40, pixel * 40)
        return 1.0 + near + 0.35 * fractal_noise(x * 0.13, y * 0.13, pixel * 0.13)
    if texture == BRICK:
        return brick(x, y, pixel)
    if texture == WINDOWS:
        return facade(x, y, pixel)
    if texture == WOOD:
        return boards(x, y, pixel)
    if texture == PAVING:
        own, joint = tile(x, y, 0.6, 0.6, pixel)
        return (1 + 0.25 * own + 0.22 * fractal_noise(x * 5, y * 5, pixel * 5)) * (1 - 0.4 * joint)
    if texture == STRIPES:
        return 1.0 + 0.14 * (line(x * 3, 0.25, pixel * 3) - 0.5) + 0.06 * fractal_noise(x * 10, y * 10, pixel * 10)
    return further_brightness(texture, x, y, pixel)


@kernel
def further_brightness(texture: int, x: float, y: float, pixel: float) -> float:
    if texture == LEAVES:
        return leaves(x, y, pixel)
    if texture == ASPHALT:
        return (
            1.0 + 0.18 * fractal_noise(x * 60, y * 60, pixel * 60) + 0.22 * fractal_noise(x * 0.5, y * 0.5, pixel * 0.5)
        )
    if texture == FOLDS:
        fold = math.sin(x * 38 + 2.5 * value_noise(x * 4, 1.0)) * (1 - clamp(pixel * 12 - 0.5, 0.0, 1.0))
        return 1.0 + 0.28 * fold + 0.05 * fractal_noise(x * 20, y * 2, pixel * 20)
    if texture == CHECKS:
        return checks(x, y, pixel)
    if texture == SAND:
        return 1.0 + 0.3 * fractal_noise(x * 3, y * 3, pixel * 3) + 0.2 * fractal_noise(x * 0.2, y * 0.2, pixel * 0.2)
    if texture == PRINT:
        row = math.floor(y * 90)
        word = line(y * 90, 0.22, pixel * 90) * (1.0 if lattice_hash(math.floor(x * 70), row) > 0.25 else 0.0)
        return 1.0 - 0.75 * word
    return 1.0 + 0.07 * fractal_noise(x * 9, y * 9, pixel * 9) + 0.06 * fractal_noise(x * 0.6, y * 0.6, pixel * 0.6)


@kernel
def texture_tint(texture: int, x: float, y: float, pixel: float) -> Vector:
    """Factors of a texture for red, green and blue; only books vary in colour, all others in brightness."""
    if texture == BOOKS:
        book, shelf = math.floor(x / 0.045), math.floor(y / 0.36)
        kept = 1 - clamp(pixel / 0.045 - 0.4, 0.0, 1.0)
        top = 1.0 if y / 0.36 - shelf < 0.62 + 0.28 * lattice_hash(book, shelf + 7.0) else 0.12
        board = 1 - 0.6 * line(y / 0.36, 0.04, pixel / 0.36)
        tone = top * board * (1 - 0.5 * line(x / 0.045, 0.06, pixel / 0.045))
        red = 1 + (1.6 * lattice_hash(book, shelf) - 0.8) * kept
        green = 1 + (1.4 * lattice_hash(book, shelf + 31.0) - 0.7) * kept
        return tone * red, tone * green, tone * (1 + (1.4 * lattice_hash(book, shelf + 57.0) - 0.7) * kept)
    tone = max(0.0, texture_brightness(texture, x, y, pixel))
    return tone, tone, tone
