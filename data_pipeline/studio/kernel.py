"""How compiled functions of the renderer are declared, and the vectors they reckon with.

numba keeps what it compiled beside the file of the function, and forgets it when that file changes, but not when a
function it calls changes in another file. So only the outermost functions are kept (`kept_kernel`), and their key
holds a digest of all sources of the renderer. Processes that compile at once for the first time do the same work
twice and replace each other's files; none reads half a file.
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
COLUMNS_FILE = "solids.py"  # whose constants are compiled in
Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a function as part of those that call it."""
    return cast(Function, njit(error_model="numpy")(function))


def kept_kernel(function: Function) -> Function:
    """Compile an outermost function once a machine. It must hold `sources_digest()` in a closure."""
    return cast(Function, njit(error_model="numpy", cache=True)(function))


@lru_cache(maxsize=1)
def sources_digest() -> int:
    """A number that changes with the source of any compiled function."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        text = path.read_bytes()
        if b"@kernel" in text or b"kept_kernel" in text or path.name == COLUMNS_FILE:
            digest.update(text)
    return int.from_bytes(digest.digest()[:6], "big")


@kernel
def dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@kernel
def plus(a: Vector, b: Vector) -> Vector:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


@kernel
def minus(a: Vector, b: Vector) -> Vector:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@kernel
def times(a: Vector, factor: float) -> Vector:
    return a[0] * factor, a[1] * factor, a[2] * factor


@kernel
def along(start: Vector, direction: Vector, distance: float) -> Vector:
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
def unit(a: Vector) -> Vector:
    return times(a, 1.0 / math.sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2] + 1e-30))


@kernel
def across(axis: Vector) -> Vector:
    """Some unit vector at right angles to a unit vector; level where that is possible."""
    if axis[0] * axis[0] + axis[1] * axis[1] < 0.05:
        return unit((1.0 - axis[0] * axis[0], -axis[0] * axis[1], -axis[0] * axis[2]))
    return unit((axis[1], -axis[0], 0.0))


@kernel
def within(value: float, low: float, high: float) -> float:
    return min(high, max(low, value))
