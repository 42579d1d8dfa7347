"""Data and models are recognized by their content, wherever they are."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from lmms_eval_shotbench.questions.shards import DatasetNotFound
from verl_recipes.run.checksums import BLOCK, BLOCKS, data_checksum, model_checksum

MANIFEST = {
    "format_version": 3,
    "files": {
        "README.md": {"bytes": 5, "blake3": "a"},
        "data/sft-00000-of-00001.parquet": {"bytes": 9, "blake3": "b"},
    },
}


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "sft-00000-of-00001.parquet").write_bytes(b"questions")
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    (folder / "model.safetensors").write_bytes(bytes(4 * BLOCK * BLOCKS))
    return folder


def test_moved_shards_and_a_new_dataset_card_have_the_same_checksum(shards: Path, tmp_path: Path) -> None:
    before = data_checksum(str(shards))
    shutil.move(shards, tmp_path / "elsewhere")
    card = {"README.md": {"bytes": 6, "blake3": "c"}}
    (tmp_path / "elsewhere" / "manifest.json").write_text(json.dumps(MANIFEST | {"files": MANIFEST["files"] | card}))
    assert data_checksum(str(tmp_path / "elsewhere")) == before


def test_other_questions_have_another_checksum(shards: Path) -> None:
    before = data_checksum(str(shards))
    (shards / "manifest.json").write_text((shards / "manifest.json").read_text().replace('"b"', '"d"'))
    assert data_checksum(str(shards)) != before
    with pytest.raises(DatasetNotFound):
        data_checksum(str(shards / "data"))


def test_a_copied_model_has_the_same_checksum(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    for path in copy.iterdir():
        os.utime(path, (0, 0))
    (copy / "merged_from.json").write_text('{"run": "/elsewhere", "step": 4}')
    assert model_checksum(str(copy)) == model_checksum(str(model))


def test_a_model_with_a_trained_tensor_or_another_configuration_has_another_checksum(model: Path) -> None:
    before = model_checksum(str(model))
    with (model / "model.safetensors").open("r+b") as weights:
        weights.seek(7 * BLOCK)
        weights.write(b"1" * 5 * BLOCK)  # longer than the distance of two samples
    trained = model_checksum(str(model))
    (model / "config.json").write_text('{"model_type": "qwen3_vl"}')
    assert len({before, trained, model_checksum(str(model))}) == 3


def test_a_model_that_is_not_on_this_machine_has_no_checksum() -> None:
    assert model_checksum("nobody/no-such-model") is None
