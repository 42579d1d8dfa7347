"""Loggers that cannot work are named before the run: unknown ones, missing packages, missing accounts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("omegaconf")

from omegaconf import OmegaConf

from verl_recipes.preflight import loggers
from verl_recipes.preflight.loggers import LOGGERS, Logger, logger_problems


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and a package for each logger."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(loggers, "find_spec", lambda name: None if name == "mlflow" else name)
    return tmp_path


def problems(names: Any, here: bool = True, **environment: str) -> list[str]:
    env_vars = {"WANDB_BASE_URL": "https://wandb.example.org"}
    config = {"trainer": {"logger": names}, "ray_kwargs": {"ray_init": {"runtime_env": {"env_vars": env_vars}}}}
    return [str(problem) for problem in logger_problems(OmegaConf.create(config), here, environment)]


def test_unknown_loggers_and_missing_packages_are_named() -> None:
    assert not problems(["console", "file", "tensorboard"])
    assert not problems("console")
    unknown, missing = problems(["wanbd", "mlflow"])
    assert unknown.startswith("trainer.logger=wanbd: verl has no such logger. Choose among console, file, tensorboard")
    assert missing.startswith("trainer.logger=mlflow: its package mlflow is not installed. pip install mlflow")


def test_an_account_is_needed_unless_the_logger_is_offline(home: Path) -> None:
    (line,) = problems(["wandb"])
    assert line == (
        "trainer.logger=wandb: it has no account: WANDB_API_KEY not set. Set WANDB_API_KEY, or WANDB_MODE=offline, "
        "or leave this logger out"
    )
    assert not problems(["wandb"], here=False)
    assert not problems(["wandb", "tracking"], WANDB_API_KEY="secret")
    assert not problems(["wandb"], WANDB_MODE="offline")
    assert (
        "VOLC_SECRET_ACCESS_KEY and MLP_TRACKING_REGION not set" in problems(["vemlp_wandb"], VOLC_ACCESS_KEY_ID="1")[0]
    )
    (home / "clearml.conf").touch()
    assert not problems(["clearml"])


def test_a_login_counts_for_its_own_server(home: Path) -> None:
    (home / ".netrc").write_text("machine api.wandb.ai login user password secret\n")
    assert problems(["wandb"])
    (home / ".netrc").write_text("machine wandb.example.org login user password secret\n")
    assert not problems(["wandb"])


@pytest.mark.verl
def test_the_loggers_are_those_of_verl() -> None:
    pytest.importorskip("verl")
    from verl.utils.tracking import Tracking

    assert set(LOGGERS) == set(Tracking.supported_backend)
    assert LOGGERS["console"] == LOGGERS["file"] == Logger()
