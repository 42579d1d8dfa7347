"""What a run's responses are like as texts: how long, and whether they came to their end."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from lmms_eval_shotbench.strict_reading import TAG, has_response

LENGTH_EDGES = tuple(2**power for power in range(15))  # characters, of the histogram; the last is open above


def responses_json(responses: Mapping[int, str], items: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The documented form (docs/report.md); `items` as in scores.json. None where no response was kept."""
    kept = [(item, responses.get(item["index"], "")) for item in items]
    if not responses:
        return None
    texts = [text for _, text in kept]
    lengths = sorted(map(len, texts))
    left_open = [item for item, text in kept if is_left_open(text)]
    return {
        "n": len(texts),
        "blank": sum(not has_response(text) for text in texts),
        "with_answer_block": fmean("</answer>" in text.lower() for text in texts),
        "left_open": len(left_open) / len(texts),
        "left_open_items": len(left_open),
        "left_open_correct": fmean(bool(item["correct"]) for item in left_open) if left_open else None,
        "characters": {
            "mean": fmean(lengths),
            "median": median(lengths),
            "p90": lengths[math.ceil(0.9 * len(lengths)) - 1],
            "longest": lengths[-1],
        },
        "histogram": {"edges": list(LENGTH_EDGES), "counts": _histogram(lengths)},
    }


def is_left_open(response: str) -> bool:
    """Whether a thought or an answer begins and does not end, as where generation was cut off."""
    names = [match[1] + match[2].lower() for match in TAG.finditer(response)]
    return any(_last(names, name) > _last(names, f"/{name}") for name in ("think", "answer"))


def _last(names: Sequence[str], name: str) -> int:
    return max((place for place, each in enumerate(names) if each == name), default=-1)


def _histogram(lengths: Iterable[int]) -> list[int]:
    """Responses by length: `counts[i]` from edge i up to below edge i + 1; what is shorter than all is in the first."""
    counts = [0] * len(LENGTH_EDGES)
    for length in lengths:
        counts[min(max(length, 1).bit_length(), len(counts)) - 1] += 1
    return counts
