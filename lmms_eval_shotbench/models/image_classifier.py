"""`--model image_classifier`: an image or video classifier of transformers on the questions of a dimension.

    shotbench eval --model image_classifier --model_args pretrained=FOLDER_OR_ID,labels=map.toml \
        --tasks shotbench_shot_size --data SHARDS --out OUT

The classifier sees no text. Of a question's options it answers the one with the most probable class; `label_map.py`
has the form of the file of labels, `classifier_answers.py` the rule, and `classifier.py` what is seen of a clip.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from lmms_eval.api.instance import GenerationResult, Instance
from lmms_eval.api.model import lmms
from loguru import logger  # the logger of lmms-eval

from lmms_eval_shotbench.environment import responses_in_use
from lmms_eval_shotbench.harness.replies import failure
from lmms_eval_shotbench.harness.token_counts import result_of_answer
from lmms_eval_shotbench.media.stored_medium import StoredMedium, media_undecoded
from lmms_eval_shotbench.models.batching import Lookahead, Planned
from lmms_eval_shotbench.models.classifier import Inputs, UnsupportedClassifier, load_classifier
from lmms_eval_shotbench.models.classifier_answers import Options, options_of, response_text, undecided_text
from lmms_eval_shotbench.models.label_map import read_label_map, unmapped_warning
from lmms_eval_shotbench.models.media_threads import media_threads
from lmms_eval_shotbench.models.shotvl_settings import rank_device, spare_cores
from lmms_eval_shotbench.progress import progress_bar
from lmms_eval_shotbench.qa_item import BadRow, QAItem
from lmms_eval_shotbench.runs.response_store import Answer, Response, ResponseStore, response_key
from lmms_eval_shotbench.vocabulary import dimension_named

MEDIA_PER_BATCH = 32


class Question(NamedTuple):
    """The options of a question with their classes, and its medium; without one nothing is shown, as in `blind`."""

    options: Options
    medium: StoredMedium | None

    @property
    def undecided(self) -> str:
        """Why the classifier cannot decide the question; "" if it can."""
        return self.options.undecided or ("" if self.medium else "no medium is shown")


class ImageClassifier(lmms):  # type: ignore[misc]
    """A classifier, local or on the Hub, one copy on each rank."""

    is_simple = True
    keeps_own_responses = True

    def __init__(
        self,
        pretrained: str = "",
        labels: str = "",
        revision: str | None = None,
        device: str | None = None,
        dtype: str = "float32",
        frames: int | None = None,
        workers: int | None = None,
        responses: str | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        """Load the checkpoint and the file of labels.

        Args:
            pretrained: folder or Hub id of the checkpoint.
            labels: TOML file with the terms of each class, see `label_map.py`.
            revision: revision of the Hub repository.
            device: torch device (default: a GPU per rank if available, else the CPU).
            dtype: float32, bfloat16 or float16.
            frames: frames of a clip that a video classifier sees (default: as its configuration states).
            workers: threads that decode and preprocess media ahead of the model.
            responses: folder for responses stored during the run; a run with the same settings reuses them.
            batch_size: media per forward pass (`--batch_size`); lmms-eval passes 1 if none is given, which means 32.
            max_batch_size: ignored.

        Raises:
            UnsupportedClassifier: the checkpoint is not a classifier that can be run here.
            BadLabelMap: the file of labels does not fit the checkpoint or the vocabulary.
        """
        super().__init__()
        if not (pretrained and labels):
            raise UnsupportedClassifier("image_classifier needs --model_args pretrained=FOLDER_OR_ID,labels=FILE.toml")
        self.device = rank_device(device)
        self._rank, self._world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self._classifier = load_classifier(pretrained, revision, self.device, dtype, int(frames) if frames else None)
        self._labels = read_label_map(Path(labels).expanduser(), self._classifier.classes)
        if warning := unmapped_warning(self._labels):
            logger.warning(warning)
        given = int(str(batch_size)) if str(batch_size).isdigit() else 1
        self._batch_size = given if given > 1 else MEDIA_PER_BATCH
        self._threads = media_threads(int(workers or spare_cores()))
        self._numerics = [self.device.type, dtype, version("torch"), version("transformers")]
        self._store = ResponseStore(responses_in_use(responses), self._rank)

    @property
    def provenance(self) -> dict[str, Any]:
        """What a record of the run contains of the classifier."""
        frames = self._classifier.frames
        seen = "the middle frame" if frames is None else f"{frames} frames"
        return {
            "engine": "transformers",
            "classifier": type(self._classifier.model).__name__,
            "shown_of_clips": seen,
            "labels": {
                slug: {name: list(terms) for name, terms in t.items()} for slug, t in self._labels.terms.items()
            },
        }

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """Answer the questions of these requests, each distinct one once, and only those without a stored response."""
        questions = [self._question(request) for request in requests]
        keys = [self._key(question) for question in questions]
        distinct = dict(zip(keys, questions, strict=True))
        self._warn_of_absent_dimensions(questions)
        answers: dict[str, Answer] = {key: kept for key in distinct if (kept := self._store.get(key))}
        with progress_bar(
            "image_classifier", len(distinct), "item", initial=len(answers), disable=self.rank != 0
        ) as progress:
            for found in self._answers({key: one for key, one in distinct.items() if key not in answers}):
                kept_now = self._store.keep({key: one for key, one in found.items() if isinstance(one, Response)})
                answers |= {**found, **kept_now}
                progress.update(len(found))
        first_of = {key: number for number, key in reversed(list(enumerate(keys)))}
        return [result_of_answer(answers[key], repeated=first_of[key] != number) for number, key in enumerate(keys)]

    def _question(self, request: Instance) -> Question:
        _context, _settings, doc_to_visual, doc_id, task, split = request.args
        doc = self.task_dict[task][split][doc_id]
        try:
            item = QAItem.from_row(doc)
        except BadRow as error:
            raise UnsupportedClassifier(f"image_classifier answers ShotBench's questions only: {error}") from None
        with media_undecoded():
            media: list[StoredMedium] = doc_to_visual(doc)
        return Question(options_of(item, self._labels), media[0] if media else None)

    def _key(self, question: Question) -> str:
        """Key of everything that determines a response: options with their classes, medium, weights and numerics."""
        medium = question.medium
        return response_key(
            {
                "options": question.options,
                "medium": [medium.kind.value, medium.key] if medium else None,
                "revision": self._classifier.revision,
                "frames": self._classifier.frames,
                "computed": self._numerics,
            }
        )

    def _warn_of_absent_dimensions(self, questions: Sequence[Question]) -> None:
        dimensions = Counter(question.options.dimension for question in questions)
        absent = {slug: count for slug, count in dimensions.items() if slug not in self._labels.terms}
        if absent and self.rank == 0:
            names = ", ".join(f"{dimension_named(slug).paper_name} ({count:,})" for slug, count in absent.items())
            logger.warning(f"undecided, because the file of labels has no table of the dimension: {names}")

    def _answers(self, questions: Mapping[str, Question]) -> Iterator[dict[str, Answer]]:
        """Yield the answers by key: first those that need no medium, then batch by batch; a medium is seen once."""
        yield {key: _response(undecided_text(one.undecided)) for key, one in questions.items() if one.undecided}
        media: dict[str, StoredMedium] = {}
        asking: defaultdict[str, list[str]] = defaultdict(list)  # keys of the questions about a medium
        for key, question in questions.items():
            if question.medium and not question.undecided:
                media[question.medium.key] = question.medium
                asking[question.medium.key].append(key)
        planned = [Planned(number, 1, (name,)) for number, name in enumerate(media)]
        size = self._batch_size
        batches = [planned[start : start + size] for start in range(0, len(planned), size)]
        lookahead = Lookahead(lambda name: self._classifier.inputs(media[name]), self._threads, size)
        for _batch, ready in lookahead.run(batches):
            yield self._answer({name: asking[name] for name in ready}, questions, ready)

    def _answer(
        self,
        asking: Mapping[str, Sequence[str]],
        questions: Mapping[str, Question],
        ready: Mapping[str, Future[Inputs]],
    ) -> dict[str, Answer]:
        """Answer the questions about these media; those about a broken one fail."""
        errors = {name: error for name, future in ready.items() if isinstance(error := future.exception(), Exception)}
        answers: dict[str, Answer] = {key: failure(error) for name, error in errors.items() for key in asking[name]}
        decoded = [name for name in ready if name not in errors]
        if not decoded:
            return answers
        started = perf_counter()
        rows = self._classifier.probabilities([ready[name].result() for name in decoded])
        seconds = round((perf_counter() - started) / sum(len(asking[name]) for name in decoded), 6)
        for name, row in zip(decoded, rows, strict=True):
            for key in asking[name]:
                answers[key] = _response(response_text(questions[key].options, row), seconds)
        return answers

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Not supported: a classifier has probabilities of classes, not of texts."""
        raise NotImplementedError("image_classifier answers questions; use a task that generates")

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Not supported: ShotBench has one round."""
        raise NotImplementedError("image_classifier answers one round only")


def _response(text: str, seconds: float = 0.0) -> Response:
    """Return a response that took no tokens."""
    return Response(text, 0, 0, "stop", seconds)
