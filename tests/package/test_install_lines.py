"""Every install line of the documentation can be resolved on every Python that is claimed.

A dry run downloads metadata only. uv resolves in seconds what takes pip minutes; unlike pip it ignores upper limits in
`Requires-Python`, so for a line that says `pip` these are checked here, as far as the packages are installed.
"""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest

from tests.support import REPOSITORY
from tests.support.interpreters import CLAIMED

pytest.importorskip("uv")
packaging = pytest.importorskip("packaging.specifiers")

DOCUMENTS = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "verl_recipes/REQUIRED_VERL.txt")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted(
        path for package in ("lmms_eval_shotbench", "verl_recipes") for path in (REPOSITORY / package).rglob("*.md")
    ),
]
COMMAND = re.compile(r"((?:uv )?pip install [^`\n…]+)(?:`|$)", re.MULTILINE)
EXTRA = re.compile(r"(?:\.|lmms-eval-shotbench)\[([\w,-]+)\]")


def install_lines() -> dict[str, str]:
    """Install lines without their comments, each with the first file that has it."""
    found: dict[str, str] = {}
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in COMMAND.findall(text):
            found.setdefault(shlex.join(shlex.split(line, comments=True)), path.name)
    return found


@pytest.mark.network
@pytest.mark.parametrize("version", CLAIMED)
@pytest.mark.parametrize(("line", "document"), install_lines().items())
def test_an_install_line_of_the_documentation_resolves(line: str, document: str, version: str, tmp_path: Path) -> None:
    program, _, arguments = line.partition("pip install ")
    chosen = resolved(version, tmp_path, *shlex.split(arguments))
    if not program:
        refused = [name for name in chosen if not accepts(name, version)]
        assert not refused, f"{document}: pip refuses {refused} on Python {version}; document {'uv ' + line!r}"


def resolved(version: str, target: Path, *arguments: str) -> list[str]:
    """Return the packages that uv would install with these arguments of `pip install`, into an empty environment."""
    dry_run = [sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--target", str(target)]
    finished = subprocess.run(
        [*dry_run, "--python-version", version, *arguments], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert finished.returncode == 0, f"{shlex.join(arguments)}\n{finished.stderr}"
    chosen = re.findall(r"^ \+ ([\w.-]+)", finished.stderr, re.MULTILINE)
    assert chosen, finished.stderr
    return chosen


def accepts(package: str, version: str) -> bool:
    """Whether a package's metadata admit a version of Python; packages that are not installed here are not checked."""
    try:
        required = metadata(package).get("Requires-Python")
    except PackageNotFoundError:
        return True
    return not required or packaging.SpecifierSet(required).contains(f"{version}.99")


@pytest.mark.parametrize("version", CLAIMED)
@pytest.mark.network
def test_the_pins_leave_common_libraries_installable(version: str, tmp_path: Path) -> None:
    common = ("boto3", "s3fs", "gcsfs", "jupyterlab", "gradio", "mlflow", "wandb")
    chosen = resolved(version, tmp_path, "-c", "constraints.txt", ".[evaluate]", *common)
    assert set(common) <= set(chosen)


def test_every_extra_that_is_named_exists() -> None:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    folders = ("lmms_eval_shotbench", "data_pipeline", "verl_recipes", "tests")
    sources = [path for name in folders for path in (REPOSITORY / name).rglob("*.py")]
    texts = [path.read_text(encoding="utf-8") for path in (*DOCUMENTS, REPOSITORY / "Makefile", *sources)]
    named = {extra for text in texts for extras in EXTRA.findall(text) for extra in extras.split(",")}
    assert named and named <= set(setup["options.extras_require"])
