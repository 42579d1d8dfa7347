"""`shotbench eval`: run a model on all questions through lmms-eval, and write responses and scores.

OUT/samples.jsonl         one response per line with its thought and stop reason, with --samples K lines a question;
                          `shotbench score QUESTIONS OUT/samples.jsonl` recomputes the scores
OUT/scores.json           strict protocol, in the format of `shotbench score --format json`
OUT/scores.official.json  official protocol, without a judge
OUT/lmms_eval/            output of lmms-eval itself, one folder per pass
OUT/responses/            responses stored as they come, from which the same command continues

A run that fails changes only the last two; `run_files.py` says where earlier runs are kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from lmms_eval_shotbench.environment import (
    REASONING_TAGS_VARIABLE,
    REFINED_VARIABLE,
    RESAMPLE_VARIABLE,
    RESPONSES_VARIABLE,
    refined_in_use,
    responses_in_use,
)
from lmms_eval_shotbench.grading.added_tags import tags_in_use
from lmms_eval_shotbench.grading.grade import grade
from lmms_eval_shotbench.harness.eval_plan import (
    CLIPS,
    EvalRequest,
    EvaluationError,
    Pass,
    plan_passes,
    resolve_tasks,
)
from lmms_eval_shotbench.harness.lmms_eval import HarnessOutcome, is_main_process, run_harness, time_position_warning
from lmms_eval_shotbench.harness.recorder import Recorder, SamplePlan, request_timeout
from lmms_eval_shotbench.harness.request_keys import determining
from lmms_eval_shotbench.harness.run_files import RESPONSES, is_complete, write_run
from lmms_eval_shotbench.harness.run_record import describe_run, versions
from lmms_eval_shotbench.harness.task_files import Task
from lmms_eval_shotbench.harness.task_functions import use_questions
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.question_files import QuestionSet, open_questions
from lmms_eval_shotbench.questions.variants import variant_in_use
from lmms_eval_shotbench.qwen.revision import revision_in_use
from lmms_eval_shotbench.runs.cost import AMOUNTS, Prices
from lmms_eval_shotbench.runs.response_counts import NOT_MEASURED
from lmms_eval_shotbench.runs.responses import SAMPLES, StoredResponse, StoredSamples
from lmms_eval_shotbench.runs.run_time import WALL
from lmms_eval_shotbench.runs.score import SCORES_FILES, ScoredRun, samples_of, score_samples
from lmms_eval_shotbench.runs.score_formats import FORMATS, scores_table

NOT_ASKED = "it was not asked"


@dataclass
class Evaluation:
    """Outcome of an evaluation; `complete` only if every question asked has a response."""

    strict: ScoredRun | None = None
    official: ScoredRun | None = None
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    folder: Path | None = None  # where the run was written

    @property
    def complete(self) -> bool:
        """Whether the exit status may be 0."""
        return not self.errors and self.strict is not None and not self.strict.unanswered


def run_evaluation(request: EvalRequest) -> Evaluation:
    """Run all passes, write OUT and return the scores; ranks other than 0 return errors only.

    Raises:
        DatasetNotFound, BadRow: The questions cannot be read.
        EvaluationError: The requested tasks cannot be run together.
    """
    WALL.restart()
    questions = open_questions(request.data, request.split)
    ours, others = resolve_tasks(request.tasks, {item.dimension for item in questions.items})
    if not ours:
        raise EvaluationError(
            f"no ShotBench task in --tasks {request.tasks}; run tasks of others with lmms-eval itself"
        )
    with _in_use(request, questions):
        return _evaluate(request, questions, ours, others)


def ask_questions(request: EvalRequest, questions: QuestionSet) -> dict[int, StoredResponse]:
    """Ask all questions once, without scoring; returns responses by index, on all ranks.

    Responses are stored as they come, and the same call after an interruption asks only the rest. Results of
    lmms-eval are printed and written as in an evaluation; its metrics mean nothing if the correct answers are unknown.

    Raises:
        BackendUnavailable: The model needs a library that is not installed.
        EvaluationError: The tasks cannot be run together, or lmms-eval failed.
        ValueError: There is no such model.
    """
    WALL.restart()
    ours, others = resolve_tasks(request.tasks, {item.dimension for item in questions.items})
    with _in_use(request, questions):
        (responses,), error, _ = _run_passes(request, plan_passes(request, ours, others), ours, others, questions.items)
    if error:
        raise EvaluationError(f"{error}; {_kept(request, questions.items, [responses])}")
    return responses


@contextmanager
def _in_use(request: EvalRequest, questions: QuestionSet) -> Iterator[None]:
    """Make the tasks use these questions with the request's settings."""
    environment = {REFINED_VARIABLE: refined_in_use(request.refined)}
    if request.reasoning_tags:
        environment[REASONING_TAGS_VARIABLE] = json.dumps(request.reasoning_tags)
    with use_questions(questions), patch.dict(os.environ, environment):
        yield


