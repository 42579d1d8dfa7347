"""Functions named in the YAML files of `lm_eval_tasks/`: adapters between lm-eval's documents and this package.

Documents, prompts and grades are those of the lmms-eval tasks (`task_functions.py`). lm-eval differs in three ways: the
system text is the task's `description`, a placeholder in the text marks the picture's position, and the requests of all
questions are built before the first is run.

Computed on access: `QUESTIONS` and `SHARDS` (the dataset's location, looked up when a task is built; `SHARDS` requires
media) and `keep_<dimension>` (the filter of each task). If there are no questions, they exit with a one-line message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lmms_eval_shotbench import prompts
from lmms_eval_shotbench.environment import dataset_in_use, split_in_use
from lmms_eval_shotbench.harness import task_functions
from lmms_eval_shotbench.media.stills import BrokenMedium
from lmms_eval_shotbench.qa_item import BadRow, QAItem
from lmms_eval_shotbench.questions.shards import DatasetNotFound
from lmms_eval_shotbench.scoring.metrics import term_f1
from lmms_eval_shotbench.vocabulary import dimension_named

if TYPE_CHECKING:
    import datasets

Doc = Mapping[str, Any]
PICTURE_PLACEHOLDER = "<image>"  # replaced by the picture in hf-multimodal and vllm-vlm
CUE = "\nAnswer:"  # precedes the letter whose likelihood is computed, as in MMLU
OVER_ITEMS = ("shotbench_accuracy", "shotbench_official", "shotbench_answered", "shotbench_term_f1")
OVER_DIMENSIONS = "shotbench_macro"  # in a group: mean over dimensions of the first metric above


def __getattr__(name: str) -> Any:
    """Compute the names in the YAML files that depend on the environment or on the vocabulary."""
    if name == "QUESTIONS":
        return task_functions.DATASET_KWARGS
    if name == "SHARDS":
        return _dataset_with_media()
    if name.startswith("keep_"):
        return partial(_keep, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _dataset_with_media() -> dict[str, Any]:
    try:
        task_functions.shards_in_use()
    except (DatasetNotFound, BadRow) as error:
        raise SystemExit(f"shotbench: {error}") from None
    kwargs: dict[str, Any] = task_functions.DATASET_KWARGS
    return kwargs


def _keep(name: str, questions: datasets.Dataset) -> datasets.Dataset:
    kept = getattr(task_functions, name)(questions)
    if len(kept):
        return kept
    dimension = dimension_named(name.removeprefix("keep_"))
    raise SystemExit(
        f"shotbench: {dataset_in_use()} has no questions on {dimension.paper_name} in split {split_in_use()!r}; "
        f"instead of the group, name its tasks that the data have: {', '.join(sorted(set(questions['dimension'])))}"
    )


def text(doc: Doc) -> str:
    """Return the user's text, for models without media."""
    return prompts.user_text(QAItem.from_row(doc))


def text_with_picture(doc: Doc) -> str:
    """Return the user's text after the picture."""
    return PICTURE_PLACEHOLDER + text(doc)


def text_with_cue(doc: Doc) -> str:
    """Return the user's text and the cue that precedes the letter."""
    return text(doc) + CUE


def letters(doc: Doc) -> list[str]:
    """Return the option letters, whose likelihoods are compared."""
    return list(QAItem.from_row(doc).letters)


def still(doc: Doc) -> StillOnDemand:
    """Return the picture of a question, to be decoded on access."""
    item = QAItem.from_row(doc)
    return StillOnDemand(f"{item.item_id} {item.medium}".encode(), doc)


class StillOnDemand(bytes):
    """A still that is decoded on each access and not cached.

    Iterated or indexed, as models do with a request's pictures, it returns a new PIL picture. As bytes it is the
    question's id and the medium's checksum, which lm-eval uses as the key in its cache and logs; for a picture it would
    encode a PNG, a third of a second each.
    """

    doc: Doc

    def __new__(cls, name: bytes, doc: Doc) -> StillOnDemand:
        """Create it from the bytes that identify the question's picture."""
        still = super().__new__(cls, name)
        still.doc = doc
        return still

    def __reduce__(self) -> tuple[type[StillOnDemand], tuple[bytes, Doc]]:
        """Pickle as identifier and document, without the picture."""
        return StillOnDemand, (bytes(self), self.doc)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the one picture; raises `BrokenMedium` with the question's id."""
        try:
            return iter(task_functions.doc_to_visual(self.doc))
        except BrokenMedium as error:
            raise BrokenMedium(f"{self.doc['item_id']}: {error}") from error

    def __getitem__(self, index: Any) -> Any:
        """Return the picture or, for a slice, a list with it."""
        return list(self)[index]


def process_results(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """Return the metrics of the lmms-eval tasks for one response."""
    metrics = task_functions.process_results(doc, results)
    return {name: metrics[name] for name in (*OVER_ITEMS, OVER_DIMENSIONS)}


def process_likelihoods(doc: Doc, results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """Score the most likely letter; `results` has one log-likelihood per letter, and the first letter wins a tie."""
    item = QAItem.from_row(doc)
    _, letter = max(zip((likelihood for likelihood, _ in results), item.letters, strict=True), key=lambda pair: pair[0])
    correct = float(letter == item.answer)
    return {"acc": correct, OVER_DIMENSIONS: correct, "shotbench_term_f1": term_f1(item, letter)}
