"""The composition of a shard folder: questions by split and dimension, right answers by split and term.

Owns the counts, and the tables and the audit section on the card. It keeps questions in memory, never media.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.runs.audit import audit_questions
from lmms_eval_shotbench.runs.audit_report import audit_section
from lmms_eval_shotbench.scoring.option_prior import meaning
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension, Term

Counts = dict[str, dict[str, int]]  # split -> dimension -> rows
ORDER = ("sft", "cot_sft", "grpo", "dev", "test")  # in the order of their use


def in_card_order(splits: Iterable[str]) -> list[str]:
    """Splits in the order of the card: unknown ones first, in the given order, then those of the pipeline."""
    return sorted(dict.fromkeys(splits), key=lambda split: ORDER.index(split) if split in ORDER else -1)


class Composition:
    """Running counts of the questions added."""

    def __init__(self, splits: Sequence[str]) -> None:
        self.splits = splits
        self.items: dict[str, list[QAItem]] = {split: [] for split in splits}
        self._rows: Counter[tuple[str, str]] = Counter()  # split, dimension
        self._terms: Counter[tuple[str, str, Term | None]] = Counter()  # None: the answer names no term

    def add(self, split: str, item: QAItem) -> None:
        """Count a question, and every term of its right answer once."""
        self.items[split].append(item)
        self._rows[split, item.dimension] += 1
        for term in meaning(item.dimension, item.gold).terms or [None]:
            self._terms[split, item.dimension, term] += 1

    @cached_property
    def audit_markdown(self) -> str:
        """Audit section of the card, on answers that can be guessed; computed once, after the last `add`."""
        return audit_section(audit_questions(self.items))

    @property
    def counts(self) -> Counts:
        """Questions by split and dimension, in the vocabulary's order; dimensions without any are left out."""
        return {
            split: {d.slug: self._rows[split, d.slug] for d in DIMENSIONS if self._rows[split, d.slug]}
            for split in self.splits
        }

    def dimension_table(self) -> str:
        """Questions by dimension, with one column per split."""
        lines = [["dimension", "media", *self.splits], ["---"] * 2 + ["---:"] * len(self.splits)]
        for dimension in self._dimensions():
            rows = [self._rows[split, dimension.slug] for split in self.splits]
            lines.append([dimension.paper_name, f"{dimension.media_kind}s", *map(_number, rows)])
        totals = [sum(by_dimension.values()) for by_dimension in self.counts.values()]
        return _markdown_table([*lines, ["**all**", "", *map(_number, totals)]])

    def term_table(self) -> str:
        """Right answers by term; terms with a count of 0 can be neither learned nor measured."""
        lines = [["dimension", "term", *self.splits], ["---"] * 2 + ["---:"] * len(self.splits)]
        for dimension in self._dimensions():
            for term in [*dimension.terms, None]:
                rows = [self._terms[split, dimension.slug, term] for split in self.splits]
                if term or any(rows):
                    lines.append([dimension.paper_name, str(term or "(no term)"), *map(_number, rows)])
        return _markdown_table(lines)

    def _dimensions(self) -> list[Dimension]:
        return [d for d in DIMENSIONS if any(self._rows[split, d.slug] for split in self.splits)]


def _number(count: int) -> str:
    return f"{count:,}"


def _markdown_table(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
