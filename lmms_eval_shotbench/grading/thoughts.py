"""Split a response into its thought, the text outside it and the answer blocks.

All text before the last closing tag of a thought is thought; so a closing tag without an opening one ends a thought
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


class _Tag(NamedTuple):
    start: int
    end: int
    kind: str  # name of a group of the pattern


def split_thought(response: str, tags: ReasoningTags = REASONING_TAGS) -> SplitResponse:
    """Split off the thought and the answer blocks of a response."""
    if tags is REASONING_TAGS and (form := _ASKED_FOR.fullmatch(response)):
        return SplitResponse(form[1].strip(), "", (form[2],))
    pattern = _pattern(tags, with_words="#" in response or any(word in response for word in _words(tags)))
    found = [_Tag(match.start(), match.end(), match.lastgroup or "") for match in pattern.finditer(response)]
    if not found:
        return SplitResponse("", response, ())
    explanations, response = _cut(response, _explanations(found))
    if explanations:
        found = [_Tag(match.start(), match.end(), match.lastgroup or "") for match in pattern.finditer(response)]
    found = _closed_headings(found)
    last_close = max((tag.end for tag in found if tag.kind == "thought_end"), default=0)
    thoughts, text, blocks = [*explanations, pattern.sub("\n", response[:last_close])], [], []
    position, thinking, answering = last_close, False, False
    for start, end, kind in found:
        if start < last_close:
            continue
        outside = thoughts if thinking else text
        if kind == "answer" and not answering:
            outside.append(response[position:start])
            position, answering = end, True
        elif kind == "answer_end" and answering:
            final = not thinking or not response[end:].strip()
            (blocks if final else thoughts).append(response[position:start])
            position, answering = end, False
        elif (kind == "answer_end" and thinking) or (kind in ("thought", "explanation") and not answering):
            outside.append(response[position:start])
            position, thinking = end, kind != "answer_end"
    (thoughts if thinking else blocks if answering else text).append(response[position:])
    return SplitResponse("\n".join(part for part in map(str.strip, thoughts) if part), "".join(text), tuple(blocks))


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
    """One pattern for all tags; the name of the matching group is the kind of the tag.

    Without headings and words ("assistantfinal"), every tag begins with a bracket, for which `re` searches quickly.
    """
    headings = [pair for pair in tags if pair[0].startswith("#")]
    explanations = [pair for pair in tags if pair[0] in EXPLANATIONS]
    thoughts = [pair for pair in tags if pair not in headings and pair not in explanations]
    kinds = {"thought": thoughts, "answer": ANSWER_TAGS, "explanation": explanations, "heading": headings}
    groups, first_characters = [], set()
    for kind, pairs in kinds.items():
        for name, literals in zip((kind, f"{kind}_end"), zip(*pairs, strict=True), strict=False):
            bracketed = [tag for tag in dict.fromkeys(literals) if not (tag[0].isalnum() or tag[0] == "#")]
            used = dict.fromkeys(literals) if with_words else bracketed
            first_characters |= {tag[0] for tag in bracketed}
            if used:
                groups.append(f"(?P<{name}>{'|'.join(_tag_pattern(tag, with_words) for tag in used)})")
    first = "" if with_words else f"[{re.escape(''.join(sorted(first_characters)))}]"
    return re.compile(f"{first}(?:{'|'.join(groups)})", re.IGNORECASE | re.MULTILINE)


def _tag_pattern(tag: str, with_words: bool) -> str:
    """Pattern of a tag; blanks inside `< answer >` and bold or deeper headings are accepted."""
    if heading := re.fullmatch(r"#+ (.+)", tag):
        return rf"^[ \t]{{0,3}}\#{{1,6}}[ \t]{{1,3}}\**{re.escape(heading[1])}\**:?\**[ \t]*$"
    rest = re.escape(tag[1:])
    if element := re.fullmatch(r"<(/?)([\w:]+(?: \w+)?)>", tag):
        rest = rf"\s{{0,3}}{element[1]}\s{{0,3}}{re.escape(element[2])}\s{{0,3}}>(?!\s(?:tag|block|section)s?\b)"
    return (re.escape(tag[0]) if with_words else f"(?<={re.escape(tag[0])})") + rest
