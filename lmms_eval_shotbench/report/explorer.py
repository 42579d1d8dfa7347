"""The shot explorer: every item with its medium, question, options, correct answer and the answer of each run.

`explorer_section` returns the three parts that the page includes. Responses are data in an inert JSON element, which
explorer.js inserts as text only. Grades are those of the stored runs; nothing is graded here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from itertools import zip_longest
from typing import Any, NamedTuple

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.report.gather import ReportRun
from lmms_eval_shotbench.report.thumbnails import Thumbnail, media_of_runs, thumbnails
from lmms_eval_shotbench.runs.stored_runs import AnsweredItem
from lmms_eval_shotbench.scoring.option_prior import blind_letters
from lmms_eval_shotbench.vocabulary import DIMENSIONS, dimension_named

RESPONSES_MB = 4.0  # budget of all responses; three runs of 3,572 responses with thoughts take 2.6
MB = 1_000_000

QuestionKey = tuple[str, str]  # item id and fingerprint, which identify a question across runs


@dataclass(frozen=True, slots=True)
class RunAnswer:
    """The answer of one run to an item."""

    letter: str | None  # None: undecided
    correct: bool
    response: str | None  # as shown, possibly truncated; None if the run stored no responses, or in `samples`
    cut: int  # number of characters truncated
    samples: Sequence[RunAnswer] = ()  # of several samples, each one's answer; the answer is their majority vote


@dataclass(frozen=True, slots=True)
class ExplorerRecord:
    """One item, with the answers in the order of the runs. Question and options are empty if no run has them."""

    index: int
    item_id: str
    dimension: str  # slug
    question: str
    options: Sequence[str]
    answer: str  # the correct letter
    terms: Sequence[str]  # named by the correct option
    prior: str | None  # letter of the option prior (`scoring/option_prior.py`)
    medium: str  # key of its thumbnail
    kind: str
    answers: Sequence[RunAnswer | None]  # None: the run does not have this item


class ExplorerParts(NamedTuple):
    """Parts of the page: the section's content, and a style sheet and a script for the complete page.

    The page puts elements.js before the scripts.
    """

    html: str = ""
    css: str = ""
    js: str = ""


def explorer_section(runs: Sequence[ReportRun], thumbnails_mb: float) -> ExplorerParts:
    """Build the explorer of these runs, empty without runs; `thumbnails_mb` limits the pictures, in megabytes."""
    if not runs:
        return ExplorerParts()
    media = media_of_runs(runs)
    pictures = thumbnails(media, round(thumbnails_mb * MB))
    return explorer_parts([run.name for run in runs], explorer_records(runs), pictures, len(media) - len(pictures))


def explorer_records(runs: Sequence[ReportRun]) -> list[ExplorerRecord]:
    """Return the items of all runs, each once, in order of first occurrence."""
    questions, priors = _items_asked(runs), _priors(runs)
    answered = [{(one.item_id, one.asked): one for one in run.stored.items} for run in runs]
    first: dict[QuestionKey, AnsweredItem] = {}
    for items in answered:
        first |= {asked: one for asked, one in items.items() if asked not in first}
    responses = [one for run in runs for sample in run.responses for one in sample.values()]
    limit = shared_limit(responses, round(RESPONSES_MB * MB))
    return [
        _record(
            one,
            questions.get(asked),
            priors.get(asked),
            [_answer(items.get(asked), run, limit) for items, run in zip(answered, runs, strict=True)],
        )
        for asked, one in first.items()
    ]


def _items_asked(runs: Sequence[ReportRun]) -> dict[QuestionKey, QAItem]:
    return {
        (one.item_id, one.asked): item
        for run in runs
        if run.items
        for one, item in zip(run.stored.items, run.items, strict=True)
    }


def _priors(runs: Sequence[ReportRun]) -> dict[QuestionKey, str]:
    """Return the option prior's letters, estimated from each run's own questions as in scores.json."""
    letters: dict[QuestionKey, str] = {}
    for run in runs:
        if run.items:
            asked = [(one.item_id, one.asked) for one in run.stored.items]
            letters = dict(zip(asked, blind_letters(run.items), strict=True)) | letters
    return letters


def _record(
    one: AnsweredItem, item: QAItem | None, prior: str | None, answers: Sequence[RunAnswer | None]
) -> ExplorerRecord:
    label = item.label(item.answer) if item else None
    known = dimension_named(one.dimension)
    terms = [str(term) for term in known.terms if label and term in label.terms]
    return ExplorerRecord(
        index=one.index,
        item_id=one.item_id,
        dimension=one.dimension,
        question=item.question if item else "",
        options=item.options if item else (),
        answer=one.answer,
        terms=terms,
        prior=prior,
        medium=one.medium,
        kind=item.media_kind if item else known.media_kind,
        answers=answers,
    )


def _answer(one: AnsweredItem | None, run: ReportRun, limit: int) -> RunAnswer | None:
    if one is None:
        return None
    if one.letters:
        stored = zip_longest(one.letters, run.responses[: len(one.letters)])  # fewer if the file was truncated
        samples = [_response(letter, letter == one.answer, sample, one.index, limit) for letter, sample in stored]
        return RunAnswer(one.letter, one.correct, None, 0, samples)
    return _response(one.letter, one.correct, next(iter(run.responses), None), one.index, limit)


def _response(
    letter: str | None, correct: bool, responses: Mapping[int, str] | None, index: int, limit: int
) -> RunAnswer:
    if not responses:
        return RunAnswer(letter, correct, None, 0)
    response = responses.get(index, "")
    shown = cut_response(response, limit)
    return RunAnswer(letter, correct, shown, len(response) - len(shown))


def explorer_parts(
    names: Sequence[str], records: Sequence[ExplorerRecord], pictures: Mapping[str, Thumbnail], left_out: int = 0
) -> ExplorerParts:
    """Build the explorer of these records; `left_out` is the number of available media without a picture."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    found = {record.dimension for record in records}
    html = environment.from_string(package_file("explorer.html.j2")).render(
        names=names,
        records=records,
        dimensions=[dimension for dimension in DIMENSIONS if dimension.slug in found],
        terms={(record.dimension, term) for record in records for term in record.terms},
        pictures=len(pictures),
        left_out=left_out,
        items_json=script_json(_plain(names, records)),
        pictures_json=script_json(pictures),
    )
    return ExplorerParts(html, package_file("explorer.css"), package_file("explorer.js"))


