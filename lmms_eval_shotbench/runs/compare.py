"""`shotbench compare`: paired comparison of two runs on the same questions. The statistics are in `scoring/paired.py`.

Runs on different questions, or graded by different rules, are refused with a message that states the difference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from textwrap import fill
from typing import Any, NamedTuple

from lmms_eval_shotbench.questions.variants import variant_named_in
from lmms_eval_shotbench.runs.formatting import first_few, p_text
from lmms_eval_shotbench.runs.stored_runs import AnsweredItem, StoredRun
from lmms_eval_shotbench.scoring.agreement import Agreement, Letters, agreement
from lmms_eval_shotbench.scoring.paired import LEVEL, Difference, Differences, Pair, difference, differences
from lmms_eval_shotbench.vocabulary import DIMENSIONS, View

SCHEMA = 1  # of the JSON; incremented when a field changes its meaning
# Items per medium above which a remark states that exact McNemar assumes independence; ShotBench has 1.02.
MANY_QUESTIONS = 1.1


class NotComparable(ValueError):
    """Two runs that cannot be compared; the message states what differs, and where."""


class UnpairedItems(NamedTuple):
    """Indices of items that cannot be paired."""

    only_a: list[int]
    only_b: list[int]
    asked_otherwise: list[int]  # in both, with another question, option, correct answer or medium

    def __str__(self) -> str:
        groups = (
            ("only in A", self.only_a),
            ("only in B", self.only_b),
            ("asked otherwise in B", self.asked_otherwise),
        )
        return "; ".join(f"{len(indices)} {where} (index {first_few(indices)})" for where, indices in groups if indices)


@dataclass(frozen=True)
class Comparison:
    """Comparison of B with A, with all contents of the JSON."""

    a: StoredRun
    b: StoredRun
    found: Differences
    decided: Difference | None  # over items that both decided; None if these are all items, or none
    agreement: Agreement
    gained: list[int]  # indices of items that only B answered correctly, or in a larger share of its samples
    lost: list[int]  # the same for A
    left_out: UnpairedItems
    remarks: list[str]

    @property
    def test(self) -> str:
        """Name of the test that gives p."""
        return "McNemar" if self.a.samples == self.b.samples == 1 else "sign-flip permutation"


def compare_runs(a: StoredRun, b: StoredRun, common: bool = False) -> Comparison:
    """Compare two runs item by item; with `common`, on the questions they share.

    Raises:
        NotComparable: The runs differ in protocol, media or questions, or share no question.
    """
    answered, left_out = paired_answers(a, b, common)
    pairs = [Pair(one.dimension, one.medium, one.share, other.share) for one, other in answered]
    decided = [pair for pair, (one, other) in zip(pairs, answered, strict=True) if one.decided and other.decided]
    return Comparison(
        a=a,
        b=b,
        found=differences(pairs),
        decided=difference(decided) if 0 < len(decided) < len(pairs) else None,
        agreement=agreement([Letters(one.medium, one.answer, one.letter, other.letter) for one, other in answered]),
        gained=[one.index for one, other in answered if other.share > one.share],
        lost=[one.index for one, other in answered if one.share > other.share],
        left_out=left_out,
        remarks=_remarks_on_comparison(a, b, answered, left_out),
    )


def paired_answers(
    a: StoredRun, b: StoredRun, common: bool = False
) -> tuple[list[tuple[AnsweredItem, AnsweredItem]], UnpairedItems]:
    """Pair the answers of two runs to the same questions; raises `NotComparable` like `compare_runs`."""
    _require_same("grading protocol", a.protocol, b.protocol)
    _require_same("view of the media", _media_view(a), _media_view(b))
    answered, left_out = _paired(a, b)
    if not answered or (any(left_out) and not common):
        hint = f"--common compares the {len(answered)} they share" if answered else "they share none"
        raise NotComparable(f"the two runs have different questions: {left_out}; {hint}")
    return answered, left_out


def _require_same(what: str, a: str, b: str) -> None:
    if a != b:
        raise NotComparable(f"the two runs differ in the {what}: {a} in A, {b} in B")


def _media_view(run: StoredRun) -> str:
    """Return the variants of the item ids that change the media; other variants differ in the questions."""
    variants = {variant_named_in(item.item_id) for item in run.items}
    changed = {one.name for one in variants if one and not (one.shows_media and one.view is View.AS_FILMED)}
    return ", ".join(sorted(changed)) or "original"


def _paired(a: StoredRun, b: StoredRun) -> tuple[list[tuple[AnsweredItem, AnsweredItem]], UnpairedItems]:
    first, second = a.by_index, b.by_index
    both = [(item, second[item.index]) for item in a.items if item.index in second]
    answered = [pair for pair in both if _is_same_question(*pair)]
    otherwise = {one.index for one, _ in both} - {one.index for one, _ in answered}
    return answered, UnpairedItems(sorted(first.keys() - second), sorted(second.keys() - first), sorted(otherwise))


def _is_same_question(one: AnsweredItem, other: AnsweredItem) -> bool:
    """Whether question and medium agree."""
    return one.asked == other.asked and is_same_medium(one.medium, other.medium)


def is_same_medium(one: str, other: str) -> bool:
    """Whether two media agree; a checksum is not compared with a path, as a `test.tsv` has paths only."""
    return one == other or ("." in one) != ("." in other)


def _remarks_on_comparison(
    a: StoredRun, b: StoredRun, answered: Sequence[tuple[AnsweredItem, AnsweredItem]], left_out: UnpairedItems
) -> list[str]:
    """Return remarks needed to interpret the numbers."""
    remarks = [f"left out: {left_out}"] if any(left_out) else []
    if a.samples > 1 or b.samples > 1:
        remarks.append(
            f"samples of each item: {a.samples} in A, {b.samples} in B; an item counts once, by its share of correct "
            "ones, and p is of the exact sign-flip permutation test"
        )
    styles = [run.how.get("prompt_style") for run in (a, b)]
    if None not in styles and styles[0] != styles[1]:
        remarks.append(f"the prompt styles differ: {styles[0]} in A, {styles[1]} in B")
    for what, indices in (
        (
            "undecided, which counts as wrong",
            [{item.index for item in run.items if not item.decided} for run in (a, b)],
        ),
        ("without any response, which counts as wrong", [set(run.unanswered) for run in (a, b)]),
        ("letters assigned by a judge", [set(run.judged) for run in (a, b)]),
        ("letters assigned by an extractor", [set(run.extracted) for run in (a, b)]),
    ):
        counts = [sum(one.index in those for one, _ in answered) for those in indices]
        if any(counts):
            remarks.append(f"{what}: {counts[0]} in A, {counts[1]} in B")
    media = len({one.medium for one, _ in answered})
    if len(answered) > MANY_QUESTIONS * media:
        remarks.append(f"{len(answered)} items on {media} media: p assumes independence, the intervals do not")
    return remarks


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return the JSON format of docs/compare.md."""
    one, found = comparison, comparison.found
    dimensions = {slug: asdict(each) | {"p_holm": found.p_holm[slug]} for slug, each in found.by_dimension.items()}
    return {
        "schema": SCHEMA,
        "protocol": one.a.protocol,
        "a": {"name": one.a.name, "run": one.a.how},
        "b": {"name": one.b.name, "run": one.b.how},
        "samples": {"a": one.a.samples, "b": one.b.samples},
        "test": one.test,
        "overall": asdict(found.overall),
        "macro": {name: value for name, value in asdict(found.macro).items() if name != "p"},  # a test over items
        "decided_by_both": asdict(one.decided) if one.decided else None,
        "by_dimension": dimensions,
        "agreement": asdict(one.agreement),
        "items": {"gained": one.gained, "lost": one.lost},
        "left_out": one.left_out._asdict(),
        "remarks": one.remarks,
    }


