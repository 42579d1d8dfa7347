"""Which replies are accepted as reasoning chains: format, answer, conclusion, length, no answer leaks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.questions.chain_checks import FEWEST_WORDS, MAX_WORDS, Chain, check_chain, concluded_letter
from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.qa_item import QAItem
from tests.support.items import make_item
from tests.support.real_data import stored_responses
from tests.support.vision_server import SEEN, chain

ITEM = make_item(("Wide", "Medium", "Close Up", "Extreme Close Up"), "B")


def dropped(reply: str, item: QAItem = ITEM) -> Flaw:
    verdict = check_chain(item, reply)
    assert isinstance(verdict, Flaw), verdict
    return verdict


def test_a_good_reply_becomes_a_chain_that_the_grader_accepts() -> None:
    verdict = check_chain(ITEM, f"\n{chain('b', 'the medium shot')}  ")
    assert verdict == Chain(f"<think>{SEEN} That leaves the medium shot.</think><answer>B</answer>")
    assert (grade(ITEM, verdict.text).correct, grade(ITEM, verdict.text).well_formed) == (True, True)


@pytest.mark.parametrize(
    "reply",
    ["", "B", f"{SEEN} So B.", f"<think>{SEEN}</think>B", f"Sure! {chain('B', 'Medium')}", chain("B", "Medium") * 2],
)
def test_malformed_replies_are_dropped(reply: str) -> None:
    assert dropped(reply) == (DefectKind.CHAIN_FAILED, "not of the form <think>…</think><answer>…</answer>")


@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        (chain("C", "Medium"), "answers C, right is B"),
        (chain("Close Up", "Medium"), "answers C, right is B"),
        (chain("B", "Close Up"), "the thought comes to C, right is B"),
        (chain("B", "Medium", f"{SEEN} Therefore the correct answer is C."), "the thought comes to C, right is B"),
        (f"<think>{SEEN} It shows a Medium. So this is an Extreme Close Up.</think><answer>B</answer>", "comes to D"),
    ],
)
def test_a_wrong_answer_or_conclusion_contradicts(reply: str, detail: str) -> None:
    assert dropped(reply).kind is DefectKind.CHAIN_CONTRADICTS
    assert detail in dropped(reply).detail


@pytest.mark.parametrize(
    "thought",
    [
        f"{SEEN} It is not a Close Up, nor a Wide. So what is left is Medium.",
        f"{SEEN} At first the answer is C, one thinks. But the waist shows: the answer is B.",
        f"{SEEN} Option C can be ruled out. A Medium it is.",
        f"{SEEN} Option C can be ruled out. An MS it is.",
    ],
)
def test_rejected_options_are_not_read_as_conclusions(thought: str) -> None:
    assert isinstance(check_chain(ITEM, f"<think>{thought}</think><answer>B</answer>"), Chain)


def test_two_letters_or_a_thought_without_conclusion_fail() -> None:
    assert "no answer can be read" in dropped(chain("B or C", "Medium")).detail
    assert "never comes to the answer" in dropped(f"<think>{SEEN} There we are.</think><answer>B</answer>").detail


def test_thoughts_far_outside_the_requested_length_are_dropped() -> None:
    for words, kept in ((FEWEST_WORDS - 20, False), (FEWEST_WORDS - 5, True), (MAX_WORDS + 50, True), (460, False)):
        thought = "word " * (words - 4) + "So it is Medium."
        verdict = check_chain(ITEM, f"<think>{thought}</think><answer>B</answer>")
        assert isinstance(verdict, Chain) is kept, words
        assert kept or f"of {words} words" in dropped(f"<think>{thought}</think><answer>B</answer>").detail


@pytest.mark.parametrize(
    "slip",
    [
        "The correct answer given is the waist size.",
        "Since the provided answer is B, we look at the waist.",
        "I was told to look at the waist.",
        "According to the notes, the waist counts.",
        "The notes say that the waist counts.",
        "We know that the answer is the waist size.",
        "As the ground truth has it, the waist counts.",
        "The label is given as the waist size.",
        "Given the correct answer, the waist counts.",
        "This must support the answer.",
    ],
)
def test_a_chain_that_mentions_the_given_answer_is_dropped(slip: str) -> None:
    assert "betrays" in dropped(chain("B", "Medium", f"{SEEN} {slip}")).detail


@pytest.mark.parametrize(
    "words",
    [
        "Given the soft shadows, the sun is out.",
        "Notes of green and a hint of blue tell of the evening.",
        "She was told something, as her face tells.",
        "The frame is labelled by nothing.",
        "The given framing cuts the legs.",
    ],
)
def test_ordinary_words_are_no_leaks(words: str) -> None:
    assert isinstance(check_chain(ITEM, chain("B", "Medium", f"{SEEN} {words}")), Chain)


def test_a_compound_answer_may_be_named_term_by_term() -> None:
    item = make_item(("Backlight, Silhouette", "Side light, Soft light"), "A", "lighting_condition")
    named = f"{SEEN} The window behind her makes a backlight, and she herself is a silhouette against it."
    assert isinstance(check_chain(item, f"<think>{named}</think><answer>A</answer>"), Chain)
    half = f"{SEEN} The window behind her makes a backlight."
    assert "never comes" in dropped(f"<think>{half}</think><answer>A</answer>", item).detail


@given(st.text(), st.text(), st.text())
def test_no_reply_raises(before: str, thought: str, answer: str) -> None:
    reply = f"{before}<think>{thought}</think><answer>{answer}</answer>"
    assert isinstance(check_chain(ITEM, reply), Chain | Flaw)
    assert concluded_letter(ITEM, thought) in (None, *ITEM.letters)


@pytest.mark.slow
def test_real_thoughts_that_contradict_their_correct_answer_are_found(
    real_data: Path, real_items: dict[int, QAItem]
) -> None:
    """ShotVL-3B was trained by GRPO, which rewards answers only: one correct answer in eight does not follow."""
    rows = stored_responses(real_data, "shotbench.shotvl-3b.reasoning")
    verdicts = [check_chain(real_items[int(str(row["index"]))], str(row["response"])) for row in rows]
    kinds = Counter("chain" if isinstance(verdict, Chain) else verdict.detail.split()[0] for verdict in verdicts)
    assert kinds["answers"] + kinds["no"] == 1215
    assert 280 <= kinds["the"] - sum("never" in v.detail for v in verdicts if isinstance(v, Flaw)) <= 300
    assert kinds["betrays"] == 0
    assert kinds["chain"] > 1900
