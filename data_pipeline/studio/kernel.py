"""Decorators for compiled functions of the renderer, and vector operations.

numba caches a compiled function next to its source file and invalidates it when that file changes, but not when a
called function in another file changes. Therefore only the outermost functions are cached (`cached_kernel`), and their
cache key includes a digest of all sources of the renderer. Processes that compile at the same time duplicate the work
and replace each other's cache files atomically.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

Vector = tuple[float, float, float]
COLUMNS_FILE = "solids.py"  # its column indices are compile-time constants of the kernels, so the digest covers it
Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a function, to be called from other compiled functions."""
    return cast(Function, njit(error_model="numpy")(function))


def cached_kernel(function: Function) -> Function:
    """Compile an outermost function and cache it on disk. It must have `sources_digest()` in its closure."""
    return cast(Function, njit(error_model="numpy", cache=True)(function))


@lru_cache(maxsize=1)
def sources_digest() -> int:
    """Return a 48-bit hash of the source files of all compiled functions."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        text = path.read_bytes()
        if b"@kernel" in text or b"cached_kernel" in text or path.name == COLUMNS_FILE:
            digest.update(text)
    return int.from_bytes(digest.digest()[:6], "big")


@kernel
def dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@kernel
def add(a: Vector, b: Vector) -> Vector:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


@kernel
def subtract(a: Vector, b: Vector) -> Vector:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@kernel
def scale(a: Vector, factor: float) -> Vector:
    return a[0] * factor, a[1] * factor, a[2] * factor


@kernel
def point_along(start: Vector, direction: Vector, distance: float) -> Vector:
    return (
        start[0] + direction[0] * distance,
        start[1] + direction[1] * distance,
        start[2] + direction[2] * distance,
    )


@kernel
def cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@kernel
def length(a: Vector) -> float:
    return math.sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2])


@kernel
def normalized(a: Vector) -> Vector:
    return scale(a, 1.0 / math.sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2] + 1e-30))


@kernel
def perpendicular(axis: Vector) -> Vector:
    """Return a unit vector perpendicular to a unit vector, horizontal if possible."""
    if axis[0] * axis[0] + axis[1] * axis[1] < 0.05:
        return normalized((1.0 - axis[0] * axis[0], -axis[0] * axis[1], -axis[0] * axis[2]))
    return normalized((axis[1], -axis[0], 0.0))


@kernel
def clamp(value: float, low: float, high: float) -> float:
    return min(high, max(low, value))
