"""The questions of an exported run with their responses and grades, for formats that hold single samples.

Media are named by their path and checksum, never embedded: the formats are for figures and texts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from lmms_eval_shotbench.export.exported_run import ExportedRun
from lmms_eval_shotbench.grading.added_tags import with_built_in
from lmms_eval_shotbench.grading.grade import PROTOCOLS, Protocol
from lmms_eval_shotbench.grading.thoughts import split_thought
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.runs.responses import StoredResponse
from lmms_eval_shotbench.runs.score import EXTRACTOR, JUDGE
from lmms_eval_shotbench.runs.scores_schema import BadRun
from lmms_eval_shotbench.runs.stored_runs import tags_of_record
from lmms_eval_shotbench.vocabulary import dimension_named


class GradedAnswer(NamedTuple):
    """What the responses to one question answer under one protocol."""

    letters: tuple[str | None, ...]  # of each sample; None: undecided
    letter: str | None  # of several samples, of the majority
    correct: bool  # whether `letter` is the correct one
    share: float  # of correct samples
    rule: str  # that decided, or why none did; of several samples, of the first with `letter`

    @property
    def method(self) -> str:
        """What extracted the letter: the protocol's rules, or a language model."""
        if self.rule == JUDGE:
            return "llm_judge"
        return "llm_extractor" if self.rule.startswith(EXTRACTOR) else "rules"


class GradedQuestion(NamedTuple):
    """One question with its responses, one for each sample."""

    item: QAItem
    responses: tuple[StoredResponse, ...]
    thoughts: tuple[str, ...]  # of each response, by its tags; "" without one
    answers: Mapping[Protocol, GradedAnswer]

    @property
    def metadata(self) -> dict[str, Any]:
        """Facts about the question, without those that are unknown."""
        item = self.item
        found = {
            "index": item.source_index,
            "dimension": item.dimension,
            "category": dimension_named(item.dimension).release_label,
            "media": item.media_path,
            "media_kind": str(item.media_kind),
            "media_sha256": item.media_sha256,
            "medium": item.medium,
            "film": item.film_id,
            "start_seconds": item.start_seconds,
            "end_seconds": item.end_seconds,
            "source": item.source,
            "licence": item.licence,
        }
        return {name: value for name, value in found.items() if value not in ("", None)}


def graded_questions(run: ExportedRun) -> Iterator[GradedQuestion]:
    """Yield the questions that were asked, in the order of the run.

    Raises:
        BadRun: The questions or the responses are not available.
    """
    require_samples(run)
    tags = with_built_in(tags_of_record(run.how))
    rows = {protocol: _rows(run.scores(protocol)) for protocol in PROTOCOLS}
    for item in run.items:
        index = item.source_index
        responses = tuple(_as_unicode(sample.get(index) or _MISSING) for sample in run.samples)
        thoughts = tuple("" if one.unanswered else split_thought(one.text, tags).thought for one in responses)
        answers = {protocol: _answer(found[index]) for protocol, found in rows.items() if found}
        yield GradedQuestion(item, responses, thoughts, answers)


_MISSING = StoredResponse.absent("no response is stored")


def _as_unicode(response: StoredResponse) -> StoredResponse:
    """Replace lone surrogates, the halves of cut characters: the readers of the formats refuse them."""
    return response._replace(text=response.text.encode(errors="replace").decode())


def require_samples(run: ExportedRun) -> None:
    """Raise `BadRun` unless the run's questions and responses are available."""
    name = run.run.stored.name
    if not run.samples:
        raise BadRun(f"{name}: no responses are stored with it; export the folder of the run, or QUESTIONS RESPONSES")
    if not run.items:
        raise BadRun(f"{name}: its questions are not on this machine; give them with --data")


def _rows(scores: Mapping[str, Any] | None) -> dict[int, Mapping[str, Any]]:
    return {row["index"]: row for row in scores["items"]} if scores else {}


def _answer(row: Mapping[str, Any]) -> GradedAnswer:
    letters = tuple(row.get("letters") or [row["letter"]])
    share = row.get("share_correct", float(row["correct"]))
    return GradedAnswer(letters, row["letter"], row["correct"], share, row.get("how") or "")


def run_digest(run: ExportedRun) -> str:
    """Return 64 hex digits that identify a run: its model, settings, date, questions and responses.

    Ids in the exported files are derived from them, so that exporting a run again replaces its files.
    """
    digest = hashlib.sha256()
    settings = [run.model, run.revision, run.prompt_style, run.date]
    digest.update(json.dumps(settings).encode())
    for item in run.run.stored.items:
        texts = [sample[item.index].text if item.index in sample else None for sample in run.samples]
        digest.update(json.dumps([item.index, item.asked, texts]).encode())
    return digest.hexdigest()


def evaluated_at(run: ExportedRun) -> datetime:
    """Return the time of the evaluation, in UTC; a date is its beginning.

    Raises:
        BadRun: The date is unknown, or not in ISO 8601.
    """
    name = run.run.stored.name
    if not run.date:
        raise BadRun(f"{name}: the run records no date; give that of the evaluation as --date YYYY-MM-DD")
    try:
        found = datetime.fromisoformat(run.date)
    except ValueError:
        raise BadRun(f"{name}: {run.date!r} is no date; give that of the evaluation as --date YYYY-MM-DD") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
