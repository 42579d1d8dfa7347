"""Is a set of questions fit to teach and to test with? Every check on finished questions, in one report.

Owns the report, its forms (JSON, a section of the card) and what fails: a medium that cannot be decoded, an answer that
the grader does not accept, a dimension that answers itself (`blind_audit.py`), a film or a picture in two splits, a
picture of the benchmark. Letters and terms, and pictures that stand twice in one split, are reported without a verdict.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_pipeline.checks.blind_audit import ALL_SPLITS, MARGIN, BlindAccuracy, audit_blind
from data_pipeline.checks.decontaminate import BenchmarkMedium, benchmark_media, questions_in_benchmark
from data_pipeline.checks.duplicates import near_pairs, say_the_same
from data_pipeline.checks.media_looks import LookedAt, look_at_shards
from data_pipeline.shards.manifest import verify_data
from data_pipeline.workers import Workers
from lmms_eval_shotbench.grading.grade import PROTOCOLS, grade
from lmms_eval_shotbench.prompts import PROMPT_STYLES
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import locate_shards
from lmms_eval_shotbench.runs.formatting import first_few
from lmms_eval_shotbench.scoring.letter_balance import letter_balance
from lmms_eval_shotbench.vocabulary import dimension_named

NAMED = 5  # of things that are wrong; the JSON names all


class AuditFailed(ValueError):
    """The questions are not fit to be written; `report` says why."""

    def __init__(self, report: AuditReport) -> None:
        super().__init__("; ".join(report.failures))
        self.report = report


@dataclass(frozen=True)
class AuditReport:
    """What the checks have found. Pairs and lists hold item ids."""

    questions: int
    media: int
    margin: float | None  # of the blind gate; None: no gate
    blind: Sequence[BlindAccuracy]
    letters: Mapping[str, Mapping[str, int]]  # right answers by dimension and letter
    terms: Mapping[str, Mapping[str, tuple[int, int]]]  # by dimension and option text: right, offered
    undecodable: Sequence[str] = ()  # media, each by its first question
    ungraded: Sequence[str] = ()
    films_in_two: Sequence[str] = ()
    twice_in_a_split: Sequence[tuple[str, str]] = ()
    across_splits: Sequence[tuple[str, str]] = ()
    in_benchmark: Sequence[tuple[str, str]] = ()  # ours, theirs
    benchmark: int = 0  # media compared with; 0: with none
    failures: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "failures", tuple(_failures(self)))

    def to_json(self) -> str:
        """The report as `audit.json` holds it."""
        row: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        row["blind"] = [
            {
                "split": blind.split,
                "dimension": blind.dimension,
                "questions": blind.accuracy.n,
                "accuracy": round(blind.accuracy.value, 4),
                "low": round(blind.accuracy.low, 4),
                "high": round(blind.accuracy.high, 4),
                "chance": round(blind.chance, 4),
            }
            for blind in self.blind
        ]
        return json.dumps(row, indent=1) + "\n"

    def to_markdown(self) -> str:
        """The whole report for a reader."""
        told = "What option frequencies alone get right, out of fold, over all splits:"
        return "\n".join([told, "", *blind_table(self.blind), "", self.checks_markdown()])

    def checks_markdown(self) -> str:
        """What was checked, as a section of a card that shows blind accuracy elsewhere."""
        gate = "no gate" if self.margin is None else f"surely more than {100 * self.margin:g} points above chance fails"
        benchmark = f"{len(self.in_benchmark):,} of {self.benchmark:,}" if self.benchmark else "not compared with any"
        return "\n".join(
            [
                f"* Option frequencies alone: {gate}; below chance is no fault: where answers are balanced exactly, "
                "each makes itself rarer among the others",
                f"* Media that cannot be decoded: {len(self.undecodable):,}",
                f"* Right answers that the grader does not accept: {len(self.ungraded):,}",
                f"* Films in two splits: {len(self.films_in_two):,}",
                f"* Pairs of media that look alike, across splits: {len(self.across_splits):,}; "
                f"in one split, with the same labels: {len(self.twice_in_a_split):,}",
                f"* Questions on media of a benchmark: {benchmark}",
                "",
                *(f"**Failed**: {failure}" for failure in self.failures),
                "All figures are in `audit.json`." if not self.failures else "",
            ]
        )


def blind_table(blind: Iterable[BlindAccuracy], split: str = ALL_SPLITS) -> list[str]:
    """Lines of a Markdown table, one a dimension."""
    lines = ["| dimension | questions | blind | 95 % interval | chance |", "| --- | ---: | ---: | ---: | ---: |"]
    for row in blind:
        if row.split == split:
            estimate = row.accuracy
            numbers = f"{estimate.value:.1%} | {estimate.low:.1%} to {estimate.high:.1%} | {row.chance:.1%}"
            lines.append(f"| {dimension_named(row.dimension).paper_name} | {estimate.n:,} | {numbers} |")
    return lines


def audit_shards(name: str, against: Sequence[str], margin: float | None, workers: Workers) -> AuditReport:
    """Audit finished shards, media included.

    Raises:
        DatasetNotFound: there are none.
        Damaged: a file of rows is not what the manifest says.
    """
    folder: Path = locate_shards(name)
    verify_data(folder)
    return audit(look_at_shards(folder, workers), benchmark_media(against, workers), margin)


def audit(
    rows: Sequence[LookedAt], benchmark: Sequence[BenchmarkMedium] = (), margin: float | None = MARGIN
) -> AuditReport:
    """Run all checks."""
    by_split: defaultdict[str, list[QAItem]] = defaultdict(list)
    for row in rows:
        by_split[row.split].append(row.item)
    items = [row.item for row in rows]
    twice, across = _look_alikes(rows)
    in_benchmark = questions_in_benchmark(items, [row.look for row in rows], benchmark)
    return AuditReport(
        questions=len(items),
        media=len({item.medium for item in items}),
        margin=margin,
        blind=audit_blind(by_split),
        letters=_letters(items),
        terms=_terms(items),
        undecodable=_undecodable(rows),
        ungraded=[item.item_id for item in items if not is_gradable(item)],
        films_in_two=_films_in_two(by_split),
        twice_in_a_split=twice,
        across_splits=across,
        in_benchmark=[(items[found.place].item_id, found.item_id) for found in in_benchmark],
        benchmark=len(benchmark),
    )


def is_gradable(item: QAItem) -> bool:
    """Whether the right letter is right by every protocol, in every prompt style's form, and the right text by ours.

    The official rules do not read every right text: "Extreme Wide" says "Wide" as well.
    """
    letters = {style.well_formed(item.answer) for style in PROMPT_STYLES}
    by_letter = all(grade(item, answer, protocol).correct for answer in letters for protocol in PROTOCOLS)
    return by_letter and grade(item, f"<answer>{item.gold}</answer>").correct


def _failures(report: AuditReport) -> Iterable[str]:
    if report.undecodable:
        yield f"{len(report.undecodable)} media cannot be decoded, those of: {_first(report.undecodable)}"
    if report.ungraded:
        yield f"{len(report.ungraded)} right answers are not right to the grader: {_first(report.ungraded)}"
    for blind in report.blind if report.margin is not None else ():
        if not blind.passes(report.margin or 0.0):
            yield (
                f"{blind.dimension} ({blind.split}) can be answered without looking: option frequencies alone get "
                f"{blind.accuracy.value:.1%} of {blind.accuracy.n} right (at least {blind.accuracy.low:.1%}), "
                f"chance is {blind.chance:.1%}"
            )
    if report.films_in_two:
        yield f"{len(report.films_in_two)} films are in two splits: {_first(report.films_in_two)}"
    if report.across_splits:
        pairs = [" and ".join(pair) for pair in report.across_splits]
        yield f"{len(pairs)} pairs of media look alike across splits: {_first(pairs)}"
    if report.in_benchmark:
        pairs = [" as ".join(pair) for pair in report.in_benchmark]
        yield f"{len(pairs)} questions show media of the benchmark: {_first(pairs)}"


def _first(names: Sequence[str]) -> str:
    return first_few(names, NAMED, "...")


def _undecodable(rows: Iterable[LookedAt]) -> list[str]:
    first: dict[str, str] = {}
    for row in rows:
        if not row.look:
            first.setdefault(row.item.medium, row.item.item_id)
    return list(first.values())


def _letters(items: Iterable[QAItem]) -> dict[str, dict[str, int]]:
    by_dimension: defaultdict[str, list[QAItem]] = defaultdict(list)
    for item in items:
        by_dimension[item.dimension].append(item)
    return {slug: letter_balance(by_dimension[slug]).counts for slug in sorted(by_dimension)}


def _terms(items: Sequence[QAItem]) -> dict[str, dict[str, tuple[int, int]]]:
    right = Counter((item.dimension, item.gold) for item in items)
    offered = Counter((item.dimension, option) for item in items for option in item.options)
    by_dimension: defaultdict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for (dimension, text), count in sorted(offered.items(), key=lambda entry: (entry[0][0], -entry[1], entry[0][1])):
        by_dimension[dimension][text] = right[dimension, text], count
    return dict(by_dimension)


def _films_in_two(by_split: Mapping[str, Sequence[QAItem]]) -> list[str]:
    splits = Counter(film for items in by_split.values() for film in {item.film_id for item in items if item.film_id})
    return sorted(film for film, count in splits.items() if count > 1)


def _look_alikes(rows: Sequence[LookedAt]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Pairs of media, each named by its first question: in one split with the same labels, and across splits."""
    first: dict[tuple[str, str], LookedAt] = {}
    labels: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for row in rows:
        first.setdefault((row.split, row.item.medium), row)
        labels[row.split, row.item.medium][row.item.dimension] = row.item.gold
    media = list(first)
    twice, across = [], []
    for one, other in near_pairs([first[medium].look for medium in media]):
        pair = first[media[one]].item.item_id, first[media[other]].item.item_id
        if media[one][0] != media[other][0]:
            across.append(pair)
        elif say_the_same(labels[media[one]], labels[media[other]]):
            twice.append(pair)
    return twice, across
