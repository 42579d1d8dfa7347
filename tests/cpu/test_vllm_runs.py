"""GRPO with vLLM's CPU build as verl's rollout engine: broken, killed and resumed, on stills and clips."""

# ruff: noqa: F811 (fixtures that are imported are named again as arguments)

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.verl, pytest.mark.timeout(3000)]
pytest.importorskip("vllm")
pytest.importorskip("verl")

from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from tests.support import REPOSITORY
from tests.support.preflight_runs import shards  # noqa: F401
from tests.support.vllm_runs import Ended, VllmRun, check_agreement, kill_command, kill_worker
from verl_recipes.cpu import VLLM_PATCHES
from verl_recipes.run.checkpoints import complete_steps
from verl_recipes.run.run_folder import RunFolder

ENDLESS = "trainer.total_epochs=1000"  # of one step each
# Imported by every Python process of a run: leaves out the patch without which vLLM takes no weights.
WITHOUT_PATCH = """
import verl_recipes.cpu.vllm_linear
verl_recipes.cpu.vllm_linear.apply = lambda operators: None
"""


@pytest.mark.parametrize("patch", VLLM_PATCHES, ids=lambda patch: patch.__name__.rpartition(".")[2])
def test_every_patch_of_vllm_is_still_needed(patch: ModuleType) -> None:
    assert patch.still_needed(), f"this release no longer needs {patch.__name__}: remove it"


@pytest.fixture(scope="module")
def vllm_run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> VllmRun:
    """Steps of three stills and a clip, with a trained model: its probabilities are far from uniform."""
    return VllmRun(tmp_path_factory.mktemp("vllm") / "run", shards, TINY_SHOTVL)


@pytest.fixture(scope="module")
def starts(vllm_run: VllmRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """How its starts ended: vLLM takes no weights, its worker is killed, the command is killed, and it is trained."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "sitecustomize.py").write_text(WITHOUT_PATCH)
    ends = {"no weights": vllm_run.train(ENDLESS, variables={"PYTHONPATH": f"{folder}:{REPOSITORY}"})}
    ends["no worker"] = vllm_run.train(ENDLESS, kill=kill_worker)
    ends["killed"] = vllm_run.train(ENDLESS, kill=kill_command)
    steps = complete_steps(RunFolder(vllm_run.folder).checkpoints)[-1] + 2
    ends["trained"] = vllm_run.train(f"trainer.total_epochs={steps}")
    return ends


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ("no weights", "vLLM failed: ValueError: Attempted to load weight"),
        ("no worker", "vLLM failed: Worker proc VllmWorker-0 died unexpectedly"),
    ],
)
def test_a_broken_vllm_ends_the_run_with_its_error_in_one_line(
    starts: dict[str, Ended], start: str, reason: str
) -> None:
    end = starts[start]
    assert end.status == 1
    assert end.last_line.startswith(f"shotbench: the trainer failed: {reason}")
    assert end.last_line.endswith("The same command resumes from the last checkpoint")


def test_a_killed_run_resumes_from_its_last_checkpoint(starts: dict[str, Ended], vllm_run: VllmRun) -> None:
    assert (starts["killed"].status, starts["trained"].status) == (-9, 0), starts["trained"].printed[-2000:]
    second, third, fourth = (vllm_run.steps(number) for number in (2, 3, 4))
    assert min(third) <= max(second) + 1 and min(fourth) <= max(third) + 1
    assert list(fourth) == list(range(min(fourth), max(fourth) + 1)) and len(fourth) == 2


def test_vllm_generates_with_the_weights_of_each_step(starts: dict[str, Ended], vllm_run: VllmRun) -> None:
    assert starts["trained"].status == 0
    assert all(values["actor/grad_norm"] > 0 for number in (2, 3, 4) for values in vllm_run.steps(number).values())
    check_agreement(vllm_run, 1e-4)
