"""`shotbench doctor`: what it finds in an installation, simulated by the metadata of packages in a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from lmms_eval_shotbench import doctor
from lmms_eval_shotbench.cli import main
from tests.support import REPOSITORY


def installed(folder: Path, name: str, version: str, *requirements: str, code: str = "", extra: str = "") -> None:
    """Install a package in `folder`: its metadata, and a module if it has code."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", "Requires-Python: >=3.11"]
    lines += [f"Provides-Extra: {extra}"] * bool(extra) + [f"Requires-Dist: {text}" for text in requirements]
    (metadata / "METADATA").write_text("\n".join(lines) + "\n")
    if code:
        (folder / f"{name}.py").write_text(code)


class Examined(NamedTuple):
    """How `shotbench doctor` ended."""

    status: int
    printed: str


Examine = Callable[..., Examined]


@pytest.fixture
def examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Examine:
    """Run `shotbench doctor` where the packages in the test's folder come before those that are installed."""
    monkeypatch.syspath_prepend(tmp_path)  # for this process
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(REPOSITORY)]))  # for those that try imports

    def run(*arguments: str) -> Examined:
        return Examined(main(["doctor", *arguments]), capsys.readouterr().out)

    return run


@pytest.mark.slow
def test_the_facts_of_this_machine_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--skip-imports"]) in (0, 1)  # the machine may have a problem
    printed = capsys.readouterr().out
    for title in ("Versions", "Machine", "Caches", "Extras", "CPU cores", "memory", "disk", "GPUs", "FFmpeg"):
        assert title in printed
    assert f"Python {sys.version.split()[0]}" in printed and "pyarrow" in printed


def test_a_version_outside_its_range_is_a_problem(tmp_path: Path, examined: Examine) -> None:
    installed(tmp_path, "lmms-eval-shotbench", "9", "decord<0.6,>=0.5; extra == 'evaluate'", extra="evaluate")
    installed(tmp_path, "decord", "0.7.1")
    ended = examined("--skip-imports")
    assert ended.status == 1
    expected = "decord 0.7.1 is installed, but <0.6,>=0.5 is required (evaluate); pip install 'decord<0.6,>=0.5'"
    assert ended.printed.splitlines()[-2:] == ["Problems", f"  {expected}"]


@pytest.mark.slow
def test_a_library_that_cannot_be_imported_is_a_problem(tmp_path: Path, examined: Examine) -> None:
    installed(tmp_path, "lmms-eval-shotbench", "9", "decord>=0.6; extra == 'evaluate'", extra="evaluate")
    installed(tmp_path, "decord", "0.7", code="import distutils_of_python_3_11")
    ended = examined()
    assert ended.status == 1
    assert ended.printed.splitlines()[-1].startswith(
        "  decord 0.7 is installed, but import decord fails: ModuleNotFoundError: No module named "
        "'distutils_of_python_3_11'; pip install --upgrade decord"
    )


def test_a_missing_extra_is_no_problem_and_what_it_enables_is_stated(tmp_path: Path, examined: Examine) -> None:
    needed = "a-library-that-nobody-has>=1; extra == 'report'"
    installed(tmp_path, "lmms-eval-shotbench", "9", "packaging", needed, extra="report")
    ended = examined("--skip-imports")
    assert ended.status == 0 and ended.printed.endswith("No problems found.\n")
    assert "write HTML reports" in ended.printed and "pip install 'lmms-eval-shotbench[report]'" in ended.printed
    assert "(missing: a-library-that-nobody-has)" in ended.printed


def test_a_missing_requirement_of_every_command_is_a_problem(tmp_path: Path, examined: Examine) -> None:
    installed(tmp_path, "lmms-eval-shotbench", "9", "a-library-that-nobody-has>=1")
    ended = examined("--skip-imports")
    assert ended.status == 1 and "a-library-that-nobody-has: required but not installed" in ended.printed


def test_a_python_that_is_not_supported_is_a_problem(tmp_path: Path, examined: Examine) -> None:
    installed(tmp_path, "lmms-eval-shotbench", "9")
    metadata = tmp_path / "lmms_eval_shotbench-9.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace(">=3.11", ">=4"))
    ended = examined("--skip-imports")
    assert ended.status == 1 and "is not supported; use one that satisfies >=4" in ended.printed


@pytest.mark.slow
def test_it_works_with_the_base_requirements_only(tmp_path: Path) -> None:
    """Everything but them is made impossible to import, and missing for `importlib.metadata`."""
    base = {one.name for one in doctor.extras()[0].required}
    code = (
        "import sys, importlib.metadata as metadata\n"
        f"base = {sorted(base)!r} + ['lmms-eval-shotbench']\n"
        "find = metadata.version\n"
        "def version(name):\n"
        "    if name not in base: raise metadata.PackageNotFoundError(name)\n"
        "    return find(name)\n"
        "metadata.version = version\n"
        "for name in ('torch', 'numpy', 'av', 'datasets', 'ray', 'psutil'): sys.modules[name] = None\n"
        "from lmms_eval_shotbench.cli import main; sys.exit(main(['doctor', '--skip-imports']))"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "PyAV is not installed" in ended.stdout and ended.stdout.count("not installed: ") >= 5


def test_every_extra_states_what_it_enables() -> None:
    assert {extra.name for extra in doctor.extras()[1:]} == set(doctor.ENABLES)


def test_what_is_imported_to_check_a_package_is_named_for_required_packages() -> None:
    required = {one.name for extra in doctor.extras() for one in extra.required} | {"setuptools"}
    assert set(doctor.IMPORTS) <= required
