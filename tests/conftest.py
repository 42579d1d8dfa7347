"""Fixtures shared by all tests: the real questions and responses, and small items made on the spot."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.vocabulary import MediaKind

# Their asserts should show values, too.
pytest.register_assert_rewrite("tests.support.releases", "tests.support.judge_server")

REPOSITORY = Path(__file__).parents[1]
REAL_DATA_VARIABLE = "SHOTBENCH_REAL_DATA"
RUN_VARIABLE = "SHOTBENCH_TEST_RUN"  # a folder that `make test` makes for all its processes, and removes


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the real question files and real models' responses; they are not part of the repository."""
    given = os.environ.get(REAL_DATA_VARIABLE)
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "data"
    if not (folder / "shotbench" / "test.tsv").is_file():
        if given:
            pytest.fail(f"${REAL_DATA_VARIABLE} is {given}, which has no shotbench/test.tsv")
        pytest.skip(f"needs the real questions and responses: set {REAL_DATA_VARIABLE} to their folder")
    return folder


def release_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a question TSV, read without our own reader."""
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


@pytest.fixture(scope="session")
def real_items(real_data: Path) -> dict[int, QAItem]:
    """The 3,572 real questions by index."""
    rows = release_rows(real_data / "shotbench" / "test.tsv")
    return {int(row["index"]): QAItem.from_release_row(row) for row in rows}


@pytest.fixture(scope="session")
def refined_items(real_data: Path) -> dict[int, QAItem]:
    """RefineShot's version of the questions by index."""
    rows = release_rows(real_data / "refineshot" / "test.tsv")
    return {int(row["index"]): QAItem.from_release_row(row) for row in rows}


def stored_responses(real_data: Path, name: str) -> list[dict[str, object]]:
    """A file of real responses, read without our own reader."""
    with gzip.open(real_data / "responses" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def make_item(
    options: tuple[str, ...] = ("Wide", "Medium", "Close up", "Extreme close up"),
    answer: str = "C",
    dimension: str = "shot_size",
    index: int = 1,
    media: str = "image/a.jpg",
) -> QAItem:
    """A question of the given options."""
    kind = MediaKind.CLIP if dimension == "camera_movement" else MediaKind.STILL
    return QAItem(f"test-{index}", dimension, "What is it?", options, answer, kind, media, source_index=index)


def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the processes of one test run share, and no other run: nothing in it is ever of older code."""
    own = tmp_path_factory.getbasetemp()
    beside = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own  # xdist: each worker's is within the run's
    return Path(os.environ.get(RUN_VARIABLE) or beside)


def made_once(name: str, make: Callable[[Path], object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `make` fills, in the first process of the run that wants it; to the caller goes a copy of his own.

    A maker that is killed lets go of the lock and leaves a draft, which the next one throws away.
    """
    from filelock import FileLock

    run = run_folder(tmp_path_factory)
    whole, draft = run / name, run / f"{name}.draft"
    with FileLock(run / f"{name}.lock"):
        if not whole.exists():
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            make(draft)
            draft.rename(whole)
    return shutil.copytree(whole, tmp_path_factory.mktemp(name) / name)


@pytest.fixture(scope="session")
def studio_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest studio set: one film of small pictures, all eight dimensions, stills and clips."""
    pytest.importorskip("numba")
    from data_pipeline.studio_set import StudioSettings, studio_shards
    from data_pipeline.workers import Workers

    settings = StudioSettings(films=1, width=160, shares={"test": 1.0})
    # It takes a minute to shoot, and in a fresh clone half of one more to compile the renderer.
    made = made_once("painted", lambda folder: studio_shards(settings, folder / "shards", Workers(0)), tmp_path_factory)
    return made / "shards"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen2.5-VL that says letters."""
    from lmms_eval_shotbench.qwen.tiny_qwen import make_tiny_qwen

    return make_tiny_qwen(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def tiny_model_unconstrained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, free to say anything: what it says depends on what it is shown, and where it stops does, too."""
    folder = tmp_path_factory.mktemp("tiny") / "talkative"
    shutil.copytree(tiny_model, folder)
    generation = json.loads((folder / "generation_config.json").read_text())
    kept = {name: value for name, value in generation.items() if "suppress" not in name}
    (folder / "generation_config.json").write_text(json.dumps(kept | {"repetition_penalty": 1.2}))
    return folder
