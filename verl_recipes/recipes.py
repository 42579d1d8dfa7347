"""Which recipes there are, and their resolved configuration.

A recipe is a Hydra configuration in `config/`, named METHOD_RECIPE and composed on verl's own `ppo_trainer` or
`sft_trainer_engine`, so `python -m verl.trainer.main_ppo --config-dir verl_recipes/config --config-name grpo_3b` and
`compose("grpo", "3b", ())` read the same values. Owns names, composition and verl's version. It does not look at data,
model or machine (see `preflight/preflight.py`) and starts nothing (see `run/launch.py`).
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from omegaconf import DictConfig

Method = Literal["sft", "cot_sft", "grpo"]
METHODS: tuple[Method, ...] = get_args(Method)
CONFIG_FOLDER = Path(__file__).parent / "config"
REQUIRED_VERL = Path(__file__).parent / "REQUIRED_VERL.txt"


class UnknownRecipe(ValueError):
    """A method or recipe that does not exist."""


class BadOverride(ValueError):
    """An override that Hydra cannot read, or a key verl and the recipe do not have."""


class WrongVerl(RuntimeError):
    """verl is missing, or not a version the recipes were tried with."""


def recipe_names(method: str) -> tuple[str, ...]:
    """Recipes of a method, by file; raise `UnknownRecipe` for an unknown method."""
    if method not in METHODS:
        raise UnknownRecipe(f"{method!r} is no training method; use one of {', '.join(METHODS)}")
    return tuple(sorted(path.stem.removeprefix(f"{method}_") for path in CONFIG_FOLDER.glob(f"{method}_*.yaml")))


def config_name(method: str, recipe: str) -> str:
    """Name of the recipe's configuration; raise `UnknownRecipe` listing those there are."""
    if recipe not in (names := recipe_names(method)):
        raise UnknownRecipe(f"{recipe!r} is no recipe of {method}; use one of {', '.join(names)}")
    return f"{method}_{recipe}"


def compose(method: str, recipe: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The recipe's configuration on top of the installed verl's, overrides applied, as verl itself would see it.

    Raises:
        UnknownRecipe: no such method or recipe.
        BadOverride: an override without effect on anything there is.
        WrongVerl: see `check_verl`.
    """
    from hydra import compose as compose_by_hydra
    from hydra.errors import HydraException

    name = config_name(method, recipe)
    check_verl()
    verls = [_verls_folder()]
    with _hydra_of_our_own():
        for override in overrides:
            _readable(override)
        try:
            return compose_by_hydra(name, [*verls, *overrides])
        except HydraException as error:
            raise BadOverride(_explained(error, list(_keys(compose_by_hydra(name, verls))))) from error


def environment(config: DictConfig) -> dict[str, str]:
    """Environment variables of every process of a run; the driver needs them too, before it imports verl."""
    from omegaconf import OmegaConf

    variables = OmegaConf.select(config, "ray_kwargs.ray_init.runtime_env.env_vars") or {}
    return {str(name): str(value) for name, value in variables.items()}


def check_verl() -> None:
    """Raise `WrongVerl` unless the installed verl is one the recipes were tried with."""
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
def _hydra_of_our_own() -> Iterator[None]:
    """Hydra has one state a process; a caller that is composing something itself finds its own as it was."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONFIG_FOLDER.absolute()), version_base=None):
            yield
    finally:
        GlobalHydra.instance().hydra = before


def _verls_folder() -> str:
    """verl's own configurations by folder: `pkg://verl…` in the recipes means the same and imports verl and torch."""
    found = find_spec("verl")
    if found is None or found.origin is None:
        raise WrongVerl("verl's metadata is there, its package is not; install it again")
    return f"hydra.searchpath=['file://{Path(found.origin).parent / 'trainer' / 'config'}']"


def _required(field: str) -> str:
    lines = REQUIRED_VERL.read_text(encoding="utf-8").splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith(f"{field}="))


def _readable(override: str) -> None:
    """Refuse what Hydra's grammar does not know, naming the one override of several."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(override)
    except HydraException as error:
        raise BadOverride(
            f"{override!r} is no override: {error}. Write key=value, and quote it for the shell"
        ) from error


def _explained(error: Exception, keys: Sequence[str]) -> str:
    """Hydra's refusal in one sentence, with the keys that may have been meant."""
    found = re.search(r"Could not (?:override|delete from config|append to config)[^']*'([^']+)'", str(error))
    if found is None:
        return (
            str(error).partition("Config search path")[0].strip()
        )  # an option that does not exist, with those that do
    key = found[1]
    leaf = key.rpartition(".")[2]
    near = [known for known in keys if known.endswith(f".{leaf}")]
    near += [known for known in difflib.get_close_matches(key, keys, n=3, cutoff=0.6) if known not in near]
    hint = f"did you mean {', '.join(near[:5])}?" if near else "--dry-run prints the keys there are."
    return f"there is no key {key!r} in this recipe; {hint} A key verl knows beyond these is added by +{key}=…"


def _keys(node: Mapping[str, object], path: str = "") -> Iterator[str]:
    """Every key of a configuration as Hydra's overrides write it."""
    from omegaconf import DictConfig

    for name in node:
        value = node._get_node(name) if isinstance(node, DictConfig) else None
        yield f"{path}{name}"
        if isinstance(value, DictConfig) and not value._is_none() and not value._is_interpolation():
            yield from _keys(value, f"{path}{name}.")
