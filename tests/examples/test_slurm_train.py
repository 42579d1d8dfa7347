"""`slurm_train.sbatch` as a job of a real SLURM on this host: real trainers, time limits, crashes and refusals."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(3000)]

from tests.support import REPOSITORY
from tests.support.killed_training import HELD_VARIABLE, environment
from tests.support.slurm_cluster import SlurmCluster, missing_programs, programs_path, slurm_cluster
from tests.support.small_shards import write_small_shards
from tests.support.split_shards import write_split_shards
from verl_recipes.run.checkpoints import TRACKER, complete_steps
from verl_recipes.run.run_folder import RunFolder

ONE_NODE = ["--nodes=1", "--gpus-per-node=1", "--mem=0"]
SMALL_NODE = [*ONE_NODE, "--nodelist=small", "--cpus-per-task=2"]
COMMON = ["trainer.save_freq=1000", "trainer.test_freq=-1", "trainer.n_gpus_per_node=1"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    if missing := missing_programs():
        pytest.skip(f"needs SLURM: {', '.join(missing)} not found (Debian: slurmctld slurmd slurm-client munge)")
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a space in its path, holding a home and a copy of the examples."""
    folder = tmp_path / "a project"
    (folder / "home").mkdir(parents=True)
    shutil.copytree(REPOSITORY / "verl_recipes" / "examples", folder / "examples")
    return folder


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stills")
    return write_split_shards(write_small_shards(folder / "one", {"shot_size": 40}), folder / "four splits")


def submit(cluster: SlurmCluster, folder: Path, options: list[str], *command: object, **variables: str) -> int:
    """Submit the script from its folder, as a user does; its output goes to `log` in `folder`."""
    script = ["slurm_train.sbatch", *map(str, command)]
    return cluster.submit(
        f"--chdir={folder / 'examples'}", f"--output={folder / 'log'}", *options, *script,
        HOME=str(folder / "home"), SHOTBENCH_EXAMPLES=str(folder / "examples"), **variables,
    )  # fmt: skip


def trained_steps(run: Path) -> list[list[int]]:
    """Steps that each attempt logged."""
    files = sorted((run / "metrics").glob("*.jsonl"))
    return [[json.loads(line)["step"] for line in file.read_text().splitlines()] for file in files]


def reach_time_limit(cluster: SlurmCluster, number: int, run: Path, step: int) -> None:
    """Set the job's time limit so that its signal is due once the run has logged `step`; wait until it is requeued."""
    cluster.wait(number, lambda job: trained_steps(run) == [list(range(1, step + 1))] or job["Restarts"] != "0")
    assert cluster.job(number)["Restarts"] == "0"
    hours, minutes, _ = cluster.job(number)["RunTime"].split(":")
    cluster.update(number, f"TimeLimit={int(hours) * 60 + int(minutes) + 9}")  # the signal is sent 10 minutes earlier
    cluster.wait(number, lambda job: job["JobState"] == "PENDING")
    cluster.update(number, "TimeLimit=120")


def ray_processes(folder: Path) -> list[psutil.Process]:
    """Ray's daemons of jobs in this folder."""
    found = []
    for process in psutil.process_iter(["name"]):
        if process.info["name"] in ("raylet", "gcs_server"):
            environment = process.environ()
            found += [process] if environment.get("HOME") == str(folder / "home") else []
    return found


def test_slurm_accepts_the_script(cluster: SlurmCluster, folder: Path) -> None:
    cluster.run("sbatch", "--test-only", *SMALL_NODE, folder / "examples" / "slurm_train.sbatch")


def test_sft_on_two_nodes_saves_before_the_time_limit_and_is_resumed_by_the_requeued_job(
    cluster: SlurmCluster, folder: Path, shards: Path, tiny_model_unconstrained: Path
) -> None:
    run = folder / "runs" / "sft"
    settings = ["data.train_batch_size=4", "data.micro_batch_size_per_gpu=2", "trainer.total_epochs=2"]
    number = submit(
        cluster, folder, ["--nodes=2", "--gpus-per-node=1", "--cpus-per-task=12", "--exclude=small"],
        "sft", "--recipe", "tiny", "--data", shards, "--model", tiny_model_unconstrained, "--out", run,
        *settings, *COMMON, **held_at(folder, 2),
    )  # fmt: skip
    reach_time_limit(cluster, number, run, 2)
    assert complete_steps(RunFolder(run).checkpoints) == [3]
    job = cluster.wait_for_end(number)
    log = (folder / "log").read_text()
    assert job["JobState"] == "COMPLETED", log[-4000:]
    assert job["Restarts"] == "1"
    assert [sorted(set(steps)) for steps in trained_steps(run)] == [[1, 2, 3], [4, 5, 6, 7, 8, 9, 10]]
    assert "2 node(s) with 2 GPUs" in log
    assert "requeued to resume from step 3" in log
    assert not ray_processes(folder)
    assert not list((folder / "home" / ".ray").iterdir())  # the token


