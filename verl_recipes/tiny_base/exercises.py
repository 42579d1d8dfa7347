"""What the tiny base model practises, as text: binding, naming, and the whole reasoned answer.

- *Binding*: a question without a picture and a thought that names one of the options; to learn is its letter.
- *Naming*: a picture and a question without options; to learn is the term, said at the place where a thought says it.
- *Reasoning*: the evaluation's own question, and `plain_reasoning` as its answer.

Prompts are those of `prompts.py` in the model's chat template. Options are drawn anew each time from the labels of the
dimension, so that no list of options can be learned by heart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

from lmms_eval_shotbench.prompts import REASONING, opening, plain_reasoning, user_text
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.qwen.tiny_qwen import END
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT
from verl_recipes.tiny_base.architecture import LETTERS

BEFORE = f"<|im_start|>system\n{REASONING.system}<|im_end|>\n<|im_start|>user\n<|vision_start|>"
AFTER = "<|im_end|>\n<|im_start|>assistant\n"
FEWER_OPTIONS = 0.15  # of questions have two or three
OWN_OPTIONS = 0.4  # keep the options of the shards, in another order
COMPOUND = 0.25  # of binding exercises about camera movement
Labels = Mapping[str, Mapping[tuple[int, ...], Sequence[str]]]  # by dimension and shape, as they occur


class Exercise(NamedTuple):
    """Text after the medium, the answer, which of its tokens are not to be learned, and what is left out before it."""

    prompt: list[int]
    answer: list[int]
    given: frozenset[int] = frozenset()  # places in the answer
    gap: int = 0  # tokens of options that are not there


class Wording:
    """Turns items into exercises with one tokenizer."""

    def __init__(self, tokenizer: Any, labels: Labels, draw: Random) -> None:
        self._tokenizer = tokenizer
        self._labels = labels
        self._draw = draw
        self._known: dict[str, list[int]] = {}
        self.before = self.ids(BEFORE)

    def naming(self, item: QAItem) -> Exercise:
        """Name the term; the options' room is left out, so that the term stands as far from the picture as ever."""
        prompt = self.ids(f"<|vision_end|>Question: {item.question}{AFTER}")
        answer = self.ids(f"<think>{opening(item.dimension)} {item.gold}")
        return Exercise(prompt, answer, gap=2 * self._how_many() + 2)

    def reasoning(self, item: QAItem) -> Exercise:
        """Answer the question as it stands."""
        prompt = self.ids(f"<|vision_end|>{user_text(item)}{AFTER}", keep=False)
        return Exercise(prompt, self.ids(f"{plain_reasoning(item)}{END}"))

    def binding(self, item: QAItem) -> Exercise:
        """Find the letter of a term that is given."""
        exercise = self.reasoning(item)
        first = len(self.ids(f"<think>{opening(item.dimension)}"))
        length = len(self.ids(f" {item.gold}"))
        return exercise._replace(given=frozenset(range(first, first + length)))

    def asked_anew(self, item: QAItem) -> QAItem:
        """The same question with other options in another order."""
        others = [] if self._draw.random() < OWN_OPTIONS else self._other_labels(item)
        others = others or [text for text in item.options if text != item.gold]
        options = [*others, item.gold]
        self._draw.shuffle(options)
        return replace(item, options=tuple(options), answer=LETTERS[options.index(item.gold)])

    def any_question(self, items: Sequence[QAItem]) -> QAItem:
        """A question about nothing, of labels that may never have been seen."""
        item = self._draw.choice(items)
        if item.dimension == CAMERA_MOVEMENT.slug and self._draw.random() < COMPOUND:
            return self._of_two_movements(item)
        return self.asked_anew(item)

    def _other_labels(self, item: QAItem) -> list[str]:
        label = item.label(item.answer)
        assert label is not None, item.item_id
        alike = self._labels[item.dimension][tuple(map(len, label.steps))]
        others = [text for text in alike if text != item.gold]
        return self._draw.sample(others, min(self._how_many() - 1, len(others)))

    def _of_two_movements(self, item: QAItem) -> QAItem:
        """Options as the questions have them of compound labels: each shares a part with two others."""
        names = [term.name for term in CAMERA_MOVEMENT.terms]
        one, two, three, four = self._draw.sample(names, 4)
        if self._draw.random() < 0.5:
            pairs = [(one, two), (two, one), (one, three), (three, one)]
            options = [f"Firstly {first}, then {then}" for first, then in pairs]
        else:
            options = [f"{one}, {two}", f"{one}, {four}", f"{three}, {two}", f"{three}, {four}"]
        self._draw.shuffle(options)
        return replace(item, options=tuple(options), answer=self._draw.choice(LETTERS))

    def _how_many(self) -> int:
        return self._draw.choice((2, 3)) if self._draw.random() < FEWER_OPTIONS else len(LETTERS)

    def ids(self, text: str, *, keep: bool = True) -> list[int]:
        if text in self._known:
            return self._known[text]
        ids: list[int] = self._tokenizer(text)["input_ids"]
        if keep:
            self._known[text] = ids
        return ids


def labels_of(items: Sequence[QAItem]) -> dict[str, dict[tuple[int, ...], list[str]]]:
    """All right options there are, by dimension and shape."""
    found: dict[str, dict[tuple[int, ...], list[str]]] = {}
    for item in items:
        label = item.label(item.answer)
        assert label is not None, item.item_id
        alike = found.setdefault(item.dimension, {}).setdefault(tuple(map(len, label.steps)), [])
        if item.gold not in alike:
            alike.append(item.gold)
    return found
