"""RefineShot's scores (arXiv 2510.02423): does a model answer what it thought, and does it think as it was told?

A response is *consistent* unless the letter its thought comes to and the letter it answers are both known and differ.
It keeps to the *steps* if its thought names all of them in order, an answer follows, and the two are consistent.

    FRS              share of consistent responses (faithful reasoning score)
    after the check  accuracy where an inconsistent response counts as wrong
    IAS              step-by-step accuracy of adherent answers / direct accuracy (instruction adherence score)

Their judge, Qwen3-4B, infers both letters; what it counts as adherent in the published IAS is consistency again, by all
that can be seen. So IAS is given twice: where adherent means consistent, and where it means that the steps are there.
Here rules read: the answer as strict grading does, the thought by `strict_reading.read_conclusion`. Where they cannot
say what a thought comes to, the response counts as consistent, as in the original, and is counted as undecided; a judge
may be asked then (`thoughts_to_judge`). Where they part from the published verdicts is told in docs/refineshot.md.

Standard library only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from lmms_eval_shotbench.grading.grade import Grade, Protocol, grade
from lmms_eval_shotbench.grading.strict import TAG, read_conclusion, read_strict
from lmms_eval_shotbench.prompts import DIRECT, REASONING, STEP_BY_STEP
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.scoring.metrics import Estimate, Graded, Scores, accuracy, score
from lmms_eval_shotbench.vocabulary import DIMENSIONS

SCHEMA = 1  # of the JSON; raised when a field changes its meaning
SETTINGS = (DIRECT.name, REASONING.name, STEP_BY_STEP.name)
_STEP = re.compile(r"\bstep\s?(\d)\b", re.IGNORECASE)
IAS_CHECKS = {"consistent": "what is consistent", "steps": "what names the steps in order and answers accordingly"}
STEPS = tuple(dict.fromkeys(_STEP.findall(STEP_BY_STEP.system)))


@dataclass(frozen=True, slots=True)
class Reasoned:
    """What can be said of one response: the letters it comes to and answers, None where rules find none."""

    thinks: bool  # whether there is a thought
    concluded: str | None
    answered: str | None
    names_steps: bool

    @property
    def decided(self) -> bool:
        """Whether both letters are known."""
        return self.concluded is not None and self.answered is not None

    @property
    def consistent(self) -> bool:
        """Whether nothing contradicts; a letter that is missing contradicts nothing."""
        return not self.decided or self.concluded == self.answered

    @property
    def keeps_to_steps(self) -> bool:
        """Whether the steps are there, an answer follows them, and it is what they come to as far as can be said."""
        return self.names_steps and self.answered is not None and self.consistent


def thought_of(response: str) -> str:
    """All that stands inside thoughts, one a line; a thought that never ends runs to the next tag or the end."""
    parts, position = [], 0
    thinking = (first := TAG.search(response)) is not None and first[0].lower() == "</think>"  # opened by the template
    for tag in TAG.finditer(response):
        parts += [response[position : tag.start()]] * thinking
        thinking, position = tag[0].lower() == "<think>", tag.end()
    parts += [response[position:]] * thinking
    return "\n".join(part.strip() for part in parts)


def reasoned(item: QAItem, response: str) -> Reasoned:
    """Read both letters of a response by rules."""
    thought = thought_of(response)
    concluded = read_conclusion(item, thought).letter if thought else None
    named = tuple(dict.fromkeys(_STEP.findall(thought)))
    return Reasoned(bool(thought), concluded, read_strict(item, response).letter, named == STEPS)


def thoughts_to_judge(items: Sequence[QAItem], responses: Sequence[str]) -> list[tuple[QAItem, str]]:
    """The thoughts that a judge may read: rules find no conclusion, and there is an answer to hold it against."""
    pairs = [(item, response, reasoned(item, response)) for item, response in zip(items, responses, strict=True)]
    return [
        (item, thought_of(response)) for item, response, it in pairs if it.thinks and it.answered and not it.decided
    ]


@dataclass(frozen=True)
class Setting:
    """One way of asking: its graded responses and what was read in them."""

    graded: list[Graded]
    read: list[Reasoned]

    @property
    def accuracy(self) -> Scores:
        """As graded."""
        return score(self.graded)

    @property
    def after_check(self) -> Scores:
        """Where an inconsistent response counts as wrong."""
        return score(only_if(self.graded, [it.consistent for it in self.read]))

    @property
    def adherent(self) -> Scores:
        """Where a response that does not keep to the steps counts as wrong."""
        return score(only_if(self.graded, [it.keeps_to_steps for it in self.read]))

    @property
    def frs(self) -> Estimate:
        """Share of consistent responses."""
        return share(self.graded, [it.consistent for it in self.read])


def read_setting(
    items: Sequence[QAItem],
    responses: Sequence[str],
    protocol: Protocol = "strict",
    judged: Mapping[int, str] | None = None,
) -> Setting:
    """Grade `responses[i]` to `items[i]`, and hold thought against answer.

    `judged` gives the letters of thoughts by index, for those among `thoughts_to_judge`.
    """
    graded, read = [], []
    for item, response in zip(items, responses, strict=True):
        it = reasoned(item, response)
        graded.append(Graded(item, grade(item, response, protocol)))
        read.append(replace(it, concluded=it.concluded or (judged or {}).get(item.source_index)))
    return Setting(graded, read)


def only_if(graded: Sequence[Graded], passed: Sequence[bool]) -> list[Graded]:
    """The grades where a response that did not pass a check has no letter."""
    failed = Grade(None, False, "failed the check", False)
    return [entry if ok else Graded(entry.item, failed) for entry, ok in zip(graded, passed, strict=True)]


def share(graded: Sequence[Graded], passed: Sequence[bool]) -> Estimate:
    """Share of responses that passed a check, with its interval clustered by medium."""
    pairs = zip(graded, passed, strict=True)
    return accuracy([Graded(entry.item, replace(entry.grade, correct=ok)) for entry, ok in pairs])


def ias(adherent_accuracy: float, direct_accuracy: float) -> float | None:
    """Instruction adherence score; None where nothing was right in the direct setting."""
    return adherent_accuracy / direct_accuracy if direct_accuracy else None


def ias_by_check(settings: Mapping[str, Setting]) -> dict[str, float | None]:
    """IAS where adherent means consistent, and where it means that the steps are there; empty without both settings."""
    direct, stepwise = settings.get(DIRECT.name), settings.get(STEP_BY_STEP.name)
    if direct is None or stepwise is None:
        return {}
    adherent = {"consistent": stepwise.after_check, "steps": stepwise.adherent}
    return {name: ias(scores.micro.value, direct.accuracy.micro.value) for name, scores in adherent.items()}


def refineshot_json(settings: Mapping[str, Setting], protocol: Protocol) -> str:
    """All numbers, shares from 0 to 1 (docs/refineshot.md)."""
    named = {name: _setting_json(setting, name == STEP_BY_STEP.name) for name, setting in settings.items()}
    told = {"schema": SCHEMA, "protocol": protocol, "settings": named, "ias": ias_by_check(settings)}
    return json.dumps(told, indent=1, ensure_ascii=False)


def _setting_json(setting: Setting, stepwise: bool) -> dict[str, Any]:
    told = {
        "accuracy": _accuracies(setting.accuracy),
        "after_check": _accuracies(setting.after_check),
        "frs": asdict(setting.frs),
        **_counts(setting),
    }
    if stepwise:
        told["names_steps"] = sum(it.names_steps for it in setting.read)
        told["keeps_to_steps"] = asdict(share(setting.graded, [it.keeps_to_steps for it in setting.read]))
    return told


def _accuracies(scores: Scores) -> dict[str, Any]:
    by_dimension = {slug: asdict(estimate) for slug, estimate in scores.by_dimension.items()}
    return {"micro": asdict(scores.micro), "macro": asdict(scores.macro), "by_dimension": by_dimension}


def _counts(setting: Setting) -> dict[str, int]:
    """How many responses rules can say something of, and why not of the others; they sum up to `n`."""
    read = setting.read
    return {
        "n": len(read),
        "consistent": sum(it.decided and it.consistent for it in read),
        "inconsistent": sum(not it.consistent for it in read),
        "no_thought": sum(not it.thinks for it in read),
        "no_conclusion": sum(it.thinks and it.concluded is None for it in read),
        "no_answer": sum(it.concluded is not None and it.answered is None for it in read),
    }


def refineshot_table(settings: Mapping[str, Setting], protocol: Protocol) -> str:
    """The table for a terminal, in percent: accuracy as graded and after the check, setting by setting."""
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
            lines.append(f"{name:24}" + "".join(f"{cell:>{14 - 4 * (place % 2)}}" for place, cell in enumerate(cells)))
    return "\n".join([*lines, "", *_remarks(settings), f"protocol {protocol}"])


def _remarks(settings: Mapping[str, Setting]) -> list[str]:
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
