"""Both protocols on known pitfalls, on real responses and on arbitrary text."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmms_eval_shotbench.grading.grade import PROTOCOLS, Protocol, grade, is_well_formed
from lmms_eval_shotbench.prompts import PROMPT_STYLES, PromptStyle
from lmms_eval_shotbench.qa_item import QAItem
from tests.support.items import make_item
from tests.support.real_data import stored_responses

ITEM = make_item()  # A Wide, B Medium, C Close up, D Extreme close up


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        # The article "A" is not an answer.
        ("A close-up shot. The answer is C.", "C"),
        ("A medium close-up, so C", "C"),
        ("A low angle is used here: (D)", "D"),
        ("A Close Up", "C"),
        ("The answer is a wide shot.", "A"),
        ("None of the above (N/A)", None),
        # A separate "A" is an answer.
        ("A", "A"),
        ("(a)", "A"),
        ("Answer: A", "A"),
        ("The answer is A because it is wide", "A"),
        ("A. Wide", "A"),
        # The longest text wins, and a term that is not an option does not match a shorter one.
        ("The answer is Close-up", "C"),
        ("It is an Extreme close up.", "D"),
        ("It is a medium close up.", None),
        # A thought is not an answer.
        ("<think>Option A? No. B.</think><answer>C</answer>", "C"),
        ("<think>The answer is B.</think>", None),
        ("<think>The answer is B. And then", None),
        ("<think>So <answer>B</answer> it is, or maybe not", None),
        ("<think>So it must be: <answer>B</answer>", "B"),
        ("<think>one <answer>A</answer></think><answer>C</answer>", "C"),
        ("The answer is B.</think>C", "C"),
        ("<think>a</think><think>The answer is D", None),
        ("<think>x</think> </answer>B", "B"),
        # The last declared answer wins; a contradiction is undecided.
        ("<answer>A</answer> No: <answer>B</answer>", "B"),
        ("The answer is B. Wait, the answer is D.", "D"),
        ("Answer: A or B", None),
        ("The answer is Medium or Wide", None),
        ("B. Wide", None),
        ("B or C", None),
        ("A B", None),
        ("Option A is too wide, option B is too tight.", None),
        # Common answer formats.
        ("<answer>C", "C"),
        ("<answer>(C) Close Up</answer>", "C"),
        ("**Answer:** (B) Medium", "B"),
        ("\\boxed{C}", "C"),
        ("I would select option D.", "D"),
        ("B. Medium\nIt is not wide.", "B"),
        ("B\n\nExplanation: A wide shot would show more.", "B"),
        ("not wide, medium", "B"),
        ("It's B, not C", "B"),
        ("The correct answer is not B.", None),
        ("Answer:\n\n**C**", "C"),
        ("答案是B。", "B"),
        ("正确答案：A。", "A"),
        # No answer.
        ("", None),
        (" \n", None),
        ("Z", None),
        ("E", None),
        ("Dolly in", None),
        ("[LMMS_EVAL_REQUEST_FAILED after 5 retries] error D", None),
    ],
)
def test_strict_extracts_declared_answers_and_never_guesses(response: str, letter: str | None) -> None:
    graded = grade(ITEM, response)
    assert (graded.letter, graded.correct) == (letter, letter == "C"), graded.how


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("A medium shot", "A"),  # the reference matches the article
        ("<think>The answer is B.", "B"),  # and a letter in an unclosed thought
        ("It is an Extreme close up.", None),  # "close up" is contained as well
        ("A or B", None),
        ("(C)", "C"),
        ("Wide", "A"),
        ("Z", None),
        ("<ANSWER> d </ANSWER> B", None),
        ("<answer>B</answer><answer>C</answer>", "B"),
        ("nothing of the kind", None),
        ("[LMMS_EVAL_REQUEST_FAILED after 5 retries] D", None),
    ],
)
def test_official_reproduces_the_reference_including_its_errors(response: str, letter: str | None) -> None:
    assert grade(ITEM, response, "official").letter == letter


@pytest.mark.parametrize(
    ("name", "right", "undecided", "against_reference"),
    [
        # Last number: rows whose published letter came from a judge, from random.choice, or was removed afterwards.
        ("shotbench.shotvl-3b.reasoning", 2357, 0, 0),
        ("shotbench.shotvl-3b.reasoning.run0", 2310, 31, 24),
        ("shotbench.qwen2.5-vl-3b.direct", 1558, 1, 0),
        ("refineshot.shotvl-3b.direct", 2420, 0, 599),
        ("refineshot.shotvl-3b.reasoning", 2220, 255, 0),
        ("refineshot.shotvl-3b.step_by_step", 564, 2647, 312),
        ("refineshot.qwen2.5-vl-3b.direct", 1696, 1, 0),
        ("refineshot.qwen2.5-vl-3b.reasoning", 1534, 155, 0),
        ("refineshot.qwen2.5-vl-3b.step_by_step", 1572, 29, 258),
    ],
)
def test_official_gives_the_letters_of_the_reference_on_real_responses(
    real_data: Path,
    real_items: dict[int, QAItem],
    refined_items: dict[int, QAItem],
    name: str,
    right: int,
    undecided: int,
    against_reference: int,
) -> None:
    items = real_items if name.startswith("shotbench") else refined_items
    rows = stored_responses(real_data, name)
    grades = [grade(items[row["index"]], row["response"], "official") for row in rows]
    differing = [
        (row, graded)
        for row, graded in zip(rows, grades, strict=True)
        if (graded.letter or "Z") != row["reference_letter"]
    ]
    assert sum(graded.correct for graded in grades) == right
    assert sum(graded.letter is None for graded in grades) == undecided
    assert len(differing) == against_reference
    if name.startswith("shotbench"):  # only responses that the rules leave undecided may differ
        assert all(graded.letter is None for _, graded in differing)
    else:  # RefineShot removed the letters of inconsistent rows
        assert all(row["reference_letter"] == "Z" for row, _ in differing)


def test_official_per_dimension_counts_are_the_published_ones(real_data: Path, real_items: dict[int, QAItem]) -> None:
    right: Counter[str] = Counter()
    for row in stored_responses(real_data, "shotbench.shotvl-3b.reasoning"):
        item = real_items[row["index"]]
        right[item.dimension] += grade(item, row["response"], "official").correct
    assert right == {
        "camera_angle": 312,
        "camera_movement": 238,
        "composition": 287,
        "lens_size": 298,
        "lighting_condition": 190,
        "lighting_type": 262,
        "shot_framing": 387,
        "shot_size": 383,
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("style", PROMPT_STYLES, ids=lambda style: style.name)
def test_only_the_correct_letter_is_graded_correct(
    real_items: dict[int, QAItem], style: PromptStyle, protocol: Protocol
) -> None:
    for item in real_items.values():
        for letter in item.letters:
            graded = grade(item, style.well_formed(letter), protocol)
            assert (graded.letter, graded.correct) == (letter, letter == item.answer), item


def test_the_text_of_the_correct_option_is_correct_under_strict(real_items: dict[int, QAItem]) -> None:
    for item in real_items.values():
        for response in (item.gold, f"{item.answer}. {item.gold}", f"<answer>{item.gold}</answer>"):
            assert grade(item, response).correct, (item, response)


def test_strict_extracts_the_same_letter_after_the_harness_has_stripped_the_thought(
    real_data: Path, real_items: dict[int, QAItem]
) -> None:
    for row in stored_responses(real_data, "shotbench.shotvl-3b.reasoning"):
        response = str(row["response"])
        end = response.rfind("</think>")
        stripped = response[end + len("</think>") :] if end >= 0 else response
        item = real_items[row["index"]]
        assert grade(item, stripped).letter == grade(item, response).letter


PIECES = st.sampled_from(
    [
        *(
            "<think>",
            "</think>",
            "<answer>",
            "</answer>",
            "<THINK>",
            "A",
            "B.",
            "(C)",
            "Z",
            "the",
            "or",
            "not",
            "option",
        ),
        *(
            "wait,",
            "no",
            "actually",
            "cannot be",
            "?",
            "'",
            '"answer":',
            "{",
            "[THINK]",
            "◁think▷",
            "</reason>",
            "## Answer\n",
        ),
        *(
            "答案是",
            "不是",
            "respuesta",
            "✓",
            "[x]",
            "the former",
            "C. Close up",
            "wide and medium",
            "I'd go with",
            "~~",
            "&lt;",
        ),
        *("answer is", "close up", "\\boxed{", "}", "Ａ", "ع", "𝔅", "\x00", "\ud800", "\u202e", "\n", " "),
    ]
)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join), st.lists(PIECES, max_size=40).map(" ".join)))
def test_grading_never_raises_and_gives_only_letters_of_options(response: str) -> None:
    for protocol in PROTOCOLS:
        graded = grade(ITEM, response, protocol)
        assert graded.letter in (None, *ITEM.letters)
        assert graded.correct == (graded.letter == ITEM.answer)
        assert graded == grade(ITEM, response, protocol)


SHORT, LONG = 60_000, 480_000  # characters
REPEATED_TEXTS = {
    "answers": "answer: ",
    "letters": "A. ",
    "answer tags": "<answer>",
    "think tags": "<think>",
    "closing tags": "</answer>",
    "blocks": "<think><answer>B</answer></think>",
    "option texts": "wide ",
    "signs": "!",
    "blanks": " ",
    "lines": "B\n",
    "boxes": "\\boxed{",
    "declarations": "the answer is B ",
    "denials": "not a ",
    "full width": "Ａ",
    "dashes": "A-",
    "brackets": "<",
    "arabic": "ع ",
    "objects": '{"answer": "B", ',
    "deep objects": '{"a":',
    "other tags": "[THINK]",
    "explanations": "<reason>x</reason>",
    "headings": "## Reasoning\n",
    "corrections": "wait, no, B. ",
    "alternatives": "B or C, ",
    "compounds": "pushes in and ",
    "ticks": "✓ B ",
    "chinese": "不是B，",
    "refusals": "no image was ",
    "conditions": "if the ",
}


@pytest.mark.slow
@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("name", REPEATED_TEXTS)
def test_grading_time_is_linear_in_the_length_of_the_response(name: str) -> None:
    seconds = {}
    for size in (SHORT, LONG):
        text = (REPEATED_TEXTS[name] * (size // len(REPEATED_TEXTS[name]) + 1))[:size] + "x"
        started = time.process_time()
        for protocol in PROTOCOLS:
            grade(ITEM, text, protocol)
        seconds[size] = time.process_time() - started
    # A quadratic rule would take 64 times as long for 8 times the text; 0.2 s of tolerance absorbs noise.
    assert seconds[LONG] < 24 * seconds[SHORT] + 0.2


def test_well_formed_is_one_thought_and_one_answer_and_nothing_else() -> None:
    assert is_well_formed("<think>a</think>\n<answer>B</answer>\n")
    for response in (
        "B",
        "<think>a</think>",
        "<think>a</think><answer></answer>",
        "x<think>a</think><answer>B</answer>",
        "<think>a</think>x<answer>B</answer>",
        "<think>a</think><answer>B</answer>x",
        "<think>a</think><answer>B</answer><answer>C</answer>",
        "<answer>B</answer><think>a</think>",
    ):
        assert not is_well_formed(response), response


def test_an_unknown_protocol_is_rejected() -> None:
    with pytest.raises(ValueError, match="use one of strict, official"):
        grade(ITEM, "A", "lenient")  # type: ignore[arg-type]
