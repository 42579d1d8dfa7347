"""The reason of a failed attempt is found in the trainer's log."""

from __future__ import annotations

from pathlib import Path

import pytest

from verl_recipes.run.failure_reason import TAIL_BYTES, failure_reason

TRACEBACK = """\
ray.exceptions.RayTaskError(RolloutHangs): \x1b[36mray::TaskRunnerV1.run()\x1b[39m (pid=3, ip=10.0.0.1)
  File "/verl_recipes/inside_verl/rollout_watch.py", line 43, in observe
    raise RolloutHangs(message)
verl_recipes.inside_verl.rollout_watch.RolloutHangs: no response was finished for 60 s. Try again: resume
"""


def test_the_last_error_of_our_own_is_the_reason(tmp_path: Path) -> None:
    log = tmp_path / "0001.log"
    log.write_text("verl_recipes.reward.RewardRefused: earlier\n" + "x" * TAIL_BYTES + "\n" + TRACEBACK + "exit\n")
    assert failure_reason(log) == "no response was finished for 60 s. Try again: resume"


def test_other_errors_are_not_explained(tmp_path: Path) -> None:
    log = tmp_path / "0001.log"
    log.write_bytes(b"\xff\nRuntimeError: CUDA out of memory\n")
    assert failure_reason(log) is None


def logged(process: str, level: str, place: str, text: str) -> str:
    """A line that a process of vLLM logged, as Ray prints it."""
    return f"\x1b[36m(vLLMHttpServer pid=7)\x1b[0m {process}{level} 11-30 08:03:13 [{place}] {text}\n"


WORKER, CORE = "(Worker pid=9) ", "(EngineCore pid=8) "
VLLM = "".join(
    (
        logged("", "WARNING", "importing.py:58", "Triton is installed, but has no backend."),
        logged(WORKER, "ERROR", "multiproc_executor.py:1000", "WorkerProc hit an exception."),
        logged(WORKER, "ERROR", "multiproc_executor.py:1000", '  File "a.py", line 1, in f'),
        logged(WORKER, "ERROR", "multiproc_executor.py:1000", "RuntimeError: out of blocks"),
        logged(CORE, "ERROR", "core.py:1233", "RuntimeError: Worker failed with error"),
        "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.\n",
    )
)
KILLED = logged(CORE, "ERROR", "multiproc_executor.py:284", "Worker proc VllmWorker-0 died unexpectedly, ending.")
CORE_KILLED = logged("", "WARNING", "core_client.py:702", "[shutdown] MPClient: engine core exited; starting cleanup")
ENDED = {
    KILLED: "vLLM failed: Worker proc VllmWorker-0 died unexpectedly, ending.",
    CORE_KILLED: "vLLM failed: MPClient: engine core exited; starting cleanup",
}


def test_the_first_error_of_vllm_is_the_reason_followed_by_ours(tmp_path: Path) -> None:
    log = tmp_path / "0001.log"
    log.write_text(VLLM)
    assert failure_reason(log) == "vLLM failed: RuntimeError: out of blocks"
    log.write_text(VLLM + TRACEBACK)
    assert failure_reason(log) == (
        "vLLM failed: RuntimeError: out of blocks; no response was finished for 60 s. Try again: resume"
    )


@pytest.mark.parametrize("line", ENDED, ids=["worker", "core"])
def test_a_process_of_vllm_that_ended_is_the_reason_unless_the_run_ended_before(tmp_path: Path, line: str) -> None:
    log = tmp_path / "0001.log"
    log.write_text(line)
    assert failure_reason(log) == ENDED[line]
    log.write_text(TRACEBACK + line)
    assert failure_reason(log) == "no response was finished for 60 s. Try again: resume"
