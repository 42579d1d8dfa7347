"""The recipes: their names, their composed configuration and the required version of verl.

A recipe is a Hydra configuration in `config/`, named METHOD_RECIPE and composed on top of verl's own `ppo_trainer` or
`sft_trainer_engine`, so `python -m verl.trainer.main_ppo --config-dir verl_recipes/config --config-name grpo_3b` and
`compose("grpo", "3b", ())` give the same values. Data, model and machine are checked in
`preflight/preflight.py`, runs are started by `run/launch.py`.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from omegaconf import DictConfig

Method = Literal["sft", "cot_sft", "grpo"]
METHODS: tuple[Method, ...] = get_args(Method)
CONFIG_FOLDER = Path(__file__).parent / "config"
REFERENCE = "tiny"  # recipe that every method has, with all keys of the others
REQUIRED_VERL = Path(__file__).parent / "REQUIRED_VERL.txt"


class UnknownRecipe(ValueError):
    """There is no such method or recipe."""


class BadOverride(ValueError):
    """Hydra cannot parse an override, or neither verl nor the recipe has its key."""


class WrongVerl(RuntimeError):
    """verl is not installed, or its version is not in the range of `REQUIRED_VERL.txt`."""


def recipe_names(method: str) -> tuple[str, ...]:
    """Names of the recipes of a method, sorted; raises `UnknownRecipe` for an unknown method."""
    if method not in METHODS:
        raise UnknownRecipe(f"{method!r} is not a training method; use one of {', '.join(METHODS)}")
    return tuple(sorted(path.stem.removeprefix(f"{method}_") for path in CONFIG_FOLDER.glob(f"{method}_*.yaml")))


def config_name(method: str, recipe: str) -> str:
    """Name of the recipe's configuration; raises `UnknownRecipe`, listing the recipes of the method."""
    if recipe not in (names := recipe_names(method)):
        raise UnknownRecipe(f"{recipe!r} is not a recipe of {method}; use one of {', '.join(names)}")
    return f"{method}_{recipe}"


def compose(method: str, recipe: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Compose a recipe on top of the installed verl's configuration, with Hydra as verl itself does.

    Hydra takes most of a second, so a process composes the same settings once; every call returns a copy of its own.

    Args:
        method: One of `METHODS`.
        recipe: Name of the recipe, such as `3b`.
        overrides: Hydra overrides, `key=value`.

    Raises:
        UnknownRecipe: no such method or recipe.
        BadOverride: an override cannot be parsed or its key does not exist.
        WrongVerl: see `check_verl`.
    """
    from hydra.errors import HydraException

    name = config_name(method, recipe)
    check_verl()
    for override in overrides:
        _check_override(override)
    search_path = _verl_search_path()
    try:
        return deepcopy(_composed(name, (search_path, *overrides)))
    except HydraException as error:
        raise BadOverride(_explained(error, list(_keys(_composed(name, (search_path,)))))) from error


@lru_cache(maxsize=32)
def _composed(name: str, overrides: tuple[str, ...]) -> DictConfig:
    from hydra import compose as compose_by_hydra

    with _separate_hydra():
        return compose_by_hydra(name, list(overrides))


def workers(config: DictConfig) -> int:
    """Total number of workers of a run, one per GPU (on a CPU, per logical GPU)."""
    return int(config.trainer.nnodes * config.trainer.n_gpus_per_node)


def environment(config: DictConfig) -> dict[str, str]:
    """Environment variables that every process of a run needs; the driver needs them before it imports verl."""
    from omegaconf import OmegaConf

    variables = OmegaConf.select(config, "ray_kwargs.ray_init.runtime_env.env_vars") or {}
    return {str(name): str(value) for name, value in variables.items()}


def check_verl() -> None:
    """Raise `WrongVerl` unless the version of the installed verl is in the range of `REQUIRED_VERL.txt`."""
    from packaging.requirements import Requirement

    install = _required("PIP_INSTALL")
    required = Requirement(shlex.split(install)[-1])
    try:
        installed = version(required.name)
    except PackageNotFoundError:
        raise WrongVerl(f"verl is not installed; {install}") from None
    if not required.specifier.contains(installed, prereleases=True):
        raise WrongVerl(f"verl {installed} is installed, the recipes need {required.specifier}; {install}")


@contextmanager
def _separate_hydra() -> Iterator[None]:
    """Initialize Hydra for our configurations and restore its global state, which the caller may be using."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONFIG_FOLDER.absolute()), version_base=None):
            yield
    finally:
        GlobalHydra.instance().hydra = before


def _verl_search_path() -> str:
    """Override that adds verl's configuration folder by path; `pkg://verl…` would import verl and torch."""
    found = find_spec("verl")
    if found is None or found.origin is None:
        raise WrongVerl("verl's metadata is installed but its package is not; install it again")
    return f"hydra.searchpath=['file://{Path(found.origin).parent / 'trainer' / 'config'}']"


def _required(field: str) -> str:
    lines = REQUIRED_VERL.read_text(encoding="utf-8").splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith(f"{field}="))


def _check_override(override: str) -> None:
    """Raise `BadOverride`, naming the override, if Hydra's grammar does not accept it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(override)
    except HydraException as error:
        raise BadOverride(
            f"{override!r} is not an override: {error}. Write key=value, and quote it for the shell"
        ) from error


def _explained(error: Exception, keys: Sequence[str]) -> str:
    """Hydra's error in one sentence, with similar keys."""
    found = re.search(r"Could not (?:override|delete from config|append to config)[^']*'([^']+)'", str(error))
    if found is None:
        return str(error).partition("Config search path")[0].strip()  # unknown config group option
    key = found[1]
    leaf = key.rpartition(".")[2]
    similar = [known for known in keys if known.endswith(f".{leaf}")]
    similar += [known for known in difflib.get_close_matches(key, keys, n=3, cutoff=0.6) if known not in similar]
    hint = f"did you mean {', '.join(similar[:5])}?" if similar else "--dry-run prints all keys."
    return f"there is no key {key!r} in this recipe; {hint} A key missing from verl's files is added by +{key}=…"


def _keys(node: Mapping[str, object], path: str = "") -> Iterator[str]:
    """All keys of a configuration as dotted paths, as in an override."""
    from omegaconf import DictConfig

    for name in node:
        value = node._get_node(name) if isinstance(node, DictConfig) else None
        yield f"{path}{name}"
        if isinstance(value, DictConfig) and not value._is_none() and not value._is_interpolation():
            yield from _keys(value, f"{path}{name}.")
