"""Fixtures shared by all tests: the real questions, a studio set, tiny models, and a cache of their own."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from data_pipeline.workers import Workers, ray_running
from lmms_eval_shotbench.progress import set_quiet
from lmms_eval_shotbench.qa_item import QAItem
from tests.support import REPOSITORY
from tests.support.real_data import REAL_DATA_VARIABLE, release_rows
from tests.support.run_cache import made_once

# Their asserts should show values, too.
pytest.register_assert_rewrite("tests.support.releases", "tests.support.judge_server")
# The same examples in each run, and each may take as long as it takes: the machine may be busy.
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Modules without a selected test are not imported: torch, transformers and verl take each process ten seconds."""
    terms = config.option.markexpr.split(" and ")
    excluded = {term.removeprefix("not ") for term in terms if re.fullmatch(r"not \w+", term)}
    if not collection_path.name.startswith("test_") or any(not re.fullmatch(r"(not )?\w+", term) for term in terms):
        return None
    of_module = re.search(r"^pytestmark = .*", collection_path.read_text(encoding="utf-8"), re.MULTILINE)
    return True if of_module and excluded & set(re.findall(r"\bmark\.(\w+)", of_module[0])) else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Exempt what is imported from garbage collection: once torch is, searching it takes half a second each time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # before tests are deselected by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need the studio set are slow: it takes a minute to render. Those with `two_workers` come first."""
    for item in items:
        if "studio_shards" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: "two_workers" not in getattr(item, "fixturenames", ()))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that parses `--quiet` hides no progress of others; Ray ends after the last test with `two_workers`.

    An idle instance of Ray takes a few percent of a core.
    """
    set_quiet(False)
    ray = sys.modules.get("ray")
    if ray and ray.is_initialized() and "two_workers" not in getattr(item, "fixturenames", ()):
        ray.shutdown()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Exempt what the tests of a module imported and keep from garbage collection, too."""
    try:
        return (yield)
    finally:
        if nextitem and nextitem.path != item.path:
            gc.collect()
            gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def isolated_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is read from or written to the user's ~/.cache/shotbench, which other runs share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOTBENCH_CACHE", str(tmp_path_factory.mktemp("shotbench-cache")))
        yield


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """For tests that measure time: once torch is imported, a collection takes half a second."""
    gc.disable()
    yield
    gc.enable()


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


@pytest.fixture(scope="session")
def studio_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest studio set: one film of small pictures, all eight dimensions, stills and clips."""
    pytest.importorskip("numba")
    from data_pipeline import studio_set
    from data_pipeline.workers import Workers

    def make(folder: Path) -> None:
        settings = studio_set.StudioSettings(films=1, width=160, shares={"test": 1.0})
        studio_set.studio_shards(settings, folder / "shards", Workers(0))

    # It takes a minute to render, and in a fresh clone half of one more to compile the renderer.
    return made_once("studio", make, tmp_path_factory) / "shards"


@pytest.fixture(scope="session")
def two_workers() -> Iterator[Workers]:
    """Two Ray workers, on one instance for all tests with this fixture; a start takes ten CPU-seconds."""
    pytest.importorskip("ray")
    with ray_running(Workers(2)):
        yield Workers(2)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen2.5-VL that generates option letters only."""
    from lmms_eval_shotbench.qwen.tiny_qwen import make_tiny_qwen

    return make_tiny_qwen(tmp_path_factory.mktemp("tiny-model") / "model")


@pytest.fixture(scope="session")
def tiny_model_unconstrained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model without suppressed tokens: its text and its length depend on the medium."""
    folder = tmp_path_factory.mktemp("tiny-model-unconstrained") / "model"
    shutil.copytree(tiny_model, folder)
    generation = json.loads((folder / "generation_config.json").read_text())
    kept = {name: value for name, value in generation.items() if "suppress" not in name}
    (folder / "generation_config.json").write_text(json.dumps(kept | {"repetition_penalty": 1.2}))
    return folder
