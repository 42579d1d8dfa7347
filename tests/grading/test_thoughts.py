"""Splitting responses into thought, text and answer blocks, in the tags that models use."""

from __future__ import annotations

import pytest

from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.grading.reasoning_tags import REASONING_TAGS
from lmms_eval_shotbench.grading.thoughts import split_thought
from tests.support.items import make_item

ITEM = make_item()  # A Wide, B Medium, C Close up, D Extreme close up


@pytest.mark.parametrize("pair", REASONING_TAGS, ids=lambda pair: pair[0])
def test_text_in_every_kind_of_tag_is_a_thought(pair: tuple[str, str]) -> None:
    opening, closing = pair
    graded = grade(ITEM, f"{opening}\nThe answer is B.\n{closing}\nC")
    assert (graded.letter, graded.thought) == ("C", "The answer is B.")


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("<thinking>B?</thinking>C", "C"),
        ("[THINK]B[/THINK]<answer>C</answer>", "C"),
        ("<think>B, no</answer>C", "C"),  # a wrong closing tag
        ("B, no</think>C", "C"),  # the chat template opened it
        ("<REASONING>B</REASONING><CONCLUSION>C</CONCLUSION>", "C"),
        ("<|channel|>analysis<|message|>B<|end|><|start|>assistant<|channel|>final<|message|>C<|return|>", "C"),
        ("## Reasoning\nThe answer is B.\n\n## Answer\nC", "C"),
        ("<answer>C</answer><reasoning>B would show the waist.</reasoning>", "C"),
        ("The prompt asks for <think> tags. C", "C"),
        ("<answer> </answer>\nC", "C"),
        ("< answer >C</ answer >", "C"),
        ("<thinking>The answer is B.</thinking>", None),
        ("◁think▷The answer is B.", None),
        ("<answer>C</answer><think>B</think>", None),  # it thinks again after its answer
    ],
)
def test_only_what_is_outside_the_thought_is_read(response: str, letter: str | None) -> None:
    assert grade(ITEM, response).letter == letter


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("C\n<think>Wait... no, it's fine.</think>", "C"),
        ("C. Close up\n<think>The face fills the frame.</think>", "C"),
        ("**C**<thinking>Medium? No, C.</thinking>", "C"),
        ("(C)\n\n<think>Checked.</think>\n", "C"),
        ("Close up <think>I am sure it is a close up.</think>", "C"),
        ("C\n<think>Wait, the answer is B.</think>", None),
        ("C\n<think>B or D?</think>", None),
        ("C, no: it is <think>hard</think>", None),
        ("Let me think about C. <think>It is C.</think>", None),
        ("<answer>C</answer><think>Fine.</think>", None),
    ],
)
def test_an_answer_before_a_thought_that_changes_nothing_is_kept(response: str, letter: str | None) -> None:
    assert grade(ITEM, response).letter == letter


def test_the_parts_of_a_response_are_returned() -> None:
    split = split_thought("<think>a</think> b <answer>c</answer> d")
    assert (split.thought, split.text.split(), split.blocks, split.trailing) == ("a", ["b", "d"], ("c",), " d")
    assert split_thought("plain").thought == ""


def test_a_pair_can_be_added() -> None:
    response = "{{ponder}}The answer is B.{{done}}C"
    assert grade(ITEM, response).thought == ""
    graded = grade(ITEM, response, tags=(*REASONING_TAGS, ("{{ponder}}", "{{done}}")))
    assert (graded.letter, graded.thought) == ("C", "The answer is B.")


def test_the_official_protocol_knows_no_thoughts() -> None:
    assert grade(ITEM, "<think>B.</think>", "official").letter is None  # "<think>B" is one word
    assert grade(ITEM, "<thinking> B </thinking>", "official").letter == "B"
