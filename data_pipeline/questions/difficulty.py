"""Questions for GRPO by difficulty: those that a model answers correctly only sometimes, and a uniform share of all.

A group of responses that are all correct or all wrong has zero advantage. Items of middle difficulty are therefore
kept and, as in the ShotBench paper, a sample of all items spread evenly over the dimensions, against forgetting.

Owns the selection and the flow from a split of shards to a shard folder with the chosen items. The pass rates come from
`sampled_responses.py`. Sampling is by a hash of seed and item, so it does not depend on the order of the items.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from data_pipeline.defects import Defect, DefectKind
from data_pipeline.questions.sampled_responses import PassRate, Tally, count_correct
from data_pipeline.questions.source_split import SourceSplit
from data_pipeline.shards.dataset_card import CardText
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.remote_path import Location
from lmms_eval_shotbench.vocabulary import DIMENSIONS

SPLIT = "grpo"
PASS_RATES = "pass_rates.jsonl"
VERSION = 1  # of the selection; increment when the same settings select other items


class NoneChosen(ValueError):
    """No item was selected; the message says why and what to do."""


class Chosen(StrEnum):
    """Why an item was selected."""

    MIDDLE = "middle"
    UNIFORM = "uniform"


@dataclass(frozen=True)
class DifficultySettings:
    """What is selected, and how much of it."""

    min_samples: int = 4  # minimum number of responses per item; with fewer, pass rates are too coarse
    size: int = 8000  # items, as in the paper
    uniform_share: float = 0.2  # fraction of the selected items; the paper does not state it
    seed: int = 0

    def __post_init__(self) -> None:
        if self.min_samples < 2 or self.size < 1 or not 0 <= self.uniform_share < 1:
            raise ValueError("difficulty needs min-samples >= 2, size >= 1 and 0 <= uniform-share < 1")


class DifficultyReport(NamedTuple):
    """The selected items, and the pass rates they were selected by."""

    folder: Location
    items: Sequence[QAItem]
    rates: Mapping[int, PassRate]
    chosen: Mapping[str, Chosen]  # by item id
    drops: Counter[DefectKind]
    already_complete: bool


def write_difficulty(
    shards: str, split: str, runs: Sequence[Path], out: Path, settings: DifficultySettings, *, overwrite: bool = False
) -> DifficultyReport:
    """Select items of a split by the responses in `runs` and write them to `out`.

    Raises:
        lmms_eval_shotbench.runs.responses.BadResponses: the runs cannot be read or counted together.
        NoneChosen: no item is of middle difficulty.
        data_pipeline.shards.atomic_folder.WriteRefused: something else is at `out`.
    """
    source = SourceSplit(shards, split)
    source.check_output(out, overwrite=True, fingerprint_prefix="")
    counted = count_correct(source, runs)
    chosen = choose_items(source.items, counted.rates, settings)
    defects = [defect for item in source.items if (defect := _defect(item, counted.rates, chosen, settings))]
    if Chosen.MIDDLE not in chosen.values():
        kinds = Counter(defect.kind for defect in defects)
        counts = ", ".join(f"{kind}: {count}" for kind, count in kinds.items())
        raise NoneChosen(
            f"no item of {shards} is of middle difficulty ({counts}); sample more responses, or at a higher temperature"
        )
    written = write_shards(
        (source.row(SPLIT, item) for item in source.items if item.item_id in chosen),
        out,
        _difficulty_card(source, counted, chosen, settings),
        splits=[SPLIT],
        overwrite=overwrite,
        defects=defects,
        extra={PASS_RATES: "".join(_rate_lines(source.items, counted.rates, chosen))},
    )
    drops = Counter(defect.kind for defect in defects)
    return DifficultyReport(written.folder, source.items, counted.rates, chosen, drops, written.already_complete)


def choose_items(
    items: Sequence[QAItem], rates: Mapping[int, PassRate], settings: DifficultySettings
) -> dict[str, Chosen]:
    """Select items and return the reason by item id: first the uniform share, then items of middle difficulty.

    If there are too few items of middle difficulty for `size`, fewer items are selected in total, so that the uniform
    share keeps its proportion.

    Args:
        rates: Pass rate by `source_index`.
    """
    middle = [item for item in items if exclusion_reason(rates[item.source_index], settings) is None]
    size = min(settings.size, int(len(middle) / (1 - settings.uniform_share)))
    uniform = _sample_evenly(items, round(size * settings.uniform_share), settings.seed)
    chosen = {item.item_id: Chosen.UNIFORM for item in uniform}
    for item in _shuffled(middle, f"middle {settings.seed}"):
        if len(chosen) >= size:
            break
        chosen.setdefault(item.item_id, Chosen.MIDDLE)
    return chosen


def exclusion_reason(rate: PassRate, settings: DifficultySettings) -> DefectKind | None:
    """Return why an item is not of middle difficulty, or None if it is."""
    if rate.samples < settings.min_samples:
        return DefectKind.NOT_SAMPLED
    if rate.right == 0:
        return DefectKind.TOO_HARD
    return DefectKind.TOO_EASY if rate.right == rate.samples else None


def _sample_evenly(items: Sequence[QAItem], count: int, seed: int) -> list[QAItem]:
    """Sample `count` items, the same number of each dimension while they last."""
    waiting: defaultdict[str, list[QAItem]] = defaultdict(list)
    for item in reversed(_shuffled(items, f"uniform {seed}")):
        waiting[item.dimension].append(item)
    taken: list[QAItem] = []
    while len(taken) < count and any(waiting.values()):
        for dimension in DIMENSIONS:
            if waiting[dimension.slug] and len(taken) < count:
                taken.append(waiting[dimension.slug].pop())
    return taken


def _shuffled(items: Iterable[QAItem], draw: str) -> list[QAItem]:
    """Sort the items by a hash of `draw` and item id."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{draw} {item.item_id}".encode()).digest())


