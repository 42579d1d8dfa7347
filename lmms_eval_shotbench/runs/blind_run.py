"""Accuracy of a stored blind run: what a model answers without media, which an audit shows beside the option prior.

A model may refuse to answer without a picture. Above a share of refusals the run says nothing about how far the
questions can be guessed, and its accuracy is not measured (`response_counts.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lmms_eval_shotbench.grading.grade import Grade
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.variants import original_id
from lmms_eval_shotbench.runs.response_counts import too_many_refusals
from lmms_eval_shotbench.runs.robust import variant_of
from lmms_eval_shotbench.runs.score import fingerprint
from lmms_eval_shotbench.runs.scores_schema import BadRun
from lmms_eval_shotbench.runs.stored_runs import StoredRun
from lmms_eval_shotbench.scoring.metrics import Estimate, Graded, accuracy, n_items
from lmms_eval_shotbench.vocabulary import DIMENSIONS


@dataclass(frozen=True)
class BlindRun:
    """Accuracies of a blind run; None if they are not measured, because too many responses are refusals."""

    name: str
    n: int
    refused: int
    overall: Estimate | None
    by_dimension: Mapping[str, Estimate | None]  # by slug


def blind_run(run: StoredRun, items: Sequence[QAItem]) -> BlindRun:
    """Compute the accuracies of a stored blind run on these questions.

    Raises:
        BadRun: The run was not blind, or has other questions.
    """
    if variant_of(run).shows_media:
        raise BadRun(f"{run.name} is a run with media; a blind run is one of the tasks shotbench_blind…")
    by_id = {item.item_id: item for item in items}
    graded: list[Graded] = []
    for one in run.items:
        item = by_id.get(original_id(one.item_id))
        if item is None or fingerprint(item) != one.asked:
            raise BadRun(f"{run.name} has other questions than those that are audited")
        graded += [
            Graded(item, Grade(letter, letter == one.answer, "stored", well_formed=False), number)
            for number, letter in enumerate(one.letters or (one.letter,), start=1)
        ]
    measured = not too_many_refusals(run.refused, len(graded))
    groups = {d.slug: [entry for entry in graded if entry.item.dimension == d.slug] for d in DIMENSIONS}
    return BlindRun(
        run.name,
        n_items(graded),
        run.refused,
        accuracy(graded) if measured else None,
        {slug: accuracy(group) if measured else None for slug, group in groups.items() if group},
    )
