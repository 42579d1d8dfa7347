"""What keeps the scores of a run from being a result of the benchmark, and what else their readers must know.

Deviations (a variant, a part of the questions, questions without a response) are refused by the formats that publish
results, unless they are allowed; then they are stated in the notes. Remarks (refusals, letters assigned by a language
model, several samples, warnings of the run) do not prevent a result, but belong to it, and are always stated.
"""

from __future__ import annotations

from collections import Counter

from lmms_eval_shotbench.export.exported_run import ExportedRun
from lmms_eval_shotbench.export.local_paths import without_folders
from lmms_eval_shotbench.grading.grade import Protocol
from lmms_eval_shotbench.model_args import parse_model_args
from lmms_eval_shotbench.report.published import are_all_of_shotbench, asks_all_of_shotbench
from lmms_eval_shotbench.runs.score import JUDGE
from lmms_eval_shotbench.runs.scores_schema import BadRun
from lmms_eval_shotbench.vocabulary import DIMENSIONS


def require_result(run: ExportedRun) -> None:
    """Raise `BadRun` with the deviations of a run that is not a result of the complete benchmark."""
    found = deviations(run)
    if found and not run.request.allow_deviations:
        raise BadRun(
            f"{run.run.stored.name} is not a result of the complete benchmark: {'; '.join(found)}. With "
            "--allow-deviations it is exported, with this in the notes"
        )


def deviations(run: ExportedRun) -> list[str]:
    """Return what keeps the scores from being a result of the benchmark, one phrase each."""
    found = [f"variant {run.run.variant} of the questions"] if run.run.variant else []
    found += ["grey in place of every picture (blank=True)"] if _is_blank(run) else []
    found += _missing_questions(run)
    if unanswered := len(run.run.stored.unanswered):
        found.append(f"{unanswered:,} of {len(run.run.stored.items):,} questions have no response")
    return found


def remarks(run: ExportedRun, protocol: Protocol) -> list[str]:
    """Return what belongs to the scores of a protocol, one phrase each."""
    scores, stored = run.scores(protocol) or {}, run.run.stored
    counts = scores.get("response_counts") or {}
    found = [f"refusals, which count as wrong: {counts['refused']:,}"] if counts.get("refused") else []
    if judged := sum(row.get("how") == JUDGE for row in scores.get("items", ())):
        found.append(f"letters assigned by a judge: {judged:,}")
    if extracted := (scores.get("extracted") or {}).get("letters"):
        found.append(f"letters assigned by an extractor: {extracted:,}")
    if stored.samples > 1:
        found.append(f"mean over {stored.samples} samples of each answer")
    if (generation := run.generation) and generation.temperature > 0:
        found.append(f"sampled at temperature {generation.temperature:g}")
    return found + [without_folders(str(warning)) for warning in run.how.get("warnings") or ()]


def _is_blank(run: ExportedRun) -> bool:
    """Whether `shotvl` replaced all media by grey."""
    passes = (run.how.get("passes") or {}).values()
    return any(
        parse_model_args(one.get("model_args") or "").get("blank", "").lower() in ("true", "1") for one in passes
    )


def _missing_questions(run: ExportedRun) -> list[str]:
    """Return the dimensions of which only a part was asked; those that were not asked at all have no figure."""
    if not run.set_items:
        known = not run.run.variant and run.is_shotbench and asks_all_of_shotbench(run.run.stored)
        return [] if known else ["it is unknown whether all questions were asked (--data gives them)"]
    if not run.request.dataset and run.is_shotbench and not run.run.variant and not are_all_of_shotbench(run.set_items):
        return ["the questions are only a part of ShotBench"]
    asked = Counter(item.dimension for item in run.run.stored.items)
    complete = Counter(item.dimension for item in run.set_items)
    return [
        f"{asked[one.slug]:,} of {complete[one.slug]:,} questions of {one.paper_name}"
        for one in DIMENSIONS
        if 0 < asked[one.slug] < complete[one.slug]
    ]
