"""Validation of reasoning chains: well-formed, of plausible length, consistent, not mentioning the given answer.

Owns the check of one reply. A chain is dropped as *contradicting* if its answer, or the conclusion of its thought, is
another option, and as *failed* for any other reason. Letters are extracted by the package's grader only
(`lmms_eval_shotbench/grading/grade.py`, `lmms_eval_shotbench/grading/strict.py`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from data_pipeline.defects import DefectKind, Flaw
from lmms_eval_shotbench.grading.grade import grade, is_well_formed
from lmms_eval_shotbench.grading.strict import TAG, extract_strict
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import normal_form

FEWEST_WORDS, MAX_WORDS = 40, 300  # in the thought, as stated in the prompt
LENGTH_TOLERANCE = 1.5  # a chain may be this factor below or above the bounds, since models count words badly

# Rules of the strict grader that require a declared answer. Its looser rules take the only letter or option named,
# which a thought may have named in order to reject it.
DECLARED = ("declared letter", "declared text", "corrected answer", "lone letter", "letter and text", "option text")
_CONCLUDES = re.compile(
    r"\b(?:so|thus|hence|therefore|consequently|overall|accordingly|in (?:sum|short|conclusion)|altogether"
    r"|(?:this|that|it|which) (?:is|makes|must be|leaves)|leaving|what (?:is left|remains))\b",
    re.IGNORECASE,
)
_SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+|\n+")

_GIVEN = r"(?:given|provided|supplied|stated|indicated|known|specified|mentioned|labell?ed|annotated|told|assigned)"
_ANSWER = r"(?:(?:correct|right|true|gold|reference|final) )?(?:answer|label|option|solution|choice)"
# A chain that mentions the given answer or notes teaches a model to look for them where there are none.
_ANSWER_LEAKS = re.compile(
    rf"\b(?:{_GIVEN} (?:that |as )?(?:the )?{_ANSWER}\b"
    rf"|{_ANSWER}s? (?:(?:that|which) )?(?:(?:is|was|has been|i was|were|as) )?(?:already )?{_GIVEN}\b"
    r"|ground[- ]truth|gold (?:answer|label|standard)|answer key|for (?:my|your) eyes"
    r"|(?:i|we) (?:am|are|was|were|have been|had been) (?:told|given|informed|asked to)"
    rf"|(?:i|we) (?:already )?know (?:that )?the {_ANSWER}"
    r"|(?:the|these|those|your|my) (?:glossary|prompt|(?:notes?|hints?|knowledge|definitions?) "
    r"(?:above|given|provided|says?|states?|tells?|describes?|on the))\b"
    rf"|according to (?:the |my |your )?(?:notes?|{_ANSWER}|glossary|prompt|instructions?)\b"
    rf"|(?:must|has to|should|need to) (?:justify|arrive at|support|match) (?:the )?{_ANSWER}\b)",
    re.IGNORECASE,
)


class Chain(NamedTuple):
    """An accepted chain, in the format a model is trained to produce."""

    text: str


def check_chain(item: QAItem, reply: str) -> Chain | Flaw:
    """Return the chain in a reply, or the reason it is rejected."""
    if not is_well_formed(reply):
        return _failed("not of the form <think>…</think><answer>…</answer>")
    thought, verdict = thought_of(reply), grade(item, reply)
    if verdict.letter is None:
        return _failed(f"no answer can be read ({verdict.how})")
    if verdict.letter != item.answer:
        return _contradicts(f"answers {verdict.letter}, right is {item.answer}")
    if (letter := concluded_letter(item, thought)) not in (None, item.answer):
        return _contradicts(f"the thought comes to {letter}, right is {item.answer}")
    words = len(thought.split())
    if not FEWEST_WORDS / LENGTH_TOLERANCE <= words <= MAX_WORDS * LENGTH_TOLERANCE:
        return _failed(f"a thought of {words} words, {FEWEST_WORDS} to {MAX_WORDS} were asked for")
    if leak := _ANSWER_LEAKS.search(thought):
        return _failed(f"betrays that it was told the answer: {leak[0]!r}")
    if letter is None and not names_gold(item, thought):
        return _failed("the thought never comes to the answer")
    return Chain(f"<think>{thought}</think><answer>{item.answer}</answer>")


def thought_of(reply: str) -> str:
    """Return the text between the <think> tags of a well-formed reply."""
    opening, closing, *_ = TAG.finditer(reply)
    return reply[opening.end() : closing.start()].strip()


def concluded_letter(item: QAItem, thought: str) -> str | None:
    """Return the letter a thought concludes: its last declared answer, else one named by a concluding last sentence."""
    reading = extract_strict(item, thought)
    if reading.letter and reading.how.removeprefix("free text: ") in DECLARED:
        return reading.letter
    last = next((part for part in reversed(_SENTENCE_ENDS.split(thought)) if part.strip()), "")
    return extract_strict(item, last).letter if _CONCLUDES.search(last) else None


def names_gold(item: QAItem, thought: str) -> bool:
    """Return whether the thought names the right option, by its text or by each of its terms."""
    words, label = f" {normal_form(thought)} ", item.label(item.answer)
    if f" {normal_form(item.gold)} " in words:
        return True
    terms = label.terms if label else frozenset()
    return bool(terms) and all(
        any(f" {normal_form(name)} " in words for name in (term.name, *term.aliases)) for term in terms
    )


def _failed(detail: str) -> Flaw:
    return Flaw(DefectKind.CHAIN_FAILED, detail)


def _contradicts(detail: str) -> Flaw:
    return Flaw(DefectKind.CHAIN_CONTRADICTS, detail)
