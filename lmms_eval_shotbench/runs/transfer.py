"""`shotbench transfer`: runs of several models on several sets, and whether a lead on one set remains on another.

The statistics are in `scoring/transfer.py`; which runs belong to one model and set, in `evaluated_sets.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from lmms_eval_shotbench.model_args import parse_model_args
from lmms_eval_shotbench.qa_item import SHOTBENCH, QAItem
from lmms_eval_shotbench.runs.compare import NotComparable, paired_answers
from lmms_eval_shotbench.runs.evaluated_sets import EvaluatedSet, SetRun
from lmms_eval_shotbench.runs.response_counts import not_measured_text, too_many_refusals
from lmms_eval_shotbench.runs.robust import letters_of, variant_answers, variant_of
from lmms_eval_shotbench.runs.scores_schema import BadRun
from lmms_eval_shotbench.runs.stored_runs import StoredRun
from lmms_eval_shotbench.scoring.robustness import robust_questions
from lmms_eval_shotbench.scoring.transfer import (
    Answered,
    AnsweredByTwo,
    Contrast,
    Lead,
    TransferScore,
    difference_of_leads,
    lead,
    one_sided_dimensions,
    transfer_score,
)
from lmms_eval_shotbench.vocabulary import DIMENSIONS

MAIN_SOURCE = SHOTBENCH  # the reference, if it is among the sets; otherwise the set of the first run
MACRO = "macro"  # key of the row over all common dimensions
# Of a lead that is significant on the reference. Survives: significant on the other set; smaller: also significantly
# smaller there; lost: significantly smaller, and not significant there; undecided: neither.
LeadVerdict = Literal["no lead", "survives", "smaller", "lost", "reversed", "undecided"]


@dataclass(frozen=True)
class ModelOnSet:
    """The answers of one model to one set: to the original questions, without media, and to variants."""

    run: StoredRun
    answers: Sequence[Answered]
    blind: Sequence[Answered] = ()  # empty if there is no blind run, or it refused too often
    robust: Mapping[str, Sequence[Answered]] = field(default_factory=dict)  # by variant; right in all versions


@dataclass(frozen=True)
class SetColumns:
    """Scores of one model on one set in one row."""

    score: TransferScore
    blind: TransferScore | None
    robust: Mapping[str, TransferScore]


@dataclass(frozen=True)
class LeadOnBoth:
    """Lead of model A over B on the reference and on the other set, and the first minus the second."""

    a: str
    b: str
    reference: Lead
    other: Lead
    accuracy: Contrast  # difference of the leads in accuracy
    above_chance: Contrast  # difference of the leads above chance

    @property
    def verdict(self) -> LeadVerdict:
        """What became of the lead on the other set, from the intervals above chance."""
        sign, other, lost = self.reference.above_chance.sign, self.other.above_chance.sign, self.above_chance.sign
        if not sign:
            return "no lead"
        if other:
            return "reversed" if other != sign else "smaller" if lost == sign else "survives"
        return "lost" if lost == sign else "undecided"


@dataclass(frozen=True)
class TransferRow:
    """One dimension, or all common dimensions."""

    scores: Mapping[str, Mapping[str, SetColumns]]  # by set and model
    leads: Sequence[LeadOnBoth]


@dataclass(frozen=True)
class SetPair:
    """The reference and another set: what they have in common."""

    other: EvaluatedSet
    dimensions: Sequence[str]  # slugs that both have, in the vocabulary's order
    rows: Mapping[str, TransferRow]  # by slug, and `MACRO`
    shared_media: int  # media of the other set that are also in the reference


@dataclass(frozen=True)
class Transfer:
    """All contents of the JSON."""

    protocol: str
    reference: EvaluatedSet
    sets: Sequence[EvaluatedSet]  # the reference first
    asked: Mapping[str, Sequence[QAItem]]  # by set: questions that any run was asked
    one_sided: Mapping[str, Sequence[str]]  # by set: slugs of dimensions whose accuracy is balanced
    models: Sequence[str]  # in the order of the runs; leads are those of the first
    pairs: Sequence[SetPair]
    remarks: Sequence[str]


def transfer(runs: Sequence[SetRun], common: bool = False) -> Transfer:
    """Compute all numbers; with `common`, leads are over the questions that both models were asked.

    Raises:
        BadRun: Two runs are of one model, set and variant, a variant's run has no run on the original questions, or
            there are fewer than two sets.
        NotComparable: Two models were asked different questions of one set.
    """
    remarks: list[str] = []
    on_set = _models_on_sets(runs, remarks)
    sets = list(dict.fromkeys(one.set for one in runs if not one.variant))
    if len(sets) < 2:
        raise BadRun(
            f"all runs are on one set ({sets[0].name}); transfer needs runs on two or more sets, "
            "`shotbench compare` compares two runs on one"
        )
    reference = next((one for one in sets if one.source == MAIN_SOURCE), sets[0])
    sets.sort(key=lambda one: one is not reference)
    asked = {one.name: _union(on_set[one.name].values()) for one in sets}
    one_sided = {name: one_sided_dimensions(items) for name, items in asked.items()}
    models = list(dict.fromkeys(one.model for one in runs if not one.variant))
    for name, of_models in on_set.items():
        if missing := [model for model in models if model not in of_models]:
            remarks.append(f"{name}: no run of {', '.join(missing)}")
    remarks += _argument_remarks(runs)
    answers = _Answers(on_set, asked, one_sided, models)
    pairs = [answers.pair(reference, other, common, remarks) for other in sets[1:]]
    protocol = runs[0].run.protocol
    return Transfer(protocol, reference, sets, asked, one_sided, models, pairs, list(dict.fromkeys(remarks)))


def _argument_remarks(runs: Sequence[SetRun]) -> Iterator[str]:
    """Yield a remark for each model whose runs had different arguments, such as another size of pictures."""
    recorded: defaultdict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)  # by model and pass
    for one in (one for one in runs if not one.variant):
        for name, each in (one.run.how.get("passes") or {}).items():
            recorded[one.model, name].append(parse_model_args(each.get("model_args") or ""))
    for (model, _), found in recorded.items():
        names = sorted({name for arguments in found for name in arguments})
        if different := [name for name in names if len({arguments.get(name) for arguments in found}) > 1]:
            yield f"the runs of {model} differ in their model arguments: {', '.join(different)}"


def _models_on_sets(runs: Sequence[SetRun], remarks: list[str]) -> dict[str, dict[str, ModelOnSet]]:
    """Return what each model answered by set and model; variants are joined to the run on the original questions."""
    grouped: defaultdict[tuple[str, str], list[SetRun]] = defaultdict(list)
    for one in runs:
        grouped[one.set.name, one.model].append(one)
    found: defaultdict[str, dict[str, ModelOnSet]] = defaultdict(dict)
    for (name, model), group in grouped.items():
        variants = Counter(one.variant for one in group)
        if twice := [variant for variant, count in variants.items() if count > 1]:
            names = " and ".join(one.run.name for one in group if one.variant == twice[0])
            raise BadRun(
                f"{names} are two runs of {model} on {name}{f' ({twice[0]})' if twice[0] else ''}; give one, or name "
                "their models apart: NAME=RUN"
            )
        if "" not in variants:
            raise BadRun(
                f"{group[0].run.name}: is a run of a variant ({group[0].variant}) of {model} on {name}; also give the "
                "run on the original questions, or name the model that it belongs to: NAME=RUN"
            )
        found[name][model] = _model_on_set(group, remarks)
    return dict(found)


def _model_on_set(group: Sequence[SetRun], remarks: list[str]) -> ModelOnSet:
    original = next(one for one in group if not one.variant)
    items = {item.source_index: item for item in original.questions}
    answers = [Answered(items[one.index], one.share) for one in original.run.items]
    letters = letters_of(original.run, original.questions)
    blind: list[Answered] = []
    robust: dict[str, list[Answered]] = {}
    for one in (one for one in group if one.variant):
        variant = variant_of(one.run)
        asked, missing = variant_answers(original.questions, letters, one.run, variant)
        if missing:
            remarks.append(f"{one.run.name} lacks {missing} of the questions of {original.run.name}")
        if variant.shows_media:
            robust[variant.name] = [Answered(each.item, each.both) for each in robust_questions(variant, asked)]
        elif too_many_refusals(one.run.refused, one.run.responses):
            remarks.append(f"{one.run.name}: {not_measured_text(one.run.refused, one.run.responses)}")
        else:
            blind = [Answered(each.item, letter == to.answer) for each in asked for to, letter in each.changed]
    return ModelOnSet(original.run, answers, blind, robust)


def _union(found: Iterable[ModelOnSet]) -> list[QAItem]:
    """Return the questions that any of the models was asked, each once."""
    return list({one.item.item_id: one.item for model in found for one in model.answers}.values())


@dataclass(frozen=True)
class _Answers:
    """Answers of all models to all sets."""

    on_set: Mapping[str, Mapping[str, ModelOnSet]]  # by set and model
    asked: Mapping[str, Sequence[QAItem]]  # by set
    one_sided: Mapping[str, Sequence[str]]  # by set
    models: Sequence[str]

    def pair(self, reference: EvaluatedSet, other: EvaluatedSet, common: bool, remarks: list[str]) -> SetPair:
        """Compute all rows of two sets; raises `NotComparable`."""
        names = reference.name, other.name
        asked, asked_other = (self.asked[name] for name in names)
        both = {item.dimension for item in asked} & {item.dimension for item in asked_other}
        slugs = [dimension.slug for dimension in DIMENSIONS if dimension.slug in both]
        if not slugs:
            remarks.append(f"{reference.name} and {other.name} have no dimension in common")
        first, *others = self.models
        paired = {
            model: [self._paired(name, first, model, common, remarks) for name in names]
            for model in others
            if all({first, model} <= self.on_set[name].keys() for name in names)
        }
        rows = {slug: self._row(names, paired, [slug]) for slug in slugs}
        if slugs:
            rows[MACRO] = self._row(names, paired, slugs)
        shared = {item.medium for item in asked} & {item.medium for item in asked_other}
        return SetPair(other, slugs, rows, len(shared))

    def _paired(self, name: str, a: str, b: str, common: bool, remarks: list[str]) -> list[AnsweredByTwo]:
        one, other = self.on_set[name][a], self.on_set[name][b]
        try:
            answered, left_out = paired_answers(one.run, other.run, common)
        except NotComparable as error:
            raise NotComparable(f"{a} (A) and {b} (B) on {name}: {error}") from None
        if any(left_out):
            remarks.append(f"{name}: left out of the lead of {a} (A) over {b} (B): {left_out}")
        items = {each.item.source_index: each.item for each in one.answers}
        return [AnsweredByTwo(items[x.index], x.share, y.share) for x, y in answered]

    def _row(
        self, names: tuple[str, str], paired: Mapping[str, Sequence[Sequence[AnsweredByTwo]]], slugs: Sequence[str]
    ) -> TransferRow:
        """Compute the scores and leads over these dimensions."""
        scores: dict[str, dict[str, SetColumns]] = {name: {} for name in names}
        for name in names:
            for model, found in self.on_set[name].items():
                score, blind, *robust = (
                    transfer_score(asked, self.one_sided[name]) if (asked := _about(slugs, answers)) else None
                    for answers in (found.answers, found.blind, *found.robust.values())
                )
                if score:
                    variants = {key: one for key, one in zip(found.robust, robust, strict=True) if one}
                    scores[name][model] = SetColumns(score, blind, variants)
        leads = []
        for model, answers in paired.items():
            both = [_about(slugs, each) for each in answers]
            if all(both):
                one, other = (lead(each, self.one_sided[name]) for each, name in zip(both, names, strict=True))
                lost = [difference_of_leads(one.accuracy, other.accuracy)]
                lost.append(difference_of_leads(one.above_chance, other.above_chance))
                leads.append(LeadOnBoth(self.models[0], model, one, other, *lost))
        return TransferRow(scores, leads)


AnyAnswer = TypeVar("AnyAnswer", Answered, AnsweredByTwo)


def _about(slugs: Collection[str], answers: Iterable[AnyAnswer]) -> list[AnyAnswer]:
    return [one for one in answers if one.item.dimension in slugs]
