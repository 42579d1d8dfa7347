"""Runs a checkpoint on naming questions: plans batches of media, runs those that are not stored, and stores the rest.

Each medium is decoded once for all dimensions and views, and prefilled once per view (`qwen/prompt_tree.py`). Batches
depend on the media only, not on what is stored: an interrupted run that is resumed ends with the same numbers as one
that was not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from lmms_eval_shotbench.labelling.asking.naming import NamingQuestions
from lmms_eval_shotbench.labelling.asking.shot_views import AS_FILMED, ShotView, view_name
from lmms_eval_shotbench.labelling.asking.shown_media import UNREADABLE, ShownMedia
from lmms_eval_shotbench.labelling.asking.vote_store import VoteStore
from lmms_eval_shotbench.media.stored_medium import StoredMedium
from lmms_eval_shotbench.models.batching import Lookahead, Planned, plan_batches
from lmms_eval_shotbench.models.media_threads import media_threads
from lmms_eval_shotbench.models.token_budget import TokenBudget, too_long
from lmms_eval_shotbench.qwen.checkpoint import Checkpoint
from lmms_eval_shotbench.qwen.inputs import Patches, grey_medium
from lmms_eval_shotbench.runs.response_store import response_key

GREY = "grey"  # in place of the digest of a medium
Ready = Mapping[str, "Future[dict[ShotView, Patches]]"]  # by digest


@dataclass(frozen=True)
class NamingPlan:
    """Media of one kind, each in several views, in batches."""

    questions: NamingQuestions
    media: dict[str, StoredMedium]  # by path
    rows: list[tuple[StoredMedium, ShotView]]  # distinct media only
    batches: list[list[Planned]]  # by index in `rows`
    failures: dict[str, str] = field(default_factory=dict)  # why a medium has no answer, by path or digest

    @property
    def tokens(self) -> int:
        """Number of tokens of all batches."""
        return sum(map(_tokens, self.batches))

    def failure(self, path: str) -> str | None:
        """Why a medium has no answer; None if it has."""
        return self.failures.get(path) or self.failures.get(self.media[path].sha256)


class Found(NamedTuple):
    """Log-probabilities of the continuations of one question."""

    row: int
    slug: str
    values: list[float]


class NamingRunner:
    """Answers naming questions with a checkpoint. Not thread-safe."""

    def __init__(self, checkpoint: Checkpoint, shown: ShownMedia, batch_tokens: int, workers: int) -> None:
        """Start the threads that decode media.

        Args:
            checkpoint: Model and processor; the text model must attend by `sdpa`.
            shown: How media are shown.
            batch_tokens: Maximum of rows x longest prompt per batch.
            workers: Number of threads.
        """
        self._checkpoint, self._shown, self._batch_tokens = checkpoint, shown, batch_tokens
        self._budget = TokenBudget(batch_tokens)
        self._threads = media_threads(workers)

    def keys(self, questions: NamingQuestions, digest: str, view: ShotView) -> dict[str, str]:
        """Keys of everything that determines an answer, by dimension."""
        where = {
            "medium": digest,
            "view": view_name(view),
            "revision": self._checkpoint.revision,
            "shown": self._shown.limits._asdict(),
            "computed": self._checkpoint.numerics,
        }
        return {slug: response_key(where | {"asked": asked}) for slug, asked in questions.fingerprints.items()}

    def plan(self, questions: NamingQuestions, folder: Path, paths: Sequence[str]) -> NamingPlan:
        """Estimate prompt lengths from the headers of media, whose paths are relative to `folder`."""
        opened = self._threads.map(lambda path: self._shown.opened(questions.kind, folder / path), paths)
        media, tokens, failures = dict[str, StoredMedium](), dict[str, int](), dict[str, str]()
        for path, found in zip(paths, opened, strict=True):
            if isinstance(found, str):
                failures[path] = found
            else:
                media[path], grid = found
                tokens[media[path].sha256] = self._checkpoint.architecture.medium_tokens(grid)
        distinct = {medium.sha256: medium for medium in media.values()}
        rows = [(medium, view) for medium in distinct.values() for view in self._shown.views[questions.kind]]
        text = len(questions.tree.trunk) - 1 + len(questions.tree.tokens)
        planned = [Planned(index, text + tokens[one.sha256], (one.sha256,)) for index, (one, _view) in enumerate(rows)]
        return NamingPlan(questions, media, rows, plan_batches(planned, self._batch_tokens, 0), failures)

    def run(self, plan: NamingPlan, store: VoteStore) -> Iterator[int]:
        """Run what is not stored; yield numbers of tokens as they are finished, `plan.tokens` altogether."""
        keys = [self.keys(plan.questions, medium.sha256, view) for medium, view in plan.rows]
        is_stored = [all(key in store for key in of_row.values()) for of_row in keys]
        # A batch is run as it was planned even if a part is stored: rounding depends on its composition.
        pending = [batch for batch in plan.batches if not all(is_stored[one.chat_index] for one in batch)]
        yield plan.tokens - sum(map(_tokens, pending))
        media = {medium.sha256: medium for medium, _view in plan.rows}
        decode = Lookahead(lambda digest: self._shown.in_all_views(media[digest]), self._threads, self._batch_tokens)
        for batch, ready in decode.run(pending):
            for part, found in self._budget.within_memory(batch, 0, partial(self._answers, plan, ready)):
                if found is None:
                    plan.failures[part[0].media[0]] = too_long(part[0])
                else:
                    store.keep({keys[one.row][one.slug]: one.values for one in found})
                yield _tokens(part)

    def on_grey(self, questions: NamingQuestions, store: VoteStore) -> dict[str, Sequence[float]]:
        """Return log-probabilities on a grey medium, by dimension: what the model names without seeing anything."""
        keys = self.keys(questions, GREY, AS_FILMED)
        if any(key not in store for key in keys.values()):
            grey = grey_medium(questions.kind, self._shown.limits, self._shown.rule)
            store.keep({keys[one.slug]: one.values for one in self._log_probabilities(questions, [(0, grey)])})
        return {slug: store[key] for slug, key in keys.items()}

    def _answers(self, plan: NamingPlan, ready: Ready, batch: Sequence[Planned]) -> list[Found]:
        rows = []
        for one in batch:
            medium, view = plan.rows[one.chat_index]
            try:
                rows.append((one.chat_index, ready[medium.sha256].result()[view]))
            except UNREADABLE as error:
                plan.failures[medium.sha256] = str(error)
        return self._log_probabilities(plan.questions, rows) if rows else []

    def _log_probabilities(self, questions: NamingQuestions, rows: Sequence[tuple[int, Patches]]) -> list[Found]:
        rows = sorted(rows, key=lambda row: (row[1].grid, row[0]))  # media of one size are prefilled together
        found = self._checkpoint.log_probabilities([one for _, one in rows], questions.tree, questions.rule.gap)
        return [
            Found(index, slug, values)
            for (index, _), of_row in zip(rows, found, strict=True)
            for slug, values in questions.log_probabilities(of_row)
        ]


def _tokens(batch: Sequence[Planned]) -> int:
    return sum(one.tokens for one in batch)
