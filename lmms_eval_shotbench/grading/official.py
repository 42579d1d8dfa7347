"""Official protocol: the rules of ShotBench's `calculate_scores.py`, letter for letter.

Without its GPT judge (`judge.py` has an optional one) and without its `random.choice`: what its rules leave open is
undecided here. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lmms_eval_shotbench.grading.strict import ExtractedAnswer

_ANSWER_OPENS = re.compile("<answer>", re.IGNORECASE)
_ANSWER_CLOSES = re.compile("</answer>", re.IGNORECASE)
_OFFICIAL_BLANKS = frozenset(".()[],:;!*#{}")  # the reference puts a blank in place of each, then splits into words


def read_official(choices: Mapping[str, str], response: str) -> ExtractedAnswer:
    """Read a letter by the reference's rules: one lone letter among the words, else one option text contained."""
    answer = official_answer(response)
    letters = [letter for letter in choices if _is_a_word(letter, answer)]
    if len(letters) == 1:
        return ExtractedAnswer(letters[0], "one lone letter")
    if not letters and _is_a_word("Z", answer):  # the reference's sign for "no answer"
        return ExtractedAnswer(None, "the letter Z")
    lowered = answer.lower()
    texts = [letter for letter, text in choices.items() if text.lower() in lowered]
    if len(texts) == 1:
        return ExtractedAnswer(texts[0], "one option text")
    return ExtractedAnswer(None, "no single letter or option text")


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
