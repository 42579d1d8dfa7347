"""The wheel and the sdist: what is in them, and the commands of the wheel installed in an empty environment.

Two kinds of environment, both outside the repository. In one the wheel is installed with its requirements and nothing
else, on each Python that is claimed and found here: `shotbench score` must work. The other has the wheel alone and, as
one more folder to import from, what is installed where the tests run: 7 GB less to install, and the other commands have
the libraries that they need. The package itself comes from the wheel in both.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import NamedTuple

import pytest

from lmms_eval_shotbench import __version__
from tests.support import REPOSITORY
from tests.support.interpreters import CLAIMED, find_interpreter

pytestmark = pytest.mark.package
pytest.importorskip("build")
UV = [sys.executable, "-m", "uv"]
PACKAGES = ("lmms_eval_shotbench", "data_pipeline", "verl_recipes")
# Names under which 0.1.0 installed its optional parts, and those that replace two of them.
EXTRAS = {"data", "eval", "lm-eval", "train", "report", "xlsx", "test", "browser", "check", "evaluate", "spreadsheets"}
OPTIONS = {"A": "Wide", "B": "Medium", "C": "Close Up", "D": "Medium Wide"}


class Built(NamedTuple):
    """What `python -m build` makes of the tracked files."""

    tracked: list[str]  # files below the packages
    sdist: Path
    wheel: Path


class Environment(NamedTuple):
    """A virtual environment in which the wheel is installed."""

    folder: Path

    def run(self, *command: object, cwd: Path) -> str:
        """Run a program of the environment, which sees nothing of the repository, and return what it prints."""
        hidden = ("PYTHONPATH", "SHOTBENCH_DATA", "VIRTUAL_ENV")
        variables = {name: value for name, value in os.environ.items() if name not in hidden}
        program, *arguments = map(str, command)
        finished = subprocess.run(
            [self.folder / "bin" / program, *arguments],
            cwd=cwd,
            env=variables | {"HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
        )
        assert finished.returncode == 0, f"{command}\n{finished.stdout[-2000:]}\n{finished.stderr[-2000:]}"
        return finished.stdout


def check_call(*command: object, cwd: Path | None = None) -> None:
    finished = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)
    assert finished.returncode == 0, f"{command}\n{finished.stdout[-2000:]}\n{finished.stderr[-2000:]}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist of a copy of the tracked files (no leftovers of earlier builds), and the wheel built from the sdist."""
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    tracked = [name for name in listed.stdout.splitlines() if (REPOSITORY / name).is_file()]
    copy, out = tmp_path_factory.mktemp("tracked"), tmp_path_factory.mktemp("dist")
    for name in tracked:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, copy / name)
    check_call(sys.executable, "-m", "build", "--installer", "uv", "--outdir", out, copy)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return Built([name for name in tracked if name.split("/")[0] in PACKAGES], sdist, wheel)


@pytest.fixture(scope="module")
def environment(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel, with the libraries installed where the tests run."""
    folder = tmp_path_factory.mktemp("beside") / "environment"
    check_call(*UV, "venv", "--python", sys.executable, folder)
    check_call(*UV, "pip", "install", "--no-deps", "--python", folder, built.wheel)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    # Searched after the environment's own. Its .pth files, such as that of an editable install, are not read.
    (site_packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Environment(folder)


@pytest.fixture
def stored(tmp_path: Path) -> list[Path]:
    """Four questions in the release's layout, and responses of which three are right."""
    questions, responses = tmp_path / "test.tsv", tmp_path / "responses.jsonl"
    header = ["index", "type", "path", "question", "options", "answer", "category"]
    media = [(number, '["image"]', f"['image/{number}.jpg']") for number in range(4)]
    rows = [
        [*medium, "What?", json.dumps(OPTIONS), answer, "shot size"]
        for medium, answer in zip(media, "ABCD", strict=True)
    ]
    with questions.open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([header, *rows])
    given = [json.dumps({"index": number, "response": text}) for number, text in enumerate("ABCA")]
    responses.write_text("\n".join(given))
    return [questions, responses]


def test_wheel_and_sdist_hold_every_tracked_file_of_the_packages(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == set(built.tracked)
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert names >= {*built.tracked, "setup.cfg", "pyproject.toml", "README.md", "LICENSE", "constraints.txt"}


def test_the_metadata_state_version_pythons_and_extras(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(wheel.read(name).decode())
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert {f"Programming Language :: Python :: {version}" for version in CLAIMED} <= set(
        metadata.get_all("Classifier")
    )
    assert metadata["Project-URL"] and metadata["Keywords"]
    assert set(metadata.get_all("Provides-Extra")) >= EXTRAS


@pytest.mark.parametrize("version", CLAIMED)
def test_the_wheel_alone_scores_stored_responses(
    version: str, built: Built, stored: list[Path], tmp_path: Path
) -> None:
    python = find_interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    environment = Environment(tmp_path / "environment")
    check_call(*UV, "venv", "--python", python, environment.folder)
    check_call(*UV, "pip", "install", "--python", environment.folder, built.wheel)
    printed = environment.run("shotbench", "score", *stored, "--format", "json", cwd=tmp_path)
    assert (json.loads(printed)["correct"], json.loads(printed)["n"]) == (3, 4)


def test_the_package_of_that_environment_is_the_wheel(environment: Environment, tmp_path: Path) -> None:
    code = f"import {', '.join(PACKAGES)}; print({', '.join(f'{name}.__path__[0]' for name in PACKAGES)})"
    for path in environment.run("python", "-c", code, cwd=tmp_path).split():
        assert Path(path).is_relative_to(environment.folder)


def test_the_installed_commands_find_their_data(environment: Environment, stored: list[Path], tmp_path: Path) -> None:
    tasks = Path(environment.run("shotbench", "tasks-path", cwd=tmp_path).strip())
    assert list(tasks.rglob("shotbench*.yaml"))
    tasks = Path(environment.run("shotbench", "tasks-path", "--lm-eval", cwd=tmp_path).strip())
    assert list(tasks.rglob("shotbench_blind*.yaml"))
    model = Path(environment.run("shotbench", "tiny-model", cwd=tmp_path).strip())
    assert model.is_relative_to(environment.folder) and (model / "model.safetensors").is_file()
    environment.run("shotbench", "report", *stored, "--out", "report/report.html", cwd=tmp_path)
    assert "75" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


@pytest.mark.timeout(1800)  # a fresh installation compiles the renderer
@pytest.mark.verl
def test_the_installed_commands_render_films_and_prepare_training(environment: Environment, tmp_path: Path) -> None:
    pytest.importorskip("verl")
    films = ("--films", 2, "--seed", 8, "--splits", "sft:1,dev:1", "--width", 64, "--workers", 0)
    environment.run("shotbench", "data", "studio", "--out", "films", *films, cwd=tmp_path)
    request = ("--recipe", "tiny", "--data", "films", "--out", "run", "--dry-run")
    printed = environment.run("shotbench", "train", "sft", *request, cwd=tmp_path)
    assert f"--config-dir {environment.folder}" in printed
    assert "no problems found" in printed
