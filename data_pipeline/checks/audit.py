"""The audit of finished questions, before they are used for training or evaluation: all checks in one report.

Owns the report, its output formats (JSON, Markdown, a section of the dataset card) and the criteria for failure: a
medium that cannot be decoded, a right answer that the grader rejects, a dimension that can be answered without the
media (`blind_audit.py`), a film or a near-duplicate in two splits, a medium of a benchmark. Counts of letters and
terms, near-duplicates within one split, and warnings about media are reported but are never a failure.
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
from data_pipeline.checks.duplicates import labels_agree, near_pairs
from data_pipeline.checks.media_hashes import HashedItem, hash_shards
from data_pipeline.checks.same_films import similar_ids
from data_pipeline.shards.manifest import verify_data
from data_pipeline.workers import Workers
from lmms_eval_shotbench.grading.grade import PROTOCOLS, grade
from lmms_eval_shotbench.prompts import PROMPT_STYLES
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import locate_shards
from lmms_eval_shotbench.runs.formatting import first_few
from lmms_eval_shotbench.scoring.letter_balance import letter_balance
from lmms_eval_shotbench.vocabulary import dimension_named

OTHER_COPIES = "only `shotbench data leaks` finds copies that are mirrored, in black bars or cut from a clip"
NAMED = 5  # item ids listed in a failure message; the JSON lists all


class AuditFailed(ValueError):
    """The questions did not pass the audit; `report` gives the reasons."""

    def __init__(self, report: AuditReport) -> None:
        super().__init__("; ".join(report.failures))
        self.report = report


@dataclass(frozen=True)
class AuditReport:
    """Results of all checks. Lists and pairs are of item ids, where not stated otherwise."""

    questions: int
    media: int
    margin: float | None  # maximum blind accuracy above chance, as a fraction; None: no gate
    blind: Sequence[BlindAccuracy]
    letters: Mapping[str, Mapping[str, int]]  # right answers by dimension and letter
    terms: Mapping[str, Mapping[str, tuple[int, int]]]  # by dimension and option text: (times right, times offered)
    undecodable: Sequence[str] = ()  # the first question about each medium that cannot be decoded
    unusable: int = 0  # number of all questions about these media
    causes: Mapping[str, str] = field(default_factory=dict)  # file and cause of each, by question
    ungraded: Sequence[str] = ()  # questions whose right answer the grader rejects
    films_in_two: Sequence[str] = ()  # ids of films that are in more than one split
    similar_ids_in_two: Sequence[Sequence[str]] = ()  # film ids that differ only in spelling, in more than one split
    twice_in_a_split: Sequence[tuple[str, str]] = ()  # near-duplicates in one split with the same labels
    across_splits: Sequence[tuple[str, str]] = ()  # near-duplicates in different splits
    in_benchmark: Sequence[tuple[str, str]] = ()  # (our question, question of the benchmark)
    benchmark: int = 0  # number of benchmark media compared with
    media_warnings: Mapping[str, Sequence[str]] = field(default_factory=dict)  # first question of each medium, by kind
    failures: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "failures", tuple(_failures(self)))

    def to_json(self) -> str:
        """The content of `audit.json`."""
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
        """The complete report as Markdown."""
        heading = "Blind accuracy of option frequencies alone, out of fold, over all splits:"
        return "\n".join([heading, "", *blind_table(self.blind), "", self.checks_markdown()])

    def checks_markdown(self) -> str:
        """All checks except the table of blind accuracy, as a section of the dataset card."""
        gate = "no gate"
        if self.margin is not None:
            gate = f"fails if more than {100 * self.margin:g} points above chance, at 95 % confidence"
        benchmark = "not compared with any"
        if self.benchmark:
            benchmark = f"{len(self.in_benchmark):,} of {self.benchmark:,}; {OTHER_COPIES}"
        return "\n".join(
            [
                f"* Option frequencies alone: {gate}; below chance is expected: with exactly balanced answers, each "
                "question's own answer is rarer among the others",
                f"* Media that cannot be decoded: {len(self.undecodable):,}, of {self.unusable:,} questions",
                f"* Right answers that the grader does not accept: {len(self.ungraded):,}",
                f"* Films in two splits: {len(self.films_in_two):,}",
                *(
                    f"* Film ids in two splits that differ only in spelling: {' and '.join(map(repr, film_ids))}"
                    for film_ids in self.similar_ids_in_two
                ),
                f"* Near-duplicate pairs of media, across splits: {len(self.across_splits):,}; "
                f"in one split, with the same labels: {len(self.twice_in_a_split):,}",
                f"* Questions on media of a benchmark: {benchmark}",
                *(
                    f"* Media that other backends may refuse or show differently, {kind}: {len(ids):,} ({_first(ids)})"
                    for kind, ids in self.media_warnings.items()
                ),
                "",
                *(f"**Failed**: {failure}" for failure in self.failures),
                "All figures are in `audit.json`." if not self.failures else "",
            ]
        )


def blind_table(blind: Iterable[BlindAccuracy], split: str = ALL_SPLITS) -> list[str]:
    """Lines of a Markdown table with one row per dimension."""
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
        DatasetNotFound: there are no shards of this name.
        Damaged: a data file does not match the manifest.
    """
    folder: Path = locate_shards(name)
    verify_data(folder)
    return audit(hash_shards(folder, workers), benchmark_media(against, workers), margin)


