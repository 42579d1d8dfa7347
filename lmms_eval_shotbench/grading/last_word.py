"""Decide between the sentences of a text: the last word wins, and two options without a last word are undecided.

Standard library only.
"""

from __future__ import annotations

import re

from lmms_eval_shotbench.grading.claims import Claim, Sentence, read_sentence
from lmms_eval_shotbench.grading.declarations import CONCLUDES_ANEW, CONFIRMED, RECONSIDERED
from lmms_eval_shotbench.grading.denials import at_an_edge, is_distanced
from lmms_eval_shotbench.grading.marks import CONFLICT, OFF, TEXT_MARK, has_mark, letter_of
from lmms_eval_shotbench.grading.rules import ExtractedAnswer

WITHDRAWN = ExtractedAnswer(None, "answer withdrawn")
_RULES = {
    "declared": "declared letter",
    "concluded": "declared text",
    "ticked": "declared letter",
    "corrected": "corrected answer",
    "line": "answer line",
}
_ALTERNATIVE = re.compile(r"\W{0,4}(?:or|maybe|perhaps|possibly|alternatively|otherwise)\b")


def last_word(sentences: list[Sentence], lists: bool = True) -> ExtractedAnswer | None:
    """The last declaration, else an answer line; None if there is neither.

    Args:
        sentences: The sentences of the text in order.
        lists: Whether declarations in a row ("Answer: B", "Answer: C") are a list, so that none is the last word.
    """
    if (reconsidered := _reconsidered(sentences, lists)) is not None:
        return reconsidered
    lines = [
        (number, sentence.begins)
        for number, sentence in enumerate(sentences)
        if sentence.begins and (len(sentences) == 1 or not sentence.text.endswith("?"))
    ]
    declared = _last_declaration(sentences, lists)
    if final := _final_line(sentences, lines, declared):
        return _decide(final, "line", "several options declared" if declared else "several options named")
    if declared:
        return _decide(declared.marks, declared.kind, "several options declared") if declared.marks else WITHDRAWN
    if not lines:
        return None
    whole = [number for number, _ in lines[:2] if sentences[number].only_marks]
    opening = lines[0][1] if whole[:1] == [0] and 1 not in whole else ""  # "B. Medium", then an explanation
    return _decide(opening or "".join(marks for _, marks in lines), "line", "several options named")


def _reconsidered(sentences: list[Sentence], lists: bool) -> ExtractedAnswer | None:
    """The answer after a sentence that reconsiders an option named before it ("Actually, let me look again").

    None if no sentence does, if what follows keeps the answer, or if it only comments ("Actually, the hat is green").
    """
    found: re.Match[str] | None = None
    place, named = 0, False
    for number, sentence in enumerate(sentences):
        match = RECONSIDERED.search(sentence.text) if named or sentence.marks else None
        weaker = match and found and found["strong"] and not match["strong"]
        if match and not weaker and (named or has_mark(sentence.text[: match.start()])):
            found, place = match, number
        named = named or bool(sentence.marks)
    if found is None:
        return None
    after = [read_sentence(found.string[found.end() :]), *sentences[place + 1 :]]
    strong = found["strong"]
    answer = last_word(after, lists) or only_mention(after)
    if answer.letter and (strong or any(CONCLUDES_ANEW.search(sentence.text) for sentence in after)):
        return answer
    return WITHDRAWN if strong and not any(CONFIRMED.search(sentence.text) for sentence in after) else None


