"""A CoT-SFT and a GRPO run of the tiny model on Ray workers, each interrupted and resumed, for this folder.

Most of the time of a run is the start of Ray and verl, so that the tests check what a few runs left.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lmms_eval_shotbench.cli import main
from verl_recipes.run.run_folder import RunFolder, TrainingRequest

if TYPE_CHECKING:
    from verl_recipes.run.ablation import AblationPlan

MARK = "SHOTBENCH_TEST_STARTED_BY"
TWO_WORKERS = "trainer.n_gpus_per_node=2"  # with other media in their micro-batches
SMALL_SFT = ["data.train_batch_size=8", "data.micro_batch_size_per_gpu=4", "data.max_length=1600", TWO_WORKERS]
SMALL_SFT += ["trainer.save_freq=2", "trainer.test_freq=-1"]  # it validates after its last step
SMALL_GRPO = ["data.train_batch_size=4", "data.max_prompt_length=1600", "data.max_response_length=8"]
SMALL_GRPO += ["actor_rollout_ref.rollout.n=2", "trainer.save_freq=1", "trainer.test_freq=4", TWO_WORKERS]
SMALL_GRPO += ["trainer.val_before_train=false", "trainer.completions.rollout_groups=1"]


@pytest.fixture(scope="session")
def split_shards(studio_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.split_shards import write_split_shards

    return write_split_shards(studio_shards, tmp_path_factory.mktemp("films") / "shards")


@pytest.fixture(scope="session")
def ablation_plan(
    split_shards: Path, tiny_model_unconstrained: Path, tmp_path_factory: pytest.TempPathFactory
) -> AblationPlan:
    """A short ablation: the base model, CoT-SFT, and CoT-SFT followed by GRPO."""
    from verl_recipes.run.ablation import ROWS, AblationPlan

    overrides = {"cot_sft": (*SMALL_SFT, "trainer.total_epochs=2"), "grpo": (*SMALL_GRPO, "trainer.total_epochs=1")}
    rows = tuple(row for row in ROWS if row.name in ("baseline", "CoT-SFT", "CoT-SFT then GRPO"))
    out, tasks = tmp_path_factory.mktemp("runs") / "ablation", ("shotbench_reasoning",)
    return AblationPlan(
        "tiny", str(split_shards), out, str(tiny_model_unconstrained), (1,), overrides, rows, tasks, max_new_tokens=8
    )


@pytest.fixture(scope="session")
def marked_processes() -> Iterator[None]:
    """Mark every process started here by an environment variable."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, str(os.getpid()))
        yield


@pytest.fixture(scope="session")
def shared_preload() -> Iterator[tuple[str, ...]]:
    """What replaces `warm_start.WARM_START`: trainers are forked from one process that has imported torch for all."""
    pytest.importorskip("verl")
    from tests.support.shared_preload import shared_preload

    with shared_preload() as command:
        yield command


@pytest.fixture(scope="package")
def forked_trainers(shared_preload: tuple[str, ...]) -> Iterator[None]:
    """Runs of these tests start in a fork; a session would include tests of other folders, of the command as it is."""
    from verl_recipes.run import prepare

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "WARM_START", shared_preload)
        yield


@pytest.fixture(scope="package")
def sft_run(
    ablation_plan: AblationPlan,
    marked_processes: None,
    forked_trainers: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A CoT-SFT run whose trainer was killed after its third step, then stopped by a signal, each time resumed."""
    from tests.support.killed_training import HELD_VARIABLE, TRAINER_VARIABLE

    order = ablation_plan.order(ablation_plan.rows[1], 1)
    run, command = order.out, command_of(order)
    assert status_when_killed(command, tmp_path_factory.mktemp("sft"), TRAINER_VARIABLE, 3) == 1
    assert len(attempt(run, 1)) == 3
    signals = threading.Thread(target=signal_after_step, args=(run, 2, 4), daemon=True)
    signals.start()
    assert status_when_killed(command, tmp_path_factory.mktemp("stopped"), HELD_VARIABLE, 4) == os.EX_TEMPFAIL
    assert main(["train", *command]) == 0
    return run


@pytest.fixture(scope="package")
def grpo_run(ablation_plan: AblationPlan, sft_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GRPO of the SFT model, whose rollout server was killed after the second step, resumed by the same command."""
    from tests.support.killed_training import SERVER_VARIABLE

    order = ablation_plan.order(ablation_plan.rows[2], 1)
    assert order.model == str(sft_run)
    run, command = order.out, command_of(order)
    # It must fail instead of waiting forever for the killed server.
    assert status_when_killed(command, tmp_path_factory.mktemp("grpo"), SERVER_VARIABLE, 2) == 1
    assert main(["train", *command]) == 0
    return run


def command_of(order: TrainingRequest) -> list[str]:
    """Command line of an order."""
    method = order.method.replace("_", "-")
    command = [method, "--recipe", order.recipe, "--data", order.data, "--model", str(order.model)]
    return [*command, "--out", str(order.out), *order.overrides]


def status_when_killed(command: list[str], folder: Path, variable: str, step: int) -> int:
    """Exit status of `shotbench train …`, one of whose processes is killed, or waits for a stop, at this step."""
    from tests.support.killed_training import environment

    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder, variable, step).items():
            patch.setenv(name, value)
        return main(["train", *command])


def signal_after_step(run: Path, number: int, step: int) -> None:
    """Request this process, which runs the command, to stop once the attempt has logged the step."""
    from verl_recipes.inside_verl.stop_request import STOP_SIGNAL

    while not (RunFolder(run).metrics(number).exists() and step in attempt(run, number)):
        time.sleep(0.2)
    signal.pthread_kill(threading.main_thread().ident or 0, STOP_SIGNAL)


def attempt(run: Path, number: int) -> dict[int, dict[str, Any]]:
    """Metrics of one attempt, by step."""
    lines = RunFolder(run).metrics(number).read_text().splitlines()
    return {row["step"]: row["data"] for row in map(json.loads, lines) if row}