def audit(
    rows: Sequence[HashedItem], benchmark: Sequence[BenchmarkMedium] = (), margin: float | None = MARGIN
) -> AuditReport:
    """Run all checks."""
    by_split: defaultdict[str, list[QAItem]] = defaultdict(list)
    for row in rows:
        by_split[row.split].append(row.item)
    items = [row.item for row in rows]
    twice, across = _look_alikes(rows)
    causes = _undecodable(rows)
    in_benchmark = questions_in_benchmark(items, [row.media_hash for row in rows], benchmark)
    return AuditReport(
        questions=len(items),
        media=len({item.medium for item in items}),
        margin=margin,
        blind=audit_blind(by_split),
        letters=_letters(items),
        terms=_term_counts(items),
        undecodable=list(causes),
        unusable=sum(row.flaw is not None for row in rows),
        causes=causes,
        ungraded=[item.item_id for item in items if not is_gradable(item)],
        films_in_two=_films_in_two(by_split),
        similar_ids_in_two=_similar_ids_in_two(by_split),
        twice_in_a_split=twice,
        across_splits=across,
        in_benchmark=[(items[match.position].item_id, match.item_id) for match in in_benchmark],
        benchmark=len(benchmark),
        media_warnings=_media_warnings(rows),
    )


def is_gradable(item: QAItem) -> bool:
    """Return whether graders accept the right answer.

    As a letter, it must be accepted under every protocol and in every prompt style; as the text of the option, under
    the strict protocol only, since the official rules cannot accept every text: "Extreme Wide" also contains "Wide".
    """
    letters = {style.well_formed(item.answer) for style in PROMPT_STYLES}
    by_letter = all(grade(item, answer, protocol).correct for answer in letters for protocol in PROTOCOLS)
    return by_letter and grade(item, f"<answer>{item.gold}</answer>").correct


def _failures(report: AuditReport) -> Iterable[str]:
    if report.undecodable:
        cause = next(iter(report.causes.values()), "")
        yield (
            f"{len(report.undecodable)} media cannot be decoded, those of: {_first(report.undecodable)}; {cause}; "
            f"{report.unusable} of {report.questions} questions are about them"
        )
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


def _undecodable(rows: Iterable[HashedItem]) -> dict[str, str]:
    """File and cause of each medium that cannot be decoded, by the id of its first question."""
    first: dict[str, tuple[str, str]] = {}
    for row in rows:
        if row.flaw:
            first.setdefault(row.item.medium, (row.item.item_id, f"{row.item.media_path}: {row.flaw.detail}"))
    return dict(first.values())


def _media_warnings(rows: Iterable[HashedItem]) -> dict[str, list[str]]:
    first: dict[tuple[str, str], str] = {}  # by kind and medium
    for row in rows:
        for warning in row.warnings:
            first.setdefault((str(warning.kind), row.item.medium), row.item.item_id)
    by_kind: defaultdict[str, list[str]] = defaultdict(list)
    for (kind, _), item_id in first.items():
        by_kind[kind].append(item_id)
    return dict(by_kind)


def _letters(items: Iterable[QAItem]) -> dict[str, dict[str, int]]:
    by_dimension: defaultdict[str, list[QAItem]] = defaultdict(list)
    for item in items:
        by_dimension[item.dimension].append(item)
    return {slug: letter_balance(by_dimension[slug]).counts for slug in sorted(by_dimension)}


def _term_counts(items: Sequence[QAItem]) -> dict[str, dict[str, tuple[int, int]]]:
    right = Counter((item.dimension, item.gold) for item in items)
    offered = Counter((item.dimension, option) for item in items for option in item.options)
    by_dimension: defaultdict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for (dimension, text), count in sorted(offered.items(), key=lambda entry: (entry[0][0], -entry[1], entry[0][1])):
        by_dimension[dimension][text] = right[dimension, text], count
    return dict(by_dimension)


def _films_in_two(by_split: Mapping[str, Sequence[QAItem]]) -> list[str]:
    splits = Counter(film for items in by_split.values() for film in {item.film_id for item in items if item.film_id})
    return sorted(film for film, count in splits.items() if count > 1)


def _similar_ids_in_two(by_split: Mapping[str, Sequence[QAItem]]) -> list[tuple[str, ...]]:
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for split, items in by_split.items():
        for item in items:
            splits[item.film_id].add(split)
    spellings = similar_ids(film_id for film_id in sorted(splits) if film_id)
    return [same.film_ids for same in spellings if len(set().union(*(splits[one] for one in same.film_ids))) > 1]


def _look_alikes(rows: Sequence[HashedItem]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return near-duplicate pairs in one split with the same labels, and pairs across splits.

    A medium is named by the id of its first question.
    """
    first: dict[tuple[str, str], HashedItem] = {}
    labels: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for row in rows:
        first.setdefault((row.split, row.item.medium), row)
        labels[row.split, row.item.medium][row.item.dimension] = row.item.gold
    media = list(first)
    twice, across = [], []
    for one, other in near_pairs([first[medium].media_hash for medium in media]):
        pair = first[media[one]].item.item_id, first[media[other]].item.item_id
        if media[one][0] != media[other][0]:
            across.append(pair)
        elif labels_agree(labels[media[one]], labels[media[other]]):
            twice.append(pair)
    return twice, across
