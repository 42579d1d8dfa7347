"""Strict grading by kind of answer: terms, the last word, forms, languages and refusals."""

from __future__ import annotations

import pytest

from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.grading.rules import RULES, WHOLE_RESPONSE
from lmms_eval_shotbench.grading.strict import REQUEST_FAILED, extract_conclusion, has_response
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


ANGLES = make_item(("Low angle", "Dutch angle, Low angle", "High angle", "Overhead"), dimension="camera_angle")
ARCS = make_item(("Arc", "Arc and Push in", "Push in", "Tilt up, Pull out"), dimension="camera_movement")
SOURCES = make_item(("Daylight", "Practical light", "Moonlight", "HMI"), dimension="lighting_type")


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("The head fills the frame, so **Medium Wide** can be discarded. On balance my pick is B.", "B"),
        ("The hips are out of frame, thus Medium Wide may be set aside. I see a waist-up framing, which is B.", "B"),
        ("So C gets eliminated. The waist is visible.", None),
        ("Therefore D must be crossed out.", None),
        ("The knees are hidden, so a medium wide has been discounted.", None),
        ("Hence C is dropped and A falls away.", None),
        ("So extreme close up is off the table.", None),
        ("So C can be confirmed. The answer is C.", "C"),
    ],
)
def test_an_option_that_is_discarded_is_no_conclusion(response: str, expected: str | None) -> None:
    assert letter(response) == expected


@pytest.mark.parametrize(
    ("thought", "by_letter_or_text", "by_text"),
    [
        ("The head fills the frame, so the answer is Close Up (B).", None, "C"),
        ("The answer is Close Up (C).", "C", "C"),
        ("Option B fits best.", "B", None),
        ("It is not a Close Up. The waist shows: a Medium.", "B", "B"),
        ("The answer is Wide.", None, None),  # not on offer
    ],
)
def test_a_conclusion_may_be_taken_from_the_texts_of_options_alone(
    thought: str, by_letter_or_text: str | None, by_text: str | None
) -> None:
    assert extract_conclusion(SIZES, thought).letter == by_letter_or_text
    assert extract_conclusion(SIZES, thought, letters=False).letter == by_text


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("Answer: C. Actually, never mind, I misread the crop. It's a medium shot.", "B"),
        ("The answer is A. Hmm, let me look again. The frame ends at the waist. This is a medium.", "B"),
        ('C. Close Up\n\nWait, let me reconsider. The waist is in frame. That\'s what the list calls "Medium".', "B"),
        ("I choose D. Actually, let me check once more. The legs are out of frame.", None),
        ("My answer is C. On closer inspection, the waist is visible, so it's B.", "B"),
        ("Answer: C. Hold on, looking again I see the waist: it's a medium.", "B"),
        ("The answer is C. Never mind.", None),
        ("The answer is B. Actually, let me double-check: yes, B.", "B"),
        ("**C**\n\nActually, scratch that. The waist shows. It's a medium shot.", "B"),
        ("The answer is C. Actually, no. The waist shows. It's a medium.", "B"),
        ("I'd say C. Actually, looking more carefully, the waist is visible, making it a medium.", "B"),
        ("The answer is C. Hmm, that doesn't look right.", None),
        ("The answer is B. On closer inspection the frame confirms this.", "B"),
        ("The answer is B. Actually, the hat is what one sees first, unlike in a close up.", "B"),
    ],
)
def test_an_answer_that_is_reconsidered_gives_way_to_what_follows(response: str, expected: str | None) -> None:
    assert letter(response) == expected


@pytest.mark.parametrize(
    "response",
    [
        "B or C? I think B.",
        "A or B? I believe it's B, since the waist shows.",
        "Both B and D are defensible, though if I were forced to choose I'd pick B.",
        "A and B would both do, but if I had to commit to one, I would take B.",
        "Could be B or C. If pressed, I'd go with B.",
        "C or B? My money is on B.",
        "It's a toss-up of A and B, though if I must decide I lean B.",
    ],
)
def test_a_choice_after_two_options_is_read(response: str) -> None:
    assert letter(response) == "B"


TABLE = "| Option | Label | Fits? | Why |\n|---|:-:|---|---|\n"


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (
            TABLE
            + "| A | Extreme Close Up | ❌ | no eyes only |\n| B | Medium | ✅ | wider than C |\n"
            + "| C | Close Up | ❌ | |\n| D | Medium Wide | ❌ | |",
            "B",
        ),
        (
            "| Choice | Match |\n|--|--|\n| A. Extreme Close Up | ✗ |\n| **B. Medium** | **✓** |\n| C. Close Up | ✗ |\n"
            "| D. Medium Wide | ✗ |",
            "B",
        ),
        ("Option | Verdict\n--- | ---\nA | no\nB | yes\nC | no\nD | no", "B"),
        (
            "| | Correct |\n|-|-|\n| Extreme Close Up | No |\n| Medium | Yes |\n"
            "| Close Up | No |\n| Medium Wide | No |",
            "B",
        ),
        (
            "| Option | Ruled out? |\n|-|-|\n| A | ✅ |\n| B | ❌ |\n| C | ✅ |\n| D | ✅ |",
            "B",
        ),
        ("| Option | Fits |\n|-|-|\n| A | ❌ |\n| B | ✅ |\n| C | ✅ |\n| D | ❌ |", None),
        ("| Option | Waist | Hips |\n|-|-|-|\n| A | ✗ | ✗ |\n| B | ✓ | ✓ |\n| C | ✗ | ✓ |\n| D | ✓ | ✗ |", "B"),
    ],
)
def test_the_only_option_ticked_in_a_table_is_the_answer(response: str, expected: str | None) -> None:
    assert letter(response) == expected


