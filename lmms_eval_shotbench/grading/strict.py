"""Strict protocol: extract the letter that a response declares outside its thought, as a person would read it.

The steps, each in a module of its own:

1. `thoughts.py` splits off the thought; if there are `<answer>` blocks, only the last one that is not blank is read.
2. `plain_text.py` unifies characters, markup and languages.
3. `answer_fields.py`: the answer field of an object decides.
4. `terms.py` and `letters.py` mark the options that the text names.
5. `claims.py` finds what each sentence declares, denies, corrects or withdraws.
6. Here: the last word wins. A final line that is only an answer counts as a declaration. Without a declaration, a line
   that is an answer decides, then the only option named. The rule is stored (`rules.py`).

It never guesses: an option that is only in the thought, two options without a last word, a letter next to the text of
another option or a term that is not on offer leave a response undecided.

Standard library only; time is linear in the text.
"""

from __future__ import annotations

import re
from functools import lru_cache

from lmms_eval_shotbench.grading.answer_fields import answer_fields
from lmms_eval_shotbench.grading.claims import Sentence, read_sentence
from lmms_eval_shotbench.grading.last_word import WITHDRAWN, last_word, only_mention
from lmms_eval_shotbench.grading.letters import join_letters_and_texts, mark_letters
from lmms_eval_shotbench.grading.marks import letter_of
from lmms_eval_shotbench.grading.phrases import as_written, phrases_of
from lmms_eval_shotbench.grading.plain_text import own_turn, plain, unified
from lmms_eval_shotbench.grading.refusals import refuses
from lmms_eval_shotbench.grading.rules import EMPTY, NO_RESPONSE, REFUSAL, THOUGHT_ONLY, ExtractedAnswer
from lmms_eval_shotbench.grading.terms import mark_texts
from lmms_eval_shotbench.grading.thoughts import REASONING_TAGS, TAG, ReasoningTags, SplitResponse, split_thought
from lmms_eval_shotbench.qa_item import QAItem

__all__ = ["REQUEST_FAILED", "TAG", "ExtractedAnswer", "extract_conclusion", "extract_strict", "has_response"]

# Prefix of the response that lmms-eval 0.7.3 stores when all attempts of a request to a model server failed.
REQUEST_FAILED = "[LMMS_EVAL_REQUEST_FAILED"
# Prefixes of what it stores instead of a response; the second if the token budget of the run was used up before.
NO_RESPONSE_TEXTS = (REQUEST_FAILED, "[LMMS_EVAL_BUDGET_EXCEEDED")


def has_response(response: str) -> bool:
    """Whether the model returned this text, which may be blank; False if the request failed or was not sent."""
    return not response.startswith(NO_RESPONSE_TEXTS)


def extract_strict(item: QAItem, response: str, tags: ReasoningTags = REASONING_TAGS) -> ExtractedAnswer:
    """Extract the letter that a response declares outside its thought, or the reason why there is none."""
    if not has_response(response):
        return ExtractedAnswer(None, NO_RESPONSE)
    return read_split(item, split_response(response, tags))


def split_response(response: str, tags: ReasoningTags = REASONING_TAGS) -> SplitResponse:
    """The thought, the text outside it and the answer blocks of a response, with unified characters."""
    text = unified(response)
    split = split_thought(text, tags)
    return split if text is response else split._replace(as_asked=False)  # unified tags are not those asked for


_JOINED_BLOCKS = re.compile(r"\W{0,9}(?:or|and|[/&,])\W{0,9}", re.IGNORECASE)


def read_split(item: QAItem, split: SplitResponse) -> ExtractedAnswer:
    """Extract the letter of a response that is already split."""
    filled = [block for block in split.blocks if block.strip()]
    if len(filled) > 1 and _JOINED_BLOCKS.fullmatch(split.text):
        return ExtractedAnswer(None, "answer block: several options declared")
    if filled:
        answer = _read(item, filled[-1])
        if answer.letter and split.trailing.strip():  # a correction after the block is not followed, but noticed
            later = last_word(_marked(item, plain(split.trailing[:_MAX_LENGTH])))
            if later and later.letter not in (None, answer.letter) and later.how != "answer line":
                answer = ExtractedAnswer(None, "several options declared")
        return ExtractedAnswer(answer.letter, f"answer block: {answer.how}")
    if split.leading and (kept := _kept(item, split)):
        return kept
    if not split.text.strip():
        return ExtractedAnswer(None, THOUGHT_ONLY if split.thought else EMPTY)
    answer = _read(item, split.text)
    return ExtractedAnswer(answer.letter, f"free text: {answer.how}")


def _kept(item: QAItem, split: SplitResponse) -> ExtractedAnswer | None:
    """The answer that is all the text before a thought, if the thought after it does not conclude otherwise."""
    answer = _read(item, split.leading)
    marked = _marked(item, plain(split.leading))
    if not answer.letter or len(marked) > 2 or not all(sentence.only_marks for sentence in marked):
        return None
    thought = split.thought.removeprefix(split.leading)
    named = {letter_of(mark) for sentence in _marked(item, plain(thought)) for mark in sentence.marks}
    if named <= {answer.letter} or extract_conclusion(item, thought).letter == answer.letter:
        return ExtractedAnswer(answer.letter, f"free text: {answer.how}")
    return None


