"""lmms-eval's `vllm` with vLLM's CPU build: on stills it gives the responses and the scores of `shotvl`, on
either engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.host]
pytest.importorskip("vllm")
pytest.importorskip("lmms_eval")

from lmms_eval_shotbench.qwen.tiny_qwen import TINY_SHOTVL
from tests.harness.test_lmms_eval import isolated_caches, read_scores, run_eval  # noqa: F401
from tests.support.drawn_shots import draw
from tests.support.small_shards import write_small_shards

DIMENSIONS = ("shot_size", "lighting_type", "composition")
TASKS = ",".join(f"shotbench_reasoning_{slug}" for slug in DIMENSIONS)
VLLM = f"model={TINY_SHOTVL},dtype=float32,enforce_eager=True,kv_cache_memory_bytes=500000000,disable_log_stats=True"
SHOTVL = f"pretrained={TINY_SHOTVL},device=cpu"


def responses(out: Path) -> dict[str, str]:
    lines = (out / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return {str(row["index"]): row["response"] for row in map(json.loads, lines)}


def test_stills_get_the_responses_and_scores_of_shotvl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # in this process, as a start of others takes long
    shards = write_small_shards(tmp_path / "shards", dict.fromkeys(DIMENSIONS, 8), draw)
    assert run_eval(tmp_path / "vllm", shards, "vllm", VLLM, TASKS) == 0
    assert run_eval(tmp_path / "shotvl", shards, "shotvl", SHOTVL, TASKS) == 0
    assert run_eval(tmp_path / "blank", shards, "shotvl", f"{SHOTVL},blank=True", TASKS) == 0
    on_vllm = f"{SHOTVL},engine=vllm,enforce_eager=True,kv_cache_memory_bytes=500000000"
    assert run_eval(tmp_path / "engine", shards, "shotvl", on_vllm, TASKS) == 0
    ours, theirs, engine, blank = (responses(tmp_path / name) for name in ("shotvl", "vllm", "engine", "blank"))
    assert theirs == ours
    assert engine == ours
    assert blank != ours, "the responses do not depend on the stills"
    vllm, shotvl = (read_scores(tmp_path / name) for name in ("vllm", "shotvl"))
    assert vllm["items"] == shotvl["items"] and vllm["accuracy"] == shotvl["accuracy"]
    for name in ("input_tokens", "output_tokens"):
        assert vllm["cost"][name] == shotvl["cost"][name], "as vLLM reports them"
    assert vllm["cost"]["seconds"]["known"] == vllm["cost"]["responses"] and not vllm["cost"]["tokens_counted"]
