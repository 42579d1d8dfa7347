"""What stands in the way of a training is told before it starts: each problem is a real one, in real files."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.verl
pytest.importorskip("verl")
pytest.importorskip("torch")

import pyarrow  # noqa: E402
import pyarrow.parquet as parquet  # noqa: E402
import yaml  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402
from PIL import Image  # noqa: E402

from data_pipeline.shards.dataset_card import About  # noqa: E402
from data_pipeline.shards.write_shards import ShardRow, write_shards  # noqa: E402
from lmms_eval_shotbench.prompts import DIRECT, REASONING  # noqa: E402
from lmms_eval_shotbench.qa_item import QAItem  # noqa: E402
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE, MediaKind  # noqa: E402
from tests.rendered_clips import Rendering, render  # noqa: E402
from verl_recipes import preflight, recipes  # noqa: E402
from verl_recipes.checks import cluster, media_files  # noqa: E402
from verl_recipes.checks.problem import Problem, told_once  # noqa: E402
from verl_recipes.checks.training_files import Medium, TrainingRow, read_training_rows  # noqa: E402
from verl_recipes.prompt_lengths import Ruler  # noqa: E402
from verl_recipes.training_rows import write_training_rows  # noqa: E402

ABOUT = About("Small", "print-1", "A test.", "Nowhere.", "By hand.", "apache-2.0")
SPLITS = ("sft", "grpo", "dev", "test")
THOUGHT = "<think>The head fills the frame.</think><answer>{}</answer>"
SIZES = ((64, 48), (333, 97), (1280, 544))  # below, within and above the tiny checkpoint's limits


def shard_rows(split: str) -> list[ShardRow]:
    """Three stills (two PNG, one JPEG) and a clip of one film."""
    rows, film = [], f"film-{split}"
    for number, dimension in enumerate((SHOT_SIZE, SHOT_SIZE, SHOT_SIZE, CAMERA_MOVEMENT)):
        if dimension is CAMERA_MOVEMENT:
            medium, name = render(Rendering(frames=31, size=(96, 54))), f"{film}/{number}.mp4"
        else:
            stream, kind = io.BytesIO(), "JPEG" if number == 2 else "PNG"
            Image.effect_noise(SIZES[number], 40 + len(film)).convert("RGB").save(stream, kind)
            medium, name = stream.getvalue(), f"{film}/{number}.{kind.lower()}"
        options, letter = tuple(term.name for term in dimension.terms[:4]), "BCDA"[number]
        item = QAItem(
            f"{film}-{number}", dimension.slug, dimension.question, options, letter, dimension.media_kind, name,
            source="small", source_index=number, film_id=film, reasoning=THOUGHT.format(letter),
        )  # fmt: skip
        rows.append(ShardRow.of(split, replace(item, media_sha256=f"{film}{number}"), medium))
    return rows


@cache
def recipe(method: str) -> Any:
    """The tiny recipe; composing takes longer than all checks."""
    return recipes.compose(method, "tiny")


class Run(NamedTuple):
    """Rows on disk, and a model, for one method."""

    method: str
    rows: Path
    model: Path

    @property
    def train(self) -> Path:
        return self.rows / f"{'grpo' if self.method == 'grpo' else 'sft'}.parquet"

    def config(self, *overrides: str) -> Any:
        model = "actor_rollout_ref.model.path" if self.method == "grpo" else "model.path"
        own = [
            f"data.train_files={self.train}", f"data.val_files={self.rows / 'dev.parquet'}", f"{model}={self.model}",
            f"trainer.default_local_dir={self.rows / 'checkpoints'}", "data.train_batch_size=2",
        ]  # fmt: skip
        own += [] if self.method == "grpo" else ["data.micro_batch_size_per_gpu=2"]
        config = recipe(self.method).copy()
        for override in (*own, *overrides):
            key, _, value = override.lstrip("+").partition("=")
            OmegaConf.update(config, key, yaml.safe_load(value), force_add=True)
        return config

    def problems(self, *overrides: str, **how: Any) -> list[Problem]:
        return preflight.check(self.config(*overrides), self.method, **how).problems

    def change(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Rewrite the first row to train on."""
        table = parquet.read_table(self.train)
        rows = table.to_pylist()
        change(rows[0])
        parquet.write_table(pyarrow.Table.from_pylist(rows, table.schema), self.train)

    def medium(self, suffix: str) -> Path:
        """A medium of the rows to train on."""
        return next((self.rows / "media").glob(f"film-{self.train.stem}*{suffix}"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preflight") / "shards"
    write_shards([row for split in SPLITS for row in shard_rows(split)], folder, ABOUT, splits=SPLITS)
    return folder


@pytest.fixture(scope="module")
def written(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("written")
    for method, style in (("sft", DIRECT), ("cot_sft", REASONING), ("grpo", REASONING)):
        purpose: Any = "grpo" if method == "grpo" else "sft"
        for split in (purpose, "dev"):
            write_training_rows(str(shards), split, out / method, purpose, style)
    return out


@pytest.fixture
def run(written: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Run]:
    """A sound run of a method, in files of its own."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def copied(method: str) -> Run:
        folder = tmp_path / method
        shutil.copytree(written / method, folder)
        run = Run(method, folder, tiny)
        for file in folder.glob("*.parquet"):  # rows name media by absolute path
            table = parquet.read_table(file)
            rows = json.loads(json.dumps(table.to_pylist()).replace(str(written / method), str(folder)))
            parquet.write_table(pyarrow.Table.from_pylist(rows, table.schema), file)
        return run

    return copied


@pytest.fixture
def grpo(run: Callable[[str], Run]) -> Run:
    return run("grpo")


@pytest.fixture
def sft(run: Callable[[str], Run]) -> Run:
    return run("sft")


@pytest.mark.parametrize("method", recipes.METHODS)
def test_nothing_stands_in_the_way_of_a_sound_run(run: Callable[[str], Run], shards: Path, method: str) -> None:
    sound = run(method)
    before = {path: path.read_bytes() for path in sound.rows.rglob("*") if path.is_file()}
    report = preflight.check(sound.config(), method, shards=str(shards))
    assert not report.problems, report.text()
    report.raise_for_problems()
    said = report.text()
    assert "rows: 4 to train on, 4 to validate on" in said
    assert "6 stills and 2 clips" in said
    for word in ("longest row", "parameters", "steps: 2 an epoch", "disk:", "memory of a worker", "Ray: 1 node"):
        assert word in said, word
    after = {path: path.read_bytes() for path in sound.rows.rglob("*") if path.is_file()}
    assert after == before, "it only reads"


def cut_off(path: Path, share: float = 0.6) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def without_column(path: Path, name: str) -> None:
    parquet.write_table(parquet.read_table(path).drop([name]), path)


def with_text(path: Path, name: str) -> None:
    table = parquet.read_table(path)
    place = table.schema.names.index(name)
    parquet.write_table(table.set_column(place, name, pyarrow.array(["x"] * len(table))), path)


FILES: dict[str, tuple[Callable[[Run], object], str]] = {
    "no rows": (lambda run: run.train.unlink(), "there is no such file"),
    "rows cut off": (lambda run: cut_off(run.train), "cannot be read as parquet"),
    "no column": (lambda run: without_column(run.train, "reward_model"), "column reward_model is missing"),
    "column of text": (lambda run: with_text(run.train, "prompt"), "column prompt is string, verl reads a list of"),
    "medium gone": (lambda run: run.medium("0.png").unlink(), "it cannot be opened (No such file"),
    "medium empty": (lambda run: run.medium("0.png").write_bytes(b""), "the file is empty"),
    "png cut off": (lambda run: cut_off(run.medium("0.png")), "still cannot be decoded"),
    "jpeg cut off": (lambda run: cut_off(run.medium(".jpeg")), "still cannot be decoded: image file is truncated"),
    "clip cut off": (lambda run: cut_off(run.medium(".mp4"), 0.9), "clip c"),
    "no medium at all": (lambda run: run.medium("0.png").write_bytes(b"<html>"), "no picture"),
}


@pytest.mark.parametrize(("spoil", "words"), FILES.values(), ids=FILES)
def test_files_that_are_missing_or_broken_are_named(grpo: Run, spoil: Callable[[Run], object], words: str) -> None:
    spoil(grpo)
    problems = grpo.problems()
    found = [problem for problem in problems if words in problem.what]
    assert len(found) == 1, problems
    assert "film-grpo" in found[0].where or str(grpo.train) in found[0].where
    assert found[0].next_step
    assert len(problems) <= 2, "nothing else is blamed, but for a batch without rows"


def item_with(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(row: dict[str, Any]) -> None:
        row["extra_info"]["item"] = json.dumps(json.loads(row["extra_info"]["item"]) | changes)

    return change


def set_in(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(row: dict[str, Any]) -> None:
        for key in path[:-1]:
            row = row[key]
        row[path[-1]] = value

    return change


def unmarked(row: dict[str, Any]) -> None:
    row["prompt"][1]["content"] = row["prompt"][1]["content"].replace("<image>", "")


def marked_twice(row: dict[str, Any]) -> None:
    row["prompt"][1]["content"] += "<image>"


CONTENTS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "no mark": (unmarked, "0 <image> in the text for 1 in the media columns"),
    "two marks": (marked_twice, "2 <image> in the text for 1"),
    "unknown dimension": (item_with(dimension="mood"), "dimension is 'mood'"),
    "unknown source": (set_in("data_source", value="small/mood"), "data_source 'small/mood'"),
    "another dimension": (set_in("data_source", value="small/lighting_type"), "is not shot_size"),
    "no letter": (set_in("reward_model", "ground_truth", value="Q"), "'Q', no letter on offer"),
    "another letter": (set_in("reward_model", "ground_truth", value="A"), "ground_truth is A, the question says B"),
    "no question": (set_in("extra_info", "item", value="?"), "extra_info.item is no question"),
    "answer not on offer": (item_with(answer="Z"), "answer is 'Z'"),
    "no such role": (lambda row: row["prompt"][0].update(role="director"), "the turns are not of"),
}


@pytest.mark.parametrize(("spoil", "words"), CONTENTS.values(), ids=CONTENTS)
def test_rows_that_are_wrong_are_named(grpo: Run, spoil: Callable[[dict[str, Any]], None], words: str) -> None:
    grpo.change(spoil)
    (problem,) = grpo.problems()
    assert words in problem.what
    assert problem.where == "grpo.parquet row 0"


def test_a_lesson_without_an_answer_is_named(sft: Run) -> None:
    sft.change(lambda row: row["messages"].pop())
    (problem,) = sft.problems()
    assert "no answer of the assistant" in problem.what


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_what_is_validated_or_tested_on_is_not_trained_on(
    run: Callable[[str], Run], shards: Path, written: Path, method: str
) -> None:
    spoilt = run(method)
    shutil.copy(spoilt.train, spoilt.rows / "dev.parquet")
    (problem,) = spoilt.problems()
    assert "stands in the validation rows too" in problem.what
    assert ("film film-grpo" if method == "grpo" else "medium film-sft0") in problem.where
    other = run_on_tested_films(spoilt)
    (problem,) = other.problems(shards=str(shards))
    assert "stands in the test split too" in problem.what
    assert f"film-{'test'}" in problem.where


def run_on_tested_films(run: Run) -> Run:
    """Rows of the test split under the name of a training split, as no command of ours would write them."""
    folder = run.rows.with_name("tested")
    shutil.copytree(run.rows, folder)
    dev = parquet.read_table(folder / "dev.parquet")
    text = json.dumps(parquet.read_table(folder / run.train.name).to_pylist())
    own = f"film-{run.train.stem}"
    for path in list((folder / "media").glob(f"{own}*")):
        path.rename(path.with_name(path.name.replace(own, "film-test")))
    rows = json.loads(text.replace(own, "film-test").replace(str(run.rows), str(folder)))
    parquet.write_table(pyarrow.Table.from_pylist(rows, dev.schema), folder / run.train.name)
    (folder / "dev.parquet").unlink()
    validation = json.loads(text.replace(own, "film-dev").replace(str(run.rows), str(folder)))
    parquet.write_table(pyarrow.Table.from_pylist(validation, dev.schema), folder / "dev.parquet")
    return Run(run.method, folder, run.model)


LIMITS = [
    ("grpo", "data.max_prompt_length"),
    ("grpo", "actor_rollout_ref.rollout.max_model_len"),
    ("grpo", "actor_rollout_ref.actor.ppo_max_token_len_per_gpu"),
    ("sft", "data.max_length"),
]


@pytest.mark.parametrize(("method", "limit"), LIMITS)
def test_a_row_too_long_is_told_with_the_least_limit_that_would_do(
    run: Callable[[str], Run], method: str, limit: str
) -> None:
    sound = run(method)
    (problem,) = sound.problems(f"{limit}=100")
    assert limit in problem.what
    assert f"film-{sound.train.stem}" in problem.where or "film-dev" in problem.where
    least = int(problem.what.split("100, ")[1].split(" is the least")[0].replace(",", ""))
    assert not sound.problems(f"{limit}={least}")
    assert sound.problems(f"{limit}={least - 1}")


NUMBERS: dict[str, tuple[str, list[str], str]] = {
    "a group of one": ("grpo", ["actor_rollout_ref.rollout.n=1"], "a group of 1 has no mean"),
    "no step": ("grpo", ["data.train_batch_size=5"], "4 rows are no batch of 5"),
    "no step of SFT": ("sft", ["data.train_batch_size=6"], "4 rows are no batch of 6"),
    "nothing validated": ("sft", ["data.train_batch_size=4", "data.val_max_samples=2"], "reports nan"),
    "workers": (
        "grpo",
        ["trainer.n_gpus_per_node=3", "ray_kwargs.ray_init.num_cpus=32", "actor_rollout_ref.rollout.n=4"],
        "8 cannot be divided by 3",
    ),
    "workers of SFT": ("sft", ["trainer.n_gpus_per_node=3", "ray_kwargs.ray_init.num_cpus=64"], "divided by 3"),
    "micro batch": ("sft", ["data.train_batch_size=4", "data.micro_batch_size_per_gpu=3"], "4 cannot be divided by 3"),
    "tensor parallel": ("grpo", ["actor_rollout_ref.rollout.tensor_model_parallel_size=2"], "1 cannot be divided by 2"),
    "verl's own check": (
        "grpo",
        ["actor_rollout_ref.actor.use_dynamic_bsz=false", "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=2",
         "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=2",
         "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=2", "actor_rollout_ref.actor.ppo_mini_batch_size=4"],
        "verl refuses it: train_batch_size (2) must be >= actor.ppo_mini_batch_size (4)",
    ),
    "verl's classes": ("grpo", ["actor_rollout_ref.actor.loss_agg_mode=median"], "Invalid loss_agg_mode: median"),
    "no reward": ("grpo", ["reward.custom_reward_function.path=null"], "verl's own reward knows none"),
    "unknown weight": ("grpo", ["+reward.custom_reward_function.reward_kwargs.style=1"], "the reward refuses it"),
    "reward not there": ("grpo", ["reward.custom_reward_function.path=gone.py"], "the reward cannot be loaded"),
    "too few GPUs": ("grpo", ["ray_kwargs.ray_init.num_gpus=0"], "1 node(s) with 1 GPUs are asked for, 0 of 1 have"),
    "too few nodes": ("grpo", ["trainer.nnodes=2"], "2 node(s) with 1 GPUs are asked for, 1 of 1 have"),
    "too few CPUs": ("sft", ["ray_kwargs.ray_init.num_cpus=9"], "1 workers a node take 10 CPUs of Ray, a node has 9"),
    "no room": (
        "grpo",
        ["trainer.save_freq=1", "trainer.max_actor_ckpt_to_keep=null", "trainer.total_training_steps=1000000000"],
        "GB are free and",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("method", "overrides", "words"), NUMBERS.values(), ids=NUMBERS)
def test_settings_that_cannot_work_are_named(
    run: Callable[[str], Run], method: str, overrides: list[str], words: str
) -> None:
    problems = run(method).problems(*overrides)
    assert [problem for problem in problems if words in problem.what], problems


def test_all_problems_are_told_together_and_stop_the_run(grpo: Run) -> None:
    grpo.medium("0.png").unlink()
    grpo.medium("1.png").unlink()
    report = preflight.check(grpo.config("actor_rollout_ref.rollout.n=1", "trainer.nnodes=2"), "grpo")
    with pytest.raises(preflight.PreflightFailed, match="3 problems, nothing was started") as failed:
        report.raise_for_problems()
    assert "film-grpo0.png" in str(failed.value)
    assert "film-grpo1.png" in str(failed.value)
    assert "a group of 1" in str(failed.value)
    assert str(failed.value) in report.text()


def test_a_problem_of_many_rows_is_told_once() -> None:
    many = [Problem("it is cut off", f"row {number}", "Mend it.") for number in range(1200)]
    (one,) = told_once(many)
    assert one.where == "row 0; row 1; row 2; and 1,197 more"


MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "there is no such folder"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "its config.json cannot be read"),
    "no processor": (lambda folder: (folder / "processor_config.json").unlink(), "its processor"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "it has no weights"),
    "weights cut off": (lambda folder: cut_off(folder / "model.safetensors"), "bytes, its header says"),
}


@pytest.mark.parametrize(("spoil", "words"), MODELS.values(), ids=MODELS)
def test_a_model_that_is_not_whole_is_named(
    sft: Run, tmp_path: Path, spoil: Callable[[Path], object], words: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sft.model, folder)
    spoil(folder)
    problems = sft._replace(model=folder).problems()
    assert [problem for problem in problems if words in problem.what], problems


def test_a_model_that_does_not_know_the_vision_tokens_is_named(sft: Run, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sft.model, folder)
    for path in folder.glob("*.json"):
        path.write_text(path.read_text().replace("<|video_pad|>", "<|film_pad|>"))
    problems = sft._replace(model=folder).problems()
    assert [problem for problem in problems if "video_pad" in problem.what], problems


def test_a_model_of_the_hub_that_is_not_here_is_a_note(sft: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    report = preflight.check(sft._replace(model=Path("nobody/no-such-model")).config(), "sft")
    assert not report.problems
    assert "nobody/no-such-model is not in this machine's cache" in report.text()


def test_another_version_of_verl_is_told(sft: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = sft.config()
    required = recipes.REQUIRED_VERL.read_text().replace(">=0.9.1,<0.10", ">=7")
    (tmp_path / "required.txt").write_text(required)
    monkeypatch.setattr(recipes, "REQUIRED_VERL", tmp_path / "required.txt")
    (problem,) = preflight.check(config, "sft").problems
    assert "the recipes need >=7" in problem.what


@pytest.mark.parametrize("method", ["cot_sft", "grpo"])
def test_rows_are_as_long_as_verls_own_dataset_makes_them(run: Callable[[str], Run], method: str) -> None:
    from transformers import AutoProcessor
    from verl.utils.tokenizer import build_multimodal_processor_inputs

    from verl_recipes.film_dataset import FilmLessons, FilmPrompts

    sound = run(method)
    processor, config = AutoProcessor.from_pretrained(sound.model), sound.config()
    rows = [row for row in read_training_rows(config, method)[0] if row.part == "train"]
    shapes, _, _ = media_files.media_shapes(rows)
    ruler = Ruler(processor, method == "grpo")
    if method == "grpo":
        prompts = FilmPrompts(str(sound.train), processor.tokenizer, config.data, processor)
        found = []
        for prompt in prompts:
            text = processor.apply_chat_template(prompt["raw_prompt"], add_generation_prompt=True, tokenize=False)
            stills, clips, _ = FilmPrompts._process_multi_modal_info(prompt["raw_prompt"], 14, config.data)
            inputs = build_multimodal_processor_inputs(processor, text=[text], images=stills, videos=clips)
            found.append(len(inputs["input_ids"][0]))
    else:
        lessons = FilmLessons(str(sound.train), processor.tokenizer, config.data, processor)
        found = [len(lesson["input_ids"]) for lesson in lessons]
    assert ruler.lengths(rows, shapes) == found
    assert [ruler.measured(row, shapes) for row in rows] == found


@pytest.fixture(scope="module")
def full_size(tiny: Path) -> Any:
    """A processor with the limits of the released checkpoints."""
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(tiny)
    for part in (processor.image_processor, processor.video_processor):
        part.size = {"shortest_edge": 3136, "longest_edge": 12845056}
    return processor


@pytest.mark.parametrize("size", [(28, 28), (57, 41), (640, 360), (1920, 800), (4096, 1716), (300, 2900)])
def test_stills_take_as_many_tokens_as_the_released_processor_gives_them(full_size: Any, size: tuple[int, int]) -> None:
    row = TrainingRow("row 0", "train", (("user", "<image>What?"),), (Medium(MediaKind.STILL, "a"),), {})
    shapes = {"a": media_files.Shape(*size)}
    text = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What?<|im_end|>\n<|im_start|>assistant\n"
    tokens = len(full_size(text=[text], images=[Image.new("RGB", size)])["input_ids"][0])
    assert Ruler(full_size, generation_prompt=True).lengths([row], shapes) == [tokens]


@pytest.mark.parametrize(
    ("size", "frames", "rate"), [((1280, 720), 60, 24.0), ((360, 640), 33, 30.0), ((100, 60), 5, 25.0)]
)
def test_clips_take_as_many_tokens_as_the_released_processor_gives_them(
    full_size: Any, size: tuple[int, int], frames: int, rate: float
) -> None:
    limits = (("fps", 12.0), ("max_pixels", 360 * 640), ("min_pixels", 128 * 28 * 28))
    row = TrainingRow("row 0", "train", (("user", "<video>What?"),), (Medium(MediaKind.CLIP, "a", limits),), {})
    shapes = {"a": media_files.Shape(*size, frames, rate)}
    ruler = Ruler(full_size, generation_prompt=True)
    assert ruler.lengths([row], shapes) == [ruler.measured(row, shapes)]


def test_a_cluster_that_does_not_answer_is_told_in_time(grpo: Run) -> None:
    environment = {"RAY_ADDRESS": "127.0.0.1:1", "PATH": "/usr/bin:/bin"}
    config = grpo.config("ray_kwargs.ray_init.address=null")
    (problem,), _ = cluster.cluster_problems(config, "grpo", environment, seconds=2)
    assert "did not answer within 2 s" in problem.what or "cannot be asked" in problem.what
    assert "127.0.0.1:1" in problem.where


HOLD = """
import sys, ray
print(ray.init("local", num_cpus=5, num_gpus=1, include_dashboard=False).address_info["gcs_address"], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def small_cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment that joins a Ray with 5 CPUs and 1 GPU, in a process of its own, behind a token."""
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
            process.communicate(timeout=60)


@pytest.mark.ray
def test_a_cluster_is_asked_what_it_has(small_cluster: dict[str, str], run: Callable[[str], Run]) -> None:
    told = ("address", "num_cpus", "num_gpus", "object_store_memory")
    overrides = [f"++ray_kwargs.ray_init.{name}=null" for name in told]
    joining = run("grpo").config(*overrides)
    problems, (note,) = cluster.cluster_problems(joining, "grpo", small_cluster)
    assert not problems
    assert f"1 node(s) with 1 GPUs and 5 CPUs, the Ray cluster at {small_cluster['RAY_ADDRESS']}" in note
    problems, _ = cluster.cluster_problems(run("sft").config(*overrides), "sft", small_cluster)
    assert "take 10 CPUs of Ray, a node has 5" in problems[0].what
    stranger = dict(os.environ) | {"RAY_ADDRESS": small_cluster["RAY_ADDRESS"], "RAY_AUTH_MODE": "disabled"}
    (problem,), _ = cluster.cluster_problems(joining, "grpo", stranger)
    assert "it asks for a token" in problem.what


def test_verl_still_takes_as_many_cpus_a_worker() -> None:
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
