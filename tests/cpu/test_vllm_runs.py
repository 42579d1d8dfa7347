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
from tests.support.vllm_runs import Ended, VllmRun, check_agreement
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
    """How its starts ended: vLLM takes no weights, the command is killed, and it is trained."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "sitecustomize.py").write_text(WITHOUT_PATCH)
    ends = {"no weights": vllm_run.train(ENDLESS, variables={"PYTHONPATH": f"{folder}:{REPOSITORY}"})}
    ends["killed"] = vllm_run.train(ENDLESS, killed=True)
    steps = complete_steps(RunFolder(vllm_run.folder).checkpoints)[-1] + 2
    ends["trained"] = vllm_run.train(f"trainer.total_epochs={steps}")
    return ends


def test_a_vllm_that_takes_no_weights_ends_the_run_with_its_error_in_one_line(starts: dict[str, Ended]) -> None:
    end = starts["no weights"]
    assert end.status == 1
    assert end.last_line.startswith(
        "shotbench: the trainer failed: vLLM failed: AssertionError: Attempted to load weight"
    )
    assert end.last_line.endswith("The same command resumes from the last checkpoint")


def test_a_killed_run_leaves_no_process_and_resumes_from_its_last_checkpoint(
    starts: dict[str, Ended], vllm_run: VllmRun
) -> None:
    assert (starts["killed"].status, starts["trained"].status) == (-9, 0), starts["trained"].printed[-2000:]
    assert vllm_run.processes() == []
    killed, resumed = vllm_run.steps(2), vllm_run.steps(3)
    assert min(resumed) <= max(killed) + 1
    assert list(resumed) == [min(resumed), min(resumed) + 1]


def test_vllm_generates_with_the_weights_of_each_step(starts: dict[str, Ended], vllm_run: VllmRun) -> None:
    assert starts["trained"].status == 0
    assert vllm_run.steps(2)[1]["actor/grad_norm"] > 0, "the weights of all steps are the same"
    check_agreement(vllm_run, 1e-4)
