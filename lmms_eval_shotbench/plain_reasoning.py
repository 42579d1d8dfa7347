"""The plainest reasoning there is: one sentence that says what was looked at and comes to the right option.

It needs nobody to write it, so questions whose truth is known by construction can teach the form of a reasoned answer.
The sentence names the term and then its letter at once: a small model has to find out which letter a term has, and the
shortest way there is one step. How chains of thought are written for real films is in `data_pipeline`.

Standard library only.
"""

from __future__ import annotations

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import (
    CAMERA_ANGLE,
    CAMERA_MOVEMENT,
    COMPOSITION,
    LENS_SIZE,
    LIGHTING_CONDITION,
    LIGHTING_TYPE,
    SHOT_FRAMING,
    SHOT_SIZE,
)

LOOKED_AT = {
    SHOT_SIZE.slug: "how much of the frame the figure fills",
    SHOT_FRAMING.slug: "who and what the frame holds",
    CAMERA_ANGLE.slug: "where the camera looks from",
    LENS_SIZE.slug: "how deep the space looks",
    LIGHTING_TYPE.slug: "where the light comes from and its colour",
    LIGHTING_CONDITION.slug: "how the light falls",
    COMPOSITION.slug: "where the weight of the frame lies",
    CAMERA_MOVEMENT.slug: "how the picture changes from frame to frame",
}


def opening(slug: str) -> str:
    """How the thought of a dimension begins; the term follows after a blank."""
    return f"Going by {LOOKED_AT[slug]}, the answer is"


def plain_reasoning(item: QAItem) -> str:
    """A well-formed response that comes to the right option."""
    return f"<think>{opening(item.dimension)} {item.gold} ({item.answer}).</think><answer>{item.answer}</answer>"
