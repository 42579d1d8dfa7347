"""Split a response into its thought, the text outside it and the answer blocks.

All text before the last closing tag of a thought is thought (`leading` keeps what a response says before a thought that
ends it); so a closing tag without an opening one ends a thought
that the chat template opened. An unclosed thought extends to the end, except for an answer block at the end of the
response; a `</answer>` that closes no answer block ends a thought. An unclosed answer block extends to the end, because
generation is often stopped at its closing tag. The tags are in `reasoning_tags.py`.

Standard library only; linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from lmms_eval_shotbench.grading.reasoning_tags import ANSWER_TAGS, EXPLANATIONS, REASONING_TAGS, ReasoningTags

__all__ = ["REASONING_TAGS", "TAG", "ReasoningTags", "SplitResponse", "split_thought"]

TAG = re.compile(r"<(/?)(think|answer)>", re.IGNORECASE)  # the tags that the prompts ask for


# The form that the prompts ask for, without any other bracket: most responses. Only an optimisation.
_ASKED_FOR = re.compile(r"\s*<think>([^<]*)</think>\s*<answer>([^<]*)</answer>\s*")


class SplitResponse(NamedTuple):
    """A response without its tags; `thought` is "" if there is none."""

    thought: str
    text: str  # outside thoughts and answer blocks
    blocks: tuple[str, ...]  # contents of the answer blocks
    trailing: str = ""  # the part of `text` after the last answer block
    leading: str = ""  # before a thought that ends the response, which has no other text
    as_asked: bool = False  # whether it is one thought and one answer block, neither blank, as the prompts ask


_SIMPLE_KINDS = frozenset({"thought", "thought_end", "answer", "answer_end"})


class _Tag(NamedTuple):
    start: int
    end: int
    kind: str


def split_thought(response: str, tags: ReasoningTags = REASONING_TAGS) -> SplitResponse:
    """Split off the thought and the answer blocks of a response."""
    if tags is REASONING_TAGS and (form := _ASKED_FOR.fullmatch(response)):
        thought = form[1].strip()
        return SplitResponse(thought, "", (form[2],), as_asked=bool(thought and form[2].strip()))
    found = _tags(response, tags)
    if not found:
        return SplitResponse("", response, ())
    explanations: list[str] = []
    if any(tag.kind not in _SIMPLE_KINDS for tag in found):
        explanations, response = _cut(response, _explanations(found))
        found = _closed_headings(_tags(response, tags) if explanations else found)
    last_close = max((tag.end for tag in found if tag.kind == "thought_end"), default=0)
    before = [tag for tag in found if tag.end <= last_close]
    starts, ends = [0, *(tag.end for tag in before)], [tag.start for tag in before]
    thoughts = [*explanations, *(response[start:end] for start, end in zip(starts, ends, strict=False))]
    text: list[str] = []
    blocks: list[str] = []
    position, thinking, answering, text_before = last_close, False, False, 0
    content_end = len(response.rstrip())
    for start, end, kind in found:
        if start < last_close:
            continue
        place = thoughts if thinking else text
        if kind == "answer" and not answering:
            place.append(response[position:start])
            position, answering = end, True
        elif kind == "answer_end" and answering:
            final = not thinking or end >= content_end
            (blocks if final else thoughts).append(response[position:start])
            position, answering, text_before = end, False, len(text)
        elif (kind == "answer_end" and thinking) or (kind in ("thought", "explanation") and not answering):
            place.append(response[position:start])
            position, thinking = end, kind != "answer_end"
    (thoughts if thinking else blocks if answering else text).append(response[position:])
    thought = "\n".join(part for part in map(str.strip, thoughts) if part)
    outside = "".join(text)
    only_thought = not blocks and not outside.strip() and found[0].kind == "thought"
    leading = response[: found[0].start].strip() if only_thought else ""
    return SplitResponse(thought, outside, tuple(blocks), "".join(text[text_before:]) if blocks else "", leading)


def _explanations(tags: Iterable[_Tag]) -> list[tuple[int, int, int, int]]:
    """Positions of closed explanations: of the opening tag, of the content and of the closing tag."""
    spans, opening = [], None
    for tag in tags:
        if tag.kind == "explanation":
            opening = opening or tag
        elif tag.kind == "explanation_end" and opening:
            spans.append((opening.start, opening.end, tag.start, tag.end))
            opening = None
    return spans


def _cut(response: str, spans: list[tuple[int, int, int, int]]) -> tuple[list[str], str]:
    """The contents of the spans, and the response without them."""
    ends, starts = [0, *(span[3] for span in spans)], [*(span[0] for span in spans), len(response)]
    kept = "\n".join(response[end:start] for end, start in zip(ends, starts, strict=True))
    return [response[span[1] : span[2]] for span in spans], kept


def _closed_headings(tags: list[_Tag]) -> list[_Tag]:
    """The tags, with "## Reasoning … ## Answer" as a thought; other headings are text."""
    opening = next((tag for tag in tags if tag.kind == "heading"), None)
    closing = next((tag for tag in tags if opening and tag.kind == "heading_end" and tag.start > opening.start), None)
    kept = [tag for tag in tags if not tag.kind.startswith("heading") or tag in (opening, closing)]
    names = {"heading": "thought", "heading_end": "thought_end", "explanation_end": "thought_end"}
    return [
        tag._replace(kind=names.get(tag.kind, tag.kind)) for tag in kept if closing or not tag.kind.startswith("head")
    ]


@lru_cache(maxsize=16)
def _words(tags: ReasoningTags) -> tuple[str, ...]:
    """The tags that are words, without a bracket."""
    return tuple({tag for pair in tags for tag in pair if tag[0].isalnum()})


@lru_cache(maxsize=32)
def _pattern(tags: ReasoningTags, with_words: bool) -> re.Pattern[str]:
    """A pattern that matches all tags and every other element.

    Without headings and words ("assistantfinal"), it begins with brackets, for which `re` searches quickly.
    """
    literals = {tag for pair in (*tags, *ANSWER_TAGS) for tag in pair if not _ELEMENT.fullmatch(tag)}
    bracketed = sorted(tag for tag in literals if not (tag[0].isalnum() or tag[0] == "#"))
    brackets = sorted({"<", *(tag[0] for tag in bracketed)})
    first = re.escape("".join(brackets))
    starts = "|".join(
        f"(?<={re.escape(bracket)})(?:{'|'.join(re.escape(tag[1:]) for tag in bracketed if tag[0] == bracket)})"
        for bracket in brackets
    )
    element = rf"/?(?:think|answer)>|{_ELEMENT.pattern[1:]}"  # the commonest first
    pattern = rf"[{first}](?:(?<=<)(?:{element})(?!\s(?:tag|block|section)s?\b)|{starts})"
    if with_words:
        words = [re.escape(tag) for tag in sorted(literals) if tag[0].isalnum()]
        titles = [re.escape(tag.lstrip("# ")) for tag in sorted(literals) if tag[0] == "#"]
        headings = rf"^[ \t]{{0,3}}\#{{1,6}}[ \t]{{1,3}}\**(?:{'|'.join(titles)})\**:?\**[ \t]*$"
        pattern = "|".join([pattern, *words, headings])
    return re.compile(pattern, re.IGNORECASE | re.MULTILINE)


# An element without attributes: blanks inside `< answer >` are accepted.
_ELEMENT = re.compile(r"<\s{0,3}(?P<end>/?)\s{0,3}(?P<name>[A-Za-z][\w:]{0,20}(?: \w{1,20})?)\s{0,3}>", re.IGNORECASE)


@lru_cache(maxsize=16)
def _kinds(tags: ReasoningTags) -> tuple[dict[str, str], tuple[str, ...]]:
    """The kind of every tag by its text in lower case; and what a response with a tag contains: a bracket or a word."""
    kinds = {}
    for pairs, name in ((tags, "thought"), (ANSWER_TAGS, "answer")):
        for opening, closing in pairs:
            kind = "heading" if opening[0] == "#" else "explanation" if opening in EXPLANATIONS else name
            kinds[opening.lower()], kinds[closing.lower()] = kind, f"{kind}_end"
    firsts = {tag if tag[0].isalnum() else tag[0] for pair in (*tags, *ANSWER_TAGS) for tag in pair}
    return kinds, tuple(sorted(firsts))


def _tags(response: str, tags: ReasoningTags) -> list[_Tag]:
    """The tags of a response in order, with their kinds."""
    kinds, firsts = _kinds(tags)
    if not any(first in response for first in firsts):
        return []
    found = []
    for match in _pattern(tags, "#" in response or any(word in response for word in _words(tags))).finditer(response):
        text = match[0].lower()
        kind = kinds.get(text)
        if kind is None and match["name"]:
            kind = kinds.get(f"<{match['end']}{match['name'].lower()}>")
        elif kind is None and "#" in text:
            kind = kinds.get("## " + text.strip("#*: \t"))
        if kind:
            found.append(_Tag(match.start(), match.end(), kind))
    return found
