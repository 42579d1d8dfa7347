"""The reason of a failed attempt is found in the trainer's log."""

from __future__ import annotations

from pathlib import Path

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
