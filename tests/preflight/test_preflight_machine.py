"""Preflight checks of the model folder, of the rows' lengths in tokens, and of the cluster's resources."""

# ruff: noqa: F811 (fixtures that are imported are named again as arguments)

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.verl
pytest.importorskip("verl")
pytest.importorskip("torch")

from omegaconf import OmegaConf
from PIL import Image

from lmms_eval_shotbench.vocabulary import MediaKind
from tests.support.ports import refusing_port
from tests.support.preflight_runs import Run, cut_off, grpo_run, make_run, sft_run, shards, training_rows  # noqa: F401
from verl_recipes import recipes
from verl_recipes.preflight import (
    cluster,
    media_files,
    preflight,
)
from verl_recipes.preflight.prompt_lengths import Ruler
from verl_recipes.preflight.training_files import RowMedium, TrainingRow, read_training_rows

MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "there is no such folder"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "its config.json cannot be read"),
    "no processor": (lambda folder: (folder / "processor_config.json").unlink(), "its processor"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "it has no weights"),
    "weights cut off": (lambda folder: cut_off(folder / "model.safetensors"), "by its header"),
}


@pytest.mark.parametrize(("break_it", "words"), MODELS.values(), ids=MODELS)
def test_an_incomplete_model_is_named(
    sft_run: Run, tmp_path: Path, break_it: Callable[[Path], object], words: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sft_run.model, folder)
    break_it(folder)
    problems = sft_run._replace(model=folder).problems()
    assert [problem for problem in problems if words in problem.what], problems


def test_a_model_that_does_not_know_the_vision_tokens_is_named(sft_run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sft_run.model, folder)
    for path in folder.glob("*.json"):
        path.write_text(path.read_text().replace("<|video_pad|>", "<|film_pad|>"))
    problems = sft_run._replace(model=folder).problems()
    assert [problem for problem in problems if "video_pad" in problem.what], problems


