"""Sizes that do not divide each other are reported with a value that does, which the same checks accept."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest

from verl_recipes.preflight.divisibility import FIELDS, Sizes, conflicts, suggestion

SUGGESTED = re.compile(r"(\S+)=(\d+)")


def drawn(chance: random.Random) -> Sizes:
    """Sizes as people choose them, many of which do not fit."""
    grpo = chance.random() < 0.6
    common = Sizes(
        grpo,
        rows=chance.choice([100, 1000, 60_000]),
        validation_rows=chance.choice([0, 40, 500]),
        gpus=chance.choice([1, 2, 3, 4, 6, 8, 12, 16]),
        batch=chance.randint(1, 200),
        micro=chance.choice([0, 1, 2, 3, 5, 8, 16]),
        sequence_parallel=chance.choice([1, 1, 1, 2, 3, 4]),
        heads=chance.choice([0, 4, 16, 28, 32]),
    )
    if not grpo:
        return common
    return replace(
        common,
        responses=chance.choice([2, 5, 8, 12]),
        mini=chance.choice([0, 0, 4, 7, 24, 64]),
        log_micro=chance.choice([0, 1, 3, 8]),
        tensor_parallel=chance.choice([1, 1, 2, 3, 4]),
    )


@pytest.mark.slow
def test_following_the_suggestions_leaves_no_conflict() -> None:
    chance, followed = random.Random(22), 0
    for _ in range(150):
        sizes = drawn(chance)
        while found := list(conflicts(sizes)):
            changes = next(filter(None, (SUGGESTED.findall(suggestion(sizes, conflict)) for conflict in found)), [])
            if not changes:
                assert _is_hopeless(sizes), (sizes, found)
                break
            sizes = replace(sizes, **{FIELDS[key]: int(value) for key, value in changes})
            assert len(list(conflicts(sizes))) < len(found), (found, changes)
            followed += 1
    assert followed > 100


def _is_hopeless(sizes: Sizes) -> bool:
    """Whether no batch size fits, even without micro batches, or the number of GPUs must change."""
    plain = replace(sizes, micro=0, log_micro=0, mini=0, tensor_parallel=1, sequence_parallel=1)
    return all(list(conflicts(replace(plain, batch=batch))) for batch in range(1, 300))


def test_the_nearest_value_that_fits_all_is_suggested() -> None:
    # 31 prompts x 4 on 8 GPUs with micro batches of 6: a multiple of 12 prompts fits.
    sizes = Sizes(True, rows=1000, validation_rows=9, gpus=8, batch=31, micro=6, responses=4)
    (conflict,) = (found for found in conflicts(sizes) if not found.found_by_verl)
    assert conflict.what == "124 cannot be divided by 8, the data parallel workers"
    assert suggestion(sizes, conflict) == "Set data.train_batch_size=36"


def test_a_batch_is_not_suggested_above_the_number_of_rows() -> None:
    sizes = Sizes(False, rows=20, validation_rows=10, gpus=4, batch=9, micro=0)
    (conflict,) = conflicts(sizes)
    assert suggestion(sizes, conflict) == "Set data.train_batch_size=8"
    sizes = Sizes(False, rows=3, validation_rows=0, gpus=4, batch=3, micro=0)
    (conflict,) = conflicts(sizes)
    assert (
        suggestion(sizes, conflict)
        == "No value of data.train_batch_size near it fits: change the number of GPUs or of rows"
    )


def test_heads_are_not_to_be_changed() -> None:
    sizes = Sizes(True, rows=100, validation_rows=0, gpus=6, batch=12, micro=0, tensor_parallel=3, heads=28)
    (conflict,) = conflicts(sizes)
    assert conflict.where == "the model's attention heads"
    assert suggestion(sizes, conflict) == "Set actor_rollout_ref.rollout.tensor_model_parallel_size=2"
