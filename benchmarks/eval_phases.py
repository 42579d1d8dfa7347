"""Run `shotbench eval` in this process and report its wall and processor time by phase, as JSON in the last line.

    python benchmarks/eval_phases.py eval --tasks shotbench --data test.tsv --model dummy --out OUT

Times are exclusive: a phase does not include those that run within it. `startup.py` prints the table. Every module is
timed as it is executed, and functions of a module are wrapped right after, so nothing is imported earlier than in an
ordinary run.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

STARTED = "SHOTBENCH_BENCHMARK_STARTED"  # variable with the parent's time of start, seconds since the epoch
PYTHON, REST = "start of Python", "rest, and exit"
OUR_IMPORTS, THEIR_IMPORTS = "imports of this package", "imports of lmms-eval and libraries"
OURS = ("lmms_eval_shotbench", "data_pipeline", "verl_recipes")
PHASES: dict[str, dict[str, tuple[str, ...]]] = {  # names of functions by module and phase
    "lmms_eval_shotbench.questions.question_files": {"reading questions": ("open_questions", "questions_parquet")},
    "lmms_eval_shotbench.harness.recorder": {"answering, storing responses": ("Recorder._generate",)},
    "lmms_eval_shotbench.runs.score": {"scoring": ("score_samples",)},
    "lmms_eval_shotbench.harness.run_files": {"writing": ("write_run",)},
    "lmms_eval.tasks": {"task index": ("TaskManager.__init__",), "loading tasks": ("get_task_dict",)},
    "lmms_eval.api.task": {"building requests": ("Task.build_all_requests",)},
    "lmms_eval.evaluator": {"scoring by lmms-eval": ("evaluate",)},
    "lmms_eval.loggers.evaluation_tracker": {
        "writing by lmms-eval": (
            "EvaluationTracker.save_results_aggregated",
            "EvaluationTracker.save_results_samples",
        )
    },
}
Function = Callable[..., Any]


class PhaseTimer:
    """Exclusive wall and processor time by phase; phases nest."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])  # wall, processor
        self._phases = [REST]
        started = float(os.environ.get(STARTED, time.time()))
        self.seconds[PYTHON] = [time.time() - started, time.process_time()]
        self._last = self._now()

    def _now(self) -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def _count(self) -> None:
        now = self._now()
        for clock in (0, 1):
            self.seconds[self._phases[-1]][clock] += now[clock] - self._last[clock]
        self._last = now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time of this block for a phase."""
        self._count()
        self._phases.append(name)
        try:
            yield
        finally:
            self._count()
            self._phases.pop()

    def wrapped(self, function: Function, name: str) -> Function:
        """Return a function that counts its time for a phase."""

        @wraps(function)
        def timed(*args: Any, **settings: Any) -> Any:
            with self.phase(name):
                return function(*args, **settings)

        return timed


class TimedImports:
    """First finder of `sys.meta_path`: times the execution of modules and wraps the functions of `PHASES`."""

    def __init__(self, timer: PhaseTimer) -> None:
        self._timer = timer

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec found by the other finders, with a timed loader."""
        finders = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in finders)), None)
        loader: Any = spec.loader if spec else None
        if hasattr(loader, "exec_module"):
            execute = loader.exec_module
            phase = OUR_IMPORTS if name.partition(".")[0] in OURS else THEIR_IMPORTS

            def timed(module: ModuleType) -> None:
                with self._timer.phase(phase):
                    execute(module)
                self._wrap_functions(module)

            loader.exec_module = timed
        return spec

    def _wrap_functions(self, module: ModuleType) -> None:
        for phase, names in PHASES.get(module.__name__, {}).items():
            for name in names:
                owner: Any = module
                *classes, last = name.split(".")
                for part in classes:
                    owner = getattr(owner, part)
                setattr(owner, last, self._timer.wrapped(getattr(owner, last), phase))


def main() -> int:
    """Run from the command line."""
    timer = PhaseTimer()
    sys.meta_path.insert(0, TimedImports(timer))
    from lmms_eval_shotbench.cli import main as shotbench

    try:
        with timer.phase(REST):
            status = shotbench(sys.argv[1:])
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    print(json.dumps(timer.seconds), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