def _evaluate(request: EvalRequest, questions: QuestionSet, ours: Sequence[Task], others: Sequence[str]) -> Evaluation:
    items, left_out = _select_questions(ours, questions.items)
    passes = plan_passes(request, ours, others)
    evaluation = Evaluation(warnings=_warnings(request, passes))
    responses, error, engines = _run_passes(request, passes, ours, others, items)
    evaluation.errors += [error] if error else []
    if is_main_process():
        asked = [item for item in items if item.dimension in {task.dimension.slug for task in ours}]
        if evaluation.errors:
            evaluation.errors.append(_kept_after_failure(request, asked, responses))
            return evaluation
        if request.limited:
            asked = [item for item in asked if any(item.source_index in sample for sample in responses)]
        run = describe_run(request, questions.path, passes, ours, left_out)
        run |= {**({"engines": engines} if engines else {}), "warnings": evaluation.warnings}
        _score_and_write(evaluation, request.out, asked, responses, run, request.prices)
    return evaluation


def _run_passes(
    request: EvalRequest, passes: Sequence[Pass], ours: Sequence[Task], others: Sequence[str], items: Sequence[QAItem]
) -> tuple[StoredSamples, str, dict[str, Any]]:
    """Run passes until one fails; returns all responses, the error ("" if there is none), and engines by pass."""
    responses: StoredSamples = [{} for _ in range(request.samples)]
    engines: dict[str, Any] = {}
    for one in passes:
        recorder = _recorder(request, one, ours)
        outcome = _run_pass(request, one, recorder, bool(others))
        for sample, found in zip(responses, responses_in(recorder, ours, items), strict=True):
            sample |= found
        if outcome.error or (is_main_process() and not outcome.finished):
            return responses, f"the {one.name} pass failed: {outcome.error or 'it returned no results'}", engines
        engines |= {one.name: dict(recorder.engine)} if recorder.engine else {}
    return responses, "", engines


def _select_questions(ours: Sequence[Task], originals: Sequence[QAItem]) -> tuple[list[QAItem], list[QAItem]]:
    """Return the questions of these tasks, and those their variant leaves out."""
    name = ours[0].variant
    if not name:
        return list(originals), []
    variant = variant_in_use(name)
    items = variant.of(originals)
    present = {item.dimension for item in items}
    if empty := [task.name for task in ours if task.dimension.slug not in present]:
        raise EvaluationError(f"{', '.join(empty)}: the variant applies to no question of the data")
    return items, variant.left_out(originals)


def _recorder(request: EvalRequest, one: Pass, ours: Sequence[Task]) -> Recorder:
    """Return the recorder of a pass, which stores a response under all that determines it."""
    settings = {
        "model": request.model,
        "force_simple": request.force_simple,
        "model_args": determining(one.model_args),
        "revision": revision_in_use(one.model_args),
        "clips_resampled": one.resample_clips,
        "versions": versions(),
    }
    rank = int(os.environ.get("RANK", 0))
    sampling = SamplePlan(request.samples, request.temperature, request.seed)
    tasks, timeout = {task.name for task in ours}, request_timeout(one.model_args)
    return Recorder(settings, _responses_folder(request), tasks, sampling, rank, timeout)


def _responses_folder(request: EvalRequest) -> Path:
    return (responses_in_use(request.responses) or request.out / RESPONSES).absolute()


def _run_pass(request: EvalRequest, one: Pass, recorder: Recorder, index_all_tasks: bool) -> HarnessOutcome:
    arguments = ["--model", request.model, "--tasks", ",".join(one.tasks), *request.passed_on]
    arguments += ["--model_args", one.model_args] if one.model_args else []
    arguments += ["--force_simple"] if request.force_simple else []
    arguments += ["--log_samples", "--output_path", str(request.harness_out / one.name)]
    environment = {
        RESAMPLE_VARIABLE: "1" if one.resample_clips else "",
        RESPONSES_VARIABLE: str(_responses_folder(request)),
    }
    with patch.dict(os.environ, environment):
        return run_harness(arguments, recorder, index_all_tasks=index_all_tasks)


