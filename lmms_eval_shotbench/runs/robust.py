"""`shotbench robust`: a run on the original questions compared with runs on their variants (`scoring/robustness.py`).

The variants' questions are recreated from the originals, and runs on other questions are refused, so that each letter
refers to a known option.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import read_questions
from lmms_eval_shotbench.questions.variants import (
    Variant,
    original_id,
    published_refinement,
    rotation_index,
    variant_named,
    variant_named_in,
)
from lmms_eval_shotbench.runs.response_counts import NOT_MEASURED, not_measured_text, too_many_refusals
from lmms_eval_shotbench.runs.score import fingerprint
from lmms_eval_shotbench.runs.scores_schema import BadRun
from lmms_eval_shotbench.runs.stored_runs import StoredRun
from lmms_eval_shotbench.scoring.metrics import Estimate
from lmms_eval_shotbench.scoring.robustness import Robustness, VariantAnswers, VariantScores, variant_scores
from lmms_eval_shotbench.vocabulary import DIMENSIONS

LettersByItem = Mapping[int, str | None]
SCHEMA = 2  # of the JSON; incremented when a field changes its meaning


def read_originals(run: StoredRun, given: str | None, split: str | None) -> list[QAItem]:
    """Read the original questions of a run: those given, or those in its record.

    Raises:
        BadRun: The run has no record of its data, and none was given.
        DatasetNotFound, BadRow: The questions cannot be read.
    """
    name = given or run.how.get("data")
    if not name:
        raise BadRun(f"{run.name} has no record of its questions; give them with --data")
    return read_questions(name, split or run.how.get("split") or "test")


def scores_of_variants(
    originals: Sequence[QAItem], original: StoredRun, variants: Sequence[StoredRun]
) -> list[VariantScores]:
    """Score each variant's run against the run on the original questions.

    Raises:
        BadRun: `original` is a run of a variant, one of `variants` is not, two are of the same variant, or the runs
            differ in their questions or protocol.
    """
    if own := variant_named_in(original.items[0].item_id):
        raise BadRun(f"{original.name} is a run of {own.name} questions; give the run on the original questions first")
    names = [variant_of(run).name for run in variants]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadRun(f"{original.name}: {', '.join(twice)} is given twice; give one run of each variant")
    letters = letters_of(original, originals)
    return [_scores(originals, letters, run, original) for run in variants]


def own_original(originals: Sequence[QAItem], circular: StoredRun) -> StoredRun:
    """Extract the run on the original questions from a circular run: its first rotations.

    Raises:
        BadRun: The run is not circular.
    """
    if variant_of(circular).name != "circular":
        raise BadRun(f"{circular.name} needs the run on the original questions: ORIGINAL VARIANT …")
    first = {rotation_index(item.source_index, 0): item for item in originals}
    items = [
        one.__class__(**asdict(one) | {"index": first[one.index].source_index, "item_id": first[one.index].item_id})
        for one in circular.items
        if one.index in first
    ]
    return StoredRun(circular.name, circular.protocol, items, circular.how, samples=circular.samples)


def variant_of(run: StoredRun) -> Variant:
    """Return the variant of a run, from its item ids; raises `BadRun` if it is not a run of one variant."""
    named = {variant.name for item in run.items if (variant := variant_named_in(item.item_id))}
    if len(named) != 1:
        raise BadRun(f"{run.name} is not a run of a variant; tasks of variants are named like shotbench_mirrored")
    refined = (run.how.get("refined") or {}).get("file")
    if named == {"refined"} and refined:
        return published_refinement({item.source_index: item for item in read_questions(Path(refined))})
    return variant_named(named.pop())


def letters_of(run: StoredRun, items: Sequence[QAItem]) -> LettersByItem:
    """Return letters by index; raises `BadRun` if the run has other questions than `items`."""
    known = {item.source_index: fingerprint(item) for item in items}
    unknown = [one.index for one in run.items if known.get(one.index) != one.asked]
    if unknown:
        raise BadRun(
            f"{run.name}: {len(unknown)} of its questions are not among these (index {unknown[0]} first); give its "
            "original questions with --data"
        )
    return {one.index: one.letter for one in run.items}


def _scores(originals: Sequence[QAItem], letters: LettersByItem, run: StoredRun, original: StoredRun) -> VariantScores:
    if run.protocol != original.protocol:
        raise BadRun(f"{run.name} is graded by protocol {run.protocol}, the original by {original.protocol}")
    variant = variant_of(run)
    asked, missing = variant_answers(originals, letters, run, variant)
    refused_too_often = not variant.shows_media and too_many_refusals(run.refused, run.responses)
    remarks = [not_measured_text(run.refused, run.responses)] if refused_too_often else []
    return replace(
        variant_scores(variant, asked, measured=not refused_too_often),
        left_out=[item.source_index for item in variant.left_out(originals)],
        remarks=remarks + _remarks_on_variant(original, run, missing),
    )


def variant_answers(
    originals: Sequence[QAItem], letters: LettersByItem, run: StoredRun, variant: Variant
) -> tuple[list[VariantAnswers], int]:
    """Pair the answers to original questions with those of a variant's run.

    Args:
        originals: Original questions, all of those that the variant's run was derived from.
        letters: Answers to the original questions by index.
        run: Run on the variant.
        variant: Variant of the run (`variant_of`).

    Returns:
        The questions of which both runs have all versions, and the number of those that only `letters` has.

    Raises:
        BadRun: The run has questions that are not derived from the originals.
    """
    questions = variant.of(originals)
    changed_letters = letters_of(run, questions)
    derived: defaultdict[str, list[QAItem]] = defaultdict(list)
    for item in questions:
        derived[original_id(item.item_id)].append(item)
    known = [item for item in originals if item.source_index in letters and item.item_id in derived]
    complete = [item for item in known if all(to.source_index in changed_letters for to in derived[item.item_id])]
    asked = [
        VariantAnswers(
            item,
            letters[item.source_index],
            [(to, changed_letters[to.source_index]) for to in derived[item.item_id]],
        )
        for item in complete
    ]
    return asked, len(known) - len(complete)


def _remarks_on_variant(original: StoredRun, run: StoredRun, missing: int) -> list[str]:
    """Return remarks on differences between the two runs other than the variant."""
    remarks = []
    if missing:
        remarks.append(f"left out, because {run.name} does not contain all their versions: {missing} questions")
    for what in ("model", "prompt_style"):
        values = [one.how.get(what) for one in (original, run)]
        if None not in values and values[0] != values[1]:
            remarks.append(f"the {what.replace('_', ' ')}s differ: {values[0]} and {values[1]}")
    if original.samples > 1 or run.samples > 1:
        remarks.append(
            f"letters are majority votes: of {original.samples} and {run.samples} samples of each question; accuracies "
            "are those of the votes"
        )
    if run.unanswered:
        remarks.append(f"without any response, which counts as wrong: {len(run.unanswered)}")
    return remarks


def robust_json(found: Sequence[VariantScores]) -> dict[str, Any]:
    """Return the JSON format of docs/variants.md."""
    return {"schema": SCHEMA, "variants": {one.variant: _plain(one) for one in found}}


def _plain(one: VariantScores) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if name != "variant"}


def robust_table(found: Sequence[VariantScores]) -> str:
    """Format the table for a terminal, in percent."""
    return "\n\n".join("\n".join(_lines(one)) for one in found)


def _lines(one: VariantScores) -> list[str]:
    names = {dimension.slug: dimension.paper_name for dimension in DIMENSIONS}
    lines = [f"{one.variant:24}{'items':>7}{'original':>10}{one.variant:>10}{'consistent':>12}{'both':>8}"]
    lines[0] += f"{'robust':>9}{'of':>6}{'95 % interval':>17}"
    lines += [_robustness_row(names[slug], numbers) for slug, numbers in one.by_dimension.items()]
    lines += ["", _robustness_row("over items (micro)", one.overall)]
    left_out = [f"left out, because the correct answer is unknown in this variant: {len(one.left_out)} questions"]
    return [*lines, *(left_out if one.left_out else []), *one.remarks]


def _robustness_row(name: str, one: Robustness) -> str:
    changed = f"{_percent(one.changed):>10}{_percent(one.consistency):>12}" if one.changed else f"{NOT_MEASURED:>22}"
    known = f"{name:24}{one.n:>7}{_percent(one.original):>10}{changed}{_percent(one.both):>8}{_percent(one.robust):>9}"
    if one.robust is None:
        return known
    return known + f"{one.robust.n:>6}{f'{100 * one.robust.low:.1f} – {100 * one.robust.high:.1f}':>17}"


def _percent(estimate: Estimate | None) -> str:
    return f"{100 * estimate.value:.2f}" if estimate else "–"


FORMATS: dict[str, Callable[[Sequence[VariantScores]], str]] = {
    "table": robust_table,
    "json": lambda found: json.dumps(robust_json(found), indent=1),
}
