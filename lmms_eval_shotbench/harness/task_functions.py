"""Functions named in the task YAML files: adapters between lmms-eval's documents and this package.

A document is a shard's row without media, so it stays small in the harness's queues and logs; a medium is read once,
when a model requests it.

The YAML files also use two kinds of names computed on access: `DATASET_KWARGS` (the dataset is located when a task is
built, before the harness's five retries) and `<variant>_<dimension>` (the questions of each task; the variant "keep"
means the original questions).
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
from lmms_eval_shotbench.grading.added_tags import tags_in_use
from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.media import clips, stills
from lmms_eval_shotbench.media.stored_medium import StoredMedium, undecoded
from lmms_eval_shotbench.qa_item import COLUMNS, BadRow, QAItem
from lmms_eval_shotbench.questions.question_files import (
    QuestionMedia,
    QuestionSet,
    open_questions,
    questions_parquet,
)
from lmms_eval_shotbench.questions.shards import DatasetNotFound
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
KEEP = "keep"  # the original questions
_opened: dict[tuple[str, str], QuestionSet] = {}  # by dataset and split


def __getattr__(name: str) -> Any:
    """Compute the names in the YAML files that depend on the environment or on the vocabulary."""
    if name == "DATASET_KWARGS":
        return _dataset_kwargs()
    variant, _, slug = name.partition("_")
    if variant == KEEP or variant in {one.name for one in VARIANTS}:
        return _questions_of(slug, variant)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _dataset_kwargs() -> dict[str, Any]:
    """Return arguments of `load_dataset("parquet")`, or exit with a one-line message if there are no questions.

    On an exception the harness would retry five times, print a traceback and report success.
    """
    try:
        files = _question_files(questions_in_use())  # reports the first invalid row now
    except (DatasetNotFound, BadRow) as error:
        raise SystemExit(f"shotbench: {error}") from None
    return {"data_files": {"test": files}, "columns": list(COLUMNS)}


@lru_cache(maxsize=2)
def _question_files(questions: QuestionSet) -> list[str]:
    if questions.shards is None:
        return [str(questions_parquet(questions.path, cache_folder("questions")))]
    return [str(path) for path in questions.shards.paths]


def questions_in_use() -> QuestionSet:
    """Return the questions selected by the environment, opened once per process; raises like `open_questions`."""
    key = dataset_in_use(), split_in_use()
    if key not in _opened:
        _opened[key] = open_questions(*key)
    return _opened[key]


@contextmanager
def use_questions(questions: QuestionSet) -> Iterator[None]:
    """Make tasks within this block use already opened questions; other processes find them by path."""
    key = str(questions.path), questions.split
    environment = {DATA_VARIABLE: key[0], SPLIT_VARIABLE: key[1]}
    with patch.dict(os.environ, environment), patch.dict(_opened, {key: questions}):
        yield


@lru_cache
def _questions_of(slug: str, variant: str) -> Callable[[datasets.Dataset], datasets.Dataset]:
    dimension = dimension_named(slug)

    def keep(questions: datasets.Dataset) -> datasets.Dataset:
        rows = [row for row, name in enumerate(questions["dimension"]) if name == dimension.slug]
        kept = questions.select(rows)
        return kept if variant == KEEP else _apply_variant(kept, variant_in_use(variant))

    return keep


def _apply_variant(questions: datasets.Dataset, variant: Variant) -> datasets.Dataset:
    items = variant.of([QAItem.from_row(row) for row in questions])
    columns = {name: [item.to_row()[name] for item in items] for name in COLUMNS}
    return type(questions).from_dict(columns, features=questions.features)


def doc_to_visual(doc: Doc) -> list[Any]:
    """Return the medium: a PIL picture, or the path of a clip."""
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
    if clips_are_resampled() or view is not View.AS_FILMED:  # otherwise the stored file is used as it is
        return [str(clips.protocol_clip_path(encoded, item.media_sha256, view=view))]
    return [str(stills.clip_path(encoded, item.media_sha256))]


def shards_in_use() -> QuestionMedia:
    """Return the opened media of the questions in use."""
    questions = questions_in_use()
    if questions.shards is None:
        raise DatasetNotFound(
            f"{dataset_in_use()} holds questions only; a model that uses media needs shards: --data SHARDS"
        )
    return questions.shards


def doc_to_text(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, str]) -> str:
    """Return the text for models without chat roles: the question, after the system text unless the style is direct."""
    style = prompts.prompt_style(lmms_eval_specific_kwargs["prompt_style"])
    text = prompts.user_text(QAItem.from_row(doc))
    return text if style is prompts.DIRECT else f"{style.system}\n\n{text}"


def doc_to_messages(doc: Doc, lmms_eval_specific_kwargs: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the chat with its system text, which the harness cannot pass in any other way."""
    style = prompts.prompt_style(lmms_eval_specific_kwargs["prompt_style"])
    item = QAItem.from_row(doc)
    content_type = "image" if item.media_kind is MediaKind.STILL else "video"
    return prompts.messages(item, style, [{"type": content_type, "url": shown} for shown in doc_to_visual(doc)])


def process_results(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Grade a response under both protocols; it includes the thought (`reasoning_tags: none`)."""
    item, response = QAItem.from_row(doc), results[0] or ""  # a server may return null instead of text
    strict, official = grade(item, response, tags=tags_in_use()), grade(item, response, "official")
    variant = variant_named_in(item.item_id)
    rotation = {"question": original_id(item.item_id), "score": int(strict.correct)}
    return ({ALL_ROTATIONS: rotation} if variant and variant.name == "circular" else {}) | {
        "shotbench_accuracy": float(strict.correct),
        "shotbench_macro": float(strict.correct),  # same value as the accuracy; groups average it over dimensions
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
    """Return the mean of `shotbench_score`, whose standard error the harness clusters by medium."""
    return fmean(entry["score"] for entry in entries)


def all_rotations(entries: Sequence[Mapping[str, Any]]) -> float:
    """Return the share of questions answered correctly in every rotation of their options."""
    all_correct: dict[str, bool] = {}
    for entry in entries:
        all_correct[entry["question"]] = all_correct.get(entry["question"], True) and bool(entry["score"])
    return fmean(all_correct.values())
