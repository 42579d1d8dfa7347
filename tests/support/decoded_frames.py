"""How often each frame of a film is decoded."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from data_pipeline.films import film_probe


def count_decoded(patch: pytest.MonkeyPatch) -> Counter[int]:
    """Counts how often each frame is decoded from now on (frames sampled for hashes not included)."""
    counts: Counter[int] = Counter()
    frames_from = film_probe._frames_from

    def counted(*arguments: Any) -> Any:
        for number, frame in frames_from(*arguments):
            counts[number] += 1
            yield number, frame

    patch.setattr(film_probe, "_frames_from", counted)
    return counts
