"""What the YAMLs of `lm_eval_tasks/` name: adapters between lm-eval's documents and this package. No logic lives here.

Documents, prompts and grades are those of the lmms-eval tasks (`task_functions.py`). What lm-eval does otherwise: it
takes the system text from the task's `description` and a picture's place from a mark in the text, and it makes the
requests of all questions before it asks the first.

Computed on access: `QUESTIONS` and `SHARDS` (where the dataset is, looked up when a task is built; `SHARDS` wants media
too) and `keep_<dimension>` (the filter of each task). Where there is nothing to ask they end the program in one line.
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
PICTURE = "<image>"  # where hf-multimodal and vllm-vlm put it
CUE = "\nAnswer:"  # what the likelihood of a letter is asked after, as in MMLU
OVER_ITEMS = ("shotbench_accuracy", "shotbench_official", "shotbench_answered", "shotbench_term_f1")
OVER_DIMENSIONS = "shotbench_macro"  # in a group, the mean over dimensions of the first


def __getattr__(name: str) -> Any:
    """Names the YAMLs use that depend on the environment or on the vocabulary."""
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
        f"instead of the group, name its tasks that these data have: {', '.join(sorted(set(questions['dimension'])))}"
    )


def text(doc: Doc) -> str:
    """The user's text, for models that are shown nothing."""
    return prompts.user_text(QAItem.from_row(doc))


def text_with_picture(doc: Doc) -> str:
    """The user's text behind the picture."""
    return PICTURE + text(doc)


def text_with_cue(doc: Doc) -> str:
    """The user's text and what a letter would follow."""
    return text(doc) + CUE


def letters(doc: Doc) -> list[str]:
    """The letters on offer, whose likelihoods are compared."""
    return list(QAItem.from_row(doc).letters)


def still(doc: Doc) -> StillOnDemand:
    """The picture of a question, not read yet."""
    item = QAItem.from_row(doc)
    return StillOnDemand(f"{item.item_id} {item.medium}".encode(), doc)


class StillOnDemand(bytes):
    """A still that is decoded each time it is asked for, and that nobody keeps.

    Iterated or indexed, as models do with a request's pictures, it gives a new PIL picture. As bytes it is the
    question's id and the medium's checksum, by which lm-eval then keys its cache and logs; of a picture it would take
    the PNG, a third of a second each.
    """

    doc: Doc

    def __new__(cls, name: bytes, doc: Doc) -> StillOnDemand:
        """The name by which a question's picture is known."""
        still = super().__new__(cls, name)
        still.doc = doc
        return still

    def __reduce__(self) -> tuple[type[StillOnDemand], tuple[bytes, Doc]]:
        """What it is made of again in another process."""
        return StillOnDemand, (bytes(self), self.doc)

    def __iter__(self) -> Iterator[Any]:
        """The picture; raises `BrokenMedium` with the question's id."""
        try:
            return iter(task_functions.doc_to_visual(self.doc))
        except BrokenMedium as error:
            raise BrokenMedium(f"{self.doc['item_id']}: {error}") from error

    def __getitem__(self, place: Any) -> Any:
        """The picture, or a list of it, as of any list of pictures."""
        return list(self)[place]


def process_results(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """The verdicts of the lmms-eval tasks on one response."""
    verdicts = task_functions.process_results(doc, results)
    return {name: verdicts[name] for name in (*OVER_ITEMS, OVER_DIMENSIONS)}


def process_likelihoods(doc: Doc, results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """Whether the likeliest letter is right; `results` has a log-likelihood for each letter. The first wins a tie."""
    item = QAItem.from_row(doc)
    _, letter = max(zip((likelihood for likelihood, _ in results), item.letters, strict=True), key=lambda pair: pair[0])
    correct = float(letter == item.answer)
    return {"acc": correct, OVER_DIMENSIONS: correct, "shotbench_term_f1": term_f1(item, letter)}