def extract_conclusion(item: QAItem, thought: str, *, letters: bool = True) -> ExtractedAnswer:
    """Extract the letter that a thought concludes with: its last declaration, an answer line or its last sentence.

    A thought discusses several options, so an option that is only mentioned before the last sentence does not count.

    Args:
        item: The question.
        thought: Text of the thought.
        letters: Whether a letter names its option. If not, only the texts of options do: "the answer is Wide (B)" is
            Wide, whatever B is.
    """
    marked = _marked(item, plain(unified(thought)), letters)
    answer = last_word(marked, lists=False)
    if answer is not None:
        return answer
    answer = only_mention(marked[-1:])
    return ExtractedAnswer(answer.letter, f"last sentence: {answer.how}")


# A longer text outside the thought is read at its beginning and its end, which bounds the time.
_MAX_LENGTH, _MAX_HEAD = 6000, 1500


@lru_cache(maxsize=4096)
def _plain_answers(dimension: str, options: tuple[str, ...]) -> dict[str, ExtractedAnswer]:
    """The commonest answers by their text: only an optimisation."""
    texts, answers = phrases_of(dimension, options).texts, {}
    for index, option in enumerate(options):
        letter = chr(ord("A") + index)
        for text in (letter, f"{letter}.", f"({letter})", f"{letter})"):
            answers[text] = ExtractedAnswer(letter, "lone letter")
        answers[f"{letter}. {option}"] = ExtractedAnswer(letter, "letter and text")
        if texts.get(as_written(option)) == letter and len(option) > 1:
            answers.setdefault(option, ExtractedAnswer(letter, "option text"))
    return answers


def _read(item: QAItem, text: str) -> ExtractedAnswer:
    """The answer of a text without thoughts."""
    if known := _plain_answers(item.dimension, item.options).get(text.strip()):
        return known
    text, later = own_turn(text)
    if len(text) > _MAX_LENGTH:
        text = f"{text[:_MAX_HEAD]}\n{text[_MAX_HEAD - _MAX_LENGTH :]}"
    if fields := answer_fields(text):
        answers = {_read_plain(item, plain(value)) for value in fields}
        letters = {answer.letter for answer in answers}
        if len(letters) == 1 and None not in letters:
            return ExtractedAnswer(letters.pop(), "answer field")
        undecided = next((answer for answer in answers if answer.letter is None), None)
        return undecided or ExtractedAnswer(None, "several options declared")
    answer = _read_plain(item, plain(text), is_object=_OBJECT.fullmatch(text.strip()) is not None)
    if later and answer.letter and _read(item, later).letter not in (None, answer.letter):
        return ExtractedAnswer(None, "several options declared")  # a turn that the model made up answers otherwise
    return answer


_OBJECT = re.compile(r"(?:```\w*\s)?\s?\{[^{}:]*:[^{}]*\}\s?(?:```)?")


def _read_plain(item: QAItem, text: str, is_object: bool = False) -> ExtractedAnswer:
    marked = _marked(item, text)
    answer = None if is_object else last_word(marked)
    if answer is None or answer == WITHDRAWN:
        if refuses(text.lower().replace("’", "'")):
            return ExtractedAnswer(None, REFUSAL)
        answer = answer or only_mention(marked)
    return answer


_HEADING = re.compile(
    r"^[ >\"'-]{0,8}((?:(?:the|my|final|correct|best|selected|chosen)\s){0,3}(?:answer|choice|option|solution"
    r"|selection|result|verdict|prediction|conclusion))[ :.\"'-]{0,8}\n",
    re.IGNORECASE | re.MULTILINE,
)
_ABBREVIATION = re.compile(r"\b(e\.g|i\.e|vs|etc|approx|cf)\.", re.IGNORECASE)


def _marked(item: QAItem, text: str, letters: bool = True) -> list[Sentence]:
    """The sentences of a plain text, with a mark for every option that they name."""
    text = _ABBREVIATION.sub(lambda match: match[1], _HEADING.sub(r"\1: ", text))
    text = mark_texts(text, phrases_of(item.dimension, item.options))
    if letters:
        text = join_letters_and_texts(mark_letters(text, "".join(item.letters)))
    sentences = []
    for line in text.split("\n"):
        for sentence in _SENTENCE_END.split(line):
            for piece in _pieces(sentence) if len(sentence) > _LONG else (sentence,):
                if piece.strip(" .,-"):
                    sentences.append(read_sentence(piece.strip()))
    return sentences


_LONG = 400  # characters of a sentence; longer ones are read in pieces, which bounds the time
_SENTENCE_END = re.compile("(?<=[.!?])[\"')\\]]{0,3}\\s+(?=[A-Z\"'(\\[-]|[^\\x00-\\x7f])")


def _pieces(sentence: str) -> list[str]:
    """A long sentence in pieces that end at a blank; its end, where it concludes, stays whole."""
    pieces, end = [], len(sentence)
    while end > _LONG:
        start = sentence.find(" ", end - _LONG, end) + 1 or end - _LONG
        pieces.append(sentence[start:end])
        end = start
    return [sentence[:end], *reversed(pieces)]
