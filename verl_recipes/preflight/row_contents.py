"""Check the contents of rows: media placeholders, questions, answers, and overlap of training and test data.

A GRPO row contains its question (`extra_info.item`) for the reward. An SFT row contains only the text and the path of
its medium, whose file name is a content hash. So the overlap of SFT rows is checked by medium, and by film only if the
shards are given.
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

Items = Mapping[str, QAItem]  # by location of the row
ROLES = ("system", "user", "assistant")
TRAINING_SPLITS = ("sft", "cot_sft", "grpo", "train")


def chat_problems(rows: Iterable[TrainingRow], method: str) -> Iterator[Problem]:
    """Yield problems of the chats: placeholders that do not match the media, unknown roles, missing answers."""
    for row in rows:
        text = "".join(content or "" for _, content in row.chat)
        for kind, mark in MARKS.items():
            marks, media = text.count(mark), sum(medium.kind is kind for medium in row.media)
            if marks != media:
                what = f"{marks} {mark} in the text for {media} in the media columns; verl needs one for each"
                yield Problem(what, row.location, f"{WRITE_ROWS} again")
        if not row.chat or any(role not in ROLES for role, _ in row.chat):
            yield Problem(
                f"the roles of the turns are not among {', '.join(ROLES)}", row.location, f"{WRITE_ROWS} again"
            )
        elif method != "grpo" and (row.chat[-1][0] != "assistant" or not (row.chat[-1][1] or "").strip()):
            yield Problem(
                "the last turn is not an answer of the assistant to learn", row.location, f"{WRITE_ROWS} --for sft"
            )


def read_items(rows: Iterable[TrainingRow]) -> tuple[dict[str, QAItem], list[Problem]]:
    """Questions of GRPO rows by row location, and problems of the questions or of columns that contradict them."""
    items, problems = dict[str, QAItem](), list[Problem]()
    for row in rows:
        stored: Any = (row.columns.get("extra_info") or {}).get("item")
        try:
            item = QAItem.from_row(json.loads(stored))
        except BadRow as error:
            problems.append(Problem(str(error), row.location, "Correct the question in its shards"))
        except (TypeError, ValueError) as error:
            problems.append(
                Problem(f"extra_info.item is not a question ({error})", row.location, f"{WRITE_ROWS} --for grpo")
            )
        else:
            items[row.location] = item
            problems += _contradictions(row, item)
    return items, problems


def _contradictions(row: TrainingRow, item: QAItem) -> Iterator[Problem]:
    """Columns that differ from the question they repeat."""
    truth = (row.columns.get("reward_model") or {}).get("ground_truth")
    if truth not in item.letters:
        yield Problem(f"ground_truth is {truth!r}, not a letter of an option", row.location, f"{WRITE_ROWS} again")
    elif truth != item.answer:
        yield Problem(
            f"ground_truth is {truth}, the answer of the question is {item.answer}", row.location, f"{WRITE_ROWS} again"
        )
    source = str(row.columns.get("data_source"))
    try:
        agrees = dimension_named(source.rpartition("/")[2]).slug == item.dimension
    except UnknownDimension as error:
        yield Problem(f"data_source {source!r}: {error}", row.location, f"{WRITE_ROWS} again")
    else:
        if not agrees:
            yield Problem(f"data_source {source!r} is not {item.dimension}", row.location, f"{WRITE_ROWS} again")


def overlap_problems(rows: Iterable[TrainingRow], items: Items, shards: str | None) -> Iterator[Problem]:
    """Yield problems of films and media of the training rows that are also in the validation rows or the test split.

    Args:
        rows: Training and validation rows.
        items: Questions of GRPO rows by location; empty for SFT.
        shards: Shard folder with the test split, or None.
    """
    films, tested = _films_and_test_media(shards) if shards else ({}, set())
    trained: dict[str, str] = {}
    validated: dict[str, str] = {}
    for row in rows:
        target = trained if row.part == "train" else validated
        for origin in _origins(row, items.get(row.location), films):
            target.setdefault(origin, row.location)
    held_out = {"the validation rows": validated, "the test split": dict.fromkeys(tested, "test")}
    for name, locations in held_out.items():
        for origin in sorted(trained.keys() & locations.keys()):
            what = f"training data is also in {name}, which would invalidate every score"
            where = f"{origin} ({trained[origin]}, {locations[origin]})"
            yield Problem(what, where, "Split by film (shotbench data films does) and write the rows again")


def _origins(row: TrainingRow, item: QAItem | None, films: Mapping[str, str]) -> Iterator[str]:
    if item and item.film_id:
        yield f"film {item.film_id}"
    for medium in row.media:
        name = Path(medium.path).stem
        yield f"medium {name}"
        if film := films.get(name):
            yield f"film {film}"


def _films_and_test_media(shards: str) -> tuple[dict[str, str], set[str]]:
    """Films by medium over all splits, and names of the films and media of the test split."""
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
