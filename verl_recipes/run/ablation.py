"""The paper's ablation (section 5.3): train SFT, CoT-SFT, GRPO and two combinations, and evaluate each, over seeds.

    OUT/baseline/                        scores of the base model
    OUT/seed-1/sft/, …/sft+grpo/         training runs (`run_folder.py`), each with eval/ next to its checkpoints
    OUT/ablation.json, ablation.md       the table; curves.png, dimensions.png: `ablation_report.py`

A training step that several rows share is run once per seed. After an interruption, even in the middle of a training
run, the same command resumes and repeats no finished work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.questions.shards import ShardFolder, locate_shards
from verl_recipes.run.evaluate_run import TASKS, evaluate_model
from verl_recipes.run.launch import print_status, train
from verl_recipes.run.merge import merge_run
from verl_recipes.run.prepare import recipe_model
from verl_recipes.run.run_folder import TrainingRequest
from verl_recipes.training_rows import refuse_tested

TRAINED_ON = ("sft", "grpo", "dev")  # splits that are used in training
SEED_KEYS = {"sft": "trainer.seed", "cot_sft": "trainer.seed", "grpo": "data.seed"}  # seed of the order of the rows


@dataclass(frozen=True)
class AblationRow:
    """A row of the table: the training steps applied to the base model, in order."""

    name: str
    steps: tuple[str, ...]

    @property
    def folder(self) -> str:
        return "+".join(self.steps)


ROWS = (
    AblationRow("baseline", ()),
    AblationRow("SFT", ("sft",)),
    AblationRow("CoT-SFT", ("cot_sft",)),
    AblationRow("GRPO", ("grpo",)),
    AblationRow("CoT-SFT then GRPO", ("cot_sft", "grpo")),
    AblationRow("SFT then GRPO", ("sft", "grpo")),
)


@dataclass(frozen=True)
class AblationPlan:
    """Settings of an ablation: base model, data, seeds and rows of the table."""

    recipe: str
    data: str
    out: Path
    model: str | None = None  # base model; None: the recipe's default
    seeds: tuple[int, ...] = (1, 2, 3)
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by method
    rows: tuple[AblationRow, ...] = ROWS
    tasks: tuple[str, ...] = TASKS
    max_new_tokens: int | None = None  # None: the protocol's default
    test: str | None = None  # shards with the test split; None: the training shards

    def order(self, row: AblationRow, seed: int) -> TrainingRequest:
        """Settings of the training run of a row's last step."""
        method = row.steps[-1]
        before = AblationRow("", row.steps[:-1])
        start = str(self.run_folder(before, seed)) if before.steps else self.model
        settings = (*self.overrides.get(method, ()), f"{SEED_KEYS[method]}={seed}")
        return TrainingRequest(method, self.recipe, self.data, self.run_folder(row, seed), start, settings)

    def run_folder(self, row: AblationRow, seed: int) -> Path:
        """Run folder of a row's last step."""
        return self.out / f"seed-{seed}" / row.folder


@dataclass(frozen=True)
class Trial:
    """One trained model and its scores, by task."""

    row: AblationRow
    seed: int | None  # None: the baseline, which has none
    run: Path
    scores: dict[str, dict[str, Any]]


def overrides_by_method(given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Group overrides of the form `METHOD:key=value` by method.

    Raises:
        ValueError: an override has another form or names an unknown method.
    """
    grouped: dict[str, tuple[str, ...]] = {}
    for argument in given:
        name, colon, override = argument.partition(":")
        method = name.replace("-", "_")
        if method not in SEED_KEYS or not colon or "=" not in override:
            raise ValueError(f"{argument!r}: write METHOD:key=value, with a METHOD of {', '.join(SEED_KEYS)}")
        grouped[method] = (*grouped.get(method, ()), override)
    return grouped


def run_ablation(plan: AblationPlan) -> list[Trial]:
    """Train and evaluate all rows for all seeds; return the trials in the order of the table.

    Raises:
        RowsRefused: a film or medium of a training split is also in the test split.
    """
    if plan.test:
        folder = locate_shards(plan.data)
        for split in TRAINED_ON:
            refuse_tested(ShardFolder(folder, split).items(), split, locate_shards(plan.test))
    return list(_trials(plan))


def _trials(plan: AblationPlan) -> Iterator[Trial]:
    for row in plan.rows:
        if not row.steps:
            yield _baseline(plan, row)
            continue
        for seed in plan.seeds:
            yield _trained(plan, row, seed)


def _baseline(plan: AblationPlan, row: AblationRow) -> Trial:
    print_status(f"ablation: {row.name}")
    first = next(row for row in plan.rows if row.steps)
    model = plan.model or recipe_model(plan.order(first, plan.seeds[0]))
    folder = plan.out / "baseline"
    return Trial(row, None, folder, _evaluation_scores(plan, model, folder))


def _trained(plan: AblationPlan, row: AblationRow, seed: int) -> Trial:
    """Train the steps of a row that are not trained yet, each starting from the previous one."""
    for length in range(1, len(row.steps) + 1):
        part = AblationRow(row.name, row.steps[:length])
        print_status(f"ablation: {row.name}, seed {seed}, {part.folder}")
        train(plan.order(part, seed))
    run = plan.run_folder(row, seed)
    model = merge_run(run)
    return Trial(row, seed, run, _evaluation_scores(plan, model, run))


def _evaluation_scores(plan: AblationPlan, model: Path | str, folder: Path) -> dict[str, dict[str, Any]]:
    tested, tokens = plan.test or plan.data, plan.max_new_tokens
    return evaluate_model(model, tested, folder / "eval", plan.tasks, max_new_tokens=tokens, reuse=True)
