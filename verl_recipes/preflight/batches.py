"""Check batch sizes and parallelism: sizes that must be divisible, and data sets smaller than a batch.

verl's own checks (`validate_config` and its configuration classes) are called, not reimplemented. The other checks
anticipate assertions inside verl's workers; with fewer rows than a batch, verl trains no step and reports nothing.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from verl_recipes.preflight.problem import Problem
from verl_recipes.preflight.training_files import Part

if TYPE_CHECKING:
    from omegaconf import DictConfig

GROUP_ESTIMATORS = ("grpo", "grpo_vectorized", "grpo_passk", "gpg", "opo", "rloo")  # advantages relative to a group


@dataclass(frozen=True)
class Steps:
    """Rows, batch size and steps of a training run."""

    rows: int
    batch: int
    steps: int  # in total, over all epochs

    def note(self) -> str:
        """One line for the report."""
        left = self.rows % self.batch
        rest = f"; {left:,} rows are left out, other ones in each epoch" if left else ""
        return f"steps: {self.rows // self.batch:,} an epoch of {self.rows:,} rows, {self.steps:,} in total{rest}"


def workers(config: DictConfig) -> int:
    """Total number of workers, one per GPU (on a CPU, per logical GPU)."""
    return int(config.trainer.nnodes * config.trainer.n_gpus_per_node)


def rows_used(config: DictConfig, part: Part, rows: int) -> int:
    """Number of rows of a part (`train`, `val`) that verl uses: `rows`, or the limit of the configuration if lower."""
    limit = config.data.get(f"{part}_max_samples", -1)
    return min(rows, limit) if limit and limit > 0 else rows


def steps(config: DictConfig, rows: int) -> Steps:
    """Compute the steps of a training run on `rows` rows."""
    batch = config.data.train_batch_size
    given = config.trainer.get("total_training_steps")
    return Steps(rows, batch, given or rows // batch * config.trainer.total_epochs)


def batch_problems(config: DictConfig, method: str, rows: dict[Part, int]) -> Iterator[Problem]:
    """Yield problems of batch sizes, micro batches and parallelism.

    Args:
        config: Composed configuration of the run.
        method: `sft`, `cot_sft` or `grpo`.
        rows: Number of rows that verl uses of each part (see `rows_used`).
    """
    batch = config.data.train_batch_size
    if rows["train"] and rows["train"] < batch:
        what = f"{rows['train']:,} rows are fewer than one batch of {batch:,}: verl would not train a single step"
        yield Problem(what, "data.train_batch_size", f"Set it to {rows['train']:,} or less")
    yield from _grpo(config) if method == "grpo" else _sft(config, rows["val"])


def _sft(config: DictConfig, validation: int) -> Iterator[Problem]:
    batch = config.data.train_batch_size
    ranks = workers(config) // config.engine.get("ulysses_sequence_parallel_size", 1)
    if 0 < validation < batch:
        what = f"{validation:,} validation rows are fewer than one batch of {batch:,}: verl drops them and reports nan"
        yield Problem(what, "data.val_files", f"Set data.train_batch_size to {validation:,} or less, or add rows")
    yield from _divides("data.train_batch_size", batch, ranks, "data parallel workers")
    if not config.data.use_dynamic_bsz and ranks and batch % ranks == 0:
        micro = config.data.micro_batch_size_per_gpu
        yield from _divides("data.train_batch_size for each worker", batch // ranks, micro, "micro_batch_size_per_gpu")
    yield from _accepted_by_verl(config, ("engine", "optim", "checkpoint"))


def _grpo(config: DictConfig) -> Iterator[Problem]:
    rollout, actor = config.actor_rollout_ref.rollout, config.actor_rollout_ref.actor
    total = workers(config)
    ranks = max(total // actor.get("ulysses_sequence_parallel_size", 1), 1)
    yield from _refused_by_verl(config)
    if config.algorithm.adv_estimator in GROUP_ESTIMATORS and rollout.n < 2:
        what = f"a group of {rollout.n} has no mean to compare with, so every answer would be reinforced"
        yield Problem(what, "actor_rollout_ref.rollout.n", "Set it to 2 or more; the paper has 12")
    yield from _divides("all GPUs", total, rollout.tensor_model_parallel_size, "rollout.tensor_model_parallel_size")
    mini = actor.ppo_mini_batch_size * rollout.n
    yield from _divides("actor.ppo_mini_batch_size times rollout.n", mini, ranks, "data parallel workers")
    if not actor.use_dynamic_bsz and actor.ppo_micro_batch_size_per_gpu and mini % ranks == 0:
        name = "actor.ppo_micro_batch_size_per_gpu"
        yield from _divides("a worker's part of a mini batch", mini // ranks, actor.ppo_micro_batch_size_per_gpu, name)
    responses = config.data.train_batch_size * rollout.n
    micro = rollout.log_prob_micro_batch_size_per_gpu
    if not rollout.log_prob_use_dynamic_bsz and micro and responses % ranks == 0:
        name = "rollout.log_prob_micro_batch_size_per_gpu"
        yield from _divides("a worker's part of a batch", responses // ranks, micro, name)


def _divides(name: str, total: int, part: int, part_name: str) -> Iterator[Problem]:
    if part and total % part:
        what = f"{total:,} cannot be divided by {part:,}, the {part_name}"
        yield Problem(what, name, f"Choose a multiple of {part:,}, such as {-(-total // part) * part:,}")


def head_problems(config: DictConfig, method: str, model: Any) -> Iterator[Problem]:
    """Yield problems of attention heads that cannot be divided among tensor or sequence parallel ranks.

    Args:
        config: Composed configuration of the run.
        method: `sft`, `cot_sft` or `grpo`.
        model: transformers' configuration of the model.
    """
    text = model.get_text_config()
    heads = text.num_attention_heads
    if method == "grpo":
        split = config.actor_rollout_ref.rollout.tensor_model_parallel_size
        yield from _divides("the model's attention heads", heads, split, "rollout.tensor_model_parallel_size")
    engine = config.actor_rollout_ref.actor if method == "grpo" else config.engine
    split = engine.get("ulysses_sequence_parallel_size", 1)
    yield from _divides("the model's attention heads", heads, split, "ulysses_sequence_parallel_size")


def _refused_by_verl(config: DictConfig) -> Iterator[Problem]:
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():  # verl prints a confirmation
        warnings.simplefilter("ignore")
        try:
            validate_config(config.copy(), need_reference_policy(config), need_critic(config))
        except ImportError as error:
            yield Problem(f"a library is missing: {error}", "this machine", "Install it, see REQUIRED_VERL.txt")
        except Exception as error:  # assertions, ValueErrors and Hydra's own errors
            yield _refusal(error)
    yield from _accepted_by_verl(config, ("actor_rollout_ref.rollout",))


def _accepted_by_verl(config: DictConfig, parts: tuple[str, ...]) -> Iterator[Problem]:
    """Errors that verl's configuration classes raise for these sections of the configuration, as problems."""
    from omegaconf import OmegaConf
    from verl.utils.config import omega_conf_to_dataclass

    for part in parts:
        section = OmegaConf.select(config, part)
        if section is None:
            continue
        try:
            omega_conf_to_dataclass(section)
        except Exception as error:  # as above
            yield _refusal(error, part)


def _refusal(error: Exception, where: str = "the configuration") -> Problem:
    reason = " ".join(str(error).split())[:400] or type(error).__name__  # Hydra puts the reason on a second line
    return Problem(f"verl refuses it: {reason}", where, "Change the keys it names")
