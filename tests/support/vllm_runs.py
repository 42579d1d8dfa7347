"""GRPO runs that generate with vLLM's CPU build, as a user starts them, for tests with the marker `vllm`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from tests.support import REPOSITORY
from verl_recipes.run.checkpoints import complete_steps
from verl_recipes.run.run_folder import RunFolder

MARK = "SHOTBENCH_TEST_VLLM_RUN"  # environment variable of all processes of a run: its folder
ENGINE = ("grpo_on=cpu_vllm",)
SMALL = (  # overrides of a run whose steps take seconds
    "data.train_batch_size=4",
    "data.max_prompt_length=1600",
    "data.max_response_length=32",
    "actor_rollout_ref.rollout.n=4",
    # Weights change although all responses to a prompt get one reward; but little, so that the vision placeholders,
    # which verl removes from vLLM's softmax and not from the actor's, remain improbable.
    "actor_rollout_ref.actor.entropy_coeff=1",
    "actor_rollout_ref.actor.optim.lr=1e-5",
    "trainer.val_before_train=false",
    "trainer.test_freq=-1",
    "trainer.save_freq=1",
)
VARIABLES = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "RAY_worker_niceness": "0"}


@dataclass(frozen=True)
class Ended:
    """An ended `shotbench train`."""

    status: int
    printed: str

    @property
    def last_line(self) -> str:
        return self.printed.strip().splitlines()[-1]


@dataclass(frozen=True)
class VllmRun:
    """A run of GRPO by the recipe `tiny` with vLLM."""

    folder: Path
    shards: Path
    model: Path
    overrides: tuple[str, ...] = (*ENGINE, *SMALL)

    def train(
        self,
        *more: str,
        variables: Mapping[str, str] = MappingProxyType({}),
        killed: bool = False,
    ) -> Ended:
        """Start the run or resume it, wait until all of its processes have ended, and return how the command ended.

        Args:
            more: Further Hydra overrides.
            variables: Environment variables.
            killed: Whether the command is killed, once this start has finished a step and there is a checkpoint.
        """
        command = [sys.executable, "-m", "lmms_eval_shotbench.cli", "train", "grpo", "--recipe", "tiny"]
        command += ["--data", str(self.shards), "--model", str(self.model), "--out", str(self.folder)]
        paths = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
        environment = {
            **os.environ,
            **VARIABLES,
            "PYTHONPATH": paths,
            **variables,
            MARK: str(self.folder),
        }
        output = self.folder.with_suffix(".log")
        number = RunFolder(self.folder).next_attempt()
        with output.open("wb") as stream:
            process = psutil.Popen(
                [*command, *self.overrides, *more], env=environment, stdout=stream, stderr=subprocess.STDOUT
            )
            while killed and process.poll() is None:
                if self.steps(number) and complete_steps(RunFolder(self.folder).checkpoints):
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.1)
            status = process.wait()
        psutil.wait_procs(self.processes())
        return Ended(status, output.read_text(errors="replace"))

    def steps(self, attempt: int) -> dict[int, dict[str, Any]]:
        """Metrics of one start of the trainer, by step."""
        path = RunFolder(self.folder).metrics(attempt)
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        rows = [json.loads(line) for line in lines if line.endswith("\n")]
        return {row["step"]: row["data"] for row in rows if "training/global_step" in row["data"]}

    def processes(self) -> list[psutil.Process]:
        """Processes of the run that are alive."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == str(self.folder):
                    found.append(process)
        return found


def check_agreement(run: VllmRun, largest: float) -> None:
    """Check that vLLM and the actor gave every token of every step about the same probability."""
    attempts = range(1, RunFolder(run.folder).next_attempt())
    logged = [values for attempt in attempts for values in run.steps(attempt).values()]
    assert logged
    for values in logged:
        assert values["training/rollout_probs_diff_max"] < largest
        assert values["training/rollout_actor_probs_pearson_corr"] > 0.9999
