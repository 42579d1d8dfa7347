"""The record of a run: weights and command, without secrets."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from lmms_eval_shotbench.cli import main
from lmms_eval_shotbench.harness.run_record import without_secrets
from lmms_eval_shotbench.qwen.revision import revision_in_use


def checkpoint(folder: Path, weights: bytes = b"weights") -> Path:
    """Write the files of a checkpoint, with invalid contents."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_the_revision_of_a_local_folder_depends_on_its_files(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    named = revision_in_use(f"pretrained={folder},device=cpu")
    assert named.startswith("folder ") and named == revision_in_use(f"device=cpu,model_version={folder}")
    os.utime(folder / "model.safetensors", ns=(1, 1))  # as after a training run wrote new weights
    assert revision_in_use(f"pretrained={folder}") != named


def test_the_revision_of_a_hub_checkpoint_is_its_cached_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    cached = tmp_path / "models--Vchitect--ShotVL-3B"
    checkpoint(cached / "snapshots" / "0a1b2c")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0a1b2c")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert revision_in_use("pretrained=Vchitect/ShotVL-3B") == "0a1b2c"
    assert revision_in_use("pretrained=Vchitect/ShotVL-7B") == ""


@pytest.mark.parametrize("arguments", ["", "device=cpu", "model=gpt-4o", "model_version=a/b/c", "pretrained="])
def test_a_model_without_local_files_has_no_revision(arguments: str) -> None:
    assert revision_in_use(arguments) == ""


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("model=x,api_key=sk-123,base_url=http://a", "model=x,api_key=***,base_url=http://a"),
        ("--model_args 'model=x,OPENAI_API_KEY=sk-1' --limit 3", "--model_args 'model=x,OPENAI_API_KEY=***' --limit 3"),
        ("--hf_hub_log_args hub_token=hf_1,push=True", "--hf_hub_log_args hub_token=***,push=True"),
        ("max_new_tokens=64,tokenizer=t,eos_tokens=2", "max_new_tokens=64,tokenizer=t,eos_tokens=2"),
        ("password=a secret=b", "password=*** secret=***"),
    ],
)
def test_records_contain_no_secrets(given: str, kept: str) -> None:
    assert without_secrets(given) == kept


@pytest.mark.host
def test_the_record_contains_the_command_as_typed(studio_shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "a run"
    command = ["eval", "--tasks", "shotbench_shot_size", "--data", str(studio_shards), "--model", "dummy"]
    command += ["--out", str(out)]
    command += ["--model_args", "response=B", "--limit", "2"]
    assert main(command) == 0
    recorded = json.loads((out / "scores.json").read_text())["run"]["command"]
    assert shlex.split(recorded) == ["shotbench", *command]
