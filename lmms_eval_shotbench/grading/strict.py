"""Strict protocol: extract the letter that a response declares outside its thought (its `<think>` block).

It never guesses. A response is *undecided* if its letter is only inside the thought, contradicts the option text next
to it or may be the article "A", or if two options are named and neither is declared. The longest option text wins
("Medium Close Up" over "Medium"), and the last declared answer wins over earlier ones.

If there are `<answer>` blocks, only the last one is parsed, otherwise all text outside the thought. Rules are tried
from the most to the least explicit, and the first that applies decides: the text is only the answer ("B", "B. Medium"),
"the answer is …", a line that is only an answer, the only option mentioned.

Standard library only; every pattern takes time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import dimension_named, normal_form

# Prefix of the response that lmms-eval 0.7.3 stores when all attempts of a request to a model server failed.
REQUEST_FAILED = "[LMMS_EVAL_REQUEST_FAILED"


class ExtractedAnswer(NamedTuple):
    """The extracted letter, or None; `how` is the rule that decided, or the reason why the response is undecided."""

    letter: str | None
    how: str


def has_response(response: str) -> bool:
    """Whether the text is a response of the model: False if it is blank or the request failed."""
    return bool(response.strip()) and not response.startswith(REQUEST_FAILED)


TAG = re.compile(r"<(/?)(think|answer)>", re.IGNORECASE)


def extract_strict(item: QAItem, response: str) -> ExtractedAnswer:
    """Extract the letter that a response declares outside its thought, or the reason why there is none."""
    if not has_response(response):
        return ExtractedAnswer(None, "no response")
    declared, blocks = _outside_thought(response)
    if blocks:  # the last block is the final answer
        answer = _read_declared(item, blocks[-1])
        return ExtractedAnswer(answer.letter, f"answer block: {answer.how}")
    if not declared.strip():
        return ExtractedAnswer(None, "thought only")
    answer = _read_declared(item, declared)
    return ExtractedAnswer(answer.letter, f"free text: {answer.how}")


_SENTENCE_ENDS = re.compile(r"(?<=[.!?])[\"”’')\]]{0,3}\s+|\n")


def extract_conclusion(item: QAItem, thought: str) -> ExtractedAnswer:
    """Extract the letter that a thought concludes with: in its last declaration, an answer line or its last sentence.

    A thought discusses several options, so an option that is only mentioned before the last sentence does not count.
    """
    if answer := _last_declaration(item, thought) or _answer_lines(item, thought):
        return answer
    answer = _only_mention(item, _SENTENCE_ENDS.split(thought.strip())[-1])
    return ExtractedAnswer(answer.letter, f"last sentence: {answer.how}")


def _outside_thought(response: str) -> tuple[str, list[str]]:
    """Split off the thought: return the text outside it and the answer blocks found there.

    A `</think>` without an opening tag ends a thought that the chat template opened. An unclosed thought extends to the
    end, except for an answer block at the end of the response. An unclosed `<answer>` extends to the end (generation
    was stopped at `</answer>`).
    """
    tags = [(match.start(), match.end(), match[1] + match[2].lower()) for match in TAG.finditer(response)]
    last_close = max((end for _, end, name in tags if name == "/think"), default=0)
    text, blocks, thinking, opened = [], [], False, -1
    position = last_close  # all text before the last </think> is thought
    for start, end, name in tags:
        if start < last_close:
            continue
        if name == "think" and opened < 0:
            text.append(response[position:start] if not thinking else "")
            thinking = True
        elif name == "answer" and opened < 0:
            text.append(response[position:start] if not thinking else "")
            opened = end
        elif name == "/answer" and opened >= 0:
            if not thinking or not response[end:].strip():
                blocks.append(response[opened:start])
            position, opened = end, -1
    if opened >= 0 and not thinking:
        blocks.append(response[opened:])
    elif opened < 0 and not thinking:
        text.append(response[position:])
    return "".join(text), blocks


# Only a letter: "B", "(b)", "**B.**", "Option B", "The answer is B".
_LONE_LETTER = re.compile(
    r"[\W_]*(?:(?:the )?(?:final |correct )?(?:answer|option|choice)(?: is)?[\W_]*)?([A-Z])[\W_]*", re.IGNORECASE
)
# "B. Medium", "(B) Medium", "B Medium". An "A" followed by only a space is taken for the article.
_LETTER_THEN_TEXT = re.compile(
    r"[\W_]*(?:(?:answer|option|choice)[\W_]*)?(?:([A-Z])\s?[.):,*\]}-][\W_]*|([B-Z])\s+)(?=\w)", re.IGNORECASE
)
# A phrase that introduces the answer, such as "the answer is". "Option B" is none: an analysis mentions every option.
_DECLARATION = re.compile(
    r"\b(?:answer|(?:correct|right|best|likely|appropriate|final) (?:option|choice))[*_\s]{0,4}"
    r"(?:\b(?:is|would be|should be|must be)\b|[:=])[\s:*_(\[{\"'=]{0,8}(?:option\b\s{0,2})?[*_(\[{\"']{0,4}"
    r"|\b(?:choose|select|pick)\b[\s*_(\[\"']{1,4}(?:option\b\s{0,2})?[*_(\[\"']{0,4}"
    r"|\\boxed\{\s{0,4}(?:\\text\{)?",
    re.IGNORECASE,
)
_ANSWER_LENGTH = 200  # maximum length in characters of an answer after a declaration
# A letter that is a separate word and is not negated. "I" never counts, because it may be the pronoun; "A" counts only
# before punctuation or the end of a line, because otherwise it may be the article. After a declaration
# (`_DECLARED_LETTER`) "A" also counts before a conjunction ("the answer is A because …").
_NOT_NEGATED = (
    r"(?<!\b[Nn]ot )(?<!\bNOT )(?<!\b[Nn]o )(?<!\b[Nn]or )(?<!\b[Nn]ever )(?<!\bthan )(?<!\bexcept )(?<!n't )(?<!n’t )"
    r"(?<!thing but )(?<!\bAll but )(?<!\ball but )(?<![A-Za-z0-9_'’/-])"
)
_NOT_REJECTED = r"(?!\s(?:is|was|would be) (?:not|wrong|incorrect|false|out)\b)(?!\s(?:isn|wasn|can)['’]t\b)"
_DELIMITED = r"\s?(?:[.)\]}:,;*\"”。，）：]|$|(?<=\s)[A-Z](?![A-Za-z0-9_'’-])"
_SEPARATE_LETTER = re.compile(
    rf"{_NOT_NEGATED}(?:([B-HJ-Z])(?![A-Za-z0-9_'’/-])|(A)(?={_DELIMITED}))){_NOT_REJECTED}", re.MULTILINE
)
# An "A" that cannot be the article: next to a symbol, or before a word that cannot follow an article. In a text that
# mentions another letter it is a second option, which makes the response undecided (`_only_mention`).
_A_NOT_ARTICLE = re.compile(
    r"(?<![A-Za-z0-9_'’/-])A(?:\s?[^\w\s'’\"“‘*_(\[{/-]|\s?\(\s?(?:or )?[B-Z]\s?\)|\s?[或和与、]"
    r"|\s(?:or|and|nor|vs|versus|then|but|because|is|was)\b)"
)
_DECLARED_LETTER = re.compile(
    rf"([B-Z])(?![A-Za-z0-9_'’/-])|(A)(?={_DELIMITED}|(?:or|and|as|because|since|due|for|given)\b))"
)
_SECOND_OPTION = re.compile(r"[\s*)\]\"']{0,4}(?:or|and|/|&)\s+", re.IGNORECASE)


def _read_declared(item: QAItem, text: str) -> ExtractedAnswer:
    """Try the rules from the most to the least explicit; the first that applies decides."""
    return (
        _entire_answer(item, text)
        or _last_declaration(item, text)
        or _answer_lines(item, text)
        or _only_mention(item, text)
    )


def _entire_answer(item: QAItem, text: str) -> ExtractedAnswer | None:
    """Answer of a text that is only a letter, only an option's text, or both; undecided if the two disagree."""
    if lone := _LONE_LETTER.fullmatch(text.strip()):
        letter = lone[1].upper()
        return (
            ExtractedAnswer(letter, "lone letter")
            if letter in item.letters
            else ExtractedAnswer(None, "letter not on offer")
        )
    if option := _option_of_text(item, text):
        return ExtractedAnswer(option, "option text")
    lead = _LETTER_THEN_TEXT.match(text)
    letter = (lead[1] or lead[2]).upper() if lead else ""
    if lead is None or letter not in item.letters:
        return None
    if option := _option_of_text(item, text[lead.end() :]):
        return (
            ExtractedAnswer(letter, "letter and text")
            if option == letter
            else ExtractedAnswer(None, "letter and text disagree")
        )
    return None


