"""Strict grading by kind of answer: terms, the last word, forms, languages and refusals."""

from __future__ import annotations

import pytest

from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.grading.rules import RULES, WHOLE_RESPONSE
from lmms_eval_shotbench.grading.strict import REQUEST_FAILED, has_response
from lmms_eval_shotbench.qa_item import QAItem
from tests.support import REPOSITORY
from tests.support.items import make_item

SIZES = make_item(("Extreme Close Up", "Medium", "Close Up", "Medium Wide"))
LENSES = make_item(("Long Lens", "Ultra Wide / Fisheye", "Medium", "Wide"), dimension="lens_size")
MOVES = make_item(
    ("Push in", "Push in and Tracking", "Zoom in", "Firstly Pull out, then Static shot."), dimension="camera_movement"
)
LIGHTS = make_item(
    ("Soft light, High contrast", "Hard light", "Soft light", "Silhouette, Backlight"), dimension="lighting_condition"
)
FRAMES = make_item(("Single", "2 shot", "3 shot", "Group shot"), dimension="shot_framing")
YES_NO = make_item(("no", "yes"), "A", dimension="shot_framing")


def letter(response: str, item: QAItem = SIZES) -> str | None:
    return grade(item, response).letter


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("Ultra wide", "B"),
        ("a fisheye lens", "B"),
        ("Ultra-wide or fisheye", "B"),
        ("wide-angle lens", "D"),
        ("telephoto", "A"),
        ("medium telephoto", None),
        ("Medium Wide", None),  # a term of its own where both are options
        ("Medium, Wide", None),
    ],
)
def test_parts_of_a_term_are_the_term_and_a_blend_of_two_is_neither(response: str, expected: str | None) -> None:
    assert letter(response, LENSES) == expected


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("The camera pushes in", "A"),
        ("zooming in", "C"),
        ("Tracking and Push in", "B"),
        ("The camera pushes in while tracking the subject.", "B"),
        ("First pulls out, then static", "D"),
        ("Static shot, then pull out", None),
        ("pushes in and tilts up", None),
        ("zoom out", None),
    ],
)
def test_inflected_forms_and_compounds_are_read_by_their_terms(response: str, expected: str | None) -> None:
    assert letter(response, MOVES) == expected


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("The lighting is soft", "C"),
        ("High contrast, soft lighting", "A"),
        ("backlit silhouette", "D"),
        ("Soft light, low contrast", None),  # the compound is not on offer
    ],
)
def test_a_compound_that_is_not_on_offer_names_no_option(response: str, expected: str | None) -> None:
    assert letter(response, LIGHTS) == expected


def test_numbers_are_read_as_words_and_digits() -> None:
    assert [letter(text, FRAMES) for text in ("two-shot", "Two shot", "3-shot", "over the shoulder")] == [
        *("B", "B", "C"),
        None,
    ]


def test_yes_and_no_are_answers_only_where_they_stand_for_themselves() -> None:
    assert letter("Yes, there is no doubt this is an establishing shot.", YES_NO) == "B"
    assert letter("No, it is a single.", YES_NO) == "A"
    assert letter("There is no person.", YES_NO) is None


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("The answer is A.\n\nB", "B"),
        ("Answer: A\nI need to correct this.\nAnswer: B", "B"),
        ("B? No, C.", "C"),
        ("A. Wait, actually B.", "B"),
        ("Answer: A -> corrected: B", "B"),
        ("Not A, but B.", "B"),
        ("I prefer B to C.", "B"),
        ("Between B and C, the former.", "B"),
        ("A, C and D are too tight, so B.", "B"),
        ("The answer is B. A close up (C) would be tighter.", "B"),
        ("B because C would show only the face.", "B"),
        ("A: too tight\nB: fits\nC: too tight\nD: too wide\n\nB", "B"),
        ("The answer is B. Scratch that.", None),
        ("The answer is B. No, B is wrong.", None),
    ],
)
def test_the_last_word_wins(response: str, expected: str | None) -> None:
    assert letter(response) == expected


@pytest.mark.parametrize(
    "response",
    [
        "It cannot be B.",
        "I doubt the answer is B.",
        "Don't choose B.",
        "There's no way this is B.",
        "B can safely be eliminated.",
        "Forget B.",
        "Whoever says B has not looked.",
        "The least likely answer is B.",
        "Some would select B.",
        "If the hips were visible, the answer would be B.",
        "Is it B?",
        "The letter B appears on the sign.",
        "Plan B",
    ],
)
def test_denials_doubts_and_names_are_no_answers(response: str) -> None:
    assert letter(response) is None


