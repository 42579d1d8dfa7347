"""A response becomes a `Grade`: the letter that was answered, how it was read, and whether it is right.

Two protocols, named wherever a score is given:

- **strict** (default) never guesses; its rules are in `strict_reading.py`.
- **official** follows the rules of ShotBench's `calculate_scores.py` letter for letter, without its GPT judge (see
  `judge.py` for an optional one) and without its `random.choice`: what its rules leave open is undecided here.

Undecided counts as wrong in both. Neither raises on any text, and both take time linear in its length.
Metrics are in `metrics.py`.

Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.strict_reading import REQUEST_FAILED, TAG, Reading, read_strict

Protocol = Literal["strict", "official"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


@dataclass(frozen=True, slots=True)
class Grade:
    """One graded response. `letter` is None where the response is undecided."""

    letter: str | None
    correct: bool
    how: str  # the rule that decided, or why nothing did
    well_formed: bool  # <think>…</think><answer>…</answer>, each once, nothing else around them


def grade(item: QAItem, response: str, protocol: Protocol = "strict") -> Grade:
    """Grade one response; never raises on model text, raises `ValueError` on an unknown protocol."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"{protocol!r} is no grading protocol; use one of {', '.join(PROTOCOLS)}")
    if response.startswith(REQUEST_FAILED):  # the harness speaking, not the model
        reading = Reading(None, "no response")
    elif protocol == "strict":
        reading = read_strict(item, response)
    else:
        reading = read_official(item.choices, response)
    return Grade(reading.letter, reading.letter == item.answer, reading.how, is_well_formed(response))


_ANSWER_OPENS = re.compile("<answer>", re.IGNORECASE)
_ANSWER_CLOSES = re.compile("</answer>", re.IGNORECASE)
_OFFICIAL_BLANKS = frozenset(".()[],:;!*#{}")  # the reference puts a blank in place of each, then splits into words


def read_official(choices: Mapping[str, str], response: str) -> Reading:
    """Read a letter by the reference's rules: one lone letter among the words, else one option text contained."""
    answer = official_answer(response)
    letters = [letter for letter in choices if _is_a_word(letter, answer)]
    if len(letters) == 1:
        return Reading(letters[0], "one lone letter")
    if not letters and _is_a_word("Z", answer):  # the reference's sign for "no answer"
        return Reading(None, "the letter Z")
    lowered = answer.lower()
    texts = [letter for letter, text in choices.items() if text.lower() in lowered]
    if len(texts) == 1:
        return Reading(texts[0], "one option text")
    return Reading(None, "no single letter or option text")


def _is_a_word(letter: str, text: str) -> bool:
    """Whether a letter is one of the words; asked of the text itself, which is faster than making all its words."""
    place = text.find(letter)
    while place >= 0:
        before, after = text[place - 1 : place], text[place + 1 : place + 2]
        if _parts_words(before) and _parts_words(after):
            return True
        place = text.find(letter, place + 1)
    return False


def _parts_words(sign: str) -> bool:
    return not sign or sign in _OFFICIAL_BLANKS or sign.isspace()


def official_answer(response: str) -> str:
    """The first `<answer>` block, or everything. Two searches instead of one lazy pattern: linear on any text."""
    opening = _ANSWER_OPENS.search(response)
    closing = _ANSWER_CLOSES.search(response, opening.end()) if opening else None
    return response[opening.end() : closing.start()].strip() if opening and closing else response.strip()


def is_well_formed(response: str) -> bool:
    """Whether the response is a thought followed by an answer block, each once, with nothing around them."""
    if response.rstrip()[-9:].lower() != "</answer>":  # most that are not, at little cost
        return False
    names = [match[1] + match[2].lower() for match in TAG.finditer(response)]
    if names != ["think", "/think", "answer", "/answer"]:
        return False
    think, thought_end, answer, answer_end = TAG.finditer(response)
    around = response[: think.start()] + response[thought_end.end() : answer.start()] + response[answer_end.end() :]
    thought, said = response[think.end() : thought_end.start()], response[answer.end() : answer_end.start()]
    return not around.strip() and bool(thought.strip()) and bool(said.strip())