def _option_of_text(item: QAItem, text: str) -> str | None:
    """Letter of the option with this text, ignoring case and punctuation (`normal_form`)."""
    if len(text) > _ANSWER_LENGTH:  # no option is that long
        return None
    return _phrases(item.dimension, item.options).letters.get(normal_form(text))


def _last_declaration(item: QAItem, text: str) -> ExtractedAnswer | None:
    """The last "answer is …" that names an option wins; it is undecided if it names two."""
    for declaration in reversed(list(_DECLARATION.finditer(text))):
        clause = text[declaration.end() : declaration.end() + _ANSWER_LENGTH].split("\n")[0]
        if answer := _opening_answer(item, clause):
            return answer
    return None


def _opening_answer(item: QAItem, clause: str) -> ExtractedAnswer | None:
    """Answer at the beginning of a clause, by letter or option text; undecided if two options are named there."""
    match = _DECLARED_LETTER.match(clause)
    letter = (match[1] or match[2]) if match else None
    if match and letter in item.letters:
        rest = clause[match.end() :]
        other = _SECOND_OPTION.match(rest)
        if other and (_opening_answer(item, rest[other.end() :])):
            return ExtractedAnswer(None, "several options declared")
        following = _leading_option(item, rest)
        return (
            ExtractedAnswer(None, "letter and text disagree")
            if following and following[0] != letter
            else ExtractedAnswer(letter, "declared letter")
        )
    leading = _leading_option(item, clause)
    if leading is None:
        return None
    option, rest = leading
    second = _leading_option(item, rest.removeprefix("or ")) if rest.startswith("or ") else None
    return ExtractedAnswer(None, "several options declared") if second else ExtractedAnswer(option, "declared text")


