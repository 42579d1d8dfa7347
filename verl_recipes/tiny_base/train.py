"""Train the tiny base model: plain PyTorch, one process, one CPU core.

    shotbench train tiny-base SHARDS [SHARDS …] --out MODEL            # a base to fine-tune
    shotbench train tiny-base SHARDS --out MODEL --start BASE --finish # reasoned answers, without verl
    shotbench train tiny-base SHARDS --out MODEL --start BASE --films FILMS   # labels of whole films, "none" included

The training shots are the splits `sft` of all shards; the held-out films are the splits `dev` of the shards that have
one. Test splits are not read. Every tenth film of a folder FILMS is held out. The curriculum is in `curriculum.py`.
"""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from lmms_eval_shotbench.questions.shards import DatasetNotFound
from verl_recipes.tiny_base.architecture import save_checkpoint
from verl_recipes.tiny_base.curriculum import BINDING, FINISHING, LABELLING, NAMING, ExerciseSampler, Phase, Practice
from verl_recipes.tiny_base.forward import FastModel
from verl_recipes.tiny_base.held_out import HeldOutScores, held_out_accuracy, label_scores
from verl_recipes.tiny_base.learner import SHOWN, Learner, make_learner, teach_labelling
from verl_recipes.tiny_base.shots import Shot, read_shots
from verl_recipes.tiny_base.whole_shots import WholeShot, read_whole_shots, split_by_film

logger = logging.getLogger(__name__)
Check = Callable[[str], None]  # called with a progress line at each check


@dataclass(frozen=True)
class TrainingSettings:
    """Hyperparameters of a run."""

    phases: Sequence[Phase] = (BINDING, NAMING)
    rate: float = 1.5e-3  # peak learning rate
    last_rate: float = 0.06  # final learning rate, as a share of the peak
    warm_up: int = 60  # steps
    decay: float = 0.05  # weight decay
    seed: int = 0
    check_seconds: float = 180.0  # interval of checks on held-out films, which take ten seconds

    @property
    def steps(self) -> int:
        """Total number of steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    def rate_at(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then cosine decay."""
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.rate * min(1.0, (step + 1) / self.warm_up) * (self.last_rate + (1 - self.last_rate) * cosine)

    def phase_at(self, step: int) -> Phase:
        """The phase a step belongs to."""
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        return self.phases[-1]


BASE, FINISH = TrainingSettings(), TrainingSettings(phases=(FINISHING,), rate=8e-4, warm_up=20)
LABEL = TrainingSettings(phases=(LABELLING,), rate=8e-4, warm_up=40)


def train_tiny_base(
    shards: Sequence[str],
    out: Path,
    start: Path | None = None,
    training: TrainingSettings = BASE,
    report: Callable[[str], None] = logger.info,
    films: Sequence[Path] = (),
) -> HeldOutScores:
    """Train on shards and write a checkpoint; return its scores on held-out films.

    Args:
        shards: Shard folders or Hub ids.
        out: Checkpoint folder to write.
        start: Checkpoint to continue from; None for random weights.
        training: Hyperparameters.
        report: Called with each progress line.
        films: Folders of `shotbench data studio --raw`; the model learns to label their shots. Required by `LABEL`.

    Raises:
        DatasetNotFound: There are no such shards.
        BadTruth: A folder of `films` has no table of truth, or one that does not fit.
        FileExistsError: `out` already contains a model.
    """
    import torch

    if (out / "config.json").exists():
        raise FileExistsError(f"{out} already contains a model; choose another --out")
    torch.manual_seed(training.seed)
    learner = make_learner(start, training.seed)
    film_shots, held_out_films = _film_shots(films, learner)
    if films:
        report(f"shots of films: {len(film_shots)} to train on, {len(held_out_films)} held out")
        teach_labelling(learner)
    shots = list(read_shots(shards, "sft", SHOWN, learner.patches))
    held_out = _held_out(shards, learner)
    report(f"questions: {len(shots)} to train on, {len(held_out)} held out")
    draw = Random(training.seed)
    exercise_maker = learner.exercise_maker(shots, draw)
    fast_model = learner.fast_model(exercise_maker)
    scores = HeldOutScores({})

    def check(progress: str) -> None:
        nonlocal scores
        learner.model.eval()
        answers = held_out_accuracy(fast_model, exercise_maker, held_out, learner.positions)
        scores = HeldOutScores(answers, *label_scores(fast_model, exercise_maker, held_out_films, learner.positions))
        learner.model.train()
        save_checkpoint(learner.model, learner.processor, out)
        report(f"{progress} | held-out films: {scores}")

    sampler = ExerciseSampler(shots, exercise_maker, learner.positions, draw, film_shots)
    train_steps(fast_model, sampler, training, check)
    return scores


def _film_shots(folders: Sequence[Path], learner: Learner) -> tuple[list[WholeShot], list[WholeShot]]:
    """Shots of films to train on, and held-out ones."""
    parts = [split_by_film(list(read_whole_shots(folder, SHOWN, learner.patches))) for folder in folders]
    return [shot for part, _ in parts for shot in part], [shot for _, part in parts for shot in part]


def _held_out(shards: Sequence[str], learner: Learner) -> list[Shot]:
    shots: list[Shot] = []
    for name in shards:
        try:
            shots += read_shots([name], "dev", SHOWN, learner.patches)
        except DatasetNotFound:
            continue  # these shards have no dev split
    return shots


def train_steps(fast_model: FastModel, sampler: ExerciseSampler, training: TrainingSettings, check: Check) -> None:
    """Run all steps; call `check` every `check_seconds` and at the end."""
    draw = Random(f"{training.seed} practice")
    optimizer = _optimizer(fast_model.model, training)
    losses: dict[Practice, list[float]] = defaultdict(list)
    last_check = time.monotonic()
    fast_model.model.train()
    for step in range(training.steps):
        phase = training.phase_at(step)
        practice = draw.choices(list(phase.shares), list(phase.shares.values()))[0]
        for group in optimizer.param_groups:
            group["lr"] = training.rate_at(step)
        losses[practice].append(_step(fast_model, sampler, optimizer, practice, phase.pairs))
        if time.monotonic() - last_check > training.check_seconds or step == training.steps - 1:
            check(f"step {step + 1} of {training.steps}: {_format_losses(losses)}")
            last_check = time.monotonic()


def _step(fast_model: FastModel, sampler: ExerciseSampler, optimizer: Any, practice: Practice, pairs: int) -> float:
    import torch

    with torch.autocast("cpu", torch.bfloat16):
        loss = fast_model.loss(*sampler.step(practice, pairs))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(fast_model.model.parameters(), 1.0)
    optimizer.step()
    return float(loss.item())


def _optimizer(model: Any, training: TrainingSettings) -> Any:
    import torch

    matrices = [one for one in model.parameters() if one.ndim > 1]
    others = [one for one in model.parameters() if one.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": training.decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=training.rate, betas=(0.9, 0.98))


def _format_losses(losses: Mapping[Practice, list[float]]) -> str:
    return ", ".join(f"{name} {sum(some[-40:]) / len(some[-40:]):.3f} ({len(some)})" for name, some in losses.items())