@pytest.mark.parametrize(
    ("response", "expected", "item"),
    [
        ("The camera arcs around her while pushing in.", "B", ARCS),
        ("The camera orbits the couple as it pushes in.", "B", ARCS),
        ("Pushing in on him while arcing", "B", ARCS),
        ("It pulls back from the tower while tilting up.", "D", ARCS),
        ("The camera arcs around the table.", "A", ARCS),
        ("It tilts up at the tower while pushing in.", None, ARCS),
        ("Low Dutch angle", "B", ANGLES),
        ("Dutch low angle", "B", ANGLES),
        ("A low, canted angle.", "B", ANGLES),
        ("It's a low and Dutch angle", "B", ANGLES),
        ("a low Dutch tilt", "B", ANGLES),
        ("high Dutch angle", None, ANGLES),
        ("low angle", "A", ANGLES),
    ],
)
def test_interleaved_and_inflected_compounds_are_read(response: str, expected: str | None, item: QAItem) -> None:
    assert letter(response, item) == expected


@pytest.mark.parametrize(
    "response",
    [
        *(
            "B를 선택하겠습니다",
            "저는 C보다 B를 고르겠습니다.",
            "B로 하겠습니다",
            "B라고 생각합니다",
            "정답으로 B를 택하겠습니다",
        ),
        *("Bにします。", "私はBを選択します。", "我会选B，因为C更紧。", "我倾向于B，C太紧了。"),
        *("Me quedo con la B; la C sería más cerrada.", "Yo diría que la B, porque la C es más cerrada."),
        *("Opto por la B frente a la C.", "Mi elección recae en la B, aunque la C se parece."),
        *(
            "Je dirais plutôt la B, car on voit la taille ; la C serait plus serrée.",
            "Je reste sur la B. La C serait plus serrée.",
        ),
        *("Mon choix se porte sur la B, la C étant plus serrée.", "J'opte pour B plutôt que C."),
        *(
            "Ich bleibe bei B, C wäre enger.",
            "Ich würde eher B sagen, C wäre enger.",
            "Meine Wahl fällt auf B; C wäre enger.",
        ),
        *("Ich entscheide mich für B, da C enger wäre.", "Ich tippe auf B. C wäre enger."),
        *("Fico com a B; a C seria mais fechada.", "Eu diria B, pois C seria mais fechada."),
        *("Direi la B, perché la C sarebbe più stretta.", "La mia scelta cade sulla B; la C sarebbe più stretta."),
        *(
            "Остановлюсь на B, C было бы крупнее.",
            "Мой выбор — B, хотя C похоже.",
            "Ik kies voor B; C zou krapper zijn.",
        ),
        *(
            "I'll stay with B; C would be tighter.",
            "I would rather say B; C is tighter.",
            "My choice falls on B, C being tighter.",
        ),
    ],
)
def test_choices_worded_as_people_word_them_are_read_in_several_languages(response: str) -> None:
    assert letter(response) == "B"


@pytest.mark.parametrize(
    "response",
    [
        "Ich würde B nicht wählen.",
        "B는 아닙니다",
        "No me quedo con la B.",
        "Je ne choisirais pas la B.",
        "Eu não diria B.",
        "我不倾向于B。",
        "Bを選びません。",
        "B를 선택하지 않겠습니다",
        "Nicht B.",
    ],
)
def test_choices_that_are_denied_in_other_languages_are_no_answers(response: str) -> None:
    assert letter(response) is None


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("I cannot answer with anything other than B", "B"),
        ("I can't see how it could be anything but B.", "B"),
        ("There is no way this is anything other than a medium.", "B"),
        ("I couldn't pick any option except B here; C is tighter.", "B"),
        ("Nothing fits apart from B.", "B"),
        ("It is impossible to read this as anything but B.", "B"),
        ("I have no choice but B.", "B"),
        ("It is anything but B.", None),
        ("I can't choose anything other than B or C.", None),
    ],
)
def test_nothing_but_an_option_is_that_option(response: str, expected: str | None) -> None:
    assert letter(response) == expected


_LONG_CLAUSE = "the camera sits by the floor and looks up at the man in the doorway, " * 6


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (
            f"While {_LONG_CLAUSE}the waist ends the frame, that is what defines a medium, "
            "and it is the option I choose.",
            "B",
        ),
        ("A close up would cut the chest; waist up is what makes a medium, which is my answer.", "B"),
        ("C shows less, D shows more, what remains is the medium, and that's the one I would go with.", "B"),
        ("Against C and D there is B, and this is what I'd pick.", "B"),
        (f"Since {_LONG_CLAUSE * 2}I see a medium shot, so it is my final choice.", "B"),
        ("C may tempt, and it is not the option I choose.", None),
    ],
)
def test_an_option_that_the_end_of_its_sentence_chooses_is_the_answer(response: str, expected: str | None) -> None:
    assert letter(response) == expected


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("It isn't daylight (A). We're dealing with practical sources (B), although a crew would add an HMI (D).", "B"),
        ("No sun here, so not A; these are practicals (B), though a crew often hides an HMI (D) outside.", "B"),
        ("Not moonlight (C). What we see are practicals (B), even if some moonlight (C) is suggested.", "B"),
        ("Although an HMI (D) would be cleaner, we are looking at practicals (B).", "B"),
        ("C is out. Table lamps are the source: B, albeit with an HMI (D) for the face.", "B"),
        ("It is B, although it could be D.", None),
        ("I see practicals, though I'd choose D.", "D"),
    ],
)
def test_a_concession_adds_no_option(response: str, expected: str | None) -> None:
    assert letter(response, SOURCES) == expected
