"""Formats of an audit (`audit.py`): JSON (docs/audit.md), a table for a terminal, a section of a dataset card."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from textwrap import fill
from typing import Any

from lmms_eval_shotbench.runs.audit import PAIRED, UNPAIRED, Audit, Fault, QuestionStatistics, items_needed
from lmms_eval_shotbench.runs.blind_run import BlindRun
from lmms_eval_shotbench.runs.formatting import first_few, p_text
from lmms_eval_shotbench.runs.response_counts import not_measured_text
from lmms_eval_shotbench.vocabulary import dimension_named

SCHEMA = 1  # of the JSON; incremented when a field changes its meaning
MAX_NAMED = 3  # item ids listed per fault; the JSON lists all
LEVEL = 0.05 / 8  # significance level of the letters' p values, Bonferroni-corrected for eight dimensions
ALL = "all"
WIDTH = 100  # columns


def audit_json(audit: Audit) -> dict[str, Any]:
    """Return the JSON format of docs/audit.md."""
    again = {"media_asked_again": audit.media_asked_again, "media_in_two_splits": audit.media_in_two_splits}
    return {
        "schema": SCHEMA,
        "splits": dict(audit.splits),
        "overall": _health_json(audit.overall) | again,
        "by_dimension": {
            slug: _health_json(health) | {"spellings": audit.spellings[slug]}
            for slug, health in audit.by_dimension.items()
        },
        "difference": {
            "looked_for": audit.difference,
            "items_needed": items_needed(audit.difference, UNPAIRED),
            "items_needed_paired": items_needed(audit.difference, PAIRED),
            "too_small": audit.too_small,
        },
    } | ({"blind": asdict(audit.blind)} if audit.blind else {})


def _health_json(health: QuestionStatistics) -> dict[str, Any]:
    letters = health.letters
    return {
        "items": health.items,
        "media": health.media,
        "chance": health.chance,
        "prior_accuracy": health.prior.value,
        "prior": asdict(health.prior),
        "letter_counts": letters.counts,
        "letters": {"p": letters.p, "most_lopsided": letters.most_lopsided, "excess": letters.excess},
        "compound": health.compound,
        "compound_share": health.compound_share,
        "faults": {fault.name.lower(): ids for fault, ids in health.faults.items()},
        "detectable": health.detectable,
        "detectable_paired": health.detectable_paired,
    }


def audit_table(audit: Audit) -> str:
    """Format a table for a terminal of 100 columns, in percent and percentage points."""
    head = (
        f"{'':20}{'items':>7}{'chance':>8}{'prior':>7}{'95 % interval':>16}{'compound':>10}"
        f"{'letter':>10}{'p':>8}{'detects':>9}"
    )
    splits = ", ".join(f"{name} {count:,}" for name, count in audit.splits.items())
    rows = [_statistics_row(_name(slug), health) for slug, health in _sections(audit)]
    remarks = map(_wrap_remark, _remarks_on_questions(audit))
    return "\n".join([f"{splits}; {audit.overall.media:,} media", "", head, *rows, "", *remarks])


def _wrap_remark(remark: str) -> str:
    return fill(remark, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _statistics_row(name: str, health: QuestionStatistics) -> str:
    letters = health.letters
    interval = f"{100 * health.prior.low:.1f} – {100 * health.prior.high:.1f}"
    return (
        f"{name:20}{health.items:>7}{100 * health.chance:>8.1f}{100 * health.prior.value:>7.1f}{interval:>16}"
        f"{100 * health.compound_share:>10.1f}{f'{letters.most_lopsided} {100 * letters.excess:+.0f} %':>10}"
        f"{p_text(letters.p):>8}{100 * health.detectable_paired:>9.1f}"
    )


def _remarks_on_questions(audit: Audit) -> Iterator[str]:
    guessable = [slug for slug, health in audit.by_dimension.items() if health.prior.low > health.chance]
    yield f"guessable from the options significantly above chance: {_dimension_names(guessable)}"
    biased = [slug for slug, health in audit.by_dimension.items() if (health.letters.p or 1.0) < LEVEL]
    yield f"correct letters significantly unbalanced (p below 0.05 / 8): {_dimension_names(biased)}"
    if audit.blind:
        yield _blind(audit.blind)
    yield from (_fault(fault, ids) for fault, ids in audit.overall.faults.items())
    several = [texts for spellings in audit.spellings.values() for texts in spellings.values()]
    example = ", ".join(f"{text!r} {count}" for text, count in max(several, key=len, default={}).items())
    yield f"labels written in several ways: {len(several)}" + f" ({example})" * bool(example)
    again = ", ".join(f"{media} with {count} questions" for count, media in audit.media_asked_again.items())
    yield f"media asked more than once: {again or 'none'}"
    if len(audit.splits) > 1:
        yield f"media in two splits: {len(audit.media_in_two_splits)}"
    points, needed = 100 * audit.difference, items_needed(audit.difference, PAIRED)
    too_small = _dimension_names(audit.too_small)
    yield f"too small to detect a difference of {points:g} points ({needed:,} items): {too_small}"


def _blind(run: BlindRun) -> str:
    if run.overall is None:
        return f"{run.name}: {not_measured_text(run.refused, run.n)}"
    shares = ", ".join(f"{_name(slug)} {100 * share.value:.1f}" for slug, share in run.by_dimension.items() if share)
    overall = f"{100 * run.overall.value:.1f} ({100 * run.overall.low:.1f} – {100 * run.overall.high:.1f})"
    return f"blind accuracy of {run.name}: {overall} over {run.n:,} items; {shares}"


def audit_section(audit: Audit) -> str:
    """Format the section of a dataset card, in Markdown."""
    return "\n".join(
        [
            "Computed by `shotbench audit` over all splits, without reading media. The option prior chooses the option",
            "that is most often correct in other questions, out of fold.",
            "",
            "| dimension | questions | chance | option prior | 95 % interval | compound | correct answers by letter |",
            "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
            *(_markdown_row(f"**{ALL}**" if slug == ALL else _name(slug), health) for slug, health in _sections(audit)),
            "",
            *(f"* {remark[:1].upper()}{remark[1:]}" for remark in _remarks_on_questions(audit)),
        ]
    )


def _markdown_row(name: str, health: QuestionStatistics) -> str:
    prior = health.prior
    letters = ", ".join(f"{letter} {count:,}" for letter, count in health.letters.counts.items())
    interval = f"{prior.low:.1%} to {prior.high:.1%}"
    shares = f"{health.chance:.1%} | {prior.value:.1%} | {interval} | {health.compound_share:.1%}"
    return f"| {name} | {health.items:,} | {shares} | {letters} |"


def _sections(audit: Audit) -> list[tuple[str, QuestionStatistics]]:
    return [*audit.by_dimension.items(), (ALL, audit.overall)]


def _name(slug: str) -> str:
    return slug if slug == ALL else dimension_named(slug).paper_name


def _dimension_names(slugs: Sequence[str]) -> str:
    return ", ".join(map(_name, slugs)) or "none"


def _fault(fault: Fault, ids: Sequence[str]) -> str:
    return f"{fault}: {len(ids):,}" + f" ({first_few(ids, MAX_NAMED)})" * bool(ids)


FORMATS: dict[str, Callable[[Audit], str]] = {
    "table": audit_table,
    "json": lambda audit: json.dumps(audit_json(audit), indent=1, ensure_ascii=False),
}
