"""The prompt builder: three prompt styles, shared by evaluation, SFT and GRPO.

The user message is the official one in every style, character for character: scores obtained with another wording
cannot be compared with the published ones. Only the system message differs.

- DIRECT: the official script without `--reasoning`.
- REASONING: the official script with `--reasoning`; ShotVL was trained on it.
- STEP_BY_STEP: our wording of RefineShot's third setting (arXiv 2510.02423), four named steps inside `<think>`.

The medium precedes the text, options are "A. text" on one line each, and the closing sentence follows them without a
blank line, as in `evaluation/shotvl/evaluate.py` of the ShotBench repository.

Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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

MAX_NEW_TOKENS = 1024  # official script, every style
CLOSING = "Please select the most likely answer from the options above."


@dataclass(frozen=True)
class PromptStyle:
    """A system message and the response format that it asks for."""

    name: str
    system: str
    answer_form: str  # template of a well-formed response, with {letter}

    def well_formed(self, letter: str) -> str:
        """The shortest response in this style's format that answers `letter`."""
        return self.answer_form.format(letter=letter)


DIRECT = PromptStyle("direct", "You are a helpful assistant.", "{letter}")
REASONING = PromptStyle(
    "reasoning",
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The assistant "
    "first thinks about the reasoning process in the mind and then provides the user with the answer. The reasoning "
    "process and answer are enclosed within <think> </think> and <answer> </answer> tags.",
    "<think>The frame shows it.</think><answer>{letter}</answer>",
)
STEP_BY_STEP = PromptStyle(
    "step_by_step",
    "You are an expert in film language. Think inside <think> </think> in four steps, each opened by its name: "
    "Step 1 (what the question asks), Step 2 (what is visible), Step 3 (each option against what is visible), "
    "Step 4 (which option is left). Then give only the letter of that option inside <answer> </answer>.",
    "<think>Step 1: the term. Step 2: the frame. Step 3: compared. Step 4: one is left.</think>"
    "<answer>{letter}</answer>",
)
PROMPT_STYLES: tuple[PromptStyle, ...] = (DIRECT, REASONING, STEP_BY_STEP)


def prompt_style(name: str) -> PromptStyle:
    """Return the style of this name; raise `ValueError` listing the names."""
    for style in PROMPT_STYLES:
        if style.name == name:
            return style
    raise ValueError(f"{name!r} is no prompt style; use one of {', '.join(style.name for style in PROMPT_STYLES)}")


def user_text(item: QAItem) -> str:
    """Text of the user message, which follows the medium."""
    options = "\n".join(f"{letter}. {text}" for letter, text in item.choices.items())
    return f"Question: {item.question}\nOptions:\n{options}\n{CLOSING}"


def messages(item: QAItem, style: PromptStyle, media: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Chat messages: the system message, then the medium in the caller's format followed by the question."""
    return [
        {"role": "system", "content": [{"type": "text", "text": style.system}]},
        {"role": "user", "content": [*media, {"type": "text", "text": user_text(item)}]},
    ]


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
    """Beginning of a reasoning text for a dimension; a space and the term follow."""
    return f"Going by {LOOKED_AT[slug]}, the answer is"


def plain_reasoning(item: QAItem) -> str:
    """A well-formed response whose reasoning concludes with the correct option."""
    return f"<think>{opening(item.dimension)} {item.gold} ({item.answer}).</think><answer>{item.answer}</answer>"