def responses_in(recorder: Recorder, ours: Iterable[Task], items: Sequence[QAItem]) -> StoredSamples:
    """Return responses by question index, of each sample; document i of a task is question i of its dimension."""
    questions = {task.name: [item for item in items if item.dimension == task.dimension.slug] for task in ours}
    samples: StoredSamples = [{} for _ in range(recorder.sampling.samples)]
    for asked, response in recorder.responses().items():
        samples[asked.sample - 1][questions[asked.task][asked.doc_id].source_index] = response
    return samples


def _kept_after_failure(request: EvalRequest, asked: Sequence[QAItem], responses: StoredSamples) -> str:
    """Say what a failed run leaves behind."""
    state = "the complete run" if is_complete(request.out) else "what was there"
    there = f"; {request.out} still holds {state}" if any(request.out.glob("scores*.json")) else ""
    return _kept(request, asked, responses) + there


def _kept(request: EvalRequest, asked: Sequence[QAItem], responses: StoredSamples) -> str:
    kept = sum(not response.unanswered for sample in responses for response in sample.values())
    return (
        f"{kept:,} of {len(asked) * len(responses):,} responses are kept in {_responses_folder(request)}, "
        "and the same command asks only the rest"
    )


def _samples(items: Iterable[QAItem], responses: StoredSamples) -> str:
    several = len(responses) > 1
    rows = (
        _sample(item, sample[item.source_index]) | ({"sample": number} if several else {})
        for item in items
        for number, sample in enumerate(responses, start=1)
    )
    # ASCII: a response may contain a lone surrogate, which UTF-8 cannot encode; it must not fail the complete file.
    return "".join(json.dumps(row) + "\n" for row in rows)


def _sample(item: QAItem, stored: StoredResponse) -> dict[str, Any]:
    """Return one line of samples.jsonl; thought, stop reason, tokens and times are absent if they are unknown."""
    asked = {"index": item.source_index, "item_id": item.item_id, "dimension": item.dimension}
    if stored.unanswered:
        return asked | {"unanswered": stored.unanswered}
    optional = {
        "thought": grade(item, stored.text, tags=tags_in_use()).thought or None,
        "finish_reason": stored.finish_reason or None,
        **{name: getattr(stored, name) for name in AMOUNTS},
        "tokens_counted": stored.tokens_counted or None,
    }
    return asked | {"response": stored.text} | {name: value for name, value in optional.items() if value is not None}


def _score_and_write(
    evaluation: Evaluation,
    out: Path,
    items: Sequence[QAItem],
    responses: StoredSamples,
    run: dict[str, Any],
    prices: Prices | None,
) -> None:
    if not items:
        evaluation.errors.append("no question was asked; is --limit 0 or --offset past the end?")
        return
    absent = dict.fromkeys((item.source_index for item in items), StoredResponse.absent(NOT_ASKED))
    responses = [absent | sample for sample in responses]
    score = partial(score_samples, items, samples_of(items, responses), tags=tags_in_use(), run=run, prices=prices)
    evaluation.strict, evaluation.official = score("strict"), score("official")
    evaluation.warnings = [*evaluation.warnings, *evaluation.strict.warnings]
    files = {SAMPLES: _samples(items, responses)}
    files |= {SCORES_FILES[one.protocol]: FORMATS["json"](one) for one in (evaluation.strict, evaluation.official)}
    evaluation.folder = write_run(out, files, evaluation.complete)


def evaluation_table(evaluation: Evaluation) -> str:
    """Format the table printed at the end, with the official protocol's averages below."""
    if evaluation.strict is None or evaluation.official is None:
        return ""
    official = evaluation.official.scores
    averages = f"micro {100 * official.micro.value:.2f}, macro {100 * official.macro.value:.2f}"
    return (
        f"{scores_table(evaluation.strict)}\n"
        f"protocol official: {averages if evaluation.official.measured else NOT_MEASURED}, "
        f"{100 * official.answered_rate:.2f} % decided"
    )


def _warnings(request: EvalRequest, passes: Sequence[Pass]) -> list[str]:
    warning = time_position_warning(request.model)
    time_warnings = [warning] if warning and any(one.name == CLIPS for one in passes) else []
    return time_warnings + [text for one in passes for text in one.warnings]
