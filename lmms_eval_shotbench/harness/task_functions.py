"""What the task YAMLs name: adapters between lmms-eval's documents and this package. No logic lives here.

A document is a shard's row without media. It stays small through the harness's queues and logs, and a medium is read
when a model asks for it, once.

The YAMLs also name two things computed on access: `DATASET_KWARGS` (so that the dataset's place is looked up when a
task is built, before the harness's five-fold retry) and `<variant>_<dimension>` (the questions of each task, "keep" for
those as they are).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from statistics import fmean
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from lmms_eval_shotbench import prompts
from lmms_eval_shotbench.environment import (
    DATA_VARIABLE,
    SPLIT_VARIABLE,
    cache_folder,
    clips_are_resampled,
    dataset_in_use,
    split_in_use,
)
from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.media import clips, stills
from lmms_eval_shotbench.media.stored_medium import StoredMedium, undecoded
from lmms_eval_shotbench.qa_item import COLUMNS, BadRow, QAItem
from lmms_eval_shotbench.questions.question_files import QuestionSet, open_questions, questions_parquet
from lmms_eval_shotbench.questions.shards import DatasetNotFound, ShardFolder
from lmms_eval_shotbench.questions.variants import (
    VARIANTS,
    Variant,
    original_id,
    variant_in_use,
    variant_named_in,
)
from lmms_eval_shotbench.scoring.metrics import term_f1
from lmms_eval_shotbench.vocabulary import MediaKind, View, dimension_named

if TYPE_CHECKING:
    import datasets

Doc = Mapping[str, Any]
ALL_ROTATIONS = "shotbench_all_rotations"
KEEP = "keep"  # the questions as they are
_open: dict[tuple[str, str], QuestionSet] = {}  # by dataset and split


def __getattr__(name: str) -> Any:
    """Names the YAMLs use that depend on the environment or on the vocabulary."""
    if name == "DATASET_KWARGS":
        return _dataset_kwargs()
    variant, _, slug = name.partition("_")
    if variant == KEEP or variant in {one.name for one in VARIANTS}:
        return _questions_of(slug, variant)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _dataset_kwargs() -> dict[str, Any]:
    """Where `load_dataset("parquet")` finds the questions. Stops the program with one line where there are none:
    the harness would try five times, print a traceback and report success."""
    try:
        files = _question_files(questions_in_use())  # every row is valid, or the first bad one is named now
    except (DatasetNotFound, BadRow) as error:
        raise SystemExit(f"shotbench: {error}") from None
    return {"data_files": {"test": files}, "columns": list(COLUMNS)}


@lru_cache(maxsize=2)
def _question_files(questions: QuestionSet) -> list[str]:
    if questions.shards is None:
        return [str(questions_parquet(questions.path, cache_folder("questions")))]
    return [str(path) for path in questions.shards.paths]


def questions_in_use() -> QuestionSet:
    """The questions that the environment names, opened once a process; raises what `open_questions` raises."""
    asked = dataset_in_use(), split_in_use()
    if asked not in _open:
        _open[asked] = open_questions(*asked)
    return _open[asked]


@contextmanager
def asking(questions: QuestionSet) -> Iterator[None]:
    """Have the tasks of this block ask questions that are open already; other processes find them by path."""
    asked = str(questions.path), questions.split
    told = {DATA_VARIABLE: asked[0], SPLIT_VARIABLE: asked[1]}
    with patch.dict(os.environ, told), patch.dict(_open, {asked: questions}):
        yield


@lru_cache
def _questions_of(slug: str, variant: str) -> Callable[[datasets.Dataset], datasets.Dataset]:
    dimension = dimension_named(slug)

    def keep(questions: datasets.Dataset) -> datasets.Dataset:
        rows = [row for row, name in enumerate(questions["dimension"]) if name == dimension.slug]
        kept = questions.select(rows)
        return kept if variant == KEEP else _changed(kept, variant_in_use(variant))

    return keep


def _changed(questions: datasets.Dataset, variant: Variant) -> datasets.Dataset:
    items = variant.of([QAItem.from_row(row) for row in questions])
    columns = {name: [item.to_row()[name] for item in items] for name in COLUMNS}
    return type(questions).from_dict(columns, features=questions.features)


def doc_to_visual(doc: Doc) -> list[Any]:
    """The medium: a PIL picture, or the path of a clip."""
    item = QAItem.from_row(doc)
    variant = variant_named_in(item.item_id)
    if variant and not variant.shows_media:
        return []
    view = variant.view if variant else View.AS_FILMED
    read = partial(shards_in_use().media, original_id(item.item_id))
    if undecoded.get():
        return [StoredMedium.of(item.media_kind, item.media_sha256, read, view)]
    encoded = read()
    if item.media_kind is MediaKind.STILL:
        return [stills.open_still(encoded, view)]
    if clips_are_resampled() or view is not View.AS_FILMED:  # the file itself shows it as filmed
        return [str(clips.protocol_clip_path(encoded, item.media_sha256, view=view))]
    return [str(stills.clip_path(encoded, item.media_sha256))]


def shards_in_use() -> ShardFolder:
    """The open shards with the media of the questions in use."""
    questions = questions_in_use()
    if questions.shards is None:
        raise DatasetNotFound(
            f"{dataset_in_use()} holds questions only; a model that looks at media needs shards: --data SHARDS"
        )
    return questions.shards


def doc_to_text(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, str]) -> str:
    """The text for models without chat roles: a system text other than the plain one stands before the question."""
    style = prompts.prompt_style(lmms_eval_specific_kwargs["prompt_style"])
    text = prompts.user_text(QAItem.from_row(doc))
    return text if style is prompts.DIRECT else f"{style.system}\n\n{text}"


def doc_to_messages(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, str]) -> list[dict[str, Any]]:
    """The chat with its system text, which the harness has no other way to give."""
    style = prompts.prompt_style(lmms_eval_specific_kwargs["prompt_style"])
    item = QAItem.from_row(doc)
    content_type = "image" if item.media_kind is MediaKind.STILL else "video"
    return prompts.messages(item, style, [{"type": content_type, "url": shown} for shown in doc_to_visual(doc)])


def process_results(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Grade a response under both protocols; the harness hands it over with its thought (`reasoning_tags: none`)."""
    item = QAItem.from_row(doc)
    strict, official = grade(item, results[0]), grade(item, results[0], "official")
    variant = variant_named_in(item.item_id)
    rotation = {"question": original_id(item.item_id), "score": int(strict.correct)}
    return ({ALL_ROTATIONS: rotation} if variant and variant.name == "circular" else {}) | {
        "shotbench_accuracy": float(strict.correct),
        "shotbench_macro": float(strict.correct),  # the same numbers; the group averages them over dimensions
        "shotbench_official": float(official.correct),
        "shotbench_answered": float(strict.letter is not None),
        "shotbench_term_f1": term_f1(item, strict.letter),
        "shotbench_score": {
            "score": int(strict.correct),
            "pred": strict.letter,
            "answer": item.answer,
            "index": item.source_index,
            "dimension": item.dimension,
            "medium": item.medium,
        },
    }


def mean_score(entries: Sequence[Mapping[str, Any]]) -> float:
    """Mean of `shotbench_score`, whose standard error the harness clusters by medium."""
    return fmean(entry["score"] for entry in entries)


def all_rotations(entries: Sequence[Mapping[str, Any]]) -> float:
    """Share of questions that are right in every rotation of their options."""
    right: dict[str, bool] = {}
    for entry in entries:
        right[entry["question"]] = right.get(entry["question"], True) and bool(entry["score"])
    return fmean(right.values())
