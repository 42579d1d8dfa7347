"""The edge to lmms-eval: run its command line in this process and bring back what its exit status hides.

lmms-eval 0.7.3 finds tasks of other packages only through a path, indexes 1,900 task files before every run, spends
seconds on imports for metrics ShotBench does not use, forks to print a table, sends a server wrong frames of a clip,
and reports success after a failure. All of it is mended here from outside, for the duration of one call; nothing of
lmms-eval is replaced by own code.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from lmms_eval_shotbench.harness.task_folder import tasks_path
from lmms_eval_shotbench.media.clips import CLIP_FPS

# Before, the time step of Qwen2.5-VL's rotary positions is cut to a whole number: 0 above 2 frames a second.
FIRST_RIGHT_TRANSFORMERS = (5, 11)
# Metrics of two other benchmarks that lmms-eval tries to import for every standard error, with nltk and sklearn.
UNUSED_METRICS = ("lmms_eval.tasks.amber_g.utils", "lmms_eval.tasks.coco_cap_chair.utils")


def __getattr__(name: str) -> Path:
    """Return `TASKS_PATH`, the include path of our tasks, created on access."""
    if name == "TASKS_PATH":
        return tasks_path()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass
class HarnessOutcome:
    """What one run of lmms-eval left: responses on the main process, or the error that ended it."""

    responses: dict[str, dict[int, str]] = field(default_factory=dict)  # by task and place of the document in it
    finished: bool = False  # on the main process; the others have no results
    error: Exception | None = None

    def keep(self, results: dict[str, Any] | None) -> None:
        """Copy what we need out of the samples, which lmms-eval strips when it saves them."""
        self.finished = results is not None
        for task, samples in (results or {}).get("samples", {}).items():
            self.responses[task] = {sample["doc_id"]: _first_text(sample["resps"]) for sample in samples}


def _first_text(responses: Any) -> str:
    """The harness nests responses by request and repeat."""
    while isinstance(responses, (list, tuple)):
        responses = responses[0] if responses else ""
    return str(responses)


def prepare_harness() -> None:
    """What must hold before a model of lmms-eval is imported."""
    delay_import("evaluate")
    # qwen_vl_utils prefers torchcodec, which fails where the system has no FFmpeg; decord brings its own.
    os.environ.setdefault("FORCE_QWENVL_VIDEO_READER", "decord")


def run_harness(arguments: Sequence[str], *, index_all_tasks: bool) -> HarnessOutcome:
    """Run `lmms-eval ARGUMENTS` here with our tasks added; `index_all_tasks` where tasks of others are asked for.

    Raises `SystemExit` where lmms-eval or a task ends the program itself (a wrong flag, no dataset).
    """
    prepare_harness()
    import lmms_eval.__main__ as command

    outcome = HarnessOutcome()
    evaluate_once, run_tasks = command.cli_evaluate_single, command.evaluator.simple_evaluate

    def note_error(args: Any) -> Any:
        try:
            return evaluate_once(args)
        except Exception as error:
            outcome.error = error
            raise  # lmms-eval prints it, and then goes on as if nothing had happened

    def keep_responses(**settings: Any) -> Any:
        results = run_tasks(**settings)
        outcome.keep(results)
        return results

    with (
        _not_imported(() if index_all_tasks else UNUSED_METRICS),
        _tables_in_this_process(),
        _every_frame_sent(),
        patch.object(command, "cli_evaluate_single", note_error),
        patch.object(command.evaluator, "simple_evaluate", keep_responses),
        patch.object(command, "TaskManager", _task_manager_with_ours(command.TaskManager, index_all_tasks)),
        patch.object(sys, "argv", ["lmms-eval", *arguments]),
    ):
        command.cli_evaluate()
    _free_model()
    return outcome


@contextmanager
def _tables_in_this_process() -> Iterator[None]:
    """lmms-eval's table writer forks a process a core, each with the whole model in it, to measure 300 cells."""
    from dataproperty import _extractor as cells

    with patch.object(cells, "multiprocessing", SimpleNamespace(cpu_count=lambda: 1)):
        yield


@contextmanager
def _every_frame_sent() -> Iterator[None]:
    """lmms-eval keeps encoded frames by the address of a picture that is gone by then, and sends earlier ones again.

    Of 360 frames of a clip, a request held 168, 176 and 228 different ones in three tries.
    """
    from lmms_eval.protocol import ChatMessages

    encode = ChatMessages.encode_image

    def encode_anew(self: Any, image: Any, cache: Any = None, *settings: Any) -> str:
        return str(encode(self, image, None, *settings))

    with patch.object(ChatMessages, "encode_image", encode_anew):
        yield


@contextmanager
def _not_imported(names: Sequence[str]) -> Iterator[None]:
    """Make the import of these modules fail at once, as None in `sys.modules` does."""
    blocked = [name for name in names if name not in sys.modules]
    for name in blocked:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in blocked:
            del sys.modules[name]


def _task_manager_with_ours(task_manager: Callable[..., Any], index_all_tasks: bool) -> Callable[..., Any]:
    ours = str(tasks_path())

    def build(verbosity: str, include_path: str | None = None, **rest: Any) -> Any:
        paths = [ours, *([include_path] if include_path else [])]
        return task_manager(verbosity, include_path=paths, include_defaults=index_all_tasks, **rest)

    return build


def _free_model() -> None:
    """Give the accelerator's memory back before the next pass loads its model."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


class _DelayedModule(ModuleType):
    """Stands for a module until something of it is used.

    The standard library's `LazyLoader` will not do: torch walks over all modules and asks each for its `__file__`,
    which makes it load. This one knows its own name and file.
    """

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") and attribute != "__path__":
            raise AttributeError(attribute)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), attribute)


def delay_import(name: str) -> None:
    """Import a module only when something of it is used."""
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is not None:
        sys.modules[name] = _DelayedModule(name)
        sys.modules[name].__file__, sys.modules[name].__spec__ = spec.origin, spec


def is_main_process() -> bool:
    """Whether this process writes the results when several evaluate together (`accelerate launch`)."""
    return os.environ.get("RANK", "0") == "0"


def time_position_warning(model: str) -> str:
    """What to tell the user where this transformers version shows a Qwen2.5-VL clips at the wrong times, else ""."""
    from importlib.metadata import version

    installed = version("transformers")
    release = tuple(int(part) for part in installed.split(".")[:2])
    if not model.startswith("qwen2_5_vl") or release >= FIRST_RIGHT_TRANSFORMERS:
        return ""
    return (
        f"transformers {installed} gives all frames of a {CLIP_FPS:g}-fps clip one time position in Qwen2.5-VL, "
        "so a clip loses its time axis; use --model shotvl, or transformers {}.{} or newer".format(
            *FIRST_RIGHT_TRANSFORMERS
        )
    )
