"""Ask a model questions about media files through lmms-eval, as `shotbench eval` does, and keep the responses.

Questions that were answered in an earlier run start neither lmms-eval nor the model.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from lmms_eval_shotbench.harness.eval_plan import EvalRequest
from lmms_eval_shotbench.harness.evaluate import ask_questions
from lmms_eval_shotbench.harness.passed_on import value_of
from lmms_eval_shotbench.harness.request_keys import determining
from lmms_eval_shotbench.harness.run_files import RESPONSES
from lmms_eval_shotbench.harness.run_record import versions
from lmms_eval_shotbench.prompts import user_text
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import questions_about_files
from lmms_eval_shotbench.qwen.revision import revision_in_use
from lmms_eval_shotbench.runs.response_store import Response, ResponseStore, response_key
from lmms_eval_shotbench.runs.stored_response import StoredResponse


def ask_items(items: Sequence[QAItem], request: EvalRequest, folder: Path) -> list[StoredResponse]:
    """Return the response to each question.

    Args:
        items: Each with a `source_index` of its own, the checksum of its medium, and a `media_path` relative to
            `folder`.
        request: Model, arguments and tasks; data and output folders are set here.
        folder: Folder of the media; responses are stored in its subfolder "responses".

    Raises:
        EvaluationError: lmms-eval failed; the message states how many responses are kept.
    """
    store = ResponseStore(folder / RESPONSES)
    keys = _keys(items, request)
    pending = [item for item in items if store.get(keys[item.source_index]) is None]
    asked: dict[int, StoredResponse] = {}
    if pending:
        asked = _ask(pending, request, folder)
        keys |= _keys(pending, request)  # with the revision of a checkpoint that was downloaded only now
        store.keep({keys[index]: one.response() for index, one in asked.items() if not one.unanswered})
    return [_stored(store.get(keys[item.source_index]), asked.get(item.source_index)) for item in items]


def _stored(kept: Response | None, asked: StoredResponse | None) -> StoredResponse:
    if kept is not None:
        return StoredResponse.of(kept)
    return asked or StoredResponse.absent("it was not asked")


def _ask(items: Sequence[QAItem], request: EvalRequest, folder: Path) -> dict[int, StoredResponse]:
    with TemporaryDirectory(prefix="shotbench-") as scratch, redirect_stdout(io.StringIO()):  # scores of no meaning
        questions = questions_about_files(items, folder, Path(scratch) / "questions.parquet")
        passed_on = list(request.passed_on)
        if value_of(passed_on, "--verbosity") is None:
            passed_on += ["--verbosity", "ERROR"]
        return ask_questions(
            replace(
                request,
                data=str(questions.path),
                out=folder,
                harness_out=Path(scratch),
                responses=folder / RESPONSES,
                passed_on=passed_on,
            ),
            questions,
        )


def _keys(items: Sequence[QAItem], request: EvalRequest) -> dict[int, str]:
    """The keys of responses by index of the question: all that determines them."""
    settings = {
        "model": request.model,
        "force_simple": request.force_simple,
        "model_args": determining(request.model_args),
        "stills_args": request.stills_args,
        "clips_args": request.clips_args,
        "revision": revision_in_use(request.model_args),
        "tasks": request.tasks,
        "passed_on": list(request.passed_on),
        "versions": versions(),
    }
    return {
        item.source_index: response_key(
            settings | {"text": user_text(item), "medium": item.media_sha256, "kind": item.media_kind}
        )
        for item in items
    }