def comparison_table(comparison: Comparison, with_items: bool = False) -> str:
    """Format the table for a terminal, in percent and percentage points."""
    one, found = comparison, comparison.found
    names = {dimension.slug: dimension.paper_name for dimension in DIMENSIONS}
    rows = [
        _difference_row(names[slug], each, p_text(each.p), p_text(found.p_holm[slug]))
        for slug, each in found.by_dimension.items()
    ]
    rows += ["", _difference_row("over items (micro)", found.overall, p_text(found.overall.p))]
    rows += [_difference_row("  decided by both", one.decided, p_text(one.decided.p))] if one.decided else []
    rows += [
        _difference_row("over dimensions (macro)", found.macro),
        "",
        *_agreement_rows(one),
        "",
        _verdict(one),
        *one.remarks,
    ]
    if with_items:
        for name, indices in (("gained", one.gained), ("lost", one.lost)):
            rows += ["", fill(f"{name} ({len(indices)}): {', '.join(map(str, indices))}", 118)]
    return "\n".join([f"A  {one.a.name}", f"B  {one.b.name}", "", _HEAD, *rows])


_HEAD = (
    f"{'':24}{'items':>6}{'A':>8}{'B':>8}{'B - A':>8}{'95 % interval':>19}"
    f"{'p':>8}{'p (Holm)':>10}{'gained':>8}{'lost':>6}{'detectable':>12}"
)


def _difference_row(name: str, one: Difference, p: str = "", p_holm: str = "") -> str:
    interval = f"{100 * one.low:+.2f} – {100 * one.high:+.2f}"
    return (
        f"{name:24}{one.n:>6}{100 * one.a:>8.2f}{100 * one.b:>8.2f}{100 * one.difference:>+8.2f}{interval:>19}"
        f"{p:>8}{p_holm:>10}{one.gained:>8}{one.lost:>6}{100 * one.detectable:>12.1f}"
    )


def _agreement_rows(comparison: Comparison) -> list[str]:
    """Format how often the two runs give the same letter, and which of them is right if they do and if they do not."""
    one = comparison.agreement
    share, right = one.share.value, one.right
    same = f"right {100 * right.value:.2f} % ({100 * right.low:.1f} – {100 * right.high:.1f})" if right else ""
    counts = {"only A right": one.only_a, "only B right": one.only_b, "neither": one.neither}
    differ = ", ".join(f"{name} {n} ({100 * n / one.differ:.1f} %)" for name, n in counts.items()) if one.differ else ""
    return [
        f"{'same letter':24}{one.same:>6}{100 * share:>8.2f} %   {same}".rstrip(),
        f"{'other letter, undecided':24}{one.differ:>6}{100 * (1 - share):>8.2f} %   {differ}".rstrip()
        + (f"; exact McNemar p {p_text(one.p)}" if one.differ else ""),
    ]


def _verdict(one: Comparison) -> str:
    """Summarise whether the runs differ over all items, and in how many dimensions."""
    overall, p_holm = one.found.overall, one.found.p_holm
    result = f"B is {100 * abs(overall.difference):.2f} points {'above' if overall.difference > 0 else 'below'} A"
    if not overall.significant:
        result = "no significant difference"
    different = sum(p < LEVEL for p in p_holm.values())
    return f"protocol {one.a.protocol}: {result} over items; {different} of {len(p_holm)} dimensions differ (Holm, 5 %)"


FORMATS: dict[str, Callable[[Comparison, bool], str]] = {
    "table": comparison_table,
    "json": lambda comparison, _with_items: json.dumps(comparison_json(comparison), indent=1, ensure_ascii=False),
}
