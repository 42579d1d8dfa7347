"""Scaled pictures, line by line, to the patches that Qwen2.5-VL is shown: where each run of a line's bytes goes.

Tokens follow each other by rows, a token's patches lie together, and a patch holds its colours one after the other, of
each colour its frames, of each frame its lines. So a line falls into runs, one a patch, as long as a patch's side.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy

from lmms_eval_shotbench.qwen.scaling.resampling_loops import COLOURS, compiled

Array = numpy.ndarray


class PatchLayout(NamedTuple):
    """How patches are made: their side and the tokens' in patches, and the frames that one holds."""

    side: int
    merge: int
    frames: int

    @property
    def values(self) -> int:
        """Bytes of a patch."""
        return COLOURS * self.frames * self.side**2


def cut_lines(lines: Array, patches: Array, layout: PatchLayout) -> None:
    """Copy bytes (frames, height, 3, width) to `patches` (patches, values); all sides are whole tokens."""
    frames, height, _, width = lines.shape
    unit = numpy.uint8 if layout.side % 2 else numpy.uint16  # pairs take half the time
    starts, steps = _places(frames, height, width, layout, numpy.dtype(unit).itemsize)
    _copier(layout.side // numpy.dtype(unit).itemsize)(
        numpy.ascontiguousarray(lines).reshape(-1, width).view(unit), starts, steps, patches.reshape(-1).view(unit)
    )


@lru_cache(maxsize=8)  # a long clip that comes in one piece has megabytes of them
def _places(frames: int, height: int, width: int, layout: PatchLayout, unit: int) -> tuple[Array, Array]:
    """Where each line's first run goes, and how far from there each of its runs; in units."""
    side, merge, values = layout.side, layout.merge, layout.values
    frame, row, colour = numpy.indices((frames, height, COLOURS)).reshape(3, -1)
    time, in_patch = numpy.divmod(frame, layout.frames)
    patch_row, line = numpy.divmod(row, side)
    token_row, above = numpy.divmod(patch_row, merge)
    first_token = (time * (height // (side * merge)) + token_row) * (width // (side * merge))
    start = (first_token * merge + above) * merge * values + ((colour * layout.frames + in_patch) * side + line) * side
    token, left = numpy.divmod(numpy.arange(width // side), merge)
    return start // unit, (token * merge**2 + left) * values // unit


@lru_cache(maxsize=8)
def _copier(units: int) -> Callable[[Array, Array, Array, Array], None]:
    """Compiled for runs of so many units: known beforehand, they are moved in one go."""

    def copy(lines: Any, starts: Any, steps: Any, patches: Any) -> None:
        for line in range(lines.shape[0]):
            for run in range(steps.shape[0]):
                place, first = starts[line] + steps[run], units * run
                for unit in range(units):
                    patches[place + unit] = lines[line, first + unit]

    return compiled(copy)
