"""Asking a checkpoint of `shotvl` for the probability of every term, without generating: `ProbabilityAsker`.

What is asked is in `naming.py`, how it is run in `naming_runner.py`. Shots are asked a window at a time, so that memory
does not grow with a film.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from lmms_eval_shotbench.labelling.asking.naming import NamingQuestions, NamingRule, Normalization, question_text
from lmms_eval_shotbench.labelling.asking.naming_runner import NamingPlan, NamingRunner
from lmms_eval_shotbench.labelling.asking.second_movement import (
    first_movement,
    second_movement,
    second_movement_questions,
)
from lmms_eval_shotbench.labelling.asking.shot_views import VIEWS, ShotView, as_filmed, view_name
from lmms_eval_shotbench.labelling.asking.shown_media import ShownMedia
from lmms_eval_shotbench.labelling.asking.vote_store import VoteStore
from lmms_eval_shotbench.labelling.shot import FilmShot
from lmms_eval_shotbench.labelling.vote import Vote, Way
from lmms_eval_shotbench.models.progress import BAR, LINE
from lmms_eval_shotbench.models.shotvl_settings import load_shotvl, spare_cores
from lmms_eval_shotbench.models.token_budget import tokens_for_free_memory
from lmms_eval_shotbench.progress import progress_bar
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint
from lmms_eval_shotbench.qwen.inputs import MediaLimits
from lmms_eval_shotbench.vocabulary import Dimension, MediaKind

WINDOW = 128  # shots asked together
Priors = Mapping[str, Sequence[float]]  # log-probabilities on a grey medium, by dimension


class ProbabilityAsker:
    """Asks a checkpoint; implements `Asker`. Not thread-safe."""

    way = Way.PROBABILITY

    def __init__(
        self,
        checkpoint: Checkpoint,
        limits: MediaLimits,
        *,
        name: str,
        normalization: Normalization | None = None,
        views: Mapping[MediaKind, Sequence[ShotView]] = VIEWS,
        batch_tokens: int | None = None,
        workers: int | None = None,
    ) -> None:
        """Read the checkpoint's naming rule and start the threads that decode media.

        Args:
            checkpoint: Model and processor; the text model must attend by `sdpa`.
            limits: Size and frame rate of media.
            name: Name of the model, without its revision.
            normalization: For length and prior (default: none).
            views: The views that each kind of medium is shown in, with one vote each.
            batch_tokens: Maximum of rows x longest prompt per batch (default: from free memory).
            workers: Number of threads that decode media (default: one per core, at most 16).
        """
        self.model = f"{name}@{checkpoint.revision[:12]}"
        self._processor, self._rule = checkpoint.processor, NamingRule.of(checkpoint.model.config)
        self._normalization, self._views = normalization or Normalization(), views
        self._runner = NamingRunner(
            checkpoint,
            ShownMedia(limits, checkpoint.patch_rule, views),
            batch_tokens or tokens_for_free_memory(checkpoint),
            workers or spare_cores(),
        )

    @classmethod
    def from_model_args(cls, model_args: str, normalization: Normalization | None = None) -> ProbabilityAsker:
        """Load the checkpoint that `--model shotvl --model_args MODEL_ARGS` names.

        Raises:
            BadModelArgs: `shotvl` has no such argument, or an argument has no valid value.
            UnsupportedCheckpoint: `shotvl` cannot run the checkpoint.
        """
        loaded = load_shotvl(model_args, attn_implementation="sdpa")
        return cls(
            loaded.checkpoint,
            loaded.limits,
            name=loaded.name,
            normalization=normalization,
            batch_tokens=loaded.batch_tokens,
            workers=loaded.workers,
        )

    def votes(
        self, shots: Sequence[FilmShot], folder: Path, dimensions: Sequence[Dimension]
    ) -> Iterator[tuple[FilmShot, list[Vote]]]:
        """Yield every shot, in order, with one vote per dimension and view; see `Asker`.

        If the checkpoint was taught what ends a label, there is also a vote per view on a second movement.
        A shot whose still or clip cannot be decoded has no votes by it, and its remark says why.
        """
        store = VoteStore(folder)
        asked = self._questions(dimensions)
        priors: Priors = {}
        if self._normalization.prior_weight:
            priors = {slug: one for some in asked for slug, one in self._runner.on_grey(some, store).items()}
        form = BAR if sys.stderr.isatty() else LINE
        with progress_bar(f"{self.model}: {len(shots):,} shots", len(shots), "shot", bar_format=form) as bar:
            for start in range(0, len(shots), WINDOW):
                window = shots[start : start + WINDOW]
                plans = [self._runner.plan(one, folder, _media_paths(window, one.kind)) for one in asked]
                tokens = sum(plan.tokens for plan in plans)
                for plan in plans:
                    for finished in self._runner.run(plan, store):
                        bar.update(len(window) * finished / max(tokens, 1))
                found = [self._with_votes(shot, plans, store, priors) for shot in window]
                if self._rule.ends_labels:
                    self._add_second_movements(found, folder, store)
                yield from found

    def _questions(self, dimensions: Sequence[Dimension]) -> list[NamingQuestions]:
        by_kind = {kind: [one for one in dimensions if one.media_kind is kind] for kind in MediaKind}
        return [NamingQuestions(self._processor, kind, some, self._rule) for kind, some in by_kind.items() if some]

    def _with_votes(
        self, shot: FilmShot, plans: Sequence[NamingPlan], store: VoteStore, priors: Priors
    ) -> tuple[FilmShot, list[Vote]]:
        remarks, votes = [shot.remark] if shot.remark else [], list[Vote]()
        for plan in plans:
            for path in _media_paths([shot], plan.questions.kind):
                if failure := plan.failure(path):
                    remark = f"not asked about its {plan.questions.kind}: {failure}"
                    remarks += [remark] if remark not in shot.remark else []  # another model may have made it
                else:
                    votes += self._votes_by(plan, path, store, priors)
        return replace(shot, remark="; ".join(remarks)), votes

    def _votes_by(self, plan: NamingPlan, path: str, store: VoteStore, priors: Priors) -> Iterator[Vote]:
        for view in self._views[plan.questions.kind]:
            keys = self._runner.keys(plan.questions, plan.media[path].sha256, view)
            for dimension in plan.questions.dimensions:
                slug = dimension.slug
                continuations, values = plan.questions.continuations[slug], store[keys[slug]]
                lengths = list(map(len, continuations.values()))
                probabilities = self._normalization.probabilities(values, lengths, priors.get(slug))
                raw = dict(zip(continuations, (round(one, 4) for one in values), strict=True))
                yield Vote(
                    slug,
                    self.model,
                    self.way,
                    path,
                    view_name(view),
                    as_filmed(dict(zip(continuations, probabilities, strict=True)), dimension, view),
                    question=question_text(dimension),
                    details=asdict(self._normalization) | {"log_probabilities": as_filmed(raw, dimension, view)},
                )

    def _add_second_movements(
        self, found: Sequence[tuple[FilmShot, list[Vote]]], folder: Path, store: VoteStore
    ) -> None:
        """Ask for a second movement, given the first that the votes found, and add those votes."""
        by_first: dict[str, list[tuple[FilmShot, list[Vote]]]] = defaultdict(list)
        for shot, votes in found:
            if first := first_movement(votes):
                by_first[first].append((shot, votes))
        for first, some in by_first.items():
            questions = second_movement_questions(self._processor, self._rule, first)
            plan = self._runner.plan(questions, folder, _media_paths([shot for shot, _ in some], MediaKind.CLIP))
            for _tokens in self._runner.run(plan, store):
                pass
            for shot, votes in some:
                if not plan.failure(shot.clip):
                    votes += self._second_votes(plan, shot.clip, store, first)

    def _second_votes(self, plan: NamingPlan, path: str, store: VoteStore, first: str) -> Iterator[Vote]:
        (dimension,) = plan.questions.dimensions
        labels = list(plan.questions.continuations[dimension.slug])
        for view in self._views[plan.questions.kind]:
            keys = self._runner.keys(plan.questions, plan.media[path].sha256, view)
            second = second_movement(first, labels, store[keys[dimension.slug]], view)
            yield Vote(
                dimension.slug,
                self.model,
                self.way,
                path,
                view_name(view),
                second.probabilities,
                question=question_text(dimension),
                second=True,
                details={"first": first, "labels": second.labels},
            )


def _media_paths(shots: Sequence[FilmShot], kind: MediaKind) -> list[str]:
    """Paths of the shots' media of a kind, each once."""
    paths = (shot.still if kind is MediaKind.STILL else shot.clip for shot in shots)
    return list(dict.fromkeys(filter(None, paths)))
