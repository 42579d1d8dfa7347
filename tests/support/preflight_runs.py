"""Valid runs for tests to break: rows on disk with their media, and a model, in separate files."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("verl")
pytest.importorskip("torch")

import pyarrow
import pyarrow.parquet as parquet
import yaml
from omegaconf import OmegaConf
from PIL import Image

from data_pipeline.shards.dataset_card import CardText
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.prompts import DIRECT, REASONING
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import CAMERA_MOVEMENT, SHOT_SIZE
from tests.support.rendered_clips import Rendering, render
from verl_recipes import recipes
from verl_recipes.preflight import preflight
from verl_recipes.preflight.problem import Problem
from verl_recipes.training_rows import write_training_rows

ABOUT = CardText("Small", "print-1", "A test.", "Nowhere.", "By hand.", "apache-2.0")
SPLITS = ("sft", "grpo", "dev", "test")
THOUGHT = "<think>The head fills the frame.</think><answer>{}</answer>"
SIZES = ((64, 48), (333, 97), (1280, 544))  # below, within and above the tiny checkpoint's limits


def shard_rows(split: str) -> list[PendingRow]:
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
        rows.append(PendingRow.of(split, replace(item, media_sha256=f"{film}{number}"), medium))
    return rows


@cache
def recipe(method: str) -> Any:
    """The tiny recipe, cached: composing takes longer than all checks."""
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

    def problems(self, *overrides: str, **options: Any) -> list[Problem]:
        return preflight.check(self.config(*overrides), self.method, **options).problems

    def change(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Rewrite the first training row."""
        table = parquet.read_table(self.train)
        rows = table.to_pylist()
        change(rows[0])
        parquet.write_table(pyarrow.Table.from_pylist(rows, table.schema), self.train)

    def medium(self, suffix: str) -> Path:
        """Path of a medium of the training rows."""
        return next((self.rows / "media").glob(f"film-{self.train.stem}*{suffix}"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preflight") / "shards"
    write_shards([row for split in SPLITS for row in shard_rows(split)], folder, ABOUT, splits=SPLITS)
    return folder


@pytest.fixture(scope="module")
def training_rows(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("written")
    for method, style in (("sft", DIRECT), ("cot_sft", REASONING), ("grpo", REASONING)):
        purpose: Any = "grpo" if method == "grpo" else "sft"
        for split in (purpose, "dev"):
            write_training_rows(str(shards), split, out / method, purpose, style)
    return out


@pytest.fixture
def make_run(
    training_rows: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Run]:
    """A factory of valid runs by method, each in its own files."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def copied(method: str) -> Run:
        folder = tmp_path / method
        shutil.copytree(training_rows / method, folder)
        run = Run(method, folder, tiny_model)
        for file in folder.glob("*.parquet"):  # rows name media by absolute path
            table = parquet.read_table(file)
            rows = json.loads(json.dumps(table.to_pylist()).replace(str(training_rows / method), str(folder)))
            parquet.write_table(pyarrow.Table.from_pylist(rows, table.schema), file)
        return run

    return copied


@pytest.fixture
def grpo_run(make_run: Callable[[str], Run]) -> Run:
    return make_run("grpo")


@pytest.fixture
def sft_run(make_run: Callable[[str], Run]) -> Run:
    return make_run("sft")


def cut_off(path: Path, share: float = 0.6) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
