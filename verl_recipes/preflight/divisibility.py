"""Which batch sizes and numbers of GPUs must divide which, and the nearest values that do.

`conflicts` has the relations that verl asserts in its workers. `suggestion` tries values of a setting, or of two, until
the conflict is resolved and no other one is caused, so that the suggested values are accepted by the same checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from verl_recipes.recipes import workers

if TYPE_CHECKING:
    from omegaconf import DictConfig

BATCH, VALIDATION = "data.train_batch_size", "data.val_files"
SFT_MICRO = "data.micro_batch_size_per_gpu"
ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
MINI, MICRO = f"{ACTOR}.ppo_mini_batch_size", f"{ACTOR}.ppo_micro_batch_size_per_gpu"
LOG_MICRO = f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu"
TENSOR_PARALLEL = f"{ROLLOUT}.tensor_model_parallel_size"
SEQUENCE_PARALLEL, SFT_SEQUENCE_PARALLEL = (f"{part}.ulysses_sequence_parallel_size" for part in (ACTOR, "engine"))
FIELDS = {  # names of the settings in `Sizes`
    BATCH: "batch", SFT_MICRO: "micro", MINI: "mini", MICRO: "micro", LOG_MICRO: "log_micro",
    TENSOR_PARALLEL: "tensor_parallel", SEQUENCE_PARALLEL: "sequence_parallel",
    SFT_SEQUENCE_PARALLEL: "sequence_parallel",
}  # fmt: skip
FARTHEST = 1000  # from the present value; suggestions farther away are of no use
NEAR = 256  # the same if two settings are changed


@dataclass(frozen=True)
class Sizes:
    """Batch sizes, rows and GPUs of a run; 0 for micro batches that are limited by tokens."""

    grpo: bool
    rows: int
    validation_rows: int
    gpus: int
    batch: int
    micro: int
    sequence_parallel: int = 1
    # Only in GRPO:
    responses: int = 1  # to a prompt
    mini: int = 0  # prompts; 0 if it is the batch
    log_micro: int = 0
    tensor_parallel: int = 1
    heads: int = 0  # attention heads of the model; 0 if unknown

    @property
    def ranks(self) -> int:
        """Number of data parallel workers."""
        return max(self.gpus // self.sequence_parallel, 1)

    @property
    def sequences_an_update(self) -> int:
        """Number of sequences of an optimizer step, over all workers."""
        return (self.mini or self.batch) * self.responses


class Conflict(NamedTuple):
    """A violated relation, with the settings that can be changed, the most natural one first."""

    where: str
    what: str
    keys: tuple[str, ...]
    found_by_verl: bool = False  # in its own checks before the run, so it need not be reported


def sizes(config: DictConfig, method: str, rows: int, validation_rows: int, heads: int = 0) -> Sizes:
    """Read the sizes from a configuration; `rows` and `validation_rows` are those that verl uses."""
    from omegaconf import OmegaConf

    gpus, batch = workers(config), config.data.train_batch_size
    if method != "grpo":
        micro = 0 if config.data.use_dynamic_bsz else config.data.micro_batch_size_per_gpu or 0
        split = config.engine.get("ulysses_sequence_parallel_size", 1)
        return Sizes(False, rows, validation_rows, gpus, batch, micro, split, heads=heads)
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    follows = OmegaConf.is_interpolation(actor, "ppo_mini_batch_size")
    return Sizes(
        True, rows, validation_rows, gpus, batch,
        0 if actor.use_dynamic_bsz else actor.ppo_micro_batch_size_per_gpu or 0,
        actor.get("ulysses_sequence_parallel_size", 1),
        rollout.n,
        0 if follows else actor.ppo_mini_batch_size,
        0 if rollout.log_prob_use_dynamic_bsz else rollout.log_prob_micro_batch_size_per_gpu or 0,
        rollout.tensor_model_parallel_size,
        heads,
    )  # fmt: skip


def conflicts(sizes: Sizes) -> Iterator[Conflict]:
    """Yield all violated relations."""
    if sizes.rows and sizes.rows < sizes.batch:
        what = f"{sizes.rows:,} rows are fewer than one batch of {sizes.batch:,}: verl would not train a single step"
        yield Conflict(BATCH, what, (BATCH,))
    split = SEQUENCE_PARALLEL if sizes.grpo else SFT_SEQUENCE_PARALLEL
    yield from _parallel_conflicts(sizes, split, sizes.sequence_parallel)
    if sizes.grpo:
        yield from _parallel_conflicts(sizes, TENSOR_PARALLEL, sizes.tensor_parallel)
        yield from _grpo_conflicts(sizes)
    else:
        yield from _sft_conflicts(sizes)


def _parallel_conflicts(sizes: Sizes, key: str, value: int) -> Iterator[Conflict]:
    name = key.removeprefix("actor_rollout_ref.")
    yield from _divides("all GPUs", sizes.gpus, value, name, (key,))
    yield from _divides("the model's attention heads", sizes.heads, value, name, (key,))


def _sft_conflicts(sizes: Sizes) -> Iterator[Conflict]:
    if 0 < sizes.validation_rows < sizes.batch:
        rows = f"{sizes.validation_rows:,} validation rows are fewer than one batch of {sizes.batch:,}"
        yield Conflict(VALIDATION, f"{rows}: verl drops them and reports nan", (BATCH,))
    yield from _divides(BATCH, sizes.batch, sizes.ranks, "data parallel workers", (BATCH,))
    if sizes.batch % sizes.ranks == 0:
        part, name = f"{BATCH} for each worker", "micro_batch_size_per_gpu"
        yield from _divides(part, sizes.batch // sizes.ranks, sizes.micro, name, (SFT_MICRO, BATCH))


def _grpo_conflicts(sizes: Sizes) -> Iterator[Conflict]:
    mini, update = MINI if sizes.mini else BATCH, sizes.sequences_an_update
    name = f"{mini} times rollout.n"
    yield from _divides(name, update, sizes.ranks, "data parallel workers", (mini,))
    if update % sizes.ranks == 0:
        part, name = "a worker's part of a mini batch", "actor.ppo_micro_batch_size_per_gpu"
        yield from _divides(part, update // sizes.ranks, sizes.micro, name, (MICRO, mini))
    responses = sizes.batch * sizes.responses
    if responses % sizes.ranks == 0:
        part, name = "a worker's part of a batch", "rollout.log_prob_micro_batch_size_per_gpu"
        yield from _divides(part, responses // sizes.ranks, sizes.log_micro, name, (LOG_MICRO, BATCH))
    if sizes.micro:  # verl asserts these only without dynamic batches
        for conflict in _divides(f"{BATCH} times rollout.n, all GPUs", responses, sizes.gpus, "GPUs", (BATCH,)):
            yield conflict._replace(found_by_verl=True)
        if sizes.mini > sizes.batch:
            yield Conflict(MINI, f"{sizes.mini:,} is more than {BATCH}", (MINI, BATCH), found_by_verl=True)


def _divides(where: str, total: int, part: int, part_name: str, keys: tuple[str, ...]) -> Iterator[Conflict]:
    if part and total % part:
        yield Conflict(where, f"{total:,} cannot be divided by {part:,}, the {part_name}", keys)


def suggestion(sizes: Sizes, conflict: Conflict) -> str:
    """What to do about a conflict: the nearest values that resolve it, of one setting or else of two."""
    changes = _one_change(sizes, conflict, FARTHEST) or _two_changes(sizes, conflict)
    if changes:
        return "Set " + " and ".join(f"{key}={value}" for key, value in changes.items())
    return f"No value of {conflict.keys[0]} near it fits: change the number of GPUs or of rows"


def _one_change(sizes: Sizes, conflict: Conflict, farthest: int) -> dict[str, int]:
    for key, value in _nearest(sizes, conflict, farthest):
        if not _left(sizes, {key: value}):
            return {key: value}
    return {}


def _two_changes(sizes: Sizes, conflict: Conflict) -> dict[str, int]:
    """The second setting resolves a conflict that the first one causes, or leaves."""
    for key, value in _nearest(sizes, conflict, NEAR):
        for other in _left(sizes, {key: value}):
            for second, its_value in _nearest(sizes, other, NEAR):
                if second != key and not _left(sizes, changes := {key: value, second: its_value}):
                    return changes
    return {}


def _nearest(sizes: Sizes, conflict: Conflict, farthest: int) -> Iterator[tuple[str, int]]:
    """Settings of a conflict with other values than now, the nearest first."""
    for key in conflict.keys:
        present = getattr(sizes, FIELDS[key])
        for distance in range(1, farthest):
            yield from ((key, value) for value in (present - distance, present + distance) if value > 0)


def _left(sizes: Sizes, changes: dict[str, int]) -> list[Conflict]:
    """Conflicts after the changes that the changed settings are part of, or that there were none of before."""
    before = {(other.where, other.keys) for other in conflicts(sizes) if not changes.keys() & set(other.keys)}
    named: dict[str, Any] = {FIELDS[key]: value for key, value in changes.items()}
    after = conflicts(replace(sizes, **named))
    return [other for other in after if (other.where, other.keys) not in before]