def _defect(
    item: QAItem, rates: Mapping[int, PassRate], chosen: Mapping[str, Chosen], settings: DifficultySettings
) -> Defect | None:
    if item.item_id in chosen:
        return None
    rate = rates[item.source_index]
    kind = exclusion_reason(rate, settings) or DefectKind.SURPLUS
    detail = f"{rate.right} of {rate.samples} responses are right"
    return Defect(kind, 0, str(item.source_index), item.media_path, detail, loses_row=True)


def _rate_lines(items: Iterable[QAItem], rates: Mapping[int, PassRate], chosen: Mapping[str, Chosen]) -> Iterable[str]:
    for item in items:
        samples, right = rates[item.source_index]
        line = {"item_id": item.item_id, "index": item.source_index, "dimension": item.dimension}
        yield json.dumps(line | {"samples": samples, "right": right, "chosen": chosen.get(item.item_id)}) + "\n"


def _difficulty_card(
    source: SourceSplit, counted: Tally, chosen: Mapping[str, Chosen], settings: DifficultySettings
) -> CardText:
    parts = [VERSION, source.sha256, source.split, sorted(run.sha256 for run in counted.runs), astuple(settings)]
    kinds = Counter(chosen.values())
    model = ", ".join(f"{name} `{value}`" for name, value in counted.settings.items() if value and name != "questions")
    return CardText(
        title=f"{source.title}, of middle difficulty",
        fingerprint=f"difficulty-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}",
        what="Questions about the film language of a shot that a model answers correctly only sometimes, "
        f"and a uniform share of all questions. `{PASS_RATES}` lists the pass rate of every question of the source.",
        provenance=f"Split `{source.split}` of {source.title} (manifest {source.sha256}); media are unchanged.",
        how_made=f"`shotbench data difficulty` graded {len(counted.runs)} runs of sampled responses "
        f"({model or 'stored'}) with the strict protocol. {kinds[Chosen.MIDDLE]:,} questions were sampled from those "
        f"with at least {settings.min_samples} responses, some correct and some wrong, and {kinds[Chosen.UNIFORM]:,} "
        f"from all questions, evenly over the dimensions (size {settings.size:,}, uniform share "
        f"{settings.uniform_share:g}, seed {settings.seed}). The difficulty applies to this model only.",
        licence=source.licence,
        tags=("film",),
    )
