"""What a model of transformers is given: the tensors that reach `generate`, behind lmms-eval and the processor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any
from unittest.mock import patch


@dataclass(frozen=True)
class Call:
    """The media of one call of `generate`."""

    architecture: str
    shapes: dict[str, list[int]]  # of pixel_values, pixel_values_videos and the like
    grids: dict[str, list[list[int]]]  # patches in time, height and width, by medium, where the family counts so
    patch: tuple[int, int, int]  # frames, height and width of a patch
    prompt_tokens: int

    @property
    def pictures(self) -> int:
        """Number of pictures: stills or their tiles, or frames."""
        if grid := self.grids.get("video_grid_thw"):
            return grid[0][0] * self.patch[0]
        if grid := self.grids.get("image_grid_thw"):
            return len(grid)
        return prod(self._layout[:-3] if self._layout[-3] == 3 else self._layout[:-2])  # pixels, or rows of patches

    @property
    def size(self) -> str:
        """Width and height of a picture; "" if the layout does not show them."""
        if grid := self.grids.get("video_grid_thw") or self.grids.get("image_grid_thw"):
            return f"{grid[0][2] * self.patch[2]}x{grid[0][1] * self.patch[1]}"
        return f"{self._layout[-1]}x{self._layout[-2]}" if self._layout[-3] == 3 else ""

    @property
    def _layout(self) -> list[int]:
        return self.shapes.get("pixel_values_videos") or next(iter(self.shapes.values()))


@contextmanager
def observed_inputs() -> Iterator[list[Call]]:
    """Collect the calls of `generate` that have media."""
    import transformers

    calls: list[Call] = []
    owners = (transformers.GenerationMixin, transformers.InstructBlipForConditionalGeneration)
    with ExitStack() as patches:
        for owner in owners:
            patches.enter_context(patch.object(owner, "generate", _observing(owner.generate, calls)))
        yield calls


def _observing(generate: Callable[..., Any], calls: list[Call]) -> Callable[..., Any]:
    def observed(self: Any, *args: Any, **kwargs: Any) -> Any:
        shapes = {name: list(value.shape) for name, value in kwargs.items() if name.startswith("pixel_values")}
        if shapes:
            grids = {name: value.tolist() for name, value in kwargs.items() if name.endswith("_grid_thw")}
            tokens = kwargs["input_ids"].shape[-1]
            calls.append(Call(type(self).__name__, shapes, grids, _patch(self.config), tokens))
        return generate(self, *args, **kwargs)

    return observed


def _patch(config: Any) -> tuple[int, int, int]:
    vision = getattr(config, "vision_config", config)
    side = getattr(vision, "patch_size", 0)
    side = side if isinstance(side, int) else side[0]
    return getattr(vision, "temporal_patch_size", 1), side, side
