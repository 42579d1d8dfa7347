"""Official protocol: the exact rules of ShotBench's `calculate_scores.py`.

Its GPT judge (`judge.py` has an optional one) and its `random.choice` are left out: a response that its rules do not
decide is undecided. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lmms_eval_shotbench.grading.rules import ExtractedAnswer

_ANSWER_OPENS = re.compile("<answer>", re.IGNORECASE)
_ANSWER_CLOSES = re.compile("</answer>", re.IGNORECASE)
_SEPARATORS = frozenset(".()[],:;!*#{}")  # the reference replaces them by spaces, then splits


def extract_official(choices: Mapping[str, str], response: str) -> ExtractedAnswer:
    """Extract a letter by the reference's rules: the only option letter among the words, else the only option text."""
    answer = official_answer(response)
    letters = [letter for letter in choices if _contains_word(letter, answer)]
    if len(letters) == 1:
        return ExtractedAnswer(letters[0], "one lone letter")
    if not letters and _contains_word("Z", answer):  # the reference's sign for "no answer"
        return ExtractedAnswer(None, "the letter Z")
    lowered = answer.lower()
    texts = [letter for letter, text in choices.items() if text.lower() in lowered]
    if len(texts) == 1:
        return ExtractedAnswer(texts[0], "one option text")
    return ExtractedAnswer(None, "no single letter or option text")


def _contains_word(letter: str, text: str) -> bool:
    """Whether `letter` is one of the words of `text`; faster than splitting the text."""
    position = text.find(letter)
    while position >= 0:
        before, after = text[position - 1 : position], text[position + 1 : position + 2]
        if _separates_words(before) and _separates_words(after):
            return True
        position = text.find(letter, position + 1)
    return False


def _separates_words(character: str) -> bool:
    return not character or character in _SEPARATORS or character.isspace()


def official_answer(response: str) -> str:
    """The first `<answer>` block or, if there is none, the entire response, stripped.

    Two searches take linear time, unlike one lazy pattern.
    """
    opening = _ANSWER_OPENS.search(response)
    closing = _ANSWER_CLOSES.search(response, opening.end()) if opening else None
    return response[opening.end() : closing.start()].strip() if opening and closing else response.strip()
