"""What stands in the rows: marks, questions, answers, and that nothing is trained on that is also tested.

A row of GRPO carries its question (`extra_info.item`) for the reward. A row of SFT does not: of it we know the text and
the medium, whose file is named by content, so two parts are kept apart by medium, and by film where the shards are
given.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lmms_eval_shotbench.qa_item import BadRow, QAItem
from lmms_eval_shotbench.questions.shards import DatasetNotFound, ShardFolder, locate_shards
from lmms_eval_shotbench.vocabulary import UnknownDimension, dimension_named
from verl_recipes.preflight.problem import Problem
from verl_recipes.preflight.training_files import WRITE_ROWS, TrainingRow
from verl_recipes.training_rows import MARKS

Items = Mapping[str, QAItem]  # by place of the row
ROLES = ("system", "user", "assistant")
TRAINING_SPLITS = ("sft", "cot_sft", "grpo", "train")


def chat_problems(rows: Iterable[TrainingRow], method: str) -> Iterator[Problem]:
    """Marks that do not fit the media, unknown roles, nothing to learn."""
    for row in rows:
        text = "".join(content or "" for _, content in row.chat)
        for kind, mark in MARKS.items():
            marks, media = text.count(mark), sum(medium.kind is kind for medium in row.media)
            if marks != media:
                what = f"{marks} {mark} in the text for {media} in the media columns; verl needs one for each"
                yield Problem(what, row.place, f"{WRITE_ROWS} again")
        if not row.chat or any(role not in ROLES for role, _ in row.chat):
            yield Problem(f"the turns are not of {', '.join(ROLES)}", row.place, f"{WRITE_ROWS} again")
        elif method != "grpo" and (row.chat[-1][0] != "assistant" or not (row.chat[-1][1] or "").strip()):
            yield Problem("the last turn is no answer of the assistant to learn", row.place, f"{WRITE_ROWS} --for sft")


def read_items(rows: Iterable[TrainingRow]) -> tuple[dict[str, QAItem], list[Problem]]:
    """Questions of rows of GRPO, and what is wrong with them or with what the row says beside them."""
    items, problems = dict[str, QAItem](), list[Problem]()
    for row in rows:
        stored: Any = (row.columns.get("extra_info") or {}).get("item")
        try:
            item = QAItem.from_row(json.loads(stored))
        except BadRow as error:
            problems.append(Problem(str(error), row.place, "Correct the question in its shards"))
        except (TypeError, ValueError) as error:
            problems.append(Problem(f"extra_info.item is no question ({error})", row.place, f"{WRITE_ROWS} --for grpo"))
        else:
            items[row.place] = item
            problems += _beside(row, item)
    return items, problems


def _beside(row: TrainingRow, item: QAItem) -> Iterator[Problem]:
    """The columns that say again what the question says."""
    truth = (row.columns.get("reward_model") or {}).get("ground_truth")
    if truth not in item.letters:
        yield Problem(f"ground_truth is {truth!r}, no letter on offer", row.place, f"{WRITE_ROWS} again")
    elif truth != item.answer:
        yield Problem(f"ground_truth is {truth}, the question says {item.answer}", row.place, f"{WRITE_ROWS} again")
    source = str(row.columns.get("data_source"))
    try:
        agrees = dimension_named(source.rpartition("/")[2]).slug == item.dimension
    except UnknownDimension as error:
        yield Problem(f"data_source {source!r}: {error}", row.place, f"{WRITE_ROWS} again")
    else:
        if not agrees:
            yield Problem(f"data_source {source!r} is not {item.dimension}", row.place, f"{WRITE_ROWS} again")


def overlap_problems(rows: Iterable[TrainingRow], items: Items, shards: str | None) -> Iterator[Problem]:
    """Films and media that are trained on and also validated or tested on."""
    films, tested = _of_shards(shards) if shards else ({}, set())
    trained: dict[str, str] = {}
    validated: dict[str, str] = {}
    for row in rows:
        target = trained if row.part == "train" else validated
        for origin in _origins(row, items.get(row.place), films):
            target.setdefault(origin, row.place)
    held_out = {"the validation rows": validated, "the test split": dict.fromkeys(tested, "test")}
    for name, there in held_out.items():
        for origin in sorted(trained.keys() & there.keys()):
            what = f"what is trained on stands in {name} too, which would spoil every score"
            where = f"{origin} ({trained[origin]}, {there[origin]})"
            yield Problem(what, where, "Split by film (shotbench data films does) and write the rows again")


def _origins(row: TrainingRow, item: QAItem | None, films: Mapping[str, str]) -> Iterator[str]:
    if item and item.film_id:
        yield f"film {item.film_id}"
    for medium in row.media:
        name = Path(medium.path).stem
        yield f"medium {name}"
        if film := films.get(name):
            yield f"film {film}"


def _of_shards(shards: str) -> tuple[dict[str, str], set[str]]:
    """Films by medium for the training splits, and films and media of the test split."""
    films, tested = dict[str, str](), set[str]()
    folder = locate_shards(shards)
    for split in ("test", *TRAINING_SPLITS):
        try:
            items = ShardFolder(folder, split).items()
        except DatasetNotFound:
            continue
        for item in items:
            if item.film_id:
                films[item.media_sha256 or item.item_id] = item.film_id
            if split == "test":
                tested |= {f"medium {item.media_sha256 or item.item_id}"} | {f"film {item.film_id}"} - {"film "}
    return films, tested
