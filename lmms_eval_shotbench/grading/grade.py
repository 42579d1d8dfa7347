"""Grade a response: the answered letter, the rule that extracted it, and whether it is correct.

There are two protocols; every reported score names its protocol:

- **strict** (default) never guesses; it begins in `strict.py`, and `rules.py` lists its rules.
- **official** implements the rules of ShotBench's `calculate_scores.py` exactly; they are in `official.py`.

An undecided response counts as wrong in both. Neither protocol raises on any text, and both take linear time.
Metrics are in `scoring/metrics.py`.

Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from lmms_eval_shotbench.grading.official import extract_official
from lmms_eval_shotbench.grading.rules import NO_RESPONSE, REFUSAL
from lmms_eval_shotbench.grading.strict import has_response, read_split, split_response
from lmms_eval_shotbench.grading.thoughts import REASONING_TAGS, TAG, ReasoningTags
from lmms_eval_shotbench.qa_item import QAItem

Protocol = Literal["strict", "official"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


@dataclass(frozen=True, slots=True)
class Grade:
    """A graded response; `letter` is None if the response is undecided."""

    letter: str | None
    correct: bool
    how: str  # the rule that decided, or the reason why none did
    well_formed: bool  # <think>…</think><answer>…</answer>, each once, with no text around them
    thought: str = ""  # what strict grading took for a thought and did not read

    @property
    def refused(self) -> bool:
        """Whether the model said that it cannot see the picture, asked for it, or refused to help (strict only)."""
        return self.how.endswith(REFUSAL)


def grade(item: QAItem, response: str, protocol: Protocol = "strict", tags: ReasoningTags = REASONING_TAGS) -> Grade:
    """Grade one response; raises `ValueError` for an unknown protocol, but never because of the response.

    Args:
        tags: Pairs of an opening and a closing tag; the text between them is a thought. The official protocol does not
            use them.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown grading protocol {protocol!r}; use one of {', '.join(PROTOCOLS)}")
    if not has_response(response):  # written by the harness, not by the model
        return Grade(None, False, NO_RESPONSE, False)
    if protocol == "official":
        extracted = extract_official(item.choices, response)
        return Grade(extracted.letter, extracted.letter == item.answer, extracted.how, is_well_formed(response))
    split = split_response(response, tags)
    extracted = read_split(item, split)
    well_formed = split.as_asked or is_well_formed(response)
    return Grade(extracted.letter, extracted.letter == item.answer, extracted.how, well_formed, split.thought)


def is_well_formed(response: str) -> bool:
    """Whether the response is one <think> block followed by one <answer> block, both non-empty, and nothing else."""
    if response.rstrip()[-9:].lower() != "</answer>":  # a cheap check that rejects most responses
        return False
    names = [match[1] + match[2].lower() for match in TAG.finditer(response)]
    if names != ["think", "/think", "answer", "/answer"]:
        return False
    think, thought_end, answer, answer_end = TAG.finditer(response)
    around = response[: think.start()] + response[thought_end.end() : answer.start()] + response[answer_end.end() :]
    thought, content = response[think.end() : thought_end.start()], response[answer.end() : answer_end.start()]
    return not around.strip() and bool(thought.strip()) and bool(content.strip())
