"""GRPO of adapters that are sent to vLLM's CPU build, on stills and clips."""

# ruff: noqa: F811 (a fixture that is imported is named again as an argument)

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.verl, pytest.mark.timeout(3000)]
pytest.importorskip("vllm")
pytest.importorskip("verl")

from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from tests.support.preflight_runs import shards  # noqa: F401
from tests.support.vllm_runs import ENGINE, SMALL, VllmRun, check_agreement

LORA = (
    "+lora@actor_rollout_ref.model=language",
    "actor_rollout_ref.model.lora_rank=8",
    "actor_rollout_ref.rollout.load_format=safetensors",
    "actor_rollout_ref.rollout.temperature=2",  # else most responses to a question are the same, and have no gradient
    "actor_rollout_ref.actor.optim.lr=3e-3",
)


def test_vllm_generates_with_the_adapters_of_each_step(shards: Path, tmp_path: Path) -> None:
    run = VllmRun(tmp_path / "run", shards, TINY_SHOTVL, (*ENGINE, *SMALL, *LORA))
    end = run.train("trainer.total_epochs=3")
    assert end.status == 0, end.printed[-2000:]
    steps = run.steps(1)
    assert list(steps) == [1, 2, 3]
    assert any(steps[step]["actor/grad_norm"] > 0 for step in (1, 2)), "adapters changed before the last rollout"
    check_agreement(run, 1e-2)
