"""The exercises of the tiny base model, as text: binding, naming, and the complete reasoned answer.

- *Binding*: a question without a picture, and a thought that names one of the options; the target is its letter.
- *Naming*: a picture and a question without options; the target is the term, at the rotary position that it has in an
  answer with options. Of films whose truth is known, the target may also be "none", or that some terms are not named.
- *Reasoning*: the evaluation's own prompt; the target is the complete answer, `plain_reasoning`.

Prompts are those of `prompts.py` in the model's chat template. Options are drawn anew for each exercise from the labels
of the dimension, so that the model cannot memorize them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

from lmms_eval_shotbench.prompts import REASONING, opening, plain_reasoning, user_text
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.qwen.tiny_qwen import END
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, Dimension
from verl_recipes.tiny_base.architecture import LETTERS, positions_of_options

BEFORE = f"<|im_start|>system\n{REASONING.system}<|im_end|>\n<|im_start|>user\n<|vision_start|>"
AFTER = "<|im_end|>\n<|im_start|>assistant\n"
FEWER_OPTIONS = 0.15  # share of questions with two or three options
OWN_OPTIONS = 0.4  # share of questions that keep the options of the shards, shuffled
LABEL_END = "."  # follows a complete label in naming
COMPOUND = 0.25  # share of compound labels among binding exercises on camera movement
Labels = Mapping[str, Mapping[tuple[int, ...], Sequence[str]]]  # by dimension and shape (terms per step)


class Exercise(NamedTuple):
    """Token ids of an exercise: the prompt after the medium, and the answer that is learned."""

    prompt: list[int]
    answer: list[int]
    given: frozenset[int] = frozenset()  # indices of answer tokens that are given, not learned
    gap: int = 0  # rotary positions that are skipped before the prompt, in place of the omitted options
    excluded: frozenset[int] = frozenset()  # tokens that must not follow the answer; empty if any may


class ExerciseMaker:
    """Makes exercises from items, as token ids of one tokenizer."""

    def __init__(self, tokenizer: Any, labels: Labels, draw: Random) -> None:
        self._tokenizer = tokenizer
        self._labels = labels
        self._draw = draw
        self._cache: dict[str, list[int]] = {}
        self.before = self.ids(BEFORE)

    def naming(self, item: QAItem) -> Exercise:
        """Naming: positions of the omitted options are skipped, so that the term keeps its distance to the picture."""
        prompt = self.ids(f"<|vision_end|>Question: {item.question}{AFTER}")
        answer = self.ids(f"<think>{opening(item.dimension)} {item.gold}")
        return Exercise(prompt, answer, gap=positions_of_options(self._option_count()))

    def naming_of(self, dimension: Dimension, text: str = "", *, complete: bool = False) -> Exercise:
        """Naming as labelling asks for it: always at the distance of `LETTERS` options.

        Args:
            dimension: What is asked about.
            text: A term, a label or "none"; empty for the prompt and the beginning of the thought alone.
            complete: The text is a complete label, and its end is learned too.
        """
        prompt = self.ids(f"<|vision_end|>Question: {dimension.question}{AFTER}")
        target = f" {text}{LABEL_END if complete else ''}" if text else ""
        answer = self.ids(f"<think>{opening(dimension.slug)}{target}")
        return Exercise(prompt, answer, gap=positions_of_options(len(LETTERS)))

    def ruling_out(self, dimension: Dimension, excluded: Collection[str]) -> Exercise:
        """Naming of a shot of which only some terms are known to be wrong: none of them must be named."""
        allowed = {self.ids(f" {term.name}")[0] for term in dimension.terms if term.name not in excluded}
        tokens = frozenset(self.ids(f" {name}")[0] for name in excluded) - allowed
        return self.naming_of(dimension)._replace(excluded=tokens)

    def reasoning(self, item: QAItem) -> Exercise:
        """Reasoning: the question with its options, and the complete answer."""
        prompt = self.ids(f"<|vision_end|>{user_text(item)}{AFTER}", keep=False)
        return Exercise(prompt, self.ids(f"{plain_reasoning(item)}{END}"))

    def binding(self, item: QAItem) -> Exercise:
        """Binding: as `reasoning`, but the term in the thought is given and only the rest is learned."""
        exercise = self.reasoning(item)
        first = len(self.ids(f"<think>{opening(item.dimension)}"))
        length = len(self.ids(f" {item.gold}"))
        return exercise._replace(given=frozenset(range(first, first + length)))

    def with_new_options(self, item: QAItem) -> QAItem:
        """The same question with options drawn anew (a share `OWN_OPTIONS` keep theirs), in random order."""
        others = [] if self._draw.random() < OWN_OPTIONS else self._other_labels(item)
        others = others or [text for text in item.options if text != item.gold]
        options = [*others, item.gold]
        self._draw.shuffle(options)
        return replace(item, options=tuple(options), answer=LETTERS[options.index(item.gold)])

    def random_question(self, items: Sequence[QAItem]) -> QAItem:
        """Draw a question for binding; some on camera movement get compound labels that the shards may lack."""
        item = self._draw.choice(items)
        if item.dimension == CAMERA_MOVEMENT.slug and self._draw.random() < COMPOUND:
            return self._of_two_movements(item)
        return self.with_new_options(item)

    def _other_labels(self, item: QAItem) -> list[str]:
        label = item.label(item.answer)
        assert label is not None, item.item_id
        same_shape = self._labels[item.dimension][tuple(map(len, label.steps))]
        others = [text for text in same_shape if text != item.gold]
        return self._draw.sample(others, min(self._option_count() - 1, len(others)))

    def _of_two_movements(self, item: QAItem) -> QAItem:
        """A question with compound labels, whose options share parts with one another, as in the benchmark."""
        names = [term.name for term in CAMERA_MOVEMENT.terms]
        one, two, three, four = self._draw.sample(names, 4)
        if self._draw.random() < 0.5:
            pairs = [(one, two), (two, one), (one, three), (three, one)]
            options = [f"Firstly {first}, then {then}" for first, then in pairs]
        else:
            options = [f"{one}, {two}", f"{one}, {four}", f"{three}, {two}", f"{three}, {four}"]
        self._draw.shuffle(options)
        return replace(item, options=tuple(options), answer=self._draw.choice(LETTERS))

    def _option_count(self) -> int:
        return self._draw.choice((2, 3)) if self._draw.random() < FEWER_OPTIONS else len(LETTERS)

    def ids(self, text: str, *, keep: bool = True) -> list[int]:
        if text in self._cache:
            return self._cache[text]
        ids: list[int] = self._tokenizer(text)["input_ids"]
        if keep:
            self._cache[text] = ids
        return ids


def correct_labels(items: Sequence[QAItem]) -> dict[str, dict[tuple[int, ...], list[str]]]:
    """All correct options, by dimension and shape (terms per step)."""
    labels: dict[str, dict[tuple[int, ...], list[str]]] = {}
    for item in items:
        label = item.label(item.answer)
        assert label is not None, item.item_id
        same_shape = labels.setdefault(item.dimension, {}).setdefault(tuple(map(len, label.steps)), [])
        if item.gold not in same_shape:
            same_shape.append(item.gold)
    return labels
