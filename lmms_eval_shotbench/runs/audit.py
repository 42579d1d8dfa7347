"""`shotbench audit`: quality statistics of a set of questions, computed without reading media.

`audit_report.py` formats the result. Defects are reported and never cause a failure; `shotbench data audit` of the
pipeline fails on questions that must not be in a set, and also checks for similar media, with the same functions.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import locate_questions, read_questions
from lmms_eval_shotbench.runs.blind_run import BlindRun, blind_run
from lmms_eval_shotbench.runs.stored_runs import StoredRun
from lmms_eval_shotbench.scoring.letter_balance import LetterBalance, letter_balance
from lmms_eval_shotbench.scoring.metrics import Estimate, accuracy, is_compound
from lmms_eval_shotbench.scoring.option_prior import chance, meaning
from lmms_eval_shotbench.scoring.paired import detectable
from lmms_eval_shotbench.scoring.prior_aware import blind_graded
from lmms_eval_shotbench.vocabulary import DIMENSIONS

DIFFERENCE = 0.05  # difference in accuracy (0..1) that a dimension should be large enough to detect
# Variance per item of the difference between two models. Unpaired: both have an accuracy of 50 %, on different items.
# Paired: on the same items, the share that only one of them answers correctly (ShotVL-3B and Qwen2.5-VL-3B: 0.39).
UNPAIRED, PAIRED = 0.5, 0.4

Spellings = Mapping[str, Mapping[str, int]]  # for each label with several spellings: number of options by spelling


class Fault(StrEnum):
    """Defects of a question."""

    OPTIONS_ALIKE = "options that cannot be told apart"
    ANSWER_CONTAINED = "right answer contained in another option"
    REPEATED_TERM = "a term said twice in one option"
    NO_TERM = "options that name no term"
    ASKED_TWICE = "asked before of the same medium"


@dataclass(frozen=True)
class QuestionStatistics:
    """Statistics of the questions of one dimension, or of all dimensions."""

    items: int
    media: int
    chance: float  # expected accuracy of a uniform guess
    prior: Estimate  # accuracy of the option prior, out of fold
    letters: LetterBalance
    compound: int  # items whose correct answer names several terms
    faults: Mapping[Fault, Sequence[str]]  # ids of the items with each defect; all defects are keys
    detectable: float  # minimum difference of two models on different items that is detected with 80 % power
    detectable_paired: float  # the same for two models on the same items

    @property
    def compound_share(self) -> float:
        """Share of items whose correct answer names several terms."""
        return self.compound / self.items


@dataclass(frozen=True)
class Audit:
    """Result of `shotbench audit`."""

    splits: Mapping[str, int]  # number of items by split
    overall: QuestionStatistics
    by_dimension: Mapping[str, QuestionStatistics]  # by slug
    media_asked_again: Mapping[int, int]  # number of media by their number of questions, if it is at least 2
    media_in_two_splits: Sequence[str]
    spellings: Mapping[str, Spellings]  # by slug
    difference: float  # in accuracy (0..1), which every dimension should be large enough to detect
    blind: BlindRun | None = None  # a model's run without media, if one was given

    @property
    def too_small(self) -> list[str]:
        """Slugs of dimensions too small to detect `difference`, even on the same items."""
        return [slug for slug, health in self.by_dimension.items() if health.detectable_paired > self.difference]


def read_splits(name: str | Path, split: str | None = None) -> dict[str, list[QAItem]]:
    """Read the questions of one split, or of all splits; a TSV has only `test`. Raises like `read_questions`."""
    path = locate_questions(name)
    names = [split] if split else ["test"] if path.is_file() else split_names(path)
    return {name: read_questions(path, name) for name in names}


def split_names(folder: Path) -> list[str]:
    """Return the names of the splits in a shard folder, sorted."""
    return sorted({path.name.rsplit("-", 3)[0] for path in (folder / "data").glob("*-*-of-*.parquet")})


def audit_questions(
    splits: Mapping[str, Sequence[QAItem]], difference: float = DIFFERENCE, blind: StoredRun | None = None
) -> Audit:
    """Compute the statistics over all splits.

    Args:
        splits: Questions by split.
        difference: Difference in accuracy that every dimension should be large enough to detect.
        blind: A run of the blind variant of these questions.

    Raises:
        ValueError: There are no questions, `difference` is not between 0 and 1, or `blind` is not such a run.
    """
    if not 0 < difference < 1:
        raise ValueError(f"the difference must be a share of the items, between 0 and 1, got {difference:g}")
    items = [item for some in splits.values() for item in some]
    groups = {d.slug: [item for item in items if item.dimension == d.slug] for d in DIMENSIONS}
    questions = Counter(item.medium for item in items)
    seen_in = Counter(medium for some in splits.values() for medium in {item.medium for item in some})
    return Audit(
        splits={name: len(some) for name, some in splits.items()},
        overall=health(items),
        by_dimension={slug: health(group) for slug, group in groups.items() if group},
        media_asked_again=dict(sorted(Counter(count for count in questions.values() if count > 1).items())),
        media_in_two_splits=sorted(medium for medium, count in seen_in.items() if count > 1),
        spellings={slug: _spellings(slug, group) for slug, group in groups.items() if group},
        difference=difference,
        blind=blind_run(blind, items) if blind else None,
    )


def health(items: Sequence[QAItem]) -> QuestionStatistics:
    """Compute all statistics of these items; raises `ValueError` if there are none."""
    return QuestionStatistics(
        items=len(items),
        media=len({item.medium for item in items}),
        chance=chance(items),
        prior=accuracy(blind_graded(items)),
        letters=letter_balance(items),
        compound=sum(map(is_compound, items)),
        faults=_faults(items),
        detectable=detectable(math.sqrt(UNPAIRED / len(items))),
        detectable_paired=detectable(math.sqrt(PAIRED / len(items))),
    )


def items_needed(difference: float, variance: float) -> int:
    """Return the sample size for a difference d (5 % two-sided, 80 % power): (1.96 + 0.84)² variance / d²."""
    return math.ceil(variance * (detectable(1.0) / difference) ** 2)


def _faults(items: Sequence[QAItem]) -> dict[Fault, list[str]]:
    found: dict[Fault, list[str]] = {fault: [] for fault in Fault}
    seen: set[tuple[str, str, str]] = set()
    for item in items:
        for fault in _faults_of(item):
            found[fault].append(item.item_id)
        asked = item.medium, item.dimension, item.question
        if asked in seen:
            found[Fault.ASKED_TWICE].append(item.item_id)
        seen.add(asked)
    return found


def _faults_of(item: QAItem) -> Iterator[Fault]:
    options = [meaning(item.dimension, option) for option in item.options]
    gold = meaning(item.dimension, item.gold)
    if len({option.text for option in options}) < len(options):
        yield Fault.OPTIONS_ALIKE
    if gold.terms and any(gold.terms < option.terms for option in options):
        yield Fault.ANSWER_CONTAINED
    if any(option.repeats for option in options):
        yield Fault.REPEATED_TERM
    if not all(option.terms for option in options):
        yield Fault.NO_TERM


def _spellings(slug: str, items: Sequence[QAItem]) -> dict[str, dict[str, int]]:
    """Return the spellings of labels that have several: most spellings first, then by frequency of each spelling."""
    offered = Counter(option for item in items for option in item.options)
    written: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for option, count in sorted(offered.items(), key=lambda entry: (-entry[1], entry[0])):
        written[meaning(slug, option).text][option] = count
    several = {label: texts for label, texts in written.items() if len(texts) > 1}
    return dict(sorted(several.items(), key=lambda entry: (-len(entry[1]), entry[0])))
