"""What a marked sentence claims: options that it declares, corrects or withdraws.

The patterns are in `declarations.py`, those of denials in `denials.py`; `last_word.py` decides between the sentences.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from lmms_eval_shotbench.grading.declarations import (
    CONDITION,
    CONTRAST,
    CORRECTED,
    DECLARED,
    EXCUSE,
    HEAD,
    HEDGED,
    HYPOTHETICAL,
    IS_RIGHT,
    LEADING,
    WITHDRAWN,
)
from lmms_eval_shotbench.grading.denials import mark_denials
from lmms_eval_shotbench.grading.marks import TEXT_MARK, denied_in, has_mark, letter_of, marks_in, words


class Claim(NamedTuple):
    """A declaration of options within a sentence; without marks, it withdraws what was declared before."""

    start: int
    end: int
    marks: str
    kind: str  # "declared", "concluded", "corrected", "ticked" or "withdrawn"


class Sentence(NamedTuple):
    """A marked sentence and what it claims."""

    text: str  # in lower case, denials marked
    claims: tuple[Claim, ...]
    marks: str  # that are not denied
    denied: frozenset[str]  # letters
    only_marks: bool  # whether it consists of options only, such as "B. Medium" or "B or C"
    begins: str  # marks that it consists of, or begins with before it explains them ("B, because …")


@lru_cache(maxsize=2048)  # sentences recur: bare letters, and loops of a model
def read_sentence(text: str) -> Sentence:
    """Read a sentence of a marked text."""
    text = mark_denials(text.lower())
    marks, denied = marks_in(text), frozenset(map(letter_of, denied_in(text)))
    if not marks:
        return Sentence(text, tuple(_claims(text)), "", denied, only_marks=False, begins="")
    only_marks = len(text) <= _LONGEST_ANSWER and not _PLAIN.sub("", text)
    return Sentence(text, tuple(_claims(text)), marks, denied, only_marks, marks if only_marks else _leading(text))


_LONGEST_ANSWER = 120  # characters of a sentence that consists of options only
_PLAIN = re.compile(
    r"[^\w]|\b"
    + words(
        rf"""or | and | also | possibly | maybe | perhaps | probably | likely | definitely | either | both | option |
            choice | letter |
        the | a | an | answer | final | correct | best | so | my | yes | ok | okay | sure | certainly | hence | thus |
        therefore | ms |
        cu | ws | ecu | mcu | mws | ews | es | assistant | model | {HEAD}"""
    )
    + r"\b"
)


def _leading(text: str) -> str:
    match = LEADING.match(text)
    return marks_in(match["list"]) if match and not HEDGED.search(text, match.end()) else ""


_PATTERNS = ((DECLARED, "declared"), (IS_RIGHT, "declared"), (CORRECTED, "corrected"))


def _claims(text: str) -> list[Claim]:
    """The claims of a sentence in order; a question makes none."""
    if text.rstrip(" \"')]").endswith("?") and not re.search(r"\bno\b", text):
        return []
    found = []
    for pattern, kind in _PATTERNS if has_mark(text) else ():
        for match in pattern.finditer(text):
            groups = match.groupdict()
            chosen = match.end("choose") if groups.get("choose") else match.start()
            if not _is_hypothetical(text, match.start(), chosen):
                name = _kind(kind, groups)
                found.append(Claim(match.start("list"), match.end(), marks_in(match["list"]), name))
    if not found and (withdrawal := WITHDRAWN.search(text)):
        return [Claim(withdrawal.start(), withdrawal.end(), "", "withdrawn")]
    claims = _joined(text, sorted(found))
    if claims and (hedge := HEDGED.search(text, claims[-1].end)):  # "the answer is B, but it could be C"
        marks = claims[-1].marks + (hedge["list"] or hedge["other"])
        claims.append(Claim(hedge.start(), hedge.end(), marks, "declared"))
    return claims


def _kind(kind: str, groups: dict[str, str | None]) -> str:
    if groups.get("tick"):
        return "ticked"
    conclusion = groups.get("conclude")
    by_text = all(ord(mark) >= TEXT_MARK for mark in marks_in(groups["list"] or ""))
    return "concluded" if conclusion and by_text and not _ANSWER_WORD.search(conclusion) else kind


_ANSWER_WORD = re.compile(r"\b(?:answer|option|choice)\b")


def _joined(text: str, found: list[Claim]) -> list[Claim]:
    """The claims of a sentence, with those joined that no word such as "but" separates."""
    joined: list[Claim] = []
    for claim in found:
        before = joined[-1] if joined else None
        if before and claim.kind != "corrected" and not CONTRAST.search(text, before.end, claim.start):
            kind = before.kind if claim.kind == "concluded" else claim.kind
            joined[-1] = Claim(before.start, max(before.end, claim.end), before.marks + claim.marks, kind)
        else:
            joined.append(claim)
    return joined


_CLAUSE = re.compile(r"[,;:]\s|\bbut\b|\s-\s")
_CONTEXT = 80  # characters before a declaring phrase


def _is_hypothetical(text: str, start: int, end: int) -> bool:
    """Whether the clause before a declaring phrase makes it a condition or somebody else's: "some would select"."""
    before = EXCUSE.sub("", text[max(0, start - _CONTEXT) : end])
    return bool(HYPOTHETICAL.search(_CLAUSE.split(before)[-1]) or (CONDITION.match(text) and "would" in text))