def _last_declaration(sentences: list[Sentence], lists: bool) -> Claim | None:
    """The last claim, with the options of alternatives that follow it; without marks if it is withdrawn or denied."""
    declared: Claim | None = None
    adjacent = False  # whether the last declaration is the entire sentence before
    for sentence in sentences:
        text, claims = sentence.text, sentence.claims
        if claims and (declared or claims[-1].kind != "withdrawn"):
            first, last = claims[0], claims[-1]
            ticked = first.kind == "ticked" and declared is not None and declared.kind == "ticked"
            if declared and last.kind == "concluded" and declared.kind != "concluded" and declared.marks:
                continue  # "so it is a medium" does not replace "the answer is C"
            opens = first.kind == "declared" and _begins_sentence(text, first)
            if declared and len(claims) == 1 and (ticked or (adjacent and opens and lists)):
                last = last._replace(marks=declared.marks + last.marks)
            declared = last
            adjacent = opens and len(claims) == 1 and not re.search(r"\w", text[last.end :])
            continue
        if declared and sentence.marks and _ALTERNATIVE.match(text):
            declared = declared._replace(marks=declared.marks + sentence.marks)
        elif declared and sentence.denied.intersection(map(letter_of, declared.marks)):
            declared = declared._replace(marks="")
        adjacent = False
    return declared


def _begins_sentence(text: str, claim: Claim) -> bool:
    """Whether only words such as "the answer is" precede the options of a claim."""
    return not re.sub(r"\b(?:the|my|final|correct|answer|option|is|and|also|or)\b|\W", "", text[: claim.start])


def _final_line(sentences: list[Sentence], lines: list[tuple[int, str]], declared: Claim | None) -> str:
    """Marks of the last sentence if it is only an answer, with those of a list of answers that it ends.

    A list after a declaration ("Other options: …") and one that repeats all options before the last line do not count.
    """
    last = len(sentences) - 1
    if not lines or lines[-1][0] != last or not sentences[last].only_marks or sentences[last].claims:
        return ""
    if declared and _ALTERNATIVE.match(sentences[last].text):  # "Or maybe C." belongs to the declaration
        return ""
    run: list[str] = []
    for number, marks in reversed(lines):
        if number != last - len(run) or sentences[number].claims:
            break
        run.append(marks)
    before = {letter_of(mark) for marks in run[1:] for mark in marks}
    if len(run) > 2 and len(before) == len(run) - 1 and {letter_of(mark) for mark in run[0]} <= before:
        return run[0]
    return "" if len(run) > 1 and declared else "".join(run)


def _decide(marks: str, kind: str, several: str) -> ExtractedAnswer:
    """The letter that all marks agree on, or the reason why there is none."""
    letters = set(map(letter_of, marks))
    if CONFLICT in letters:
        return ExtractedAnswer(None, "letter and text disagree")
    if len(letters) > 1:
        return ExtractedAnswer(None, several)
    if OFF in letters:
        return ExtractedAnswer(None, "not on offer")
    by_text = kind == "declared" and all(ord(mark) >= TEXT_MARK for mark in marks)
    return ExtractedAnswer(letters.pop(), "declared text" if by_text else _RULES[kind])


def only_mention(sentences: list[Sentence]) -> ExtractedAnswer:
    """The only letter or, without letters, the only option text that is not denied; undecided if not unique.

    A letter counts only at the beginning or end of a clause, and nothing counts that may be denied, doubted or quoted.
    """
    naming = [sentence for sentence in sentences if sentence.marks]
    marks = "".join(sentence.marks for sentence in naming)
    letters = {letter_of(mark) for mark in marks if ord(mark) < TEXT_MARK}
    texts = {letter_of(mark) for mark in marks if ord(mark) >= TEXT_MARK}
    if CONFLICT in texts:
        return ExtractedAnswer(None, "letter and text disagree")
    if not marks:
        return ExtractedAnswer(None, "no option named")
    if texts == {OFF} and not letters:
        return ExtractedAnswer(None, "not on offer")
    if len(letters) > 1 or (letters and texts - {OFF} - letters) or (not letters and len(texts) > 1):
        return ExtractedAnswer(None, "several options named")
    if any(is_distanced(sentence.text) for sentence in naming):
        return ExtractedAnswer(None, "only a doubtful mention")
    if not letters:
        return ExtractedAnswer(texts.pop(), "only option text")
    if not any(at_an_edge(sentence.text) for sentence in naming):
        return ExtractedAnswer(None, "only a doubtful mention")
    return ExtractedAnswer(letters.pop(), "only letter")
