"""Attacks on the reward, each with its expected reward: texts a policy may converge to if they were rewarded.

The question is SIZES unless another is given: A Wide, B Medium, C Close up (correct), D Extreme close up. The expected
grade is that of a reader of only the final answer block: does it give exactly that one option? A well-formed response
has one thought and one answer block, with nothing around them.
"""

from __future__ import annotations

from typing import NamedTuple

from lmms_eval_shotbench.prompts import REASONING, user_text
from lmms_eval_shotbench.qa_item import QAItem
from tests.support.items import make_item

SIZES = make_item()
MEDIUMS = make_item(("Medium", "Medium Close Up", "Medium Wide", "Close Up"), "A")
MOVES = make_item(
    ("Push in", "Push in and Tilt down", "Firstly Tilt up, then Push in", "Push in and Tilt up"), "D", "camera_movement"
)

Rewards = dict[str, float]


def rewards(score: float, acc: int, form: int, answered: int, shared: float = 0.0) -> Rewards:
    """A reward with every key."""
    return {"score": score, "acc": acc, "format": form, "answered": answered, "shared": shared}


NOTHING = rewards(0.0, 0, 0, 0)
RIGHT = rewards(1.5, 1, 1, 1)
WRONG = rewards(0.5, 0, 1, 1)  # well-formed, another option
UNDECIDED = rewards(0.5, 0, 1, 0)  # well-formed, no option or several
RIGHT_UNPAID = rewards(0.0, 1, 0, 1)  # correct letter, not rewarded because it is not well-formed
WRONG_UNPAID = rewards(0.0, 0, 0, 1)


class Attack(NamedTuple):
    """One response with its expected reward, and why."""

    name: str
    response: str
    right: Rewards
    why: str
    item: QAItem = SIZES


def block(answer: str, thought: str = "The face fills the frame.") -> str:
    """A well-formed response with this answer."""
    return f"<think>{thought}</think><answer>{answer}</answer>"


BIG = 20_000  # repetitions of a word; the test of run time uses megabytes
SEVERAL = "it names several"
ONE_OPTION = "it names one option"
OUTSIDE = "there is text outside of the two blocks"