def test_grpo_saves_before_the_time_limit_and_is_resumed_by_the_requeued_job(
    cluster: SlurmCluster, folder: Path, shards: Path, tiny_model_unconstrained: Path
) -> None:
    run = folder / "runs" / "grpo"
    settings = ["data.train_batch_size=2", "data.max_response_length=8", "actor_rollout_ref.rollout.n=2"]
    settings += ["trainer.val_before_train=false", "trainer.total_epochs=1"]
    number = submit(
        cluster, folder, [*ONE_NODE, "--nodelist=one", "--cpus-per-task=12"],
        "grpo", "--recipe", "tiny", "--data", shards, "--model", tiny_model_unconstrained, f"--out={run}",
        *settings, *COMMON, **held_at(folder, 1),
    )  # fmt: skip
    reach_time_limit(cluster, number, run, 1)
    assert complete_steps(RunFolder(run).checkpoints) == [2]
    job = cluster.wait_for_end(number)
    assert job["JobState"] == "COMPLETED", (folder / "log").read_text()[-4000:]
    assert trained_steps(run) == [[1, 2], [3, 4, 5]]
    assert not ray_processes(folder)


def held_at(folder: Path, step: int) -> dict[str, str]:
    """Variables of a run whose trainer waits after this step until it is requested to stop."""
    injected = folder / "injected"
    injected.mkdir()
    variables = environment(injected, HELD_VARIABLE, step)
    return {name: variables[name] for name in ("PYTHONPATH", HELD_VARIABLE)}


def scripted_trainer(folder: Path, lines: str) -> dict[str, str]:
    """Variables of a job whose `shotbench` is a shell script of these lines."""
    program = folder / "bin" / "shotbench"
    program.parent.mkdir()
    program.write_text(f"#!/usr/bin/env bash\n{lines}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{program.parent}:{programs_path()}"}


def test_a_crashing_trainer_is_requeued_until_it_makes_no_progress(cluster: SlurmCluster, folder: Path) -> None:
    run = folder / "run"
    crash = f"""
        starts=$(cat '{folder}/starts' || echo 0)
        echo $((starts + 1)) > '{folder}/starts'
        mkdir -p '{run}/checkpoints'
        ((starts != 1)) || echo 7 > '{run}/checkpoints/{TRACKER}'
        kill -KILL $$"""
    number = submit(
        cluster, folder, SMALL_NODE, "sft", "--out", run, MAX_RESTARTS="1", **scripted_trainer(folder, crash)
    )
    job = cluster.wait_for_end(number)
    log = (folder / "log").read_text()
    assert (job["JobState"], job["ExitCode"], job["Restarts"]) == ("FAILED", "1:0", "2"), log
    assert (folder / "starts").read_text() == "3\n"  # at step 0, with a new checkpoint of step 7, at step 7
    assert "the trainer failed with status 137; not requeued: 1 restarts brought no checkpoint after step 7" in log


def test_a_trainer_that_does_not_save_in_time_is_ended_and_requeued(cluster: SlurmCluster, folder: Path) -> None:
    ignoring = f"[[ ! -e '{folder}/started' ]] || exit 0; trap '' USR1; touch '{folder}/started'; sleep 1000 & wait"
    number = submit(
        cluster, folder, SMALL_NODE, "sft", "--out", folder / "run",
        SAVE_SECONDS="1", **scripted_trainer(folder, ignoring),
    )  # fmt: skip
    cluster.wait(number, lambda job: (folder / "started").exists())
    cluster.run("scancel", "--batch", "--signal=USR1", str(number))
    job = cluster.wait_for_end(number)
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1"), (folder / "log").read_text()
    assert "the trainer failed with status 143; requeued to resume from step 0" in (folder / "log").read_text()


def test_ray_and_the_trainer_get_all_cpus_of_the_job_and_no_variable_that_verl_refuses(
    cluster: SlurmCluster, folder: Path
) -> None:
    look = f"""
        echo "hazard: $(srun --overlap --ntasks=1 bash -c 'nproc; echo ${{ROCR_VISIBLE_DEVICES+set}}' | xargs)"
        for process in $$ $(pgrep -x raylet); do
            if grep -qz 'HOME={folder}/home' /proc/$process/environ; then
                echo "cpus: $(taskset --pid $process | sed 's/.*: //')"
                tr '\\0' '\\n' < /proc/$process/environ | grep VISIBLE_DEVICES=
            fi
        done"""
    number = submit(cluster, folder, SMALL_NODE, "sft", "--out", folder / "run", **scripted_trainer(folder, look))
    assert cluster.wait_for_end(number)["JobState"] == "COMPLETED"
    log = (folder / "log").read_text()
    assert "hazard: 1 set" in log, log  # of a step without the script's options, on this cluster
    assert log.count("cpus: 3") == 2, log  # the mask of both CPUs, for the trainer and Ray
    assert log.count("CUDA_VISIBLE_DEVICES=0") == 2, log
    assert "ROCR_VISIBLE_DEVICES=" not in log


def test_a_run_that_the_preflight_refuses_is_not_requeued(
    cluster: SlurmCluster, folder: Path, shards: Path, tiny_model_unconstrained: Path
) -> None:
    number = submit(
        cluster, folder, [*ONE_NODE, "--nodelist=two", "--cpus-per-task=12"],
        "sft", "--recipe", "tiny", "--data", shards, "--model", tiny_model_unconstrained, "--out", folder / "run",
        "data.train_batch_size=100", PYTHONPATH=str(REPOSITORY),
    )  # fmt: skip
    job = cluster.wait_for_end(number)
    log = (folder / "log").read_text()
    assert (job["JobState"], job["ExitCode"], job["Restarts"]) == ("FAILED", "2:0", "0"), log
    assert "shotbench train refused to start (status 2); its message is above" in log
    assert "data.train_batch_size" in log
