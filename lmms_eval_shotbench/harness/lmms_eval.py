"""Adapter to lmms-eval: run its command line in this process and return the errors that its exit status hides.

lmms-eval 0.7.3 finds tasks of other packages only through `--include_path`, indexes 1,900 task files before every run,
spends seconds on imports for metrics ShotBench does not use, forks to print a table, sends wrong frames of a clip to a
server, and reports success after a failure. All of this is patched here for the duration of one call; no code of
lmms-eval is reimplemented.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from lmms_eval_shotbench.harness.recorder import Recorder, RunStopped
from lmms_eval_shotbench.harness.task_files import groups_of
from lmms_eval_shotbench.harness.task_folder import tasks_path
from lmms_eval_shotbench.harness.upstream_fixes import upstream_fixes
from lmms_eval_shotbench.media.clips import CLIP_FPS
from lmms_eval_shotbench.progress import library_bars_as_ours

# Earlier versions truncate the time step of Qwen2.5-VL's rotary positions to an integer, which is 0 above 2 fps.
FIRST_CORRECT_TRANSFORMERS = (5, 11)
# Metrics of two other benchmarks, which import nltk and sklearn; lmms-eval tries them for every standard error.
UNUSED_METRICS = ("lmms_eval.tasks.amber_g.utils", "lmms_eval.tasks.coco_cap_chair.utils")
_indexes: dict[str, Any] = {}  # of our tasks, by folder, which is named by a hash of its content


def __getattr__(name: str) -> Path:
    """Return `TASKS_PATH`, the include path of our tasks, created on access."""
    if name == "TASKS_PATH":
        return tasks_path()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass
class HarnessOutcome:
    """How one run of lmms-eval ended; the recorder has its responses."""

    finished: bool = False  # always False on processes other than the main one, which have no results
    error: Exception | None = None


class _Left(BaseException):
    """Leaves lmms-eval, which handles any `Exception`."""


def prepare_harness() -> None:
    """Defer the import of `evaluate` and select decord as the video reader, before a model of lmms-eval is imported."""
    delay_import("evaluate")
    # qwen_vl_utils prefers torchcodec, which fails where the system has no FFmpeg; decord includes it.
    os.environ.setdefault("FORCE_QWENVL_VIDEO_READER", "decord")


def run_harness(arguments: Sequence[str], recorder: Recorder, *, index_all_tasks: bool) -> HarnessOutcome:
    """Run `lmms-eval ARGUMENTS` in this process with our tasks added.

    Args:
        arguments: Command-line arguments of lmms-eval.
        recorder: Takes the responses of our tasks.
        index_all_tasks: Whether to index lmms-eval's own tasks, which is required to run any of them.

    Raises:
        SystemExit: lmms-eval or a task exited (an invalid flag, a missing dataset).
    """
    prepare_harness()
    with collection_paused():
        import lmms_eval.__main__ as command

    outcome = HarnessOutcome()
    evaluate_once, run_tasks = command.cli_evaluate_single, command.evaluator.simple_evaluate
    evaluate_model = command.evaluator.evaluate

    def note_error(args: Any) -> Any:
        try:
            return evaluate_once(args)
        except RunStopped as error:
            outcome.error = error
            raise _Left from None  # lmms-eval would print a traceback
        except Exception as error:
            outcome.error = error
            raise  # lmms-eval prints the error and continues as if the run had succeeded

    def evaluate_recorded(lm: Any, **settings: Any) -> Any:
        return evaluate_model(lm=recorder.attach(lm), **settings)

    def run_noted(**settings: Any) -> Any:
        recorder.batch_size = str(settings.get("batch_size") or 1)
        results = run_tasks(**settings)
        outcome.finished = results is not None
        return results

    groups = () if index_all_tasks else groups_of(recorder.tasks)
    with (
        _imports_set_aside(),
        _blocked_imports(() if index_all_tasks else UNUSED_METRICS),
        upstream_fixes(),
        library_bars_as_ours(),
        patch.object(command, "cli_evaluate_single", note_error),
        patch.object(command.evaluator, "simple_evaluate", run_noted),
        patch.object(command.evaluator, "evaluate", evaluate_recorded),
        patch.object(command, "TaskManager", _task_manager_with_ours(command.TaskManager, groups, index_all_tasks)),
        patch.object(sys, "argv", ["lmms-eval", *arguments]),
    ):
        with suppress(_Left):
            command.cli_evaluate()
        _free_model()
    return outcome


@contextmanager
def _blocked_imports(names: Sequence[str]) -> Iterator[None]:
    """Make imports of these modules fail immediately, by setting them to None in `sys.modules`."""
    blocked = [name for name in names if name not in sys.modules]
    for name in blocked:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in blocked:
            del sys.modules[name]


def _task_manager_with_ours(task_manager: Any, groups: Collection[str], index_all_tasks: bool) -> Callable[..., Any]:
    ours, index_folder = str(tasks_path(groups)), task_manager._get_task_and_group

    def index_ours_once(self: Any, folder: str) -> Any:
        if folder != ours:
            return index_folder(self, folder)
        if folder not in _indexes:
            _indexes[folder] = index_folder(self, folder)
        return deepcopy(_indexes[folder])

    def build(verbosity: str, include_path: str | None = None, **rest: Any) -> Any:
        paths = [ours, *([include_path] if include_path else [])]
        with patch.object(task_manager, "_get_task_and_group", index_ours_once):
            return task_manager(verbosity, include_path=paths, include_defaults=index_all_tasks, **rest)

    return build


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause the garbage collector while libraries are imported: it would visit their objects again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _imports_set_aside() -> Iterator[None]:
    """Keep the garbage collector, which lmms-eval calls several times, from objects that are older than the run."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _free_model() -> None:
    """Release the accelerator's memory before the next pass loads its model."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


class _DelayedModule(ModuleType):
    """Placeholder that imports its module on the first attribute access.

    The standard library's `LazyLoader` does not work here: torch reads `__file__` of all modules, which would trigger
    the import. This placeholder has its own `__name__` and `__file__`.
    """

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") and attribute != "__path__":
            raise AttributeError(attribute)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), attribute)


def delay_import(name: str) -> None:
    """Defer the import of a module to its first use."""
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is not None:
        sys.modules[name] = _DelayedModule(name)
        sys.modules[name].__file__, sys.modules[name].__spec__ = spec.origin, spec


def is_main_process() -> bool:
    """Whether this process (rank 0) writes the results of a distributed evaluation (`accelerate launch`)."""
    return os.environ.get("RANK", "0") == "0"


def time_position_warning(model: str) -> str:
    """Return a warning if the installed transformers gives clips wrong time positions in Qwen2.5-VL, else ""."""
    from importlib.metadata import version

    installed = version("transformers")
    release = tuple(int(part) for part in installed.split(".")[:2])
    if not model.startswith("qwen2_5_vl") or release >= FIRST_CORRECT_TRANSFORMERS:
        return ""
    return (
        f"transformers {installed} gives all frames of a {CLIP_FPS:g}-fps clip one time position in Qwen2.5-VL, "
        "so a clip loses its time axis; use --model shotvl, or transformers {}.{} or newer".format(
            *FIRST_CORRECT_TRANSFORMERS
        )
    )
