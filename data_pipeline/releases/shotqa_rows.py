"""One row of ShotQA's question files as a `QAItem`: media marks, question and options in one text, `solution`.

Owns the reading of a row; how options are worded is in `option_words.py`. Which files are read, and what becomes of
rows that are no question, is in `shotqa_questions.py`.

As it is published, a row holds `messages` (`role`, `content`; the user's text begins with `<image>` or `<video>`),
`images` or `videos` (a list with one path) and `solution` (`<answer>B</answer>`), which an assistant's message may
stand for. The user's text is the official prompt ("Question: … Options: A. … Please select …"). How strictly the rows
keep to that is documented nowhere, so other media marks, brackets around letters, options on one line, words before the
question and an answer given as the option's text are understood as well.
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

_MEDIA_MARK = re.compile(r"<\s*/?\s*(?:image|img|video)\s*/?\s*>", re.IGNORECASE)
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
    """A row that offers no options: no multiple choice, and so no row of a shard."""


class ReadRow(NamedTuple):
    """A question, what is doubtful about it, and what loses the row, if anything does."""

    item: QAItem
    doubts: list[Flaw]
    ambiguous: Flaw | None


def read_row(row: object, item_id: str, source_index: int) -> ReadRow:
    """Read a row.

    Raises:
        OpenEnded: it offers no options.
        BadRow: it is no question about one medium with one answer.
    """
    if not isinstance(row, dict):
        raise BadRow(item_id, "row", row, "an object")
    user, assistant = _texts(item_id, row.get("messages"))
    question, options = split_prompt(user)
    if not options:
        raise OpenEnded(f"item {item_id}: no options")
    kind, path = _medium(item_id, row)
    dimension = _dimension(item_id, question, options)
    letter = _answer(item_id, row.get("solution"), assistant, options)
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
    "".join((question, *item.options, path)).encode()  # half a surrogate pair cannot be stored
    return ReadRow(item, worded.doubts, worded.ambiguous)


def split_prompt(text: str) -> tuple[str, tuple[str, ...]]:
    """The question and its options, in order; no option where the text offers none."""
    text = _MEDIA_MARK.sub(" ", text)
    marks: list[re.Match[str]] = []
    for mark in _LETTER.finditer(text):
        if mark[1] == ascii_uppercase[len(marks) : len(marks) + 1]:
            marks.append(mark)
        elif mark[1] == "A" and len(marks) == 1:  # what stood before was a word of the question
            marks = [mark]
    if len(marks) < 2:
        return text.strip(), ()
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    options = (_OPTIONS_END.split(text[mark.end() : end], maxsplit=1)[0] for mark, end in zip(marks, ends, strict=True))
    question = _AFTER_QUESTION.sub("", text[: marks[0].start()].rstrip())
    before = _BEFORE_QUESTION.match(question)
    return question[before.end() if before else 0 :].strip(), tuple(option.strip() for option in options)


def _texts(item_id: str, messages: object) -> tuple[str, str]:
    """The user's one text and the assistant's last; media and text may be parts of a list."""
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise BadRow(item_id, "messages", messages, "a list of messages with role and content")
    said: dict[str, list[str]] = {"user": [], "assistant": []}
    for message in messages:
        said.setdefault(str(message.get("role")), []).append(_plain_text(message.get("content")))
    if len(said["user"]) != 1 or not said["user"][0].strip():
        raise BadRow(item_id, "messages", messages, "one text of the user")
    return said["user"][0], said["assistant"][-1] if said["assistant"] else ""


def _plain_text(content: object) -> str:
    parts = content if isinstance(content, list) else [content]
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return "\n".join(text for text in texts if isinstance(text, str))


def _medium(item_id: str, row: Mapping[str, object]) -> tuple[MediaKind, str]:
    """The one medium. A path from its authors' machine is cut to its name: the archive is flat."""
    named = []
    for column, kind in MEDIA_COLUMNS.items():
        cell = row.get(column)
        named += [(kind, path) for path in (cell if isinstance(cell, list) else [cell]) if path not in (None, "")]
    if len(named) != 1 or not isinstance(named[0][1], str):
        raise BadRow(item_id, "media", [path for _, path in named], "one path in images or videos")
    kind, path = named[0][0], named[0][1].replace("\\", "/")
    outside = path.startswith("/") or ".." in path.split("/") or ":" in path.partition("/")[0]
    return kind, PurePosixPath(path).name if outside else str(PurePosixPath(path))


def _dimension(item_id: str, question: str, options: Sequence[str]) -> Dimension:
    """The dimension whose longest name the question holds, else the only one whose terms all options are."""
    words = f" {normal_form(question)} "
    named = [name for name in _DIMENSION_NAMES if f" {name} " in words]
    found = _DIMENSION_NAMES[max(named, key=len)] if named else dimension_of_options(options)
    if found is None:
        raise BadRow(item_id, "question", question, "one that names a dimension")
    return found


def _answer(item_id: str, solution: object, assistant: str, options: Sequence[str]) -> str:
    """The letter that `solution` gives, else the assistant's last message; a letter or an option's text."""
    given = solution if isinstance(solution, str) and solution.strip() else assistant
    inside = _ANSWER.findall(given)
    said = (inside[-1] if inside else given).strip()
    offered = ascii_uppercase[: len(options)]
    if len(said) > 1:
        asked = normal_form(said)
        texts = [letter for letter, text in zip(offered, options, strict=True) if normal_form(text) == asked]
        lettered = _ANSWER_LETTER.fullmatch(said)
        said = texts[0] if len(texts) == 1 else lettered[1] if lettered and not texts else ""
    if not said or said.upper() not in offered:
        raise BadRow(item_id, "solution", given, f"a letter from A to {offered[-1]}")
    return said.upper()
