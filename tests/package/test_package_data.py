"""Files of the packages that are not Python are installed, too: the code reads them."""

from __future__ import annotations

import configparser

import pytest

from tests.support import REPOSITORY

CONFIGURATION = configparser.ConfigParser()
CONFIGURATION.read(REPOSITORY / "setup.cfg", encoding="utf-8")


@pytest.mark.parametrize("package", ["lmms_eval_shotbench", "data_pipeline", "verl_recipes"])
def test_every_data_file_of_a_package_is_installed(package: str) -> None:
    root = REPOSITORY / package
    patterns = CONFIGURATION["options.package_data"][package].split()
    installed = {path for pattern in patterns for path in root.glob(pattern)}
    files = {path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    missing = {path.relative_to(REPOSITORY).as_posix() for path in files - installed if path.suffix != ".py"}
    assert not missing
