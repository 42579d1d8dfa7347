"""Models that are not on this machine, host memory, and settings that verl ignores."""

# ruff: noqa: F811 (fixtures that are imported are named again as arguments)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.verl
pytest.importorskip("verl")
pytest.importorskip("torch")

from omegaconf import OmegaConf

from tests.support.preflight_runs import Run, make_run, shards, training_rows  # noqa: F401
from verl_recipes.preflight import host_memory, media_files, preflight
from verl_recipes.preflight.known_models import known_config
from verl_recipes.preflight.model_size import model_size
from verl_recipes.preflight.prompt_lengths import Ruler
from verl_recipes.preflight.training_files import read_training_rows

PUBLISHED = {  # parameters by the models' weight indices
    "Qwen/Qwen2.5-VL-3B-Instruct": 3_754_622_976,
    "Qwen/Qwen2.5-VL-7B-Instruct": 8_292_166_656,
    "Qwen/Qwen3-VL-2B-Instruct": 2_127_532_032,
    "Qwen/Qwen3-VL-4B-Thinking": 4_437_815_808,
    "Qwen/Qwen3-VL-8B-Instruct": 8_767_123_696,
    "Vchitect/ShotVL-3B": 3_754_622_976,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_size_of_a_released_model_is_known_without_it(name: str) -> None:
    assert model_size(known_config(name), OmegaConf.create({})).parameters == PUBLISHED[name]


def test_a_released_model_that_is_not_cached_is_estimated(make_run: Callable[[str], Run]) -> None:
    run = make_run("grpo")._replace(model=Path("Qwen/Qwen3-VL-8B-Instruct"))
    report = preflight.check(run.config("actor_rollout_ref.actor.ulysses_sequence_parallel_size=1"), "grpo")
    text = report.text()
    assert "Qwen/Qwen3-VL-8B-Instruct is not in this machine's cache" in text
    assert "8,767,123,696 parameters" in text
    assert "memory: estimated for rows of media with 1,024 tokens, the limit" in text
    assert "memory of a worker while training" in text
    assert "disk: " in text


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_pixel_values_are_those_of_the_processor(make_run: Callable[[str], Run], tiny_model: Path, method: str) -> None:
    import torch
    from transformers import AutoProcessor

    run, processor = make_run(method), AutoProcessor.from_pretrained(tiny_model)
    config = run.config()
    rows = [row for row in read_training_rows(config, method)[0] if row.part == "train"]
    shapes, _, _ = media_files.media_shapes(rows)
    ruler, processed = Ruler(processor, method == "grpo"), []

    def recording(**inputs: Any) -> Any:
        found = processor(**inputs)
        processed.append(sum(value.nbytes for name, value in found.items() if name.startswith("pixel_values")))
        return found

    recording.tokenizer = processor.tokenizer  # type: ignore[attr-defined]
    recording.image_processor = processor.image_processor  # type: ignore[attr-defined]
    recording.video_processor = processor.video_processor  # type: ignore[attr-defined]
    recording.apply_chat_template = processor.apply_chat_template  # type: ignore[attr-defined]
    measuring = Ruler(recording, method == "grpo")
    with torch.no_grad():
        for row in rows:
            measuring.measured(row, shapes)
    tokens = [ruler.media_tokens(row, shapes) for row in rows]
    values = host_memory.pixel_values(config, method, tokens, processor)
    assert values.most == sum(sorted(processed)[-2:])  # no loader workers in the tiny recipe
    assert values.mean == pytest.approx(sum(processed) / len(processed) * 2, rel=0.01)
    if method == "grpo":  # verl's own manager sends them once per response
        config.actor_rollout_ref.rollout.agent.agent_loop_manager_class = None
        assert host_memory.pixel_values(config, method, tokens, processor).most == values.most * 8


def test_a_step_that_does_not_fit_into_the_host_is_a_problem() -> None:
    values = host_memory.PixelValues(20 * 10**9, 26 * 10**9, "8 rows of up to 268.0 MB, x 12 responses")
    (problem,) = host_memory.host_memory_problems(values, "grpo", 16 * 10**9)
    assert "20.00 GB a step on average, up to 26.00 GB" in problem.what
    assert "the machine has 16.00 GB" in problem.what
    assert not list(host_memory.host_memory_problems(values, "grpo", 32 * 10**9))
    assert "may not fit into the 32.00 GB" in host_memory.memory_note(values, 32 * 10**9)
    assert "may not fit" not in host_memory.memory_note(values, 64 * 10**9)


@pytest.mark.parametrize(("manager", "copies"), [("ours.SharingManager", 1), (None, 12)], ids=["shared", "verl's"])
def test_a_clip_of_nine_seconds_has_the_documented_size(manager: str | None, copies: int) -> None:
    processor: Any = OmegaConf.create(
        {"image_processor": {"temporal_patch_size": 2, "patch_size": 14, "merge_size": 2}}
    )
    rollout = {"n": 12, "agent": {"agent_loop_manager_class": manager}}
    config: Any = OmegaConf.create({"data": {"train_batch_size": 8}, "actor_rollout_ref": {"rollout": rollout}})
    values = host_memory.pixel_values(config, "grpo", [14_256] * 100, processor)
    assert values.mean == values.most == 14_256 * 4 * 1176 * 4 * 8 * copies  # 2.1 and 26 GB


def test_a_frozen_vision_tower_is_refused_because_verl_trains_it(make_run: Callable[[str], Run]) -> None:
    (problem,) = make_run("grpo").problems("actor_rollout_ref.actor.freeze_vision_tower=true")
    assert "never reads it: the vision tower would be trained" in problem.what


def test_verl_does_not_read_the_setting() -> None:
    from importlib.util import find_spec

    origin = find_spec("verl").origin  # type: ignore[union-attr]
    files = Path(str(origin)).parent.rglob("*.py")
    found = [path.name for path in files if "freeze_vision_tower" in path.read_text(encoding="utf-8")]
    assert found == ["actor.py"], "only the configuration's class"


def test_an_engine_that_is_not_installed_is_a_problem(make_run: Callable[[str], Run]) -> None:
    problems = make_run("sft").problems("engine.strategy=veomni")
    assert [problem for problem in problems if "this engine's package veomni is not installed" in problem.what]


def test_a_rollout_engine_that_is_not_installed_is_a_problem_where_the_run_is(make_run: Callable[[str], Run]) -> None:
    run, engine = make_run("grpo"), "actor_rollout_ref.rollout.name=sglang"
    (problem,) = run.problems(engine)
    assert (problem.what, problem.where) == ("this engine's package sglang is not installed", engine)
    (problem,) = run.problems("actor_rollout_ref.rollout.name=vlm")
    assert problem.what == "verl has no such rollout engine"
    assert run.problems(engine, nodes_are_here=False) == []


@pytest.mark.parametrize(("key", "value"), [("temperature", 0), ("top_k", 1), ("top_p", 0)])
def test_rollouts_that_are_all_the_same_are_refused(make_run: Callable[[str], Run], key: str, value: int) -> None:
    (problem,) = make_run("grpo").problems(f"actor_rollout_ref.rollout.{key}={value}")
    assert "the 8 responses to a prompt would all be the same" in problem.what
    assert problem.where == f"actor_rollout_ref.rollout.{key}={value}"
