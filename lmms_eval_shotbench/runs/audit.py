"""`shotbench audit`: the health of a set of questions, whoever made it, read without looking at a medium.

Owns what is counted; how it is told is in `audit_report.py`. Nothing fails here: what must not be in a set, and media
that look alike, are the pipeline's affair (`shotbench data audit`), which counts with the same functions.
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
from lmms_eval_shotbench.scoring.letter_balance import LetterBalance, letter_balance
from lmms_eval_shotbench.scoring.metrics import Estimate, accuracy, is_compound
from lmms_eval_shotbench.scoring.option_prior import chance, meaning
from lmms_eval_shotbench.scoring.paired import detectable
from lmms_eval_shotbench.scoring.prior_aware import blind_graded
from lmms_eval_shotbench.vocabulary import DIMENSIONS

DIFFERENCE = 0.05  # in accuracy
# Variance of the difference on one item. Unpaired: two models that are right half of the time, on items of their own.
# Paired: two on the same items, of which one has it right and the other wrong in this share (ShotVL-3B against
# Qwen2.5-VL-3B: 0.39).
UNPAIRED, PAIRED = 0.5, 0.4

Spellings = Mapping[str, Mapping[str, int]]  # of labels written in several ways: how often each text is offered


class Fault(StrEnum):
    """What can be wrong with a question."""

    OPTIONS_ALIKE = "options that cannot be told apart"
    ANSWER_CONTAINED = "right answer contained in another option"
    REPEATED_TERM = "a term said twice in one option"
    NO_TERM = "options that name no term"
    ASKED_TWICE = "asked before of the same medium"


@dataclass(frozen=True)
class Health:
    """What there is to say of one dimension, or of all."""

    items: int
    media: int
    chance: float
    prior: Estimate  # accuracy of the option prior, out of fold
    letters: LetterBalance
    compound: int  # items whose right answer names several terms
    faults: Mapping[Fault, Sequence[str]]  # ids of the items, for every kind of fault
    detectable: float  # difference of two models on items of their own each, found four times in five
    detectable_paired: float  # of two models on the same items

    @property
    def compound_share(self) -> float:
        """Share of items whose right answer names several terms."""
        return self.compound / self.items


@dataclass(frozen=True)
class Audit:
    """All that `shotbench audit` tells."""

    splits: Mapping[str, int]  # items
    overall: Health
    by_dimension: Mapping[str, Health]  # by slug
    media_asked_again: Mapping[int, int]  # number of questions, from two on: how many media have as many
    media_in_two_splits: Sequence[str]
    spellings: Mapping[str, Spellings]  # by slug
    difference: float

    @property
    def too_small(self) -> list[str]:
        """Slugs of dimensions that do not show `difference`, not even on the same items."""
        return [slug for slug, health in self.by_dimension.items() if health.detectable_paired > self.difference]


def read_splits(name: str | Path, split: str | None = None) -> dict[str, list[QAItem]]:
    """The questions of one split, or of all that are there; a TSV is `test`. Raises what `read_questions` raises."""
    path = locate_questions(name)
    names = [split] if split else ["test"] if path.is_file() else split_names(path)
    return {name: read_questions(path, name) for name in names}


def split_names(folder: Path) -> list[str]:
    """The splits of a shard folder, by name."""
    return sorted({path.name.rsplit("-", 3)[0] for path in (folder / "data").glob("*-*-of-*.parquet")})


def audit_questions(splits: Mapping[str, Sequence[QAItem]], difference: float = DIFFERENCE) -> Audit:
    """Look at the questions of all splits together; raises `ValueError` where there are none."""
    if not 0 < difference < 1:
        raise ValueError(f"the difference is a share of the items, between 0 and 1, got {difference:g}")
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
    )


def health(items: Sequence[QAItem]) -> Health:
    """Count everything; raises `ValueError` where there are no items."""
    return Health(
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
    """Items on which a true difference is found (5 % two-sided) four times in five: (1.96 + 0.84)² variance / d²."""
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
    """The most varied label first; of each the most frequent text first."""
    offered = Counter(option for item in items for option in item.options)
    written: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for option, count in sorted(offered.items(), key=lambda entry: (-entry[1], entry[0])):
        written[meaning(slug, option).text][option] = count
    several = {label: texts for label, texts in written.items() if len(texts) > 1}
    return dict(sorted(several.items(), key=lambda entry: (-len(entry[1]), entry[0])))