@pytest.mark.parametrize(
    "response",
    [
        *("Answer: B, C", "(B) or (C)", "B. Medium or C. Close Up", r"\boxed{B, C}", '{"answer": "B/C"}', "B\nC"),
        *("The answer is B, or possibly C.", "The answer is B. Or maybe C.", "Answer: B\nAnswer: C", "B and C"),
        *('{"answer": ["B", "C"]}', "Medium and Close Up", "答案是B或C。", "B oder C", "A to D"),
    ],
)
def test_two_options_without_a_last_word_are_undecided(response: str) -> None:
    assert letter(response) is None


@pytest.mark.parametrize(
    "response",
    [
        *(
            '{"answer": "B", "confidence": 0.9, "alternatives": ["C"]}',
            "{'answer': 'B'}",
            '{"answer": {"letter": "B"}}',
        ),
        *('```json\n{"final_answer": "B. Medium"}\n```', '{"A": false, "B": true, "C": false}', '{"answer": "B"'),
        *(
            "answer: B\nreason: C would be tighter",
            "selected_option: B",
            r"\boxed{\text{B}}",
            "**B**",
            "`B`",
            "<b>B</b>",
        ),
        *(
            "Ｂ",
            "𝐁",
            "Ⓑ",
            "（Ｂ）",
            "“B”",
            "b)",
            "(b) medium",
            "the answer is b",
            "B<|endoftext|>",
            "<b>B</b>",
            "A ✗\nB ✓\nC ✗",
        ),
        *("- [ ] A\n- [x] B\n- [ ] C", "<|begin_of_box|>B<|end_of_box|>", "B. Medium (MS)", "M.S."),
    ],
)
def test_forms_of_one_answer_are_read(response: str) -> None:
    assert letter(response) == "B"


@pytest.mark.parametrize(
    "response",
    [
        *("答案是B", "不是C，答案是B。", "选B", "正确答案：B（中景）", "故选B。", "排除A、C、D，选择B。"),
        *("正解はBです。", "CではなくBです。", "정답은 B입니다.", "정답은 C가 아니라 B입니다."),
        *("La respuesta correcta es B, no C.", "La réponse n'est pas C mais B.", "Die Antwort ist nicht C, sondern B."),
        *("A resposta é B.", "La risposta è B.", "Ответ: B"),
    ],
)
def test_declarations_and_denials_in_other_languages_are_read(response: str) -> None:
    assert letter(response) == "B"


@pytest.mark.parametrize(
    "response",
    [
        *("I cannot see the image.", "Please provide the image so that I can choose.", "No image was provided."),
        *(
            "As a text-based AI, I am unable to view pictures of A, B, C or D.",
            "The video did not load.",
            "我无法看到图片。",
        ),
    ],
)
def test_refusals_have_a_rule_of_their_own(response: str) -> None:
    graded = grade(SIZES, response)
    assert (graded.letter, graded.how, graded.refused) == (None, "free text: refusal", True)


def test_a_guess_after_a_refusal_is_an_answer() -> None:
    assert letter("I cannot see the image, but my answer is B.") == "B"


def test_blank_text_is_a_response_and_a_failed_request_is_none() -> None:
    for response in ("", " \n"):
        assert has_response(response)
        assert (grade(SIZES, response).letter, grade(SIZES, response).how) == (None, "empty")
    failed = f"{REQUEST_FAILED} after 5 retries] B"
    assert not has_response(failed)
    assert (grade(SIZES, failed).letter, grade(SIZES, failed).how) == (None, "no response")


def test_every_rule_that_grades_name_is_documented() -> None:
    names = {rule.name for rule in RULES}
    responses = [
        "",
        "<think>B",
        "B",
        "(b)",
        "Medium",
        "B. Medium",
        "B. Close Up",
        "E",
        "B or C",
        "not B",
        "so B",
        "I think",
    ]
    responses += [
        '{"answer": "B"}',
        "A. No, B.",
        "the answer is B",
        "the answer is a medium",
        "Forget B.",
        "No image was given.",
    ]
    responses += ["The answer is B. Scratch that.", "A push, B", "It is a medium shot, surely.", "a close up; a medium"]
    for response in responses:
        place, _, rule = grade(SIZES, response).how.rpartition(": ")
        assert rule in names and (place in ("answer block", "free text")) == (rule not in WHOLE_RESPONSE), response


def test_the_documentation_lists_every_rule_with_its_meaning() -> None:
    text = (REPOSITORY / "docs" / "grading.md").read_text(encoding="utf-8")
    for rule in RULES:
        result = "letter" if rule.decides else "undecided"
        assert f"| `{rule.name}` | {result} | {rule.meaning} |" in text, rule.name
