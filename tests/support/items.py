"""Small questions made on the spot."""

from __future__ import annotations

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import MediaKind


def make_item(
    options: tuple[str, ...] = ("Wide", "Medium", "Close up", "Extreme close up"),
    answer: str = "C",
    dimension: str = "shot_size",
    index: int = 1,
    media: str = "image/a.jpg",
) -> QAItem:
    """A question with the given options."""
    kind = MediaKind.CLIP if dimension == "camera_movement" else MediaKind.STILL
    return QAItem(f"test-{index}", dimension, "What is it?", options, answer, kind, media, source_index=index)
