"""GRPO and SFT on CPU workers as a user runs them: two Ray nodes on this host, FSDP2, checkpoints, the merger.

All tests check the outputs of one run each, of two steps on stills and clips, validation included, and of a GRPO run in
which verl decodes media once per response; most of their time is the start of Ray and verl.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

pytestmark = [pytest.mark.verl, pytest.mark.ray, pytest.mark.timeout(1500)]
pytest.importorskip("verl")
pytest.importorskip("ray")

from lmms_eval_shotbench import prompts
from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support import REPOSITORY
from tests.support.ports import free_port
from tests.support.split_shards import write_split_shards
from verl_recipes.run.merge import merge_shards
from verl_recipes.run.run_folder import read_metrics
from verl_recipes.training_rows import write_training_rows

STEPS, PROMPTS, RESPONSES = 2, 4, 3
LEARNED = ("actor/", "critic/", "train/", "val-", "response_length/")  # metrics of what was generated and trained
ENGINES_COMPARED = ("rollout_corr/", "training/rollout_")
ENVIRONMENT = {
    "VERL_USE_EXTERNAL_MODULES": "verl_recipes.plugin",
    "VERL_PLATFORM": "cpu",
    "VERL_ENGINE_DEVICE": "cuda",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
}
# Records every decoding of a prompt's media, one line each.
COUNTED = """
import os

from verl_recipes.inside_verl.film_dataset import FilmPrompts


class CountedPrompts(FilmPrompts):
    @classmethod
    def _process_multi_modal_info(cls, messages, *args, **kwargs):
        with open(os.environ["SHOTBENCH_TEST_DECODED"], "a") as log:
            log.write(f"{os.getpid()}\\n")
        return super()._process_multi_modal_info(messages, *args, **kwargs)
"""
# An untrained model is never correct: this reward differs between its responses, so that weights change.
REWARD = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    return len(set(solution_str)) / 50
"""


class Run(NamedTuple):
    """Outputs of a run."""

    folder: Path
    metrics: list[dict[str, float]]  # by step
    log: str


@contextmanager
def two_nodes(folder: Path) -> Iterator[dict[str, str]]:
    """Two Ray nodes with a logical GPU each, on the loopback interface, with token authentication."""
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    port = free_port()
    environment = os.environ | ENVIRONMENT | {"RAY_AUTH_TOKEN_PATH": str(token)}
    ray = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--node-ip-address=127.0.0.1"]
    node = [*ray, "--num-cpus=12", "--num-gpus=1", "--object-store-memory=200000000"]
    roles = [["--head", f"--port={port}", "--include-dashboard=false"], [f"--address=127.0.0.1:{port}"]]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for role in roles:
            started.append(subprocess.Popen([*node, *role], env=environment, stdout=subprocess.DEVNULL))
            _wait_for_nodes(started, port, environment)
        yield environment | {"RAY_ADDRESS": f"127.0.0.1:{port}"}
    finally:
        for process in reversed(started):
            _stop_node(process)


def _wait_for_nodes(started: list[subprocess.Popen[bytes]], port: int, environment: dict[str, str]) -> None:
    """Return when all nodes have joined; raise `RuntimeError` as soon as one of them has exited."""
    script = (
        "import ray, time\n"
        "for _ in range(600):\n"
        "    try:\n"
        f"        ray.init('127.0.0.1:{port}', log_to_driver=False)\n"
        f"        if len(ray.nodes()) >= {len(started)}: raise SystemExit(0)\n"
        "        ray.shutdown()\n"
        "    except (ConnectionError, RuntimeError): pass\n"
        "    time.sleep(1)\n"
        "raise SystemExit('Ray did not come up')\n"
    )
    waiting = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.DEVNULL)
    try:
        while waiting.poll() is None:
            if any(node.poll() is not None for node in started):
                raise RuntimeError("a Ray node exited while it was starting; its message is above")
            time.sleep(0.2)
    finally:
        waiting.kill()
    assert waiting.wait() == 0


def _stop_node(process: subprocess.Popen[bytes]) -> None:
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
    for child in psutil.wait_procs(children, timeout=5)[1]:
        child.kill()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment of the drivers."""
    with two_nodes(tmp_path_factory.mktemp("cluster")) as environment:
        yield environment


@pytest.fixture(scope="module")
def shards(studio_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_split_shards(studio_shards, tmp_path_factory.mktemp("split") / "shards")


@pytest.fixture(scope="module")
def rows(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows for GRPO, as many as its runs use."""
    written = write_training_rows(str(shards), "sft", tmp_path_factory.mktemp("rows"), "grpo", prompts.REASONING)
    keep_few_rows(written)
    return written


