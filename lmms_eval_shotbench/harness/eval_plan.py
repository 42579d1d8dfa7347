"""Plan of `shotbench eval`: which tasks run in which passes, with which model arguments.

The official protocol shows stills at the model's own size and clips at 12 frames a second of at most 360x640 pixels.
lmms-eval has one setting for both, so stills and clips run in two passes with separate model arguments; `backends.py`
lists what each model accepts. A model without such arguments gets copies of the clips at that rate and size. A class
with the attribute `protocol_built_in = True` follows the protocol by itself and runs everything in one pass.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lmms_eval_shotbench.grading.reasoning_tags import ReasoningTags
from lmms_eval_shotbench.harness.backends import cannot_show, clip_settings, find_model_class, token_arguments
from lmms_eval_shotbench.harness.passed_on import max_new_tokens
from lmms_eval_shotbench.harness.task_files import Task, all_tasks
from lmms_eval_shotbench.model_args import format_model_args, parse_model_args
from lmms_eval_shotbench.runs.cost import Prices
from lmms_eval_shotbench.vocabulary import MediaKind

OUR_SETTINGS = {"tasks", "model", "model_args", "force_simple", "limit", "offset", "output_path", "log_samples"}
PRESET_SETTINGS = {"gen_kwargs", "batch_size"}
STILLS, CLIPS, ALL = "stills", "clips", "all"  # names of the passes


class EvaluationError(RuntimeError):
    """An evaluation that cannot start or did not finish; the message states what to do."""


@dataclass(frozen=True)
class EvalRequest:
    """Arguments of `shotbench eval`; `passed_on` are flags for lmms-eval, passed on unchanged."""

    tasks: str
    data: str
    out: Path
    harness_out: Path  # where lmms-eval writes its own files
    model: str
    model_args: str = ""
    split: str = "test"
    force_simple: bool = False
    refined: Path | None = None  # RefineShot's published questions, for the refineshot… tasks
    reasoning_tags: ReasoningTags = ()  # tags of thoughts in addition to the built-in ones
    samples: int = 1  # number of responses asked for to each question
    temperature: float | None = None  # of sampling; None: the task's settings, which are greedy
    seed: int = 0  # of the first sample; each further sample has the next one
    responses: Path | None = None  # folder for responses stored during the run; by default in `out`
    limited: bool = False  # --limit or --offset was given: not every question is asked
    prices: Prices | None = None  # of tokens, for the cost
    passed_on: Sequence[str] = ()
    command: Sequence[str] = ()  # as typed, for the run record; empty when called from Python
    preset: str = ""  # name of the preset that model, arguments and limits are from
    stills_args: dict[str, str] = field(default_factory=dict)  # model arguments of the pass of stills only
    clips_args: dict[str, str] = field(default_factory=dict)  # and of clips; they win over the protocol's


@dataclass(frozen=True)
class Pass:
    """One run of lmms-eval: tasks with the same model arguments."""

    name: str
    tasks: list[str]
    model_args: str
    resample_clips: bool = False
    warnings: Sequence[str] = ()  # deviations from the protocol


def check_config(path: Path, with_preset: bool = False) -> Path:
    """Check that a --config file of lmms-eval can be shared by both passes, and return its path.

    Args:
        path: The file.
        with_preset: Whether a preset sets generation settings and batch size, which would hide those of the file.

    Raises:
        EvaluationError: The file is not a mapping, or sets what `shotbench eval` sets per pass, such as model
        arguments.
    """
    import yaml

    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise EvaluationError(f"--config {path} cannot be read: {error}") from None
    if not isinstance(settings, dict):
        raise EvaluationError(f"--config {path} must contain one mapping; run several with an --out each")
    if ours := sorted((OUR_SETTINGS | (PRESET_SETTINGS if with_preset else set())) & settings.keys()):
        raise EvaluationError(f"--config {path} sets {', '.join(ours)}; give them on the command line instead")
    return path


def resolve_tasks(names: str, present: set[str]) -> tuple[list[Task], list[str]]:
    """Split a --tasks value into our leaf tasks and names of others; a group skips dimensions absent from the data."""
    known = all_tasks()
    ours: dict[str, Task] = {}
    others = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        group = [task for task in known if task.group == name and task.dimension.slug in present]
        leaves = [task for task in known if fnmatch.fnmatch(task.name, name)]
        if not group and not leaves:
            if any(task.group == name for task in known):
                raise EvaluationError(f"{name}: the data have no such questions, only {', '.join(sorted(present))}")
            others.append(name)
        absent = [task.name for task in leaves if task.dimension.slug not in present]
        if absent and "*" not in name:
            raise EvaluationError(
                f"{', '.join(absent)}: the data have no such questions, only {', '.join(sorted(present))}"
            )
        ours |= {task.name: task for task in group + leaves if task.name not in absent}
    if len({task.group for task in ours.values()}) > 1:
        raise EvaluationError(
            "one prompt style and one variant per run, so that scores do not mix; run each with its own --out"
        )
    return list(ours.values()), others


def plan_passes(request: EvalRequest, ours: Sequence[Task], others: Sequence[str]) -> list[Pass]:
    """Plan stills (and other tasks) with the model arguments as given, and clips with the protocol's added.

    Raises:
        BackendUnavailable: The model needs a library that is not installed.
        EvaluationError: The model cannot be shown the stills or the clips.
        ValueError: There is no such model, or a numeric model argument is not a number.
    """
    model_class = find_model_class(request.model, request.force_simple)
    if getattr(model_class, "protocol_built_in", False):
        return [Pass(ALL, [*others, *(task.name for task in ours)], request.model_args)]
    clips = [task.name for task in ours if task.dimension.media_kind is MediaKind.CLIP]
    stills = [task.name for task in ours if task.name not in clips]
    for kind, tasks, rest in ((MediaKind.STILL, stills, clips), (MediaKind.CLIP, clips, stills)):
        if tasks and (reason := cannot_show(model_class, kind)):
            instead = f"; ask only --tasks {','.join(rest)}" if rest else ""
            raise EvaluationError(f"--model {request.model} cannot be shown a {kind.value}: {reason}{instead}")
    given = parse_model_args(request.model_args)
    tokens = token_arguments(model_class, given, max_new_tokens(request.passed_on))
    first = [*others, *stills]
    passes = []
    if first:
        passes.append(Pass(STILLS, first, format_model_args(tokens | request.stills_args, request.model_args)))
    if clips:
        added = clip_settings(request.model, model_class, given | request.clips_args)
        arguments = format_model_args(tokens | request.clips_args | added.arguments, request.model_args)
        passes.append(Pass(CLIPS, clips, arguments, added.resample, added.remarks))
    return passes
