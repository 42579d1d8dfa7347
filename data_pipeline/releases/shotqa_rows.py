"""Parse one row of ShotQA's question files into a `QAItem`: media tags, question and options in one text, `solution`.

Owns parsing a row; options are reworded in `option_words.py`. Files and invalid rows are handled in
`shotqa_questions.py`.

As published, a row has `messages` (`role`, `content`; the user's text begins with `<image>` or `<video>`),
`images` or `videos` (a list with one path) and `solution` (`<answer>B</answer>`), which an assistant's message may
replace. The user's text is the official prompt ("Question: … Options: A. … Please select …"). How strictly rows follow
this format is not documented, so other media tags, brackets around letters, options on one line, words before the
question and an answer given as the option's text are also accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from string import ascii_uppercase
from typing import NamedTuple

from data_pipeline.defects import Flaw
from data_pipeline.releases.option_words import dimension_of_options, word_options
from lmms_eval_shotbench.qa_item import BadRow, QAItem
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, MediaKind, normal_form

SOURCE, LICENCE = "shotqa", "cc-by-nc-nd-4.0"
MEDIA_COLUMNS = {"images": MediaKind.STILL, "videos": MediaKind.CLIP}

_MEDIA_TAG = re.compile(r"<\s*/?\s*(?:image|img|video)\s*/?\s*>", re.IGNORECASE)
_LETTER = re.compile(r"(?:^|(?<=\s))\(?([A-Z])(?:[.:]|\))\s*(?=\S)", re.MULTILINE)
_OPTIONS_END = re.compile(r"\s*\n|\s+(?=(?:please|answer|select|choose)\b)", re.IGNORECASE)
_BEFORE_QUESTION = re.compile(r".*\bquestion\s*:", re.IGNORECASE | re.DOTALL)
_AFTER_QUESTION = re.compile(r"\b(?:options|choices)\s*:?\s*$", re.IGNORECASE)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
_ANSWER_LETTER = re.compile(r"\(?([A-Za-z])\)?\s*(?:[.:)].*)?", re.DOTALL)

_DIMENSION_NAMES: dict[str, Dimension] = {
    normal_form(name): dimension
    for dimension in DIMENSIONS
    for name in (dimension.slug.replace("_", " "), dimension.release_label)
}


class OpenEnded(ValueError):
    """The row has no options, so it is not a multiple-choice question."""


class ReadRow(NamedTuple):
    """A question, warnings about it, and the flaw that makes it unusable, if any."""

    item: QAItem
    warnings: list[Flaw]
    ambiguous: Flaw | None


def read_row(row: object, item_id: str, source_index: int) -> ReadRow:
    """Parse a row.

    Raises:
        OpenEnded: the row has no options.
        BadRow: the row is not a question about one medium with one answer.
    """
    if not isinstance(row, dict):
        raise BadRow(item_id, "row", row, "an object")
    user, assistant = _user_and_assistant_text(item_id, row.get("messages"))
    question, options = split_prompt(user)
    if not options:
        raise OpenEnded(f"item {item_id}: no options")
    kind, path = _medium(item_id, row)
    dimension = _dimension(item_id, question, options)
    solution = row.get("solution")
    given = solution if isinstance(solution, str) and solution.strip() else assistant
    letter = answer_letter(item_id, "solution", given, options)
    worded = word_options(dimension, options, letter)
    item = QAItem(
        item_id=item_id,
        dimension=dimension.slug,
        question=question,
        options=worded.options,
        answer=letter,
        media_kind=kind,
        media_path=path,
        source=SOURCE,
        source_index=source_index,
        licence=LICENCE,
    )
    "".join((question, *item.options, path)).encode()  # raises for a lone surrogate
    return ReadRow(item, worded.warnings, worded.ambiguous)


def split_prompt(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the question and its options in order, or the text and an empty tuple if it has no options."""
    text = _MEDIA_TAG.sub(" ", text)
    marks: list[re.Match[str]] = []
    for mark in _LETTER.finditer(text):
        if mark[1] == ascii_uppercase[len(marks) : len(marks) + 1]:
            marks.append(mark)
        elif mark[1] == "A" and len(marks) == 1:  # the earlier "A" was a word of the question
            marks = [mark]
    if len(marks) < 2:
        return text.strip(), ()
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    options = (_OPTIONS_END.split(text[mark.end() : end], maxsplit=1)[0] for mark, end in zip(marks, ends, strict=True))
    question = _AFTER_QUESTION.sub("", text[: marks[0].start()].rstrip())
    before = _BEFORE_QUESTION.match(question)
    return question[before.end() if before else 0 :].strip(), tuple(option.strip() for option in options)


def _user_and_assistant_text(item_id: str, messages: object) -> tuple[str, str]:
    """Return the user's only text and the assistant's last; content may be a list of media and text parts."""
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise BadRow(item_id, "messages", messages, "a list of messages with role and content")
    texts: dict[str, list[str]] = {"user": [], "assistant": []}
    for message in messages:
        texts.setdefault(str(message.get("role")), []).append(_plain_text(message.get("content")))
    if len(texts["user"]) != 1 or not texts["user"][0].strip():
        raise BadRow(item_id, "messages", messages, "one text of the user")
    return texts["user"][0], texts["assistant"][-1] if texts["assistant"] else ""


def _plain_text(content: object) -> str:
    parts = content if isinstance(content, list) else [content]
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return "\n".join(text for text in texts if isinstance(text, str))


def _medium(item_id: str, row: Mapping[str, object]) -> tuple[MediaKind, str]:
    """Return kind and path of the only medium."""
    named = []
    for column, kind in MEDIA_COLUMNS.items():
        cell = row.get(column)
        named += [(kind, path) for path in (cell if isinstance(cell, list) else [cell]) if path not in (None, "")]
    if len(named) != 1 or not isinstance(named[0][1], str):
        raise BadRow(item_id, "media", [path for _, path in named], "one path in images or videos")
    return named[0][0], path_in_release(named[0][1])


def path_in_release(path: str) -> str:
    """Return the path of a medium within its release; one outside of it is reduced to its base name."""
    path = path.replace("\\", "/")
    outside = path.startswith("/") or ".." in path.split("/") or ":" in path.partition("/")[0]
    return PurePosixPath(path).name if outside else str(PurePosixPath(path))


def _dimension(item_id: str, question: str, options: Sequence[str]) -> Dimension:
    """Return the dimension with the longest name in the question, else the only one with terms for all options."""
    words = f" {normal_form(question)} "
    named = [name for name in _DIMENSION_NAMES if f" {name} " in words]
    found = _DIMENSION_NAMES[max(named, key=len)] if named else dimension_of_options(options)
    if found is None:
        raise BadRow(item_id, "question", question, "one that names a dimension")
    return found


def answer_letter(item_id: str, field: str, given: str, options: Sequence[str]) -> str:
    """Return the letter of an answer given as letter or option text, in `<answer>` tags or not.

    Raises:
        BadRow: the answer is none of the options; `field` is where it was found.
    """
    inside = _ANSWER.findall(given)
    answer = (inside[-1] if inside else given).strip()
    offered = ascii_uppercase[: len(options)]
    if len(answer) > 1:
        asked = normal_form(answer)
        texts = [letter for letter, text in zip(offered, options, strict=True) if normal_form(text) == asked]
        lettered = _ANSWER_LETTER.fullmatch(answer)
        answer = texts[0] if len(texts) == 1 else lettered[1] if lettered and not texts else ""
    if not answer or answer.upper() not in offered:
        raise BadRow(item_id, field, given, f"a letter from A to {offered[-1]}, or the text of an option")
    return answer.upper()