def _answer_lines(item: QAItem, text: str) -> ExtractedAnswer | None:
    """A line that is only an answer, such as "B. Medium" before an explanation; undecided if such lines disagree."""
    lines = (line for line in text.splitlines() if 0 < len(line) <= _ANSWER_LENGTH)
    letters = {answer.letter for line in lines if (answer := _entire_answer(item, line)) and answer.letter}
    if not letters:
        return None
    return (
        ExtractedAnswer(letters.pop(), "answer line")
        if len(letters) == 1
        else ExtractedAnswer(None, "several options named")
    )


def _only_mention(item: QAItem, text: str) -> ExtractedAnswer:
    """The only letter that is a separate word or, without letters, the only option text; undecided if not unique."""
    letters = {match[1] or match[2] for match in _SEPARATE_LETTER.finditer(text)} & set(item.letters)
    mentioned = set(_options_mentioned(item, text))
    if letters and "A" not in letters and _A_NOT_ARTICLE.search(text):
        letters.add("A")
    if len(letters) == 1 and mentioned <= letters:
        return ExtractedAnswer(letters.pop(), "only letter")
    if not letters and len(mentioned) == 1:
        return ExtractedAnswer(mentioned.pop(), "only option text")
    return ExtractedAnswer(None, "several options named" if letters or mentioned else "no option named")


def _leading_option(item: QAItem, text: str) -> tuple[str, str] | None:
    """Letter of the option that `text` begins with, ignoring an article, and the normal form of the remaining text."""
    words = re.sub(r"^(?:the|a|an) ", "", normal_form(text))
    match = _phrases(item.dimension, item.options).pattern.match(words)
    letter = _letter_of_phrase(item, match[1]) if match else None
    return (letter, words[match.end() :].lstrip()) if match and letter else None


def _options_mentioned(item: QAItem, text: str) -> Iterator[str]:
    """Letters of the option texts in `text`; at each position the longest term wins, and negated terms are skipped."""
    phrases = _phrases(item.dimension, item.options)
    for match in phrases.pattern.finditer(normal_form(text)):
        letter = _letter_of_phrase(item, match[1])
        if letter and not phrases.negation.search(match.string, max(0, match.start() - 24), match.start()):
            yield letter


class _Phrases(NamedTuple):
    pattern: re.Pattern[str]  # any term of the dimension or option of the item, longest first
    negation: re.Pattern[str]  # negation at the end of the text before a phrase
    letters: dict[str, str]  # letter by normal form of the option


@lru_cache(maxsize=4096)
def _phrases(dimension: str, options: tuple[str, ...]) -> _Phrases:
    """Phrases that may name an option. The pattern includes terms that are not options, so that "Medium Close Up" does
    not match the option "Medium"."""
    letters = {normal_form(option): chr(ord("A") + index) for index, option in enumerate(options)}
    terms = {normal_form(term.name) for term in dimension_named(dimension).terms}
    alternatives = "|".join(re.escape(phrase) for phrase in sorted(terms | set(letters), key=lambda p: (-len(p), p)))
    negation = re.compile(r"\b(?:not|no|than|instead of|neither|nor|isn t)(?: (?:a|an|the|quite))?\s*$")
    return _Phrases(re.compile(rf"\b({alternatives})\b"), negation, letters)


def _letter_of_phrase(item: QAItem, phrase: str) -> str | None:
    return _phrases(item.dimension, item.options).letters.get(phrase)
