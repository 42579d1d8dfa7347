"""Check `trainer.logger`: whether verl has these loggers, their packages are installed and their credentials given.

verl creates the loggers after the workers have loaded the model, and fails then. Packages are looked up in this
environment, which is that of the workers unless they are on other nodes.
"""

from __future__ import annotations

import netrc
import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from verl_recipes.preflight.problem import Problem

if TYPE_CHECKING:
    from omegaconf import DictConfig

KEY = "trainer.logger"


class Logger(NamedTuple):
    """What a logger of verl needs."""

    package: str | None = None
    variables: tuple[str, ...] = ()  # environment variables of its account; all are needed
    instead: tuple[tuple[str, tuple[str, ...]], ...] = ()  # values of variables with which it needs no account
    account_file: str | None = None  # written by its login command


LOGGERS = {  # of verl 0.9.1, `verl/utils/tracking.py`
    "console": Logger(),
    "file": Logger(),
    "tensorboard": Logger("tensorboard"),
    "wandb": Logger("wandb", ("WANDB_API_KEY",), (("WANDB_MODE", ("offline", "disabled", "dryrun")),), ".netrc"),
    "mlflow": Logger("mlflow"),
    "swanlab": Logger(
        "swanlab",
        ("SWANLAB_API_KEY",),
        (("SWANLAB_MODE", ("local", "offline", "disabled")),),
        ".swanlab/.netrc",
    ),
    "vemlp_wandb": Logger(
        "volcengine_ml_platform", ("VOLC_ACCESS_KEY_ID", "VOLC_SECRET_ACCESS_KEY", "MLP_TRACKING_REGION")
    ),
    "clearml": Logger("clearml", ("CLEARML_API_ACCESS_KEY", "CLEARML_API_SECRET_KEY"), (), "clearml.conf"),
    "trackio": Logger("trackio"),
    "rl_insight": Logger("rl_insight"),
}
FORMER_NAMES = {"tracking": "wandb"}
WANDB_HOST = "https://api.wandb.ai"


def logger_problems(
    config: DictConfig, nodes_are_here: bool = True, environment: Mapping[str, str] = os.environ
) -> Iterator[Problem]:
    """Yield a problem for each logger that verl does not know, or that cannot work here.

    Args:
        config: Composed configuration of the run.
        nodes_are_here: Whether the workers run on this machine; accounts on other nodes are not checked.
        environment: Environment variables; those of the configuration are added.
    """
    from verl_recipes.recipes import environment as environment_of

    given = config.trainer.logger
    variables = {**environment, **environment_of(config)}
    for name in [given] if isinstance(given, str) else given:
        logger = LOGGERS.get(FORMER_NAMES.get(name, name))
        where = f"{KEY}={name}"
        if logger is None:
            yield Problem("verl has no such logger", where, f"Choose among {', '.join(LOGGERS)}")
        elif logger.package and find_spec(logger.package) is None:
            package = logger.package.replace("_", "-")
            what = f"its package {logger.package} is not installed"
            yield Problem(what, where, f"pip install {package}, on every node, or leave this logger out")
        elif nodes_are_here and (missing := _missing_account(name, logger, variables)):
            modes = "".join(f", or {variable}={values[0]}" for variable, values in logger.instead)
            what = f"it has no account: {' and '.join(missing)} not set"
            yield Problem(what, where, f"Set {', '.join(logger.variables)}{modes}, or leave this logger out")


def _missing_account(name: str, logger: Logger, variables: Mapping[str, str]) -> list[str]:
    """Environment variables that the logger lacks; none if it is logged in otherwise, or needs no account."""
    if any(variables.get(variable, "").lower() in values for variable, values in logger.instead):
        return []
    if logger.account_file and _has_account(Path.home() / logger.account_file, name, variables):
        return []
    return [variable for variable in logger.variables if not variables.get(variable)]


def _has_account(file: Path, name: str, variables: Mapping[str, str]) -> bool:
    if not file.is_file() or name != "wandb":
        return file.is_file()
    host = urlsplit(variables.get("WANDB_BASE_URL") or WANDB_HOST).hostname
    try:
        return netrc.netrc(file).authenticators(host or "") is not None
    except (netrc.NetrcParseError, OSError):
        return False
