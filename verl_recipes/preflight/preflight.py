"""Run all checks that are possible before a run occupies a GPU or starts a worker, and report their results.

This module calls the checks in order; each has its own module in this package. The checks change nothing. What cannot
be checked is reported in notes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from verl_recipes.preflight import (
    batches,
    checkpoint_space,
    cluster,
    estimates,
    gold_reward,
    host_memory,
    ignored_settings,
    lengths,
    loggers,
    media_files,
    memory_and_disk,
    model_folder,
    row_contents,
    setting_values,
)
from verl_recipes.preflight.problem import Problem, merge_problems
from verl_recipes.preflight.prompt_lengths import Ruler, Shapes, showable
from verl_recipes.preflight.training_files import Part, TrainingRow, read_training_rows

if TYPE_CHECKING:
    from omegaconf import DictConfig

OUR_ROWS = "verl_recipes.inside_verl.film_dataset"
NAMES_OF_OUR_ROWS = (
    OUR_ROWS,
    "verl_recipes.film_dataset",
)  # the second is the name in version 0.1; removed in version 0.3


class PreflightFailed(RuntimeError):
    """The run would fail or give invalid results; the message lists every problem."""


@dataclass
class Report:
    """Results of all checks: problems, which prevent the run, and notes, which do not."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    steps: int = 0  # of the run in total; 0 if the rows cannot be read
    disk: checkpoint_space.Disk | None = None  # None if the size of the model is not known

    def text(self) -> str:
        """Notes and problems as text."""
        notes = "".join(f"\n  - {note}" for note in self.notes)
        if not self.problems:
            return f"preflight: no problems found{notes}"
        return f"preflight:{notes}\n{self._listed()}"

    def raise_for_problems(self) -> None:
        """Raise `PreflightFailed` if there is any problem."""
        if self.problems:
            raise PreflightFailed(self._listed())

    def _listed(self) -> str:
        count = len(self.problems)
        listed = "".join(f"\n  {number}. {problem}" for number, problem in enumerate(self.problems, 1))
        return f"{count} {'problem' if count == 1 else 'problems'}, nothing was started:{listed}"


def check(config: DictConfig, method: str, *, shards: str | None = None, nodes_are_here: bool | None = None) -> Report:
    """Check data, model, reward, batches, memory, disk and cluster of a run.

    Args:
        config: Composed configuration of the run.
        method: `sft`, `cot_sft` or `grpo`.
        shards: Shard folder from which the rows were written; no film of its test split may be trained on.
        nodes_are_here: Whether the workers run on this machine; if so, the estimate is compared with its GPU memory. By
            default true if the run starts its own Ray, false if it joins a cluster.
    """
    report = check_settings(config, method)
    if report.problems:
        return report  # the other checks rely on them
    if nodes_are_here is None:
        nodes_are_here = cluster.address(config) is None
    report.problems += loggers.logger_problems(config, nodes_are_here)
    report.problems += ignored_settings.ignored_settings(config, method)
    if method == "grpo" and nodes_are_here:
        report.problems += ignored_settings.missing_rollout_engine(config)
    rows, shapes = _check_rows(config, method, shards, report)
    model, problems, notes = model_folder.read_model(model_folder.model_settings(config, method))
    report.problems += problems
    report.notes += notes
    longest = _check_lengths(config, method, rows, shapes, model, nodes_are_here, report)
    counts: dict[Part, int] = {part: batches.rows_used(config, part, _count(rows, part)) for part in ("train", "val")}
    report.problems += batches.batch_problems(config, method, counts, model.heads)
    report.steps = batches.training_steps(config, counts["train"]).steps
    if model.config is not None:
        _estimate(config, method, model, longest, counts["train"], nodes_are_here, report)
    problems, notes = cluster.cluster_problems(config, method)
    report.problems += problems
    report.notes += notes
    report.problems = merge_problems(report.problems)
    return report


def check_settings(config: DictConfig, method: str) -> Report:
    """Check only the version of verl, and the type and range of each value; takes a second, and reads no data."""
    from verl_recipes.recipes import REFERENCE, WrongVerl, compose

    try:
        return Report(setting_values.setting_problems(config, compose(method, REFERENCE)))
    except WrongVerl as error:
        step = "Install the version that the recipes require"
        return Report([Problem(str(error), "this environment", step)])


