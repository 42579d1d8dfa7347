"""Patterns of surfaces: how much lighter or darker each spot is than the material's colour.

All are computed from metres on the surface and fade out before they get finer than a pixel, so that nothing flickers
when the camera moves.
"""

from __future__ import annotations

import math

from data_pipeline.studio.kernel import Vector, kernel, within

PLAIN, CLOTH, SKIN, HAIR, GRASS, BRICK, WINDOWS, WOOD, PAVING, STRIPES = range(10)
LEAVES, ASPHALT, BOOKS, FOLDS, CHECKS, SAND, PRINT = range(10, 17)


@kernel
def chance(x: float, y: float) -> float:
    """A number from 0 to 1 that belongs to a whole-numbered spot."""
    mixed = (int(x) * 374761393 + int(y) * 668265263) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 16)) & 0xFFFF) / 65535.0


@kernel
def hills(x: float, y: float) -> float:
    """Smooth noise between the chances of neighbouring spots."""
    column, row = math.floor(x), math.floor(y)
    right, down = x - column, y - row
    right, down = right * right * (3 - 2 * right), down * down * (3 - 2 * down)
    upper = chance(column, row) * (1 - right) + chance(column + 1, row) * right
    lower = chance(column, row + 1) * (1 - right) + chance(column + 1, row + 1) * right
    return upper * (1 - down) + lower * down


@kernel
def grain(x: float, y: float, pixel: float) -> float:
    """Noise of many sizes around 0; what is finer than the pixel is left out."""
    total, weight, scale = 0.0, 0.5, 1.0
    for octave in range(5):
        kept = 1 - within((pixel * scale - 0.25) * 2.5, 0.0, 1.0)
        if kept <= 0.0:
            break
        total += weight * kept * (hills(x * scale + octave * 17.3, y * scale + octave * 9.1) * 2 - 1)
        weight *= 0.6
        scale *= 2.1
    return total


@kernel
def line(x: float, half: float, pixel: float) -> float:
    """Lines around the whole numbers, as much as a pixel sees of them."""
    off = abs(x - math.floor(x + 0.5))
    edge = max(pixel, 1e-4)
    seen = within((half - off) / edge + 0.5, 0.0, 1.0)
    return seen * min(1.0, 2 * half / edge) if edge > 2 * half else seen


@kernel
def tile(x: float, y: float, wide: float, high: float, pixel: float) -> tuple[float, float]:
    """A tile's own chance (fading far off), and how much of the joint between tiles a pixel sees."""
    kept = 1 - within(pixel / min(wide, high) - 0.4, 0.0, 1.0)
    joint = max(line(x / wide, 0.008 / wide, pixel / wide), line(y / high, 0.008 / high, pixel / high))
    return (chance(math.floor(x / wide), math.floor(y / high)) - 0.5) * kept, joint


@kernel
def brick(x: float, y: float, pixel: float) -> float:
    row = math.floor(y / 0.085)
    shifted = x + 0.12 * (row - 2 * math.floor(row / 2))
    own, joint = tile(shifted, y, 0.24, 0.085, pixel)
    stain = 0.20 * grain(x * 0.7, y * 0.7, pixel * 0.7)
    return (1 + 0.5 * own + stain + 0.18 * grain(x * 12, y * 12, pixel * 12)) * (1 - joint) + 1.3 * joint


@kernel
def window(x: float, y: float, pixel: float) -> float:
    """How much of a window, in a wall of windows, a pixel sees."""
    across, up = x / 1.7 - math.floor(x / 1.7) - 0.5, y / 2.6 - math.floor(y / 2.6) - 0.5
    edge = max(pixel / 1.7, 1e-3)
    return within((0.26 - abs(across)) / edge + 0.5, 0.0, 1.0) * within((0.29 - abs(up)) / edge + 0.5, 0.0, 1.0)


@kernel
def facade(x: float, y: float, pixel: float) -> float:
    pane = window(x, y, pixel)
    glass = 0.20 + 0.45 * chance(math.floor(x / 1.7), math.floor(y / 2.6))
    band = 0.12 * line(y / 2.6, 0.06, pixel / 2.6)
    wall = (1 + 0.14 * grain(x * 2, y * 2, pixel * 2)) * (1 - band)
    return wall * (1 - pane) + glass * pane


@kernel
def boards(x: float, y: float, pixel: float) -> float:
    board = math.floor(x / 0.16)
    own = 0.4 * (chance(board, 3.0) - 0.5) * (1 - within(pixel / 0.16 - 0.4, 0.0, 1.0))
    fibre = 0.30 * grain(x * 40, y * 3 + board * 7, pixel * 40)
    return (1 + own + fibre) * (1 - 0.6 * line(x / 0.16, 0.03, pixel / 0.16))


