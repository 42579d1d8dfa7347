"""Find the answer field of a JSON object, also of one with single quotes, comments or a missing end.

Only the field of the answer counts: alternatives, confidences and explanations do not. Standard library only.
"""

from __future__ import annotations

import re

_HEADS = frozenset(
    [
        "answer",
        "answers",
        "option",
        "choice",
        "letter",
        "prediction",
        "label",
        "selection",
        "result",
        "response",
        "output",
        "solution",
        "selected",
        "chosen",
        "predicted",
    ]
)
_ADDITIONS = frozenset(
    ["final", "correct", "best", "most", "likely", "the", "my", "model", "key", "letter", "id", "text", "value", "name"]
)
_NESTED = 200  # maximum length in characters of a list or an object as a value

_FIELD = re.compile(
    r"([\"'])(?P<key>[A-Za-z][\w -]{0,30})\1\s{0,4}:\s{0,4}"
    rf"(?:\"(?P<double>(?:[^\"\\\n]|\\.){{0,{_NESTED}}})\"|'(?P<single>[^'\n]{{0,{_NESTED}}})'"
    rf"|\[(?P<list>[^\[\]]{{0,{_NESTED}}})\]|\{{(?P<object>[^{{}}]{{0,{_NESTED}}})\}}"
    rf"|(?P<bare>[^\s\"'{{\[,\]}}][^\n,\]}}]{{0,60}}))"
)
_TRUE_LETTER = re.compile(r"[\"']([A-Z])[\"']\s{0,4}:\s{0,4}[Tt]rue\b")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


def answer_fields(text: str) -> list[str]:
    """Values of the answer fields of the last object in a text; empty if there is none."""
    if ":" not in text or "{" not in text:
        return []
    values: list[str] = []
    previous = 0
    for match in _FIELD.finditer(text):
        if not _names_answer(match["key"]):
            continue
        _, end, between = text[previous : match.start()].rpartition("}")
        if end and _WORD.search(between):  # words between two objects: the last one counts; else they are one list
            values = []
        previous = match.end()
        nested = answer_fields("{" + match["object"] + "}") if match["object"] else []
        values += nested or [
            next(value for value in match.group("double", "single", "list", "object", "bare") if value is not None)
        ]
    return values or _TRUE_LETTER.findall(text)


def _names_answer(key: str) -> bool:
    words = [word.lower() for word in _WORD.findall(key)]
    return any(word in _HEADS for word in words) and all(word in _HEADS or word in _ADDITIONS for word in words)