def _check_rows(
    config: DictConfig, method: str, shards: str | None, report: Report
) -> tuple[list[TrainingRow], Shapes]:
    rows, problems = read_training_rows(config, method)
    problems += row_contents.chat_problems(rows, method)
    items, found = row_contents.read_items(rows) if method == "grpo" else ({}, [])
    problems += found
    problems += row_contents.overlap_problems(rows, items, shards)
    if method == "grpo":
        broken = {problem.where for problem in problems}
        problems += gold_reward.reward_problems(config, [row for row in rows if row.location not in broken])
        report.notes += gold_reward.notes(config)
    shapes, found, notes = media_files.media_shapes(rows)
    report.problems += [*problems, *found]
    report.notes += [_counted(rows), *notes]
    return rows, shapes


def _counted(rows: list[TrainingRow]) -> str:
    return f"rows: {_count(rows, 'train'):,} to train on, {_count(rows, 'val'):,} to validate on"


def _count(rows: list[TrainingRow], part: Part) -> int:
    return sum(row.part == part for row in rows)


def _check_lengths(
    config: DictConfig,
    method: str,
    rows: list[TrainingRow],
    shapes: Shapes,
    model: model_folder.Model,
    nodes_are_here: bool,
    report: Report,
) -> lengths.Longest | None:
    if model.processor is None:
        return None
    template = config.data.get("apply_chat_template_kwargs") or {}
    ruler = Ruler(model.processor, method == "grpo", template)
    ready, refused = showable(rows, shapes, ruler)
    step = "Leave the question out, or replace the medium"
    report.problems += [Problem(reason, path, step) for path, reason in refused.items()]
    longest = lengths.longest_row(ready, shapes, ruler)
    if longest:
        report.notes.append(f"longest row: {longest}")
        report.problems += lengths.length_problems(config, method, longest, model.context)
        media = [ruler.media_tokens(row, shapes) for row in ready if row.part == "train"]
        values = host_memory.pixel_values(config, method, media, model.processor)
        machine = host_memory.machine_bytes() if nodes_are_here else None
        report.notes.append(host_memory.memory_note(values, machine))
        report.problems += host_memory.host_memory_problems(values, method, machine) if machine else ()
    dataset = str((config.data.get("custom_cls") or {}).get("path"))
    if not any(name in dataset for name in NAMES_OF_OUR_ROWS):
        report.notes.append(f"lengths are those of {OUR_ROWS}; the configuration uses another dataset")
    return longest


def _estimate(
    config: DictConfig,
    method: str,
    model: model_folder.Model,
    longest: lengths.Longest | None,
    rows: int,
    nodes_are_here: bool,
    report: Report,
) -> None:
    from verl_recipes.preflight.model_size import model_size

    size = model_size(model.config, model_folder.model_settings(config, method))
    report.notes.append(f"model: {size.parameters:,} parameters, {size.trained:,} of them trained")
    steps = batches.training_steps(config, rows)
    checkpoints = Path(config.trainer.default_local_dir)
    saved = checkpoint_space.existing_steps(checkpoints)
    planned = checkpoint_space.SavedSteps(steps.steps, steps.rows // steps.batch, max(saved, default=0), len(saved))
    report.disk = checkpoint_space.disk(config, method, size, planned, model.small_files)
    report.notes += [steps.note(), f"disk: {report.disk}"]
    report.problems += memory_and_disk.disk_problems(checkpoints, report.disk)
    if longest is None and model.processor is not None:
        return  # there are no valid rows
    tokens = media = lengths.length_limit(config, method)
    if longest:
        tokens, media = longest.tokens, longest.media_tokens
    else:
        report.notes.append(f"memory: estimated for rows of media with {tokens:,} tokens, the limit")
    answer = config.actor_rollout_ref.rollout.response_length if method == "grpo" else 0
    memory = estimates.memory(config, method, size, tokens + answer, media)
    report.notes += memory_and_disk.memory_notes(config, method, memory)
    report.problems += _memory_problems(config, method, memory, nodes_are_here)


def _memory_problems(
    config: DictConfig, method: str, memory: estimates.Memory, nodes_are_here: bool
) -> Iterator[Problem]:
    card = memory_and_disk.card_bytes() if nodes_are_here and config.trainer.device != "cpu" else None
    if card:
        yield from memory_and_disk.gpu_memory_problems(config, method, memory, card)
