"""Check batch sizes, parallelism and sampling, by verl's own checks and by ours of what its workers assert.

verl's own checks (`validate_config` and its configuration classes) are called, not reimplemented. The sizes that must
divide each other are in `divisibility.py`; with fewer rows than a batch, verl trains no step and reports nothing.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verl_recipes.preflight import divisibility
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


def rows_used(config: DictConfig, part: Part, rows: int) -> int:
    """Number of rows of a part (`train`, `val`) that verl uses: `rows`, or the limit of the configuration if lower."""
    limit = config.data.get(f"{part}_max_samples", -1)
    return min(rows, limit) if limit and limit > 0 else rows


def training_steps(config: DictConfig, rows: int) -> Steps:
    """Compute the steps of a training run on `rows` rows."""
    batch = config.data.train_batch_size
    given = config.trainer.get("total_training_steps")
    return Steps(rows, batch, given or rows // batch * config.trainer.total_epochs)


def batch_problems(config: DictConfig, method: str, rows: dict[Part, int], heads: int = 0) -> Iterator[Problem]:
    """Yield problems of batch sizes, micro batches, parallelism and sampling.

    Args:
        config: Composed configuration of the run.
        method: `sft`, `cot_sft` or `grpo`.
        rows: Number of rows that verl uses of each part (see `rows_used`).
        heads: Number of the model's attention heads, or 0 if it is unknown.
    """
    if method == "grpo":
        yield from _refused_by_verl(config)
        yield from _sampling_problems(config)
    else:
        yield from _accepted_by_verl(config, ("engine", "optim", "checkpoint"))
    yield from _step_problems(config, rows["train"])
    sizes = divisibility.sizes(config, method, rows["train"], rows["val"], heads)
    for conflict in divisibility.conflicts(sizes):
        if not conflict.found_by_verl:
            yield Problem(conflict.what, conflict.where, divisibility.suggestion(sizes, conflict))


def _step_problems(config: DictConfig, rows: int) -> Iterator[Problem]:
    """A last step that the epochs never reach, at which verl would validate and write the last checkpoint."""
    given, an_epoch = config.trainer.get("total_training_steps"), rows // config.data.train_batch_size
    possible = an_epoch * config.trainer.total_epochs
    if given and 0 < possible < given:
        what = f"{given:,} steps are more than the {possible:,} of {config.trainer.total_epochs:,} epochs, after which "
        what += "verl stops without the last validation and checkpoint"
        next_step = f"Set trainer.total_epochs={-(-given // an_epoch)}, or fewer steps"
        yield Problem(what, "trainer.total_training_steps", next_step)


def _sampling_problems(config: DictConfig) -> Iterator[Problem]:
    """Problems of groups whose responses cannot be compared with each other."""
    rollout, where = config.actor_rollout_ref.rollout, "actor_rollout_ref.rollout"
    in_groups = config.algorithm.adv_estimator in GROUP_ESTIMATORS
    if in_groups and rollout.n < 2:
        what = f"a group of {rollout.n} has no mean to compare with, so every answer would be reinforced"
        yield Problem(what, f"{where}.n", "Set it to 2 or more; the paper has 12")
    what = f"the {rollout.n} responses to a prompt would all be the same: no advantage, so nothing is learned"
    if rollout.temperature == 0:
        yield Problem(what, f"{where}.temperature=0", "Set it to 1; only validation may be greedy (rollout.val_kwargs)")
    for name, greedy in (("top_k", 1), ("top_p", 0)):
        if in_groups and rollout[name] == greedy:
            yield Problem(what, f"{where}.{name}={greedy}", f"Set it to {-greedy or 1}, which is all tokens")


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
