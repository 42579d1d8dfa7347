"""Naming questions: a medium and a question without options, in the model's chat template, and a thought's opening.

What the model would go on with is a term. The log-probabilities of all terms are compared; nothing is generated.

A checkpoint may state in its config.json how it was taught to name, each key optional:

    "shotbench": {"naming_gap": 10, "no_term": "none", "ends_labels": true}

naming_gap   Number of rotary positions between medium and question. A model that was taught on questions with options,
             and has seen few others, knows the question only at the distance that the options put between.
no_term      What it says in place of a term if a shot says nothing about the dimension. It is compared with the terms.
ends_labels  Whether it was taught what follows a complete label, so that it knows one movement from the first of two.
             Then a second movement is asked for (`second_movement.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmms_eval_shotbench.labelling.vote import NO_TERM
from lmms_eval_shotbench.models.chats import BEGUN_THOUGHT
from lmms_eval_shotbench.prompts import REASONING, opening
from lmms_eval_shotbench.qwen.prompt_tree import Branch, PromptTree
from lmms_eval_shotbench.runs.response_store import response_key
from lmms_eval_shotbench.vocabulary import Dimension, MediaKind

if TYPE_CHECKING:
    import torch

CONFIG_KEY = "shotbench"
CONTENT_TYPES = {MediaKind.STILL: "image", MediaKind.CLIP: "video"}  # in messages for a chat template
LEAST_SHARE = 1e-6  # of a term's probability that remains when that of longer terms is deducted


class BadConfig(ValueError):
    """What a checkpoint's configuration says about naming is invalid."""


@dataclass(frozen=True)
class NamingRule:
    """How a checkpoint was taught to name terms; see the module."""

    gap: int = 0
    no_term: str = ""
    ends_labels: bool = False

    @classmethod
    def of(cls, config: Any) -> NamingRule:
        """Read the rule from a configuration of transformers; raises `BadConfig`."""
        given = dict(getattr(config, CONFIG_KEY, None) or {})
        rule = cls(given.pop("naming_gap", 0), given.pop("no_term", ""), given.pop("ends_labels", False))
        types = [type(rule.gap), type(rule.no_term), type(rule.ends_labels)]
        if given or types != [int, str, bool] or rule.gap < 0:
            raise BadConfig(
                f'"{CONFIG_KEY}" of config.json is {getattr(config, CONFIG_KEY)}; it may hold "naming_gap" (number of '
                'positions), "no_term" (text) and "ends_labels" (true or false)'
            )
        return rule


def question_text(dimension: Dimension) -> str:
    """Text of the user message, which follows the medium."""
    return f"Question: {dimension.question}"