def _plain(names: Sequence[str], records: Sequence[ExplorerRecord]) -> dict[str, Any]:
    return {
        "runs": names,
        "dimensions": {dimension.slug: dimension.paper_name for dimension in DIMENSIONS},
        "items": [asdict(record) | {"answers": list(map(_plain_answer, record.answers))} for record in records],
    }


def _plain_answer(answer: RunAnswer | None) -> dict[str, Any] | None:
    """Return the fields of an answer; `samples` only if there are several."""
    if answer is None:
        return None
    plain = {"letter": answer.letter, "correct": answer.correct, "response": answer.response, "cut": answer.cut}
    return plain | ({"samples": list(map(_plain_answer, answer.samples))} if answer.samples else {})


def package_file(name: str) -> str:
    """Return the text of a file next to this module."""
    return files("lmms_eval_shotbench.report").joinpath(name).read_text(encoding="utf-8")


LONGEST_RESPONSE = 20_000  # characters shown of one response


def shared_limit(responses: Iterable[str], budget: int) -> int:
    """Return the maximum bytes per response so that all take at most `budget`; only the longest are truncated."""
    rest, lengths = budget, sorted(map(_weight, responses))
    for index, length in enumerate(lengths):
        share = rest // (len(lengths) - index)
        if length > share:
            return share
        rest -= length
    return lengths[-1] if lengths else 0


def cut_response(response: str, limit: int) -> str:
    """Truncate a response to at most 20,000 characters and at most `limit` bytes in the page."""
    shown = response[:LONGEST_RESPONSE]
    while shown and (weight := _weight(shown)) > limit:
        shown = shown[: len(shown) * limit // weight]
    return shown


def _weight(response: str) -> int:
    """Return the bytes in the page of a response's first 20,000 characters."""
    return len(script_json(response[:LONGEST_RESPONSE]).encode())


_ESCAPED = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def script_json(value: object) -> str:
    """Return JSON that is safe inside a script element; lone surrogates become question marks."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_ESCAPED).encode("utf-8", "replace").decode()
