"""The preflight knows which architectures the recipes train, and counts the tokens of each exactly."""

# ruff: noqa: F811 (fixtures that are imported are named again as arguments)

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.verl
pytest.importorskip("verl")
pytest.importorskip("torch")

from tests.support.preflight_runs import Run, make_run, shards, training_rows  # noqa: F401
from tests.support.tiny_families import make_tiny_family
from tests.support.tiny_families.trainable import make_trainable
from verl_recipes.preflight.known_models import ARCHITECTURES
from verl_recipes.preflight.media_files import Shape, media_shapes
from verl_recipes.preflight.prompt_lengths import Ruler
from verl_recipes.preflight.training_files import read_training_rows


@pytest.fixture(scope="module")
def qwen3_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_trainable("qwen3_vl", tmp_path_factory.mktemp("qwen3_vl") / "model")


@pytest.mark.parametrize("method", ["cot_sft", "grpo"])
def test_a_run_of_qwen3_vl_has_no_problems(make_run: Callable[[str], Run], qwen3_vl: Path, method: str) -> None:
    assert make_run(method)._replace(model=qwen3_vl).problems() == []


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_vl_moe", "internvl"])
def test_an_architecture_that_no_test_trains_is_refused(
    make_run: Callable[[str], Run], tmp_path: Path, family: str
) -> None:
    model = make_tiny_family(family, tmp_path / family)
    (problem,) = make_run("sft")._replace(model=model).problems()
    trained = ", ".join(ARCHITECTURES.values())
    assert problem.what == f"the recipes train {trained}, this is a {family}"
    assert problem.next_step.startswith("Choose a Qwen2.5-VL or Qwen3-VL Instruct checkpoint with --model")


def test_a_model_whose_template_opens_a_thought_is_refused(
    make_run: Callable[[str], Run], qwen3_vl: Path, tmp_path: Path
) -> None:
    thinking = shutil.copytree(qwen3_vl, tmp_path / "thinking")
    template = (thinking / "chat_template.jinja").read_text()
    (thinking / "chat_template.jinja").write_text(
        template.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
    )
    (problem,) = make_run("cot_sft")._replace(model=thinking).problems()
    assert "opens a thought before each response" in problem.what


@pytest.mark.parametrize("frames", [1, 5, 31, 300])
@pytest.mark.parametrize("rate", [8.0, 23.976, 60.0])
def test_the_length_of_a_clip_with_written_times_is_counted_without_decoding_it(
    make_run: Callable[[str], Run], qwen3_vl: Path, frames: int, rate: float
) -> None:
    from transformers import AutoProcessor

    processor: Any = AutoProcessor.from_pretrained(qwen3_vl)
    config = make_run("grpo").config()
    rows = [row for row in read_training_rows(config, "grpo")[0] if row.part == "train"]
    shapes = {
        path: Shape(320, 180, frames, rate) if path.endswith(".mp4") else shape
        for path, shape in media_shapes(rows)[0].items()
    }
    ruler = Ruler(processor, generation_prompt=True)
    assert ruler.lengths(rows, shapes) == [ruler.measured(row, shapes) for row in rows]
