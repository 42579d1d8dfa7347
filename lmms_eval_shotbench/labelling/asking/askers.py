"""Which askers a command gets: ways of asking by name, one or two models, and what a calibration found best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lmms_eval_shotbench.harness.apply_preset import apply_preset
from lmms_eval_shotbench.harness.backends import find_model_class
from lmms_eval_shotbench.harness.eval_plan import EvalRequest
from lmms_eval_shotbench.harness.presets import read_preset
from lmms_eval_shotbench.harness.task_files import group_name
from lmms_eval_shotbench.labelling.asking.asker import Asker
from lmms_eval_shotbench.labelling.asking.model_name import model_name
from lmms_eval_shotbench.labelling.asking.rounds import RoundsAsker, RoundSettings
from lmms_eval_shotbench.labelling.shot import FilmShot
from lmms_eval_shotbench.labelling.vote import Vote, Way
from lmms_eval_shotbench.prompts import REASONING, PromptStyle
from lmms_eval_shotbench.vocabulary import DIMENSIONS, Dimension

AUTO = "auto"
GIVES_PROBABILITIES = ("shotvl",)  # model types whose term probabilities `term_probabilities.py` computes


class UnknownWay(ValueError):
    """A way of asking that does not exist, or that a model does not have; the message names those that it has."""


class BestWays(Protocol):
    """What a calibration knows about ways of asking."""

    def best_way(self, slug: str, model: str) -> Way | None:
        """The way of asking a model about a dimension that was right most often; None if that is unknown."""
        ...


@dataclass(frozen=True)
class AskedModel:
    """A model as given on the command line, and what of lmms-eval's options is passed on with it."""

    model: str = ""  # type as named by lmms-eval; may be empty with a preset
    model_args: str = ""
    preset: str = ""  # name or file of a preset
    force_simple: bool = False
    passed_on: Sequence[str] = ()

    def request(self, style: PromptStyle) -> EvalRequest:
        """The evaluation that asks the model; raises `PresetError`."""
        request = EvalRequest(
            tasks=group_name(style),
            data="",
            out=Path(),
            harness_out=Path(),
            model=self.model,
            model_args=self.model_args,
            force_simple=self.force_simple,
            passed_on=self.passed_on,
        )
        return apply_preset(read_preset(self.preset), request) if self.preset else request


@dataclass(frozen=True)
class PartialAsker:
    """An asker that is asked about some dimensions only."""

    asker: Asker
    slugs: frozenset[str]

    @property
    def model(self) -> str:
        """Name of the model with its revision."""
        return self.asker.model

    @property
    def way(self) -> Way:
        """How it is asked."""
        return self.asker.way

    def votes(
        self, shots: Sequence[FilmShot], folder: Path, dimensions: Sequence[Dimension]
    ) -> Iterator[tuple[FilmShot, list[Vote]]]:
        """Yield the shots with votes on those of the dimensions that this asker is for."""
        return self.asker.votes(shots, folder, [one for one in dimensions if one.slug in self.slugs])


@dataclass(frozen=True)
class ProbabilityAskerLoadedLate:
    """A `ProbabilityAsker` whose checkpoint is in memory only while it is asked, so that several models fit."""

    request: EvalRequest
    way: Way = Way.PROBABILITY

    @property
    def model(self) -> str:
        """Name of the model with its revision."""
        return model_name(self.request)

    def votes(
        self, shots: Sequence[FilmShot], folder: Path, dimensions: Sequence[Dimension]
    ) -> Iterator[tuple[FilmShot, list[Vote]]]:
        """Load the checkpoint and yield the shots with its votes; raises like `ProbabilityAsker.from_model_args`."""
        from lmms_eval_shotbench.labelling.asking.term_probabilities import (
            ProbabilityAsker,
        )

        asker: Asker = ProbabilityAsker.from_model_args(self.request.model_args)
        yield from asker.votes(shots, folder, dimensions)


def make_askers(
    models: Sequence[AskedModel],
    ask: str = AUTO,
    *,
    style: PromptStyle = REASONING,
    settings: RoundSettings | None = None,
    calibration: BestWays | None = None,
) -> list[Asker]:
    """Return the askers of one or several models, whose votes carry the names of their models.

    Args:
        models: The first model and, if given, a second one.
        ask: Ways of asking, separated by commas; or "auto": of each dimension the way that the calibration found best
            for the model, otherwise by probability if the model gives any, and by letter if it only generates.
        style: Prompt style of questions with options.
        settings: Number and kind of rounds (default: `RoundSettings()`).
        calibration: Used by "auto".

    Raises:
        UnknownWay: There is no such way, a model does not have it, or there are settings but no model is asked in
            rounds.
        BackendUnavailable: A model needs a library that is not installed.
        PresetError: A preset does not exist or does not fit.
        ValueError: lmms-eval has no such model.
    """
    askers: list[Asker] = []
    for one in models:
        request = one.request(style)
        if request.model not in GIVES_PROBABILITIES:
            find_model_class(request.model, request.force_simple)  # an unknown model is named before a film is cut
        for way, slugs in _ways(request, ask, calibration).items():
            by_probability = way is Way.PROBABILITY
            asker: Asker = (
                ProbabilityAskerLoadedLate(request) if by_probability else RoundsAsker(request, way, settings)
            )
            askers.append(asker if len(slugs) == len(DIMENSIONS) else PartialAsker(asker, slugs))
    if settings and all(asker.way is Way.PROBABILITY for asker in askers):
        raise UnknownWay(
            f"--repeats, --offer-none and --second-movement are for rounds of options, and with --ask {ask} no model "
            f"is asked in rounds; remove them, or add --ask {Way.LETTER}"
        )
    return askers


def _ways(request: EvalRequest, ask: str, calibration: BestWays | None) -> Mapping[Way, frozenset[str]]:
    """The ways of asking a model, each with the dimensions to ask about."""
    everything = frozenset(dimension.slug for dimension in DIMENSIONS)
    if ask.strip() != AUTO:
        return dict.fromkeys(_parse(ask, request.model), everything)
    default = Way.PROBABILITY if request.model in GIVES_PROBABILITIES else Way.LETTER
    name = model_name(request) if calibration else ""
    best = {slug: (calibration.best_way(slug, name) if calibration else None) or default for slug in everything}
    return {way: frozenset(slug for slug in best if best[slug] is way) for way in Way if way in best.values()}


def _parse(ask: str, model: str) -> list[Way]:
    """The ways in a list separated by commas, each once."""
    names = list(dict.fromkeys(filter(None, (name.strip() for name in ask.split(",")))))
    possible = [way for way in Way if way is not Way.PROBABILITY or model in GIVES_PROBABILITIES]
    unknown = [name for name in names if name not in set(Way)]
    if unknown or not names:
        got = f"no way of asking {unknown[0]!r}" if unknown else "no way of asking is given"
        raise UnknownWay(f"--ask {ask}: {got}; use {AUTO}, or some of {', '.join(Way)} separated by commas")
    if impossible := [name for name in names if name not in possible]:
        raise UnknownWay(
            f"--ask {impossible[0]}: --model {model} only generates, and gives no probabilities of terms (models that "
            f"do: {', '.join(GIVES_PROBABILITIES)}); use {AUTO}, or some of {', '.join(possible)}"
        )
    return [Way(name) for name in names]
