"""RefineShot's scores (arXiv 2510.02423): consistency of reasoning and answer, and instruction adherence.

A response is *inconsistent* if its thought concludes with one letter and its answer is another; if either letter is
unknown, it counts as consistent. It *follows the steps* if its thought names all steps in order, it has an answer, and
it is consistent.

    FRS              faithful reasoning score: share of consistent responses
    after the check  accuracy with inconsistent responses counted as wrong
    IAS              instruction adherence score: accuracy with the step-by-step prompt, where responses that do not
                     adhere to it count as wrong, divided by the accuracy with the direct prompt

RefineShot's judge, Qwen3-4B, infers both letters. As far as the published files show, the published IAS equates
adherence with consistency. Therefore IAS is reported twice: with adherence as consistency, and as following the steps.
Here both letters are extracted by rules: the answer by strict grading, the conclusion by `extract_conclusion` in
`grading/strict.py`. If the rules find no conclusion, the response counts as consistent, as in the original, and is also
counted as undecided; a judge can decide these (`thoughts_to_judge`). docs/refineshot.md lists the differences from the
published verdicts.

Standard library only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from lmms_eval_shotbench.grading.grade import Grade, Protocol, grade
from lmms_eval_shotbench.grading.strict import TAG, extract_conclusion, extract_strict
from lmms_eval_shotbench.prompts import DIRECT, REASONING, STEP_BY_STEP
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.scoring.metrics import Estimate, Graded, Scores, accuracy, score
from lmms_eval_shotbench.vocabulary import DIMENSIONS

SCHEMA = 1  # version of the JSON; incremented when the meaning of a field changes
SETTINGS = (DIRECT.name, REASONING.name, STEP_BY_STEP.name)
_STEP = re.compile(r"\bstep\s?(\d)\b", re.IGNORECASE)
IAS_CHECKS = {"consistent": "what is consistent", "steps": "what names the steps in order and answers accordingly"}
STEPS = tuple(dict.fromkeys(_STEP.findall(STEP_BY_STEP.system)))


@dataclass(frozen=True, slots=True)
class ReasoningCheck:
    """Result of the rules for one response; a letter is None if they find none."""

    thinks: bool  # whether there is a thought
    concluded: str | None  # letter that the thought concludes with
    answered: str | None  # letter of the answer
    names_steps: bool  # whether the thought names all steps in order

    @property
    def decided(self) -> bool:
        """Whether both letters are known."""
        return self.concluded is not None and self.answered is not None

    @property
    def consistent(self) -> bool:
        """Whether the two letters are equal or one of them is unknown."""
        return not self.decided or self.concluded == self.answered

    @property
    def keeps_to_steps(self) -> bool:
        """Whether the thought names the steps, an answer follows, and the response is consistent."""
        return self.names_steps and self.answered is not None and self.consistent


def extract_thought(response: str) -> str:
    """Text of all thoughts, one per line; an unclosed thought extends to the next tag or the end."""
    parts, position = [], 0
    thinking = (first := TAG.search(response)) is not None and first[0].lower() == "</think>"  # opened by the template
    for tag in TAG.finditer(response):
        parts += [response[position : tag.start()]] * thinking
        thinking, position = tag[0].lower() == "<think>", tag.end()
    parts += [response[position:]] * thinking
    return "\n".join(part.strip() for part in parts)


def check_reasoning(item: QAItem, response: str) -> ReasoningCheck:
    """Extract both letters of a response by rules."""
    thought = extract_thought(response)
    concluded = extract_conclusion(item, thought).letter if thought else None
    named = tuple(dict.fromkeys(_STEP.findall(thought)))
    return ReasoningCheck(bool(thought), concluded, extract_strict(item, response).letter, named == STEPS)


def thoughts_to_judge(items: Sequence[QAItem], responses: Sequence[str]) -> list[tuple[QAItem, str]]:
    """Items and thoughts for a judge: those with an answer whose thought has no conclusion that the rules can find."""
    checked = [
        (item, response, check_reasoning(item, response)) for item, response in zip(items, responses, strict=True)
    ]
    return [
        (item, extract_thought(response))
        for item, response, check in checked
        if check.thinks and check.answered and not check.decided
    ]


@dataclass(frozen=True)
class PromptVariant:
    """The responses to one prompt style, graded and checked."""

    graded: list[Graded]
    checks: list[ReasoningCheck]

    @property
    def accuracy(self) -> Scores:
        """Scores of the grades, before the consistency check."""
        return score(self.graded)

    @property
    def after_check(self) -> Scores:
        """Scores with inconsistent responses counted as wrong."""
        return score(fail_unless(self.graded, [check.consistent for check in self.checks]))

    @property
    def adherent(self) -> Scores:
        """Scores with responses that do not follow the steps counted as wrong."""
        return score(fail_unless(self.graded, [check.keeps_to_steps for check in self.checks]))

    @property
    def frs(self) -> Estimate:
        """Share of consistent responses."""
        return pass_rate(self.graded, [check.consistent for check in self.checks])


def grade_setting(
    items: Sequence[QAItem],
    responses: Sequence[str],
    protocol: Protocol = "strict",
    judged: Mapping[int, str] | None = None,
) -> PromptVariant:
    """Grade each response to the item at the same position, and compare its thought with its answer.

    Args:
        judged: A judge's letters for `thoughts_to_judge`, by `source_index`.
    """
    graded, checks = [], []
    for item, response in zip(items, responses, strict=True):
        check = check_reasoning(item, response)
        graded.append(Graded(item, grade(item, response, protocol)))
        checks.append(replace(check, concluded=check.concluded or (judged or {}).get(item.source_index)))
    return PromptVariant(graded, checks)


def fail_unless(graded: Sequence[Graded], passed: Sequence[bool]) -> list[Graded]:
    """Copy the grades, with responses that did not pass a check as undecided and wrong."""
    failed = Grade(None, False, "failed the check", False)
    return [entry if ok else Graded(entry.item, failed) for entry, ok in zip(graded, passed, strict=True)]


def pass_rate(graded: Sequence[Graded], passed: Sequence[bool]) -> Estimate:
    """Share of responses that passed a check, with its confidence interval clustered by medium."""
    pairs = zip(graded, passed, strict=True)
    return accuracy([Graded(entry.item, replace(entry.grade, correct=ok)) for entry, ok in pairs])


def ias(adherent_accuracy: float, direct_accuracy: float) -> float | None:
    """Instruction adherence score, a ratio of accuracies; None if the direct accuracy is 0."""
    return adherent_accuracy / direct_accuracy if direct_accuracy else None


def ias_by_check(settings: Mapping[str, PromptVariant]) -> dict[str, float | None]:
    """IAS by definition of adherence (`IAS_CHECKS`); empty unless the direct and the step-by-step setting are given."""
    direct, stepwise = settings.get(DIRECT.name), settings.get(STEP_BY_STEP.name)
    if direct is None or stepwise is None:
        return {}
    adherent = {"consistent": stepwise.after_check, "steps": stepwise.adherent}
    return {name: ias(scores.micro.value, direct.accuracy.micro.value) for name, scores in adherent.items()}


def refineshot_json(settings: Mapping[str, PromptVariant], protocol: Protocol) -> str:
    """All metrics as JSON, with proportions from 0 to 1 (docs/refineshot.md)."""
    named = {name: _setting_json(setting, name == STEP_BY_STEP.name) for name, setting in settings.items()}
    report = {"schema": SCHEMA, "protocol": protocol, "settings": named, "ias": ias_by_check(settings)}
    return json.dumps(report, indent=1, ensure_ascii=False)


def _setting_json(setting: PromptVariant, stepwise: bool) -> dict[str, Any]:
    metrics = {
        "accuracy": _accuracies(setting.accuracy),
        "after_check": _accuracies(setting.after_check),
        "frs": asdict(setting.frs),
        **_counts(setting),
    }
    if stepwise:
        metrics["names_steps"] = sum(check.names_steps for check in setting.checks)
        metrics["keeps_to_steps"] = asdict(
            pass_rate(setting.graded, [check.keeps_to_steps for check in setting.checks])
        )
    return metrics


def _accuracies(scores: Scores) -> dict[str, Any]:
    by_dimension = {slug: asdict(estimate) for slug, estimate in scores.by_dimension.items()}
    return {"micro": asdict(scores.micro), "macro": asdict(scores.macro), "by_dimension": by_dimension}


def _counts(setting: PromptVariant) -> dict[str, int]:
    """Number of responses by result of the check, or by the reason why it is undecided; they sum to `n`."""
    checks = setting.checks
    return {
        "n": len(checks),
        "consistent": sum(check.decided and check.consistent for check in checks),
        "inconsistent": sum(not check.consistent for check in checks),
        "no_thought": sum(not check.thinks for check in checks),
        "no_conclusion": sum(check.thinks and check.concluded is None for check in checks),
        "no_answer": sum(check.concluded is not None and check.answered is None for check in checks),
    }


def refineshot_table(settings: Mapping[str, PromptVariant], protocol: Protocol) -> str:
    """Format a table for the terminal, in percent: accuracy as graded and after the check, per setting."""
    columns = [scores for setting in settings.values() for scores in (setting.accuracy, setting.after_check)]
    lines = [f"{'':24}" + "".join(f"{name:>14}{'checked':>10}" for name in settings)]
    rows = [
        (dimension.paper_name, [scores.by_dimension.get(dimension.slug) for scores in columns])
        for dimension in DIMENSIONS
    ]
    rows += [("over items (micro)", [scores.micro for scores in columns])]
    rows += [("over dimensions (macro)", [scores.macro for scores in columns])]
    for name, estimates in rows:
        if any(estimates):
            cells = (f"{100 * estimate.value:.2f}" if estimate else "-" for estimate in estimates)
            lines.append(f"{name:24}" + "".join(f"{cell:>{(14, 10)[number % 2]}}" for number, cell in enumerate(cells)))
    return "\n".join([*lines, "", *_remarks_on_settings(settings), f"protocol {protocol}"])


def _remarks_on_settings(settings: Mapping[str, PromptVariant]) -> list[str]:
    remarks = []
    for name, setting in settings.items():
        frs, counts = setting.frs, _counts(setting)
        remarks.append(
            f"{name}: FRS {100 * frs.value:.2f} ({100 * frs.low:.1f} – {100 * frs.high:.1f}), {counts['inconsistent']} "
            f"of {counts['n']} contradict their thought; undecided: {counts['no_thought']} without a thought, "
            f"{counts['no_conclusion']} without a conclusion, {counts['no_answer']} without an answer"
        )
    for check, value in ias_by_check(settings).items():
        if value is not None:
            remarks.append(f"IAS {100 * value:.2f}, adherent: {IAS_CHECKS[check]}")
    return remarks
