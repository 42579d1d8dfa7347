"""The prompts match the official wording exactly."""

from __future__ import annotations

import pytest

from lmms_eval_shotbench.prompts import DIRECT, PROMPT_STYLES, PromptStyle, messages, prompt_style, user_text
from tests.support import REPOSITORY
from tests.support.items import make_item

GOLDEN = REPOSITORY / "tests" / "golden"


def test_the_users_text_is_the_official_one() -> None:
    assert user_text(make_item()) == (
        "Question: What is it?\nOptions:\nA. Wide\nB. Medium\nC. Close up\nD. Extreme close up\n"
        "Please select the most likely answer from the options above."
    )


@pytest.mark.parametrize("style", PROMPT_STYLES, ids=lambda style: style.name)
def test_system_messages_match_the_golden_files(style: PromptStyle) -> None:
    assert style.system + "\n" == (GOLDEN / f"system.{style.name}.txt").read_text(encoding="utf-8")


def test_the_medium_is_between_the_system_message_and_the_question() -> None:
    system, user = messages(make_item(), DIRECT, [{"type": "image", "url": "x"}])
    assert system == {"role": "system", "content": [{"type": "text", "text": "You are a helpful assistant."}]}
    assert [part["type"] for part in user["content"]] == ["image", "text"]


def test_an_unknown_style_raises_an_error_that_lists_the_styles() -> None:
    with pytest.raises(ValueError, match="use one of direct, reasoning, step_by_step"):
        prompt_style("cot")