@pytest.fixture(scope="module")
def grpo_run(
    rows: Path, cluster: dict[str, str], tiny_model_unconstrained: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    return run_grpo(tmp_path_factory.mktemp("grpo"), cluster, rows, tiny_model_unconstrained)


@pytest.fixture(scope="module")
def unshared_run(
    rows: Path, cluster: dict[str, str], tiny_model_unconstrained: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """The same run with verl's own agent loop manager."""
    override = {"actor_rollout_ref.rollout.agent.agent_loop_manager_class": "null"}
    return run_grpo(tmp_path_factory.mktemp("unshared"), cluster, rows, tiny_model_unconstrained, override)


def run_grpo(
    folder: Path, cluster: dict[str, str], rows: Path, model: Path, other: dict[str, object] | None = None
) -> Run:
    (folder / "reward.py").write_text(REWARD)
    (folder / "counted.py").write_text(COUNTED)
    overrides = {
        "data.train_files": rows, "data.val_files": rows, "data.train_batch_size": PROMPTS,
        "data.max_prompt_length": 2048, "data.max_response_length": 12,
        "data.custom_cls.path": folder / "counted.py", "data.custom_cls.name": "CountedPrompts",
        "actor_rollout_ref.model.path": model, "actor_rollout_ref.rollout.n": RESPONSES,
        "actor_rollout_ref.rollout.agent.default_agent_loop": "seeded_single_turn",
        "actor_rollout_ref.rollout.agent.num_workers": 2,
        "reward.custom_reward_function.path": folder / "reward.py", "ray": "cpu_joined",
        "trainer.nnodes": 2, "trainer.n_gpus_per_node": 1, "trainer.total_training_steps": STEPS,
        "trainer.save_freq": STEPS, "trainer.test_freq": STEPS, "trainer.val_before_train": "false",
        "trainer.default_local_dir": folder / "checkpoints", "trainer.rollout_data_dir": folder / "rollouts",
        "trainer.validation_data_dir": folder / "validation",
        "++ray_kwargs.ray_init.runtime_env.env_vars.VERL_FILE_LOGGER_PATH": folder / "metrics.jsonl",
        "++ray_kwargs.ray_init.runtime_env.env_vars.SHOTBENCH_TEST_DECODED": folder / "decoded.txt",
        **(other or {}),
    }  # fmt: skip
    command = [sys.executable, "-m", "verl.trainer.main_ppo", "--config-dir", REPOSITORY / "verl_recipes" / "config"]
    command += ["--config-name", "grpo_tiny", *(f"{key}={value}" for key, value in overrides.items())]
    log = completed(command, cluster, folder)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return Run(folder, [json.loads(line)["data"] for line in lines], log)


@pytest.fixture(scope="module")
def sft_run(
    shards: Path, cluster: dict[str, str], tiny_model_unconstrained: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    folder = tmp_path_factory.mktemp("sft")
    command = [Path(sys.executable).parent / "shotbench", "train", "sft", "--recipe", "tiny", "--data", shards]
    command += ["--model", tiny_model_unconstrained, "--out", folder / "run", "trainer.nnodes=2"]
    command += ["data.train_batch_size=8", "data.micro_batch_size_per_gpu=4", "data.max_length=1600"]
    log = completed([*command, f"trainer.total_training_steps={STEPS}", "trainer.test_freq=1"], cluster, folder)
    return Run(folder / "run", list(read_metrics(folder / "run").values()), log)


def completed(command: Sequence[object], environment: dict[str, str], folder: Path) -> str:
    """Output of a command that must succeed."""
    done = subprocess.run(
        list(map(str, command)), env=environment, cwd=folder, text=True, timeout=1400,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def keep_few_rows(path: Path) -> None:
    """Keep as many rows as the run uses: half of them clips."""
    import pyarrow.parquet as parquet

    rows = parquet.read_table(path)
    clips = [index for index, videos in enumerate(rows["videos"].to_pylist()) if videos]
    stills = [index for index, images in enumerate(rows["images"].to_pylist()) if images]
    half = STEPS * PROMPTS // 2
    assert min(len(clips), len(stills)) >= half, {MediaKind.CLIP: len(clips), MediaKind.STILL: len(stills)}
    parquet.write_table(rows.take(clips[:half] + stills[:half]), path)


def test_rollout_and_actor_have_the_same_weights_in_every_step(grpo_run: Run) -> None:
    steps = [step for step in grpo_run.metrics if "training/rollout_actor_probs_pearson_corr" in step]
    assert len(steps) == STEPS
    for step in steps:
        assert step["training/rollout_actor_probs_pearson_corr"] > 0.999
        assert step["rollout_corr/log_ppl_abs_diff"] < 1e-3
    assert all(step["actor/grad_norm"] > 0 for step in steps)  # so the second step had new weights


def test_both_nodes_train_and_validate_on_stills_and_clips(grpo_run: Run, sft_run: Run) -> None:
    assert any(key.startswith("val-core/") for key in grpo_run.metrics[-1])
    losses = [step["val/loss"] for step in sft_run.metrics]
    assert len(losses) == STEPS and losses[1] < losses[0]
    shards = (sft_run.folder / "checkpoints" / f"global_step_{STEPS}").rglob("model_*.pt")
    assert sorted(path.name for path in shards) == [f"model_world_size_2_rank_{rank}.pt" for rank in range(2)]


def test_each_worker_runs_on_its_own_node_with_its_own_server(grpo_run: Run) -> None:
    assert set(re.findall(r"hf_server_\d", grpo_run.log)) == {"hf_server_0", "hf_server_1"}
    shards = sorted(
        path.name for path in (grpo_run.folder / "checkpoints" / f"global_step_{STEPS}" / "actor").glob("model_*")
    )
    assert shards == ["model_world_size_2_rank_0.pt", "model_world_size_2_rank_1.pt"]


def test_responses_of_a_group_differ(grpo_run: Run) -> None:
    lines = (grpo_run.folder / "rollouts" / "1.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == PROMPTS * RESPONSES
    assert len({row["output"] for row in rows}) > PROMPTS * (RESPONSES - 1)


def test_the_checkpoint_of_two_workers_is_merged_into_a_model_that_generates(grpo_run: Run, tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    actor = grpo_run.folder / "checkpoints" / f"global_step_{STEPS}" / "actor"
    merge_shards(actor, tmp_path)
    model, processor = AutoModelForImageTextToText.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)
    inputs = processor.tokenizer("Which letter?", return_tensors="pt")
    assert model.generate(**inputs, max_new_tokens=3, min_new_tokens=3).shape[1] == inputs["input_ids"].shape[1] + 3


def decodings(run: Run) -> list[str]:
    """Process ids of the decodings of a run."""
    return (run.folder / "decoded.txt").read_text().split()


def texts(folder: Path) -> list[tuple[str, str, float]]:
    """Prompts, responses and scores of a step, sorted, as verl writes them in the order in which they finished."""
    rows = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    return sorted((row["input"], row["output"], row["score"]) for row in rows)


def test_media_are_decoded_once_per_prompt_in_training_and_validation(grpo_run: Run, unshared_run: Run) -> None:
    validated = STEPS * PROMPTS  # all rows, after the last step, one response per prompt
    assert len(decodings(unshared_run)) == STEPS * PROMPTS * RESPONSES + validated
    assert len(decodings(grpo_run)) == STEPS * PROMPTS + validated
    assert len(set(decodings(grpo_run))) == 2  # agent loop workers


def test_sharing_media_changes_nothing_but_the_order_of_sums(grpo_run: Run, unshared_run: Run) -> None:
    for folder in ("rollouts", "validation"):
        assert texts(grpo_run.folder / folder) == texts(unshared_run.folder / folder)
    assert len(grpo_run.metrics) == len(unshared_run.metrics)
    for ours, theirs in zip(grpo_run.metrics, unshared_run.metrics, strict=True):
        assert ours["actor/grad_norm"] > 0
        # Rows are in the order of arrival. What compares log-probabilities of the two engines is their rounding.
        for names, rounding in (LEARNED, 1e-6), (ENGINES_COMPARED, 1e-5):
            assert chosen(ours, names) == pytest.approx(chosen(theirs, names), rel=1e-5, abs=rounding)


def chosen(step: dict[str, float], names: tuple[str, ...]) -> dict[str, float]:
    """The metrics of a step whose names start as given, without those of time and memory."""
    return {name: step[name] for name in step if name.startswith(names) and not name.startswith("actor/perf/")}
