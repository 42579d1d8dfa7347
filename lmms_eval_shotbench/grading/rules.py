"""The rules of strict grading by name: what `how` of a grade says, and what it means.

The table in the documentation lists `RULES`. A grade's `how` is one of their names after the prefix "answer block: " or
"free text: ", which states where the answer was found; the rules of `WHOLE_RESPONSE` have no prefix.
"""

from __future__ import annotations

from typing import NamedTuple

REFUSAL = "refusal"
EMPTY = "empty"
NO_RESPONSE = "no response"
THOUGHT_ONLY = "thought only"


class ExtractedAnswer(NamedTuple):
    """The extracted letter, or None; `how` is the rule that decided, or the reason why the response is undecided."""

    letter: str | None
    how: str


class Rule(NamedTuple):
    """A rule of strict grading."""

    name: str
    decides: bool  # whether it gives a letter
    meaning: str


RULES: tuple[Rule, ...] = (
    Rule("lone letter", True, "the text is only a letter, as in B or (b)"),
    Rule("option text", True, "the text is only an option's text"),
    Rule("letter and text", True, "the text is only a letter with its option's text"),
    Rule("answer field", True, "the answer field of an object (JSON)"),
    Rule("declared letter", True, 'the last declaration names a letter, as in "the answer is B"'),
    Rule("declared text", True, "the last declaration names an option by its text"),
    Rule("corrected answer", True, 'the last declaration is a correction, as in "wait, no, C"'),
    Rule("answer line", True, "a line or a sentence is only an answer, or begins with one that it explains"),
    Rule("only letter", True, "the only letter that is named and not denied"),
    Rule("only option text", True, "the only option that is named by its text and not denied"),
    Rule("not on offer", False, "the answer is a letter, a term or a compound that the question does not offer"),
    Rule("letter and text disagree", False, "a letter next to the text of another option"),
    Rule("several options declared", False, "the last declaration names more than one option"),
    Rule("several options named", False, "more than one option is named and none is declared"),
    Rule("only a doubtful mention", False, "the only option named may be denied, doubted or quoted"),
    Rule("answer withdrawn", False, "the declared answer is withdrawn or denied, and no other follows"),
    Rule("no option named", False, "no option is named, or each one that is named is denied"),
    Rule(REFUSAL, False, "the model says that it cannot see the picture, asks for it, or refuses to help"),
    Rule(THOUGHT_ONLY, False, "there is nothing outside the thought"),
    Rule(EMPTY, False, "the model returned a blank text"),
    Rule(NO_RESPONSE, False, "the request failed, so that there is no response of the model"),
)
WHOLE_RESPONSE = (THOUGHT_ONLY, EMPTY, NO_RESPONSE)