def test_a_hub_model_that_is_not_cached_is_a_note(sft_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    report = preflight.check(sft_run._replace(model=Path("nobody/no-such-model")).config(), "sft")
    assert not report.problems
    assert "nobody/no-such-model is not in this machine's cache" in report.text()


def test_another_version_of_verl_is_a_problem(sft_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = sft_run.config()
    required = recipes.REQUIRED_VERL.read_text().replace(">=0.9.1,<0.10", ">=7")
    (tmp_path / "required.txt").write_text(required)
    monkeypatch.setattr(recipes, "REQUIRED_VERL", tmp_path / "required.txt")
    (problem,) = preflight.check(config, "sft").problems
    assert "the recipes need >=7" in problem.what


@pytest.mark.parametrize("method", ["cot_sft", "grpo"])
def test_rows_are_as_long_as_verls_own_dataset_makes_them(make_run: Callable[[str], Run], method: str) -> None:
    from transformers import AutoProcessor
    from verl.utils.tokenizer import build_multimodal_processor_inputs

    from verl_recipes.inside_verl.film_dataset import FilmLessons, FilmPrompts

    valid = make_run(method)
    processor, config = AutoProcessor.from_pretrained(valid.model), valid.config()
    rows = [row for row in read_training_rows(config, method)[0] if row.part == "train"]
    shapes, _, _ = media_files.media_shapes(rows)
    ruler = Ruler(processor, method == "grpo")
    if method == "grpo":
        prompts = FilmPrompts(str(valid.train), processor.tokenizer, config.data, processor)
        found = []
        for prompt in prompts:
            text = processor.apply_chat_template(prompt["raw_prompt"], add_generation_prompt=True, tokenize=False)
            stills, clips, _ = FilmPrompts._process_multi_modal_info(prompt["raw_prompt"], 14, config.data)
            inputs = build_multimodal_processor_inputs(processor, text=[text], images=stills, videos=clips)
            found.append(len(inputs["input_ids"][0]))
    else:
        lessons = FilmLessons(str(valid.train), processor.tokenizer, config.data, processor)
        found = [len(lesson["input_ids"]) for lesson in lessons]
    assert ruler.lengths(rows, shapes) == found
    assert [ruler.measured(row, shapes) for row in rows] == found


@pytest.fixture(scope="module")
def released_size_processor(tiny_model: Path) -> Any:
    """A processor with the limits of the released checkpoints."""
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(tiny_model)
    for part in (processor.image_processor, processor.video_processor):
        part.size = {"shortest_edge": 3136, "longest_edge": 12845056}
    return processor


@pytest.mark.parametrize("size", [(28, 28), (57, 41), (640, 360), (1920, 800), (4096, 1716), (300, 2900)])
def test_stills_take_as_many_tokens_as_the_released_processor_gives_them(
    released_size_processor: Any, size: tuple[int, int]
) -> None:
    row = TrainingRow("row 0", "train", (("user", "<image>What?"),), (RowMedium(MediaKind.STILL, "a"),), {})
    shapes = {"a": media_files.Shape(*size)}
    text = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What?<|im_end|>\n<|im_start|>assistant\n"
    tokens = len(released_size_processor(text=[text], images=[Image.new("RGB", size)])["input_ids"][0])
    assert Ruler(released_size_processor, generation_prompt=True).lengths([row], shapes) == [tokens]


@pytest.mark.parametrize(
    ("size", "frames", "rate"), [((1280, 720), 60, 24.0), ((360, 640), 33, 30.0), ((100, 60), 5, 25.0)]
)
def test_clips_take_as_many_tokens_as_the_released_processor_gives_them(
    released_size_processor: Any, size: tuple[int, int], frames: int, rate: float
) -> None:
    limits = (("fps", 12.0), ("max_pixels", 360 * 640), ("min_pixels", 128 * 28 * 28))
    row = TrainingRow("row 0", "train", (("user", "<video>What?"),), (RowMedium(MediaKind.CLIP, "a", limits),), {})
    shapes = {"a": media_files.Shape(*size, frames, rate)}
    ruler = Ruler(released_size_processor, generation_prompt=True)
    assert ruler.lengths([row], shapes) == [ruler.measured(row, shapes)]


def test_a_cluster_that_does_not_answer_is_reported_in_time(grpo_run: Run) -> None:
    config = grpo_run.config("ray_kwargs.ray_init.address=null")
    with refusing_port() as port:
        environment = {"RAY_ADDRESS": f"127.0.0.1:{port}", "PATH": "/usr/bin:/bin"}
        (problem,), _ = cluster.cluster_problems(config, "grpo", environment, seconds=2)
    assert "did not answer within 2 s" in problem.what or "cannot be queried" in problem.what
    assert f"127.0.0.1:{port}" in problem.where


PATIENCE = 600  # seconds; starting a Ray client takes a minute on a busy machine
HOLD = """
import sys, ray
print(ray.init("local", num_cpus=5, num_gpus=1, include_dashboard=False).address_info["gcs_address"], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def small_cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Environment variables to join a Ray cluster with 5 CPUs and 1 GPU in a subprocess, with token authentication."""
    (tmp_path / "token").write_text("0123456789abcdef" * 4)
    environment = dict(os.environ) | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    command, pipe = [sys.executable, "-c", HOLD], subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            yield environment | {"RAY_ADDRESS": process.stdout.readline().strip()}
        finally:
            process.communicate()


@pytest.mark.ray
def test_the_resources_of_a_cluster_are_queried(small_cluster: dict[str, str], make_run: Callable[[str], Run]) -> None:
    settings = ("address", "num_cpus", "num_gpus", "object_store_memory")
    overrides = [f"++ray_kwargs.ray_init.{name}=null" for name in settings]
    joining = make_run("sft").config(*overrides)
    (problem,), (note,) = cluster.cluster_problems(joining, "sft", small_cluster, seconds=PATIENCE)
    assert f"1 node(s) with 1 GPUs and 5 CPUs, the Ray cluster at {small_cluster['RAY_ADDRESS']}" in note
    assert "take 10 CPUs of Ray, a node has 5" in problem.what
    stranger = dict(os.environ) | {"RAY_ADDRESS": small_cluster["RAY_ADDRESS"], "RAY_AUTH_MODE": "disabled"}
    (problem,), _ = cluster.cluster_problems(joining, "sft", stranger, PATIENCE)
    assert "it requires a token" in problem.what


def test_the_cpus_per_worker_are_those_of_verl() -> None:
    from inspect import signature

    from verl.single_controller.ray.base import RayResourcePool, ResourcePoolManager

    pool = signature(RayResourcePool.__init__).parameters["max_colocate_count"].default
    manager = signature(ResourcePoolManager.__init__).parameters["max_colocate_count"].default
    assert {"grpo": manager, "sft": pool, "cot_sft": pool} == cluster.CPUS_A_WORKER


def test_an_empty_configuration_says_which_files_are_missing() -> None:
    config = OmegaConf.create({"data": {"train_files": None, "val_files": None}})
    rows, problems = read_training_rows(config, "grpo")
    assert not rows
    assert [problem.where for problem in problems] == ["data.train_files", "data.val_files"]
