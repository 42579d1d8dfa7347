"""Methods that are added to vLLM's workers (`worker_extension_cls`), and called with `LLM.collective_rpc` by name."""

from __future__ import annotations

import hashlib
from typing import Any

import torch


class WorkerExtension:
    """Records what reaches the model."""

    model_runner: Any  # of vLLM's worker
    _recorded: dict[str, list[Any]]

    def record_inputs(self) -> None:
        """Record pixel values and positions of the requests that follow."""
        recorded: dict[str, list[Any]] = {"media": [], "positions": []}
        self._recorded = recorded
        model = self.model_runner.get_model()
        tower, positions = model.visual.forward, model.get_mrope_input_positions

        def see(pixels: torch.Tensor, *arguments: Any, **named: Any) -> Any:
            grids = torch.as_tensor(named["grid_thw"] if "grid_thw" in named else arguments[0]).tolist()
            parts = pixels.split([time * height * width for time, height, width in grids])
            recorded["media"] += [[grid, digest(part)] for grid, part in zip(grids, parts, strict=True)]
            return tower(pixels, *arguments, **named)

        def locate(tokens: Any, media: Any) -> Any:
            found = positions(tokens, media)
            recorded["positions"].append([list(tokens), found[0].tolist()])
            return found

        model.visual.forward, model.get_mrope_input_positions = see, locate

    def recorded_inputs(self) -> dict[str, list[Any]]:
        """Stop recording.

        Returns:
            media: Grid (time, height, width) and `digest` of the pixel values of each medium in the vision tower.
            positions: Token ids and positions (3, length) of each request.
        """
        model = self.model_runner.get_model()
        del model.visual.forward, model.get_mrope_input_positions  # those of the classes remain
        return self._recorded


def digest(values: torch.Tensor) -> str:
    """Return dtype and SHA-256 of the bytes of a tensor of any shape."""
    plain = values.detach().cpu().contiguous()
    return f"{plain.dtype} {hashlib.sha256(plain.view(torch.uint8).numpy().tobytes()).hexdigest()}"
