"""What asks a model about shots: by probabilities (`term_probabilities.py`) or in rounds of options (`rounds.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from lmms_eval_shotbench.labelling.shot import FilmShot
from lmms_eval_shotbench.labelling.vote import Vote, Way
from lmms_eval_shotbench.vocabulary import Dimension


class Asker(Protocol):
    """Asks one model in one way."""

    @property
    def model(self) -> str:
        """Name of the model with its revision, as in `Vote.model`."""
        ...

    @property
    def way(self) -> Way:
        """How it is asked."""
        ...

    def votes(
        self, shots: Sequence[FilmShot], folder: Path, dimensions: Sequence[Dimension]
    ) -> Iterator[tuple[FilmShot, list[Vote]]]:
        """Yield every shot, in order, with its votes; none if it has no medium for a dimension.

        Votes that an earlier, interrupted run has stored in `folder` are not asked for again.
        """
        ...
