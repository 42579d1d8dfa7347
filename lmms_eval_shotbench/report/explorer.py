"""The shot explorer: every item with its medium, question, options, right answer and what each run answered.

`explorer_section` gives the three parts that the page includes. What models wrote is data in an inert JSON element;
explorer.js puts it on the page as text alone. Nothing here counts: the words right, wrong and undecided are those of
the stored runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any, NamedTuple

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.report.gather import ReportRun
from lmms_eval_shotbench.report.thumbnails import Thumbnail, stored_media, thumbnails
from lmms_eval_shotbench.runs.stored_runs import AnsweredItem
from lmms_eval_shotbench.scoring.option_prior import blind_letters
from lmms_eval_shotbench.vocabulary import DIMENSIONS, dimension_named

RESPONSES_MB = 4.0  # of all responses together; three runs of 3,572 responses with thoughts are 2.6
MB = 1_000_000

Asked = tuple[str, str]  # item id and fingerprint: two runs that agree in it were asked the same


@dataclass(frozen=True, slots=True)
class RunAnswer:
    """What one run answered to an item."""

    letter: str | None  # None: undecided
    correct: bool
    response: str | None  # as much as is shown; None where the run kept no responses
    cut: int  # characters of the response beyond those


@dataclass(frozen=True, slots=True)
class ExplorerRecord:
    """One item, with the answers in the order of the runs. Question and options are empty where nobody has them."""

    index: int
    item_id: str
    dimension: str  # slug
    question: str
    options: Sequence[str]
    answer: str  # the right letter
    terms: Sequence[str]  # named by the right option
    prior: str | None  # letter of the option prior (`scoring/option_prior.py`)
    medium: str  # name under which its thumbnail is kept
    kind: str
    answers: Sequence[RunAnswer | None]  # None: this run was not asked


class ExplorerParts(NamedTuple):
    """What the page includes: a section's content, and a style sheet and a script for the whole page."""

    html: str
    css: str
    js: str


def explorer_section(runs: Sequence[ReportRun], thumbnails_mb: float) -> ExplorerParts:
    """The explorer of these runs; `thumbnails_mb` bounds the pictures (megabytes of the page)."""
    media = stored_media(runs)
    pictures = thumbnails(media, round(thumbnails_mb * MB))
    return explorer_parts([run.name for run in runs], explorer_records(runs), pictures, len(media) - len(pictures))


def explorer_records(runs: Sequence[ReportRun]) -> list[ExplorerRecord]:
    """All items that a run was asked, each once, in the order in which they are met."""
    questions, priors = _questions(runs), _priors(runs)
    answered = [{(one.item_id, one.asked): one for one in run.stored.items} for run in runs]
    first: dict[Asked, AnsweredItem] = {}
    for items in answered:
        first |= {asked: one for asked, one in items.items() if asked not in first}
    limit = shared_limit([one for run in runs for one in run.responses.values()], round(RESPONSES_MB * MB))
    return [
        _record(
            one,
            questions.get(asked),
            priors.get(asked),
            [_answer(items.get(asked), run, limit) for items, run in zip(answered, runs, strict=True)],
        )
        for asked, one in first.items()
    ]


def _questions(runs: Sequence[ReportRun]) -> dict[Asked, QAItem]:
    return {
        (one.item_id, one.asked): item
        for run in runs
        if run.items
        for one, item in zip(run.stored.items, run.items, strict=True)
    }


def _priors(runs: Sequence[ReportRun]) -> dict[Asked, str]:
    """The option prior's letters, learnt from each run's own questions, as scores.json has them."""
    letters: dict[Asked, str] = {}
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
    if not run.responses:
        return RunAnswer(one.letter, one.correct, None, 0)
    whole = run.responses.get(one.index, "")
    shown = cut_response(whole, limit)
    return RunAnswer(one.letter, one.correct, shown, len(whole) - len(shown))


def explorer_parts(
    names: Sequence[str], records: Sequence[ExplorerRecord], pictures: Mapping[str, Thumbnail], left_out: int = 0
) -> ExplorerParts:
    """The explorer of records already gathered; `left_out` media have no picture although they were there."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    found = {record.dimension for record in records}
    html = environment.from_string(_own("explorer.html.j2")).render(
        names=names,
        records=records,
        dimensions=[dimension for dimension in DIMENSIONS if dimension.slug in found],
        terms={(record.dimension, term) for record in records for term in record.terms},
        pictures=len(pictures),
        left_out=left_out,
        items_json=script_json(_plain(names, records)),
        pictures_json=script_json(pictures),
    )
    return ExplorerParts(html, _own("explorer.css"), _own("explorer.js"))


def _plain(names: Sequence[str], records: Sequence[ExplorerRecord]) -> dict[str, Any]:
    return {
        "runs": names,
        "dimensions": {dimension.slug: dimension.paper_name for dimension in DIMENSIONS},
        "items": [asdict(record) for record in records],
    }


def _own(name: str) -> str:
    return files("lmms_eval_shotbench.report").joinpath(name).read_text(encoding="utf-8")


LONGEST_RESPONSE = 20_000  # characters shown of one response


def shared_limit(responses: Iterable[str], budget: int) -> int:
    """How many bytes each response may take, so that all together take at most `budget`: only the longest are cut."""
    rest, lengths = budget, sorted(map(_weight, responses))
    for place, length in enumerate(lengths):
        even = rest // (len(lengths) - place)
        if length > even:
            return even
        rest -= length
    return lengths[-1] if lengths else 0


def cut_response(response: str, limit: int) -> str:
    """The beginning of a response: at most 20,000 characters, and at most `limit` bytes in the page."""
    shown = response[:LONGEST_RESPONSE]
    while shown and (weight := _weight(shown)) > limit:
        shown = shown[: len(shown) * limit // weight]
    return shown


def _weight(response: str) -> int:
    """Bytes in the page of what may be shown of a response."""
    return len(script_json(response[:LONGEST_RESPONSE]).encode())


_ESCAPED = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def script_json(value: object) -> str:
    """JSON that nothing in it can end: safe inside a script element. Broken characters become question marks."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_ESCAPED).encode("utf-8", "replace").decode()
