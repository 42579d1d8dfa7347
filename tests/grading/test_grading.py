"""Both protocols, on the traps of this field, on real responses, and on anything at all."""

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
        # The article "A" is no answer.
        ("A close-up shot. The answer is C.", "C"),
        ("A medium close-up, so C", "C"),
        ("A low angle is used here: (D)", "D"),
        ("A Close Up", "C"),
        ("The answer is a wide shot.", "A"),
        ("None of the above (N/A)", None),
        # Unless it stands for itself.
        ("A", "A"),
        ("(a)", "A"),
        ("Answer: A", "A"),
        ("The answer is A because it is wide", "A"),
        ("A. Wide", "A"),
        # The longest text wins, and a term not on offer is not read as a shorter one.
        ("The answer is Close-up", "C"),
        ("It is an Extreme close up.", "D"),
        ("It is a medium close up.", None),
        # The thought does not answer.
        ("<think>Option A? No. B.</think><answer>C</answer>", "C"),
        ("<think>The answer is B.</think>", None),
        ("<think>The answer is B. And then", None),
        ("<think>So <answer>B</answer> it is, or maybe not", None),
        ("<think>So it must be: <answer>B</answer>", "B"),
        ("<think>one <answer>A</answer></think><answer>C</answer>", "C"),
        ("The answer is B.</think>C", "C"),
        ("<think>a</think><think>The answer is D", None),
        ("<think>x</think> </answer>B", "B"),
        # The last declared answer wins; a contradiction decides nothing.
        ("<answer>A</answer> No: <answer>B</answer>", "B"),
        ("The answer is B. Wait, the answer is D.", "D"),
        ("Answer: A or B", None),
        ("The answer is Medium or Wide", None),
        ("B. Wide", None),
        ("B or C", None),
        ("A B", None),
        ("Option A is too wide, option B is too tight.", None),
        # Forms models like.
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
        # Nothing there.
        ("", None),
        (" \n", None),
        ("Z", None),
        ("E", None),
        ("Dolly in", None),
        ("[LMMS_EVAL_REQUEST_FAILED after 5 retries] error D", None),
    ],
)
def test_strict_reads_what_is_declared_and_never_guesses(response: str, letter: str | None) -> None:
    read = grade(ITEM, response)
    assert (read.letter, read.correct) == (letter, letter == "C"), read.how


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("A medium shot", "A"),  # the reference takes the article
        ("<think>The answer is B.", "B"),  # and a thought that never ends
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
def test_official_follows_the_reference_for_better_or_worse(response: str, letter: str | None) -> None:
    assert grade(ITEM, response, "official").letter == letter


@pytest.mark.parametrize(
    ("name", "right", "undecided", "against_reference"),
    [
        # The last number: rows where the published letter came from a judge, from chance, or was struck out afterwards.
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
def test_official_gives_the_references_letter_on_real_responses(
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
        (row, read) for row, read in zip(rows, grades, strict=True) if (read.letter or "Z") != row["reference_letter"]
    ]
    assert sum(read.correct for read in grades) == right
    assert sum(read.letter is None for read in grades) == undecided
    assert len(differing) == against_reference
    if name.startswith("shotbench"):  # only what its rules left open may differ
        assert all(read.letter is None for _, read in differing)
    else:  # RefineShot struck out inconsistent rows
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
def test_the_right_answer_scores_and_every_wrong_letter_does_not(
    real_items: dict[int, QAItem], style: PromptStyle, protocol: Protocol
) -> None:
    for item in real_items.values():
        for letter in item.letters:
            read = grade(item, style.well_formed(letter), protocol)
            assert (read.letter, read.correct) == (letter, letter == item.answer), item


def test_the_right_options_text_scores_under_strict(real_items: dict[int, QAItem]) -> None:
    for item in real_items.values():
        for response in (item.gold, f"{item.answer}. {item.gold}", f"<answer>{item.gold}</answer>"):
            assert grade(item, response).correct, (item, response)


def test_strict_reads_the_same_letter_when_the_harness_has_stripped_the_thought(
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
        *("answer is", "close up", "\\boxed{", "}", "Ａ", "ع", "𝔅", "\x00", "\ud800", "\u202e", "\n", " "),
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join), st.lists(PIECES, max_size=40).map(" ".join)))
def test_no_text_raises_and_only_offered_letters_come_out(response: str) -> None:
    for protocol in PROTOCOLS:
        read = grade(ITEM, response, protocol)
        assert read.letter in (None, *ITEM.letters)
        assert read.correct == (read.letter == ITEM.answer)
        assert read == grade(ITEM, response, protocol)


MEGABYTE = 1_000_000
FLOODS = {
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
}


@pytest.mark.parametrize("name", FLOODS)
def test_time_is_linear_in_the_length_of_a_response(name: str) -> None:
    seconds = {}
    for size in (MEGABYTE // 8, MEGABYTE):
        text = (FLOODS[name] * (size // len(FLOODS[name]) + 1))[:size] + "x"
        started = time.process_time()
        for protocol in PROTOCOLS:
            grade(ITEM, text, protocol)
        seconds[size] = time.process_time() - started
    # A quadratic rule would take 64 times as long for 8 times the text; half a second of slack drowns the noise.
    assert seconds[MEGABYTE] < 24 * seconds[MEGABYTE // 8] + 0.5


def test_well_formed_means_one_thought_and_one_answer_and_nothing_else() -> None:
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


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match="use one of strict, official"):
        grade(ITEM, "A", "lenient")  # type: ignore[arg-type]