class NamingQuestions:
    """The naming questions about all given dimensions of one kind of medium, asked together."""

    def __init__(
        self,
        processor: Any,
        kind: MediaKind,
        dimensions: Sequence[Dimension],
        rule: NamingRule,
        labels: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Tokenize the questions and what may follow them.

        Args:
            processor: Processor of the checkpoint.
            kind: Kind of medium.
            dimensions: Dimensions with this kind of medium.
            rule: How the checkpoint was taught to name.
            labels: Texts to compare, by slug (default: all terms, and `no_term`).
        """
        self.kind, self.dimensions, self.rule = kind, tuple(dimensions), rule
        ids = processor.tokenizer
        self.prompts = {one.slug: self._prompt(processor, one) for one in self.dimensions}
        texts = labels or {one.slug: self._terms(one) for one in self.dimensions}
        self.continuations = {  # token ids by text, or by `NO_TERM`, by dimension
            slug: {text: ids(f" {rule.no_term if text == NO_TERM else text}")["input_ids"] for text in some}
            for slug, some in texts.items()
        }
        self._extensions = {slug: direct_extensions(list(some.values())) for slug, some in self.continuations.items()}
        self.fingerprints = {  # everything that determines an answer to a medium, by dimension
            slug: response_key({"prompt": prompt, "continuations": self.continuations[slug], "gap": rule.gap})
            for slug, prompt in self.prompts.items()
        }
        self.tree = PromptTree(
            [
                Branch(ids(prompt)["input_ids"], list(self.continuations[slug].values()))
                for slug, prompt in self.prompts.items()
            ]
        )

    def _prompt(self, processor: Any, dimension: Dimension) -> str:
        content = [{"type": CONTENT_TYPES[self.kind]}, {"type": "text", "text": question_text(dimension)}]
        messages = [
            {"role": "system", "content": [{"type": "text", "text": REASONING.system}]},
            {"role": "user", "content": content},
        ]
        chat = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return f"{chat.removesuffix(BEGUN_THOUGHT)}<think>{opening(dimension.slug)}"

    def _terms(self, dimension: Dimension) -> list[str]:
        return [*(term.name for term in dimension.terms), *([NO_TERM] if self.rule.no_term else [])]

    def log_probabilities(self, row: torch.Tensor) -> Iterator[tuple[str, list[float]]]:
        """Yield each dimension's slug, and for each of its continuations the log-probability that the model names it.

        Args:
            row: Log-probabilities of the tree's continuations, shape (continuations,).
        """
        values = iter(row.tolist())
        for slug, continuations in self.continuations.items():
            yield slug, longest_match([next(values) for _ in continuations], self._extensions[slug])


def longest_match(log_probabilities: Sequence[float], extensions: Sequence[Sequence[int]]) -> list[float]:
    """Deduct from a text that begins others the probability that it goes on to one of those.

    The probability of " Medium" includes that of " Medium Wide" if the tokens of one begin those of the other.

    Args:
        log_probabilities: Of each text.
        extensions: Of each text, as returned by `direct_extensions`.
    """
    deducted = []
    for own, longer in zip(log_probabilities, extensions, strict=True):
        share = sum(math.exp(log_probabilities[one] - own) for one in longer)
        deducted.append(own + math.log(max(1 - share, LEAST_SHARE)))
    return deducted


def direct_extensions(continuations: Sequence[Sequence[int]]) -> list[list[int]]:
    """Indices of the continuations that each one begins, without those that extend another of them."""
    found = []
    for tokens in continuations:
        longer = [number for number, other in enumerate(continuations) if _extends(other, tokens)]
        among = [continuations[number] for number in longer]
        found.append([one for one in longer if not any(_extends(continuations[one], other) for other in among)])
    return found


def _extends(tokens: Sequence[int], beginning: Sequence[int]) -> bool:
    return len(tokens) > len(beginning) and list(tokens[: len(beginning)]) == list(beginning)


@dataclass(frozen=True)
class Normalization:
    """How log-probabilities become probabilities of terms.

    The defaults, which change nothing, are best for the packaged model, whose terms are single tokens: it names 91 % of
    the labels of stills of three unseen studio films (mean over dimensions), with the prior's full weight 79 %. Those
    of another model are best chosen on a labelled film.
    """

    length_exponent: float = 0.0  # divides by tokens**exponent. 0: the sum over tokens; 1: their mean
    prior_weight: float = 0.0  # deducts this multiple of the log-probability of the term on a grey picture

    def probabilities(
        self, log_probabilities: Sequence[float], tokens: Sequence[int], prior: Sequence[float] | None = None
    ) -> list[float]:
        """Return the probability of each term, given that one of them is named.

        Args:
            log_probabilities: Of each term.
            tokens: Number of tokens of each term.
            prior: Log-probabilities on a grey picture; required if they have a weight.
        """
        grey = prior if prior and self.prior_weight else [0.0] * len(tokens)
        scores = [
            (value - self.prior_weight * one) / length**self.length_exponent
            for value, one, length in zip(log_probabilities, grey, tokens, strict=True)
        ]
        weights = [math.exp(score - max(scores)) for score in scores]
        return [weight / sum(weights) for weight in weights]