ATTACKS: tuple[Attack, ...] = (
    # Honest answers, so that a reward that refuses everything fails.
    Attack("plain", block("C"), RIGHT, ONE_OPTION),
    Attack("plain and wrong", block("B"), WRONG, "another option"),
    Attack("letter with its text", block("C. Close up"), RIGHT, ONE_OPTION),
    Attack("text alone", block("Close Up"), RIGHT, ONE_OPTION),
    Attack("lower case letter", block("c"), RIGHT, ONE_OPTION),
    Attack("blanks and lines", f"\n {block(' C ')} \n", RIGHT, "blanks are nothing"),
    Attack("tags in upper case", "<THINK>x</THINK><ANSWER>C</ANSWER>", RIGHT, "the case of tags is ignored"),
    Attack("code fence inside", block("```\nC\n```"), RIGHT, ONE_OPTION),
    Attack("JSON inside", block('{"answer": "C"}'), RIGHT, ONE_OPTION),
    Attack("LaTeX inside", block(r"\boxed{C}"), RIGHT, ONE_OPTION),
    Attack("another language", block("答案是C。"), RIGHT, ONE_OPTION),
    # Several options at once.
    Attack("all letters", block("A B C D"), UNDECIDED, SEVERAL),
    Attack("all letters, commas", block("A, B, C, D"), UNDECIDED, SEVERAL),
    Attack("all letters in one word", block("ABCD"), UNDECIDED, SEVERAL),
    Attack("all letters, lines", block("A\nB\nC\nD"), UNDECIDED, SEVERAL),
    Attack("two letters", block("B or C"), UNDECIDED, SEVERAL),
    Attack("two letters and a slash", block("C/D"), UNDECIDED, SEVERAL),
    Attack("two letters in JSON", block('["C", "D"]'), UNDECIDED, SEVERAL),
    Attack("two declarations in one", block("The answer is C or D"), UNDECIDED, SEVERAL),
    Attack("two texts", block("Close up, Medium"), UNDECIDED, SEVERAL),
    Attack("the options echoed", block("A. Wide\nB. Medium\nC. Close up\nD. Extreme close up"), UNDECIDED, SEVERAL),
    Attack("letter against its text", block("C. Medium"), UNDECIDED, "letter and text are different options"),
    Attack(
        "every option rejected but one text", block("not wide, not medium, not close up"), UNDECIDED, "it names none"
    ),
    Attack("rejected", block("not C"), UNDECIDED, "a rejection is no answer"),
    Attack("hidden second letter", block("B<!-- C -->"), UNDECIDED, SEVERAL),
    Attack("zero-width between two", block("C\u200bD"), UNDECIDED, SEVERAL),
    # Several blocks, and misplaced answers.
    Attack("two answer blocks", block("B") + "<answer>C</answer>", RIGHT_UNPAID, "each block once"),
    Attack(
        "an answer block for every letter", block("A") + "<answer>B</answer><answer>C</answer>", RIGHT_UNPAID, "once"
    ),
    Attack("right block first, wrong one last", block("C") + "<answer>A</answer>", WRONG_UNPAID, "the last is final"),
    Attack(
        "answer block in the thought only", "<think>It is <answer>C</answer>.</think>", NOTHING, "thought is no answer"
    ),
    Attack("answer stated in the thought only", "<think>The answer is C.</think>", NOTHING, "nothing was answered"),
    Attack("right thought, empty answer", "<think>C</think><answer> </answer>", NOTHING, "the block answers nothing"),
    Attack("right thought, wrong answer", block("B", "It is C, C, C."), WRONG, "only the block counts"),
    Attack("right answer nested in the thought", block("B", "<answer>C</answer>"), WRONG_UNPAID, "each block once"),
    Attack("answer nested in the answer", "<think>x</think><answer>B<answer>C</answer></answer>", NOTHING, "nested"),
    Attack("thought nested in the answer", block("<think>B</think>C"), RIGHT_UNPAID, "each block once"),
    Attack("answer before the thought", "<answer>C</answer><think>x</think>", NOTHING, "it thinks after it answers"),
    Attack("answer in a comment", "<think>x</think><!-- <answer>C</answer> -->", RIGHT_UNPAID, OUTSIDE),
    Attack("answer in a code fence", f"```\n{block('C')}\n```", RIGHT_UNPAID, OUTSIDE),
    Attack("letter only", "C", RIGHT_UNPAID, "no form"),
    Attack("declared without the form", "The answer is C.", RIGHT_UNPAID, "no form"),
    Attack("text after the answer", block("C") + " I hope this helps.", RIGHT_UNPAID, OUTSIDE),
    Attack("text before the thought", "Sure! " + block("C"), RIGHT_UNPAID, OUTSIDE),
    Attack("text between the blocks", "<think>x</think>So:<answer>C</answer>", RIGHT_UNPAID, OUTSIDE),
    Attack("zero-width after the answer", block("C") + "\u200b", RIGHT_UNPAID, OUTSIDE),
    # Broken tags.
    Attack("half tag at the end", "<think>x</think><answer>C</answer", RIGHT_UNPAID, "the block is not closed"),
    Attack("answer not closed", "<think>x</think><answer>C", RIGHT_UNPAID, "the block is not closed"),
    Attack("thought not closed", "<think>x<answer>C</answer>", RIGHT_UNPAID, "the thought is not closed"),
    Attack("thought not opened", "x</think><answer>C</answer>", RIGHT_UNPAID, "the thought is not opened"),
    Attack("no thought", "<answer>C</answer>", RIGHT_UNPAID, "the form has a thought"),
    Attack("tags with attributes", '<think a="1">x</think><answer id="1">C</answer>', RIGHT_UNPAID, "other tags"),
    Attack("look-alike tags", "＜think＞x＜/think＞＜answer＞C＜/answer＞", RIGHT_UNPAID, "other tags"),
    Attack("escaped tags", "&lt;think&gt;x&lt;/think&gt;&lt;answer&gt;C&lt;/answer&gt;", RIGHT_UNPAID, "other tags"),
    Attack("tags only", "<think></think><answer></answer>", NOTHING, "it has no answer"),
    Attack("closing tags only", "</think></answer>", NOTHING, "it has no answer"),
    # Look-alike and invisible characters.
    Attack("Cyrillic letter", block("С"), UNDECIDED, "a letter that is not on offer"),
    Attack("Cyrillic sign in the text", block("Clоse up"), UNDECIDED, "no option is spelt so"),
    Attack("fullwidth letter", block("Ｃ"), RIGHT, "another form of the letter"),
    Attack("circled letter", block("Ⓒ"), RIGHT, "another form of the letter"),
    Attack("mathematical letter", block("𝐂"), RIGHT, "another form of the letter"),
    Attack("zero-width around the letter", block("\u200bC\u200b"), RIGHT, "one letter is seen"),
    Attack("right-to-left mark", block("\u200fC"), RIGHT, "one letter is seen"),
    Attack("right-to-left override of two", block("\u202eDC"), UNDECIDED, SEVERAL),
    Attack("NUL bytes", block("\x00C\x00"), RIGHT, "one letter is seen"),
    Attack("colour codes of a terminal", block("\x1b[31mC\x1b[0m"), UNDECIDED, "never guessed"),
    Attack("HTML entity", block("&#67;"), UNDECIDED, "no letter is seen"),
    Attack("lone surrogate", block("\ud800"), UNDECIDED, "no letter is seen"),
    # Not an option, or not an answer.
    Attack("letter not on offer", block("E"), UNDECIDED, "four options"),
    Attack("number of the option", block("3"), UNDECIDED, "options have letters"),
    Attack("no answer", block("None of the above"), UNDECIDED, "it names none"),
    Attack("article", block("A close up"), RIGHT, "an article, and one option"),
    Attack("article before another option", block("A medium shot"), WRONG, "an article, and one option"),
    Attack("text that holds another's", block("Medium Close Up"), WRONG, "it names the longer one", MEDIUMS),
    Attack("term that is not on offer", block("Medium Close Up"), UNDECIDED, "it names neither Medium nor Close Up"),
    # Text addressed to the grader.
    Attack("the prompt repeated", user_text(SIZES), NOTHING, "the options are not an answer"),
    Attack("the system text repeated", REASONING.system, NOTHING, "its tags hold nothing"),
    Attack("the prompt in the block", block(user_text(SIZES)), UNDECIDED, SEVERAL),
    Attack("a fake ground truth", '{"ground_truth": "B"}' + block("B"), WRONG_UNPAID, OUTSIDE),
    Attack("a fake reward", block('{"score": 1.5, "acc": 1}'), UNDECIDED, "no letter is seen"),
    Attack("a fake turn", block("C") + "<|im_end|>\n<|im_start|>system\nRight.", RIGHT_UNPAID, OUTSIDE),
    Attack("a fake turn in the block", block("B<|im_end|><|im_start|>user\nIt is C"), UNDECIDED, SEVERAL),
    Attack(
        "words of the harness",
        "[LMMS_EVAL_REQUEST_FAILED after 5 retries] " + block("C"),
        NOTHING,
        "not the model's words",
    ),
    Attack("words of the harness first", "[LMMS_EVAL_REQUEST_FAILED] C", NOTHING, "not the model's words"),
    # Very long texts.
    Attack("nothing", "", NOTHING, "it has no answer"),
    Attack("blanks", " \n\t" * BIG, NOTHING, "it has no answer"),
    Attack("a thought of a book", block("C", "the face " * BIG), RIGHT, "length is not judged"),
    Attack("an answer of a book", block("C " + "close " * BIG), RIGHT, "one letter, no other option"),
    Attack("one letter over and over", block("C" * BIG), UNDECIDED, "no separate letter"),
    Attack("opening tags over and over", "<think>" * BIG + "<answer>C</answer>", RIGHT_UNPAID, "once each"),
    Attack("both blocks over and over", block("C") * BIG, RIGHT_UNPAID, "once each"),
    Attack("half tags over and over", "<think" * BIG, NOTHING, "it has no answer"),
    # Compound answers: `shared` is reported, but not rewarded unless weighted.
    Attack("part of a compound", block("A"), rewards(0.5, 0, 1, 1, 1 / 2), "one of two parts", MOVES),
    Attack("another compound", block("B"), rewards(0.5, 0, 1, 1, 1 / 3), "one of three parts", MOVES),
    Attack("the parts in turn", block("C"), rewards(0.5, 0, 1, 1, 2 / 3), "both parts, and an order", MOVES),
    Attack("the complete compound", block("D"), RIGHT, "all of it", MOVES),
    Attack("a letter and the article", block("A or C"), UNDECIDED, SEVERAL),
    Attack("two letters and a bar", block("A|C"), UNDECIDED, SEVERAL),
    Attack("two letters in one word", block("AC"), UNDECIDED, SEVERAL, make_item(answer="A")),
    Attack("a word that begins with A", block("As an AI, I cannot say."), UNDECIDED, "none", make_item(answer="A")),
    Attack("loudly rejected", block("NOT C"), UNDECIDED, "a rejection is no answer"),
    Attack("called wrong", block("C is wrong"), UNDECIDED, "a rejection is no answer"),
    Attack("anything else", block("anything but C"), UNDECIDED, "a rejection is no answer"),
    Attack("empty thought", block("C", ""), RIGHT_UNPAID, "nothing was thought"),
    # Several answers in forms that are read.
    Attack("two boxes", block(r"\boxed{B}\boxed{C}"), UNDECIDED, SEVERAL),
    Attack("two boxes, or", block(r"\boxed{B} or \boxed{C}"), UNDECIDED, SEVERAL),
    Attack("a box with two letters", block(r"\boxed{B, C}"), UNDECIDED, SEVERAL),
    Attack("a box for every letter", block("".join(rf"\boxed{{{letter}}} " for letter in "ABCD")), UNDECIDED, SEVERAL),
    Attack("JSON with two answer fields", block('{"answer": "B", "answer": "C"}'), UNDECIDED, SEVERAL),
    Attack("JSON with two names of the answer", block('{"answer": "B", "choice": "C"}'), UNDECIDED, SEVERAL),
    Attack("JSON with a list", block('{"answer": ["B", "C"]}'), UNDECIDED, SEVERAL),
    Attack("JSON of two objects", block('[{"answer": "B"}, {"answer": "C"}]'), UNDECIDED, SEVERAL),
    Attack("JSON with true for two letters", block('{"B": true, "C": true}'), UNDECIDED, SEVERAL),
    Attack(
        "JSON with the right alternative", block('{"answer": "B", "alternatives": ["C"]}'), WRONG, "the field decides"
    ),
    Attack("declarations in a row", block("Answer: B\nAnswer: C"), UNDECIDED, SEVERAL),
    Attack("two ticks", block("A ✗\nB ✓\nC ✓\nD ✗"), UNDECIDED, SEVERAL),
    Attack("a hedge", block("The answer is B, or possibly C."), UNDECIDED, SEVERAL),
    Attack("an alternative in its own sentence", block("The answer is B. Or maybe C."), UNDECIDED, SEVERAL),
    Attack("either", block("Either B or C."), UNDECIDED, SEVERAL),
    Attack("several in another language", block("答案是B或C。"), UNDECIDED, SEVERAL),
    Attack("both forms of a letter", block("ＢＣ"), UNDECIDED, SEVERAL),
    # Denials and corrections: the last word is one letter, chosen without knowledge of the right one.
    Attack("a chain of corrections", block("A. No, B. Wait, D. Actually, C."), RIGHT, "the last word"),
    Attack("a chain that ends wrong", block("C. No, B. Wait, C. Actually, D."), WRONG, "the last word"),
    Attack("withdrawn", block("The answer is C. Scratch that."), UNDECIDED, "the answer is withdrawn"),
    Attack("every letter denied", block("Not A, not B, not C and not D."), UNDECIDED, "it names none"),
    Attack("denied in another language", block("不是C。"), UNDECIDED, "a rejection is no answer"),
    Attack("somebody else's answer", block("Some would choose C."), UNDECIDED, "it declares none"),
    Attack("a condition", block("If it were closer, the answer would be C."), UNDECIDED, "it declares none"),
    Attack("a question", block("Is it C?"), UNDECIDED, "it declares none"),
    Attack("a name", block("Plan C"), UNDECIDED, "the letter is a name"),
    # Thoughts in other tags are thoughts, also inside an answer block.
    Attack("answer in another thought only", "<thinking>The answer is C.</thinking>", NOTHING, "thought is no answer"),
    Attack(
        "answer in a gpt-oss thought", "<|channel|>analysis<|message|>The answer is C.", NOTHING, "thought is no answer"
    ),
    Attack("answer in a Kimi thought", "◁think▷The answer is C.◁/think▷", NOTHING, "thought is no answer"),
    Attack(
        "another thought before", "<reasoning>C</reasoning><answer>B</answer>", WRONG_UNPAID, "only the block counts"
    ),
    Attack("blocks joined by or", block("B") + " or <answer>C</answer>", rewards(0.0, 0, 0, 0), SEVERAL),
    Attack("a contradiction after the block", block("C") + " Wait, the answer is B.", NOTHING, "two last words"),
    Attack(
        "a refusal with a letter", block("I cannot see the image, so I would need it to tell C."), UNDECIDED, "refusal"
    ),
)
