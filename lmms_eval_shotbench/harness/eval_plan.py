"""What `shotbench eval` will do: which tasks, in which passes, with which model arguments.

The official protocol shows stills at the model's own size and clips at 12 frames a second of at most 360x640 pixels.
lmms-eval has one setting for both, so stills and clips are asked in two passes with their own model arguments; what a
model can be told is in `backends.py`. A model that cannot gets clips as copies made at that rate and size. A class with
the attribute `protocol_built_in = True` shows stills and clips rightly by itself and is asked everything in one pass.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lmms_eval_shotbench.harness.backends import clip_settings, find_model_class, token_arguments
from lmms_eval_shotbench.harness.task_files import Task, all_tasks
from lmms_eval_shotbench.model_args import format_model_args, parse_model_args
from lmms_eval_shotbench.vocabulary import MediaKind

OUR_SETTINGS = {"tasks", "model", "model_args", "force_simple", "limit", "offset", "output_path", "log_samples"}
STILLS, CLIPS, ALL = "stills", "clips", "all"  # names of the passes


class EvaluationError(RuntimeError):
    """An evaluation that cannot start or did not finish; the message says what to do."""


@dataclass(frozen=True)
class EvalRequest:
    """What `shotbench eval` was asked to do; `passed_on` are lmms-eval's own flags, untouched."""

    tasks: str
    data: str
    out: Path
    harness_out: Path  # where lmms-eval writes its own files
    model: str
    model_args: str = ""
    split: str = "test"
    force_simple: bool = False
    refined: Path | None = None  # RefineShot's published questions, for the tasks refineshot…
    limited: bool = False  # --limit or --offset: not every question is asked
    passed_on: Sequence[str] = ()
    command: Sequence[str] = ()  # as it was typed, for the record; empty when called from Python


@dataclass(frozen=True)
class Pass:
    """One run of lmms-eval: tasks that share their model arguments."""

    name: str
    tasks: list[str]
    model_args: str
    resample_clips: bool = False
    warnings: Sequence[str] = ()  # how it parts with the protocol


def check_config(path: Path) -> Path:
    """Return a --config file of lmms-eval's that can be shared by both passes.

    Raises:
        EvaluationError: it is no mapping, or sets what we must know or set ourselves, such as the model's arguments:
            clips would then be asked of another model than stills.
    """
    import yaml

    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise EvaluationError(f"--config {path} cannot be read: {error}") from None
    if not isinstance(settings, dict):
        raise EvaluationError(f"--config {path} must hold one mapping; run each of several with its own --out")
    if ours := sorted(OUR_SETTINGS & settings.keys()):
        raise EvaluationError(f"--config {path} sets {', '.join(ours)}; say that on the command line instead")
    return path


def resolve_tasks(names: str, present: set[str]) -> tuple[list[Task], list[str]]:
    """Split a --tasks text into our leaf tasks and names of others; a group leaves out what the data do not ask."""
    known = all_tasks()
    ours: dict[str, Task] = {}
    others = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        group = [task for task in known if task.group == name and task.dimension.slug in present]
        leaves = [task for task in known if fnmatch.fnmatch(task.name, name)]
        if not group and not leaves:
            if any(task.group == name for task in known):
                raise EvaluationError(f"{name}: these data have no such questions, only {', '.join(sorted(present))}")
            others.append(name)
        absent = [task.name for task in leaves if task.dimension.slug not in present]
        if absent and "*" not in name:
            raise EvaluationError(
                f"{', '.join(absent)}: these data have no such questions, only {', '.join(sorted(present))}"
            )
        ours |= {task.name: task for task in group + leaves if task.name not in absent}
    if len({task.group for task in ours.values()}) > 1:
        raise EvaluationError(
            "one prompt style and one variant a run, so that scores do not mix; run each with its own --out"
        )
    return list(ours.values()), others


def plan_passes(request: EvalRequest, ours: Sequence[Task], others: Sequence[str]) -> list[Pass]:
    """Stills (and tasks of others) with the model arguments as given; clips with the protocol's.

    Raises:
        BackendUnavailable: the model needs a library that is not installed.
        ValueError: there is no such model, or a number among its arguments is none.
    """
    model_class = find_model_class(request.model, request.force_simple)
    if getattr(model_class, "protocol_built_in", False):
        return [Pass(ALL, [*others, *(task.name for task in ours)], request.model_args)]
    given = parse_model_args(request.model_args)
    tokens = token_arguments(model_class, given)
    clips = [task.name for task in ours if task.dimension.media_kind is MediaKind.CLIP]
    first = [*others, *(task.name for task in ours if task.name not in clips)]
    passes = [Pass(STILLS, first, format_model_args(tokens, request.model_args))] if first else []
    if clips:
        added = clip_settings(request.model, model_class, given)
        arguments = format_model_args(tokens | added.arguments, request.model_args)
        passes.append(Pass(CLIPS, clips, arguments, added.resample, added.remarks))
    return passes
