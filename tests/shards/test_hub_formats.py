"""Inspect asks the tasks of `eval.yaml`, mlcroissant reads the records of `croissant.json` (`make test-formats`)."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_pipeline.shards import split_writer
from data_pipeline.shards.croissant import add_croissant
from data_pipeline.shards.hub_benchmark import add_benchmark, still_data_url
from data_pipeline.shards.write_shards import write_shards
from lmms_eval_shotbench.questions.shards import ShardFolder
from tests.support import REPOSITORY
from tests.support.shard_rows import ABOUT, rows
from tests.support.small_shards import write_small_shards

pytestmark = pytest.mark.formats

PYTHON = REPOSITORY / ".venv-formats" / "bin" / "python"
NAME = "film/shots"
COMMIT = "a" * 40


def read_by(script: str, argument: str, folder: Path, **variables: str) -> dict[str, Any]:
    """Run a script of `tests/support` in the environment and folder; returns what it prints."""
    assert PYTHON.exists(), f"{PYTHON} does not exist; make test-formats installs it"
    command = [str(PYTHON), str(REPOSITORY / "tests/support" / script), argument]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | variables)
    assert finished.returncode == 0, finished.stderr[-2000:]
    found: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return found | {"log": finished.stderr}


def asked_by_inspect(shards: Path, folder: Path, task: str = "") -> dict[str, Any]:
    """Run `inspect eval hf/NAME` with `eval.yaml` in the cache of the Hub and the data in the working folder."""
    cache = folder / "hf/hub" / f"datasets--{NAME.replace('/', '--')}"
    (cache / "snapshots" / COMMIT).mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text(COMMIT)
    (cache / "snapshots" / COMMIT / "eval.yaml").write_bytes((shards / "eval.yaml").read_bytes())
    return read_by(
        "inspect_tasks.py", f"hf/{NAME}{task}", folder, HF_HOME=str(folder / "hf"), HF_HUB_OFFLINE="1",
        XDG_CACHE_HOME=str(folder / "cache"), XDG_DATA_HOME=str(folder / "data"),
    )  # fmt: skip


def test_inspect_asks_every_declared_question_with_its_still_and_grades_the_letter(tmp_path: Path) -> None:
    numbers = {"shot_size": 5, "camera_angle": 4, "camera_movement": 2}
    shards = write_small_shards(tmp_path / NAME, numbers)
    add_benchmark(shards)
    found = asked_by_inspect(shards, tmp_path)
    stills = [item for item in ShardFolder(shards).items() if item.dimension != "camera_movement"]
    of = {f"hf/{NAME}/{slug}": [item for item in stills if item.dimension == slug] for slug in list(numbers)[:2]}
    of[f"hf/{NAME}/stills"] = stills
    assert found["tasks"] == {
        task: {
            "status": "success",
            "questions": len(items),
            "accuracy": pytest.approx(sum(item.answer == "A" for item in items) / len(items)),
        }
        for task, items in of.items()
    }
    images = {item.question: still_data_url(ShardFolder(shards).media(item.item_id)) for item in stills}
    asked = Counter[str]()
    for shown in found["shown"]:
        (question,) = [item for item in stills if item.question in shown["text"]]
        asked[question.question] += 1
        assert shown["image"] == images[question.question]
        for letter, option in question.choices.items():
            assert f"{letter}) {option}" in shown["text"]
    assert asked == dict.fromkeys(images, 2)  # in its dimension, and in all stills


def test_mlcroissant_reads_every_row_of_every_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_writer, "FILE_BYTES", 500)
    monkeypatch.setattr(split_writer, "ROW_GROUP_ROWS", 4)
    shards = tmp_path / "shards"
    write_shards([*rows(20, "sft"), *rows(5)], shards, ABOUT, splits=["sft", "dev", "test"])
    add_croissant(shards, "https://example.org/shots", "Doe, 2026")
    found = read_by("croissant_reader.py", str(shards / "croissant.json"), tmp_path)
    assert found["errors"] == []
    assert all("is recommended" in warning for warning in found["warnings"])  # the date and the version of a release
    assert "WARNING" not in found["log"].replace("WARNING:absl:Found the following", "")
    expected = []
    for split in ("sft", "test"):
        folder = ShardFolder(shards, split)
        for item in folder.items():
            medium = folder.media(item.item_id)
            row = {**item.to_row(), "split": split, "image": None, "video": None}
            row["video" if item.media_kind == "clip" else "image"] = shown(medium)
            expected.append({f"default/{name}": value for name, value in row.items()})
    assert sorted(found["records"], key=by_id) == sorted(expected, key=by_id)


def by_id(record: dict[str, Any]) -> tuple[str, str]:
    return record["default/split"], record["default/item_id"]


def shown(medium: bytes) -> str:
    """A medium as the script gives it."""
    if medium.startswith(b"clip"):
        return medium.decode()
    with Image.open(io.BytesIO(medium)) as picture:
        return hashlib.sha256(picture.convert("RGB").tobytes()).hexdigest()