@kernel
def cloth(x: float, y: float, pixel: float) -> float:
    thread = line(x * 160, 0.2, pixel * 160) + line(y * 160, 0.2, pixel * 160) - 0.8
    crease = 0.10 * grain(x * 9 + y * 4, y * 5, pixel * 9)
    return 1.0 + crease + 0.08 * grain(x * 60, y * 60, pixel * 60) + 0.06 * thread


@kernel
def leaves(x: float, y: float, pixel: float) -> float:
    return 1.0 + 0.9 * grain(x * 7, y * 7, pixel * 7) + 0.5 * grain(x * 1.5, y * 1.5, pixel * 1.5)


@kernel
def checks(x: float, y: float, pixel: float) -> float:
    across, down = line(x * 14, 0.2, pixel * 14), line(y * 14, 0.2, pixel * 14)
    return cloth(x, y, pixel) * (1.1 - 0.35 * across - 0.35 * down)


@kernel
def pattern(texture: int, x: float, y: float, pixel: float) -> float:
    """The brightness of a surface at a spot, around 1."""
    if texture == CLOTH:
        return cloth(x, y, pixel)
    if texture == SKIN:
        return 1.0 + 0.06 * grain(x * 30, y * 30, pixel * 30) + 0.05 * grain(x * 200, y * 200, pixel * 200)
    if texture == HAIR:
        return 1.0 + 0.9 * grain(x * 130, y * 14, pixel * 130)
    if texture == GRASS:
        near = 0.55 * grain(x * 5, y * 5, pixel * 5) + 0.3 * grain(x * 40, y * 40, pixel * 40)
        return 1.0 + near + 0.35 * grain(x * 0.13, y * 0.13, pixel * 0.13)
    if texture == BRICK:
        return brick(x, y, pixel)
    if texture == WINDOWS:
        return facade(x, y, pixel)
    if texture == WOOD:
        return boards(x, y, pixel)
    if texture == PAVING:
        own, joint = tile(x, y, 0.6, 0.6, pixel)
        return (1 + 0.25 * own + 0.22 * grain(x * 5, y * 5, pixel * 5)) * (1 - 0.4 * joint)
    if texture == STRIPES:
        return 1.0 + 0.14 * (line(x * 3, 0.25, pixel * 3) - 0.5) + 0.06 * grain(x * 10, y * 10, pixel * 10)
    return later_pattern(texture, x, y, pixel)


@kernel
def later_pattern(texture: int, x: float, y: float, pixel: float) -> float:
    if texture == LEAVES:
        return leaves(x, y, pixel)
    if texture == ASPHALT:
        return 1.0 + 0.18 * grain(x * 60, y * 60, pixel * 60) + 0.22 * grain(x * 0.5, y * 0.5, pixel * 0.5)
    if texture == FOLDS:
        fold = math.sin(x * 38 + 2.5 * hills(x * 4, 1.0)) * (1 - within(pixel * 12 - 0.5, 0.0, 1.0))
        return 1.0 + 0.28 * fold + 0.05 * grain(x * 20, y * 2, pixel * 20)
    if texture == CHECKS:
        return checks(x, y, pixel)
    if texture == SAND:
        return 1.0 + 0.3 * grain(x * 3, y * 3, pixel * 3) + 0.2 * grain(x * 0.2, y * 0.2, pixel * 0.2)
    if texture == PRINT:
        row = math.floor(y * 90)
        word = line(y * 90, 0.22, pixel * 90) * (1.0 if chance(math.floor(x * 70), row) > 0.25 else 0.0)
        return 1.0 - 0.75 * word
    return 1.0 + 0.07 * grain(x * 9, y * 9, pixel * 9) + 0.06 * grain(x * 0.6, y * 0.6, pixel * 0.6)


@kernel
def tinted(texture: int, x: float, y: float, pixel: float) -> Vector:
    """How a pattern changes red, green and blue: books have colours of their own, everything else only a tone."""
    if texture == BOOKS:
        book, shelf = math.floor(x / 0.045), math.floor(y / 0.36)
        kept = 1 - within(pixel / 0.045 - 0.4, 0.0, 1.0)
        top = 1.0 if y / 0.36 - shelf < 0.62 + 0.28 * chance(book, shelf + 7.0) else 0.12
        board = 1 - 0.6 * line(y / 0.36, 0.04, pixel / 0.36)
        tone = top * board * (1 - 0.5 * line(x / 0.045, 0.06, pixel / 0.045))
        red = 1 + (1.6 * chance(book, shelf) - 0.8) * kept
        green = 1 + (1.4 * chance(book, shelf + 31.0) - 0.7) * kept
        return tone * red, tone * green, tone * (1 + (1.4 * chance(book, shelf + 57.0) - 0.7) * kept)
    tone = max(0.0, pattern(texture, x, y, pixel))
    return tone, tone, tone
