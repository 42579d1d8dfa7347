"""A response becomes a `Grade`: the letter that was answered, how it was read, and whether it is right.

Two protocols, named wherever a score is given:

- **strict** (default) never guesses; its rules are in `strict.py`.
- **official** follows the rules of ShotBench's `calculate_scores.py` letter for letter; its rules are in `official.py`.

Undecided counts as wrong in both. Neither raises on any text, and both take time linear in its length.
Metrics are in `scoring/metrics.py`.

Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from lmms_eval_shotbench.grading.official import read_official
from lmms_eval_shotbench.grading.strict import REQUEST_FAILED, TAG, ExtractedAnswer, read_strict
from lmms_eval_shotbench.qa_item import QAItem

Protocol = Literal["strict", "official"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


@dataclass(frozen=True, slots=True)
class Grade:
    """One graded response. `letter` is None where the response is undecided."""

    letter: str | None
    correct: bool
    how: str  # the rule that decided, or why nothing did
    well_formed: bool  # <think>…</think><answer>…</answer>, each once, nothing else around them


def grade(item: QAItem, response: str, protocol: Protocol = "strict") -> Grade:
    """Grade one response; never raises on model text, raises `ValueError` on an unknown protocol."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"{protocol!r} is no grading protocol; use one of {', '.join(PROTOCOLS)}")
    if response.startswith(REQUEST_FAILED):  # the harness speaking, not the model
        reading = ExtractedAnswer(None, "no response")
    elif protocol == "strict":
        reading = read_strict(item, response)
    else:
        reading = read_official(item.choices, response)
    return Grade(reading.letter, reading.letter == item.answer, reading.how, is_well_formed(response))


def is_well_formed(response: str) -> bool:
    """Whether the response is a thought followed by an answer block, each once, with nothing around them."""
    if response.rstrip()[-9:].lower() != "</answer>":  # most that are not, at little cost
        return False
    names = [match[1] + match[2].lower() for match in TAG.finditer(response)]
    if names != ["think", "/think", "answer", "/answer"]:
        return False
    think, thought_end, answer, answer_end = TAG.finditer(response)
    around = response[: think.start()] + response[thought_end.end() : answer.start()] + response[answer_end.end() :]
    thought, said = response[think.end() : thought_end.start()], response[answer.end() : answer_end.start()]
    return not around.strip() and bool(thought.strip()) and bool(said.strip())
