"""The tiny base model in training: checkpoint, processor, fast forward pass and exercises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from lmms_eval_shotbench.labelling.vote import NO_TERM
from lmms_eval_shotbench.qwen.inputs import MediaLimits, PatchRule
from lmms_eval_shotbench.qwen.qwen2_5_vl import position_rule
from lmms_eval_shotbench.qwen.rope_positions import PositionRule
from lmms_eval_shotbench.qwen.tiny_qwen import PAD
from lmms_eval_shotbench.vocabulary import DIMENSIONS, MediaKind
from verl_recipes.tiny_base.architecture import (
    LETTERS,
    MAX_PIXELS,
    MIN_PIXELS,
    make_model,
    make_processor,
    positions_of_options,
)
from verl_recipes.tiny_base.exercises import ExerciseMaker, correct_labels
from verl_recipes.tiny_base.forward import FastModel
from verl_recipes.tiny_base.shots import Shot

SHOWN = MediaLimits(MIN_PIXELS, MAX_PIXELS, clip_max=MAX_PIXELS)  # pixel limits of the evaluation for this model


@dataclass(frozen=True)
class Learner:
    """Model and processor, as shared by training and validation."""

    model: Any
    processor: Any
    patches: PatchRule
    positions: PositionRule
    tokens: dict[MediaKind, int]  # placeholder token ids

    def exercise_maker(self, shots: Sequence[Shot], draw: Random) -> ExerciseMaker:
        """Create the exercise maker, with the labels of these shots."""
        return ExerciseMaker(self.processor.tokenizer, correct_labels([shot.item for shot in shots]), draw)

    def fast_model(self, exercise_maker: ExerciseMaker) -> FastModel:
        """Patch the model for the fast forward pass; afterwards it accepts only batches of media of one size."""
        pad = self.processor.tokenizer.convert_tokens_to_ids(PAD)
        return FastModel(self.model, self.patches, self.positions, exercise_maker.before, pad)


def teach_labelling(learner: Learner) -> None:
    """Prepare a model for `LABELLING`: state in its configuration how it names, and make "none" one token.

    A new token's embedding is the mean of those of all terms. It takes a spare row of the embedding matrix, which is
    enlarged if there is none.
    """
    import torch
    from tokenizers import AddedToken

    from lmms_eval_shotbench.labelling.asking.naming import CONFIG_KEY, NamingRule

    model, tokenizer = learner.model, learner.processor.tokenizer
    rule = NamingRule.of(model.config)
    if rule.no_term != NO_TERM:
        tokenizer.add_tokens([AddedToken(f" {NO_TERM}", normalized=False, special=False)])  # unless it has this token
        if len(tokenizer) > len(model.get_input_embeddings().weight):
            model.resize_token_embeddings(len(tokenizer), pad_to_multiple_of=64)
        names = {term.name for dimension in DIMENSIONS for term in dimension.terms}
        terms = [tokenizer(f" {name}")["input_ids"][0] for name in sorted(names)]
        (none,) = tokenizer(f" {NO_TERM}")["input_ids"]
        with torch.no_grad():
            for embeddings in (model.get_input_embeddings(), model.get_output_embeddings()):  # often the same
                embeddings.weight[none] = embeddings.weight[terms].mean(0)
    gap = positions_of_options(len(LETTERS))
    setattr(model.config, CONFIG_KEY, {"naming_gap": gap, "no_term": NO_TERM, "ends_labels": True})


def make_learner(start: Path | None, seed: int) -> Learner:
    """Create the model with random weights, or load the checkpoint `start`: float32 weights and its own tokenizer."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    if start is None:
        processor = make_processor()
        model = make_model(processor.tokenizer, seed)
    else:
        processor = AutoProcessor.from_pretrained(start)
        model = AutoModelForImageTextToText.from_pretrained(start, dtype=torch.float32)
    config = model.config
    tokens = {MediaKind.STILL: config.image_token_id, MediaKind.CLIP: config.video_token_id}
    return Learner(model, processor, PatchRule.of(processor), position_rule(config), tokens)
