"""Check the type and range of every value of the configuration, so that no other check has to expect a wrong one.

A value must have the type of the recipe's own value. Whether a number may be 0 or negative, or a value null, follows
from its key, see the constants. Of the keys that are null in the recipe only the counts are checked, and keys that the
recipe does not have (+key=…) not at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lmms_eval_shotbench.error_text import first_line
from verl_recipes.preflight.problem import Problem

if TYPE_CHECKING:
    from omegaconf import DictConfig

# Keys, matched from the start of any of their parts.
COUNT = re.compile(
    r"(.*(batch_size|per_gpu|per_node|epochs|_length|parallel_size|training_steps|ckpt_to_keep|max_num_seqs|patch_size"
    r"|batched_tokens|max_model_len)|nnodes|n|agent\.num_workers|reward\.num_workers|num_data_storage_units)$"
)
FREQUENCY = re.compile(r"trainer\.(save|test)_freq$")  # -1 is never
SHARE = re.compile(r"(top_p|gpu_memory_utilization|lr_warmup_steps_ratio|min_lr_ratio|gamma|lam)$")
SIGNED = re.compile(r"(entropy_coeff|clip_cov_lb)$")
# Whole numbers in the recipe that stand for any number.
NUMBER = re.compile(r"(temperature|top_p|entropy_coeff|over_sample_rate|rollout_timeout_s|num_cpus|num_gpus)$")
NULLABLE = re.compile(
    r"(ray_init\..*|custom_\w+\.(path|name)|.*_to_keep|max_off_policy_threshold|max_nonfinite_steps|rollout_timeout_s"
    r"|balance_batch)$"
)
TEXT_OR_LIST = re.compile(r"(logger|target_modules|.*_files)$")
TEXT = re.compile(r"(.*path|.*_dir|.*files|tokenizer|external_lib|custom_chat_template)$")  # null in the recipe, too
NOT_IN_ALL = re.compile(r"(mixed_precision|ray_init\..*|reward_kwargs\..*)$")  # of recipes, or of rewards
EPOCHLY = "after_each_epoch"  # also a frequency, but only in SFT
MISSING = "???"  # OmegaConf's mark of a value that must be given
TYPES: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a section of keys",
}


def setting_problems(config: DictConfig, recipe: DictConfig) -> list[Problem]:
    """Problems of values that have the wrong type or are out of range, one for each key.

    Args:
        config: Composed configuration of the run.
        recipe: A recipe of the same method without overrides, which has the usual values.
    """
    from omegaconf import OmegaConf

    usual = OmegaConf.to_container(recipe, resolve=True, throw_on_missing=False)
    epochly = (EPOCHLY,) if "engine" in config else ()  # as in SFT
    return list(_section_problems(config, recipe, usual, "", epochly))


def _section_problems(
    config: Any, recipe: Any, usual: dict[str, Any], path: str, epochly: tuple[str, ...]
) -> Iterator[Problem]:
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for name, expected in usual.items():
        key = f"{path}{name}"
        node = config._get_node(name, validate_access=False)
        if node is None:
            if not _is(NOT_IN_ALL, key):
                yield Problem("it is missing, and verl reads it", key, f"Leave out ~{key}")
            continue
        if isinstance(expected, dict) and isinstance(node, DictConfig) and not node._is_none():
            yield from _section_problems(node, recipe[name], expected, f"{key}.", epochly)
            continue
        try:
            value = config[name]
            value = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        except OmegaConfBaseException as error:
            if not node._is_missing():
                reason = first_line(error)
                yield Problem(f"it cannot be resolved ({reason})", key, "Name a key that exists, or give a value")
            continue
        follows = node._is_interpolation() and OmegaConf.is_interpolation(recipe, name)
        if follows or (value == expected and type(value) is type(expected)):
            continue  # a wrong value that others follow is reported once
        if allowed := _violated(key, value, expected, epochly):
            yield Problem(f"it must be {allowed}", f"{key}={_shown(value)}", "Correct it, or leave it out")


def _violated(key: str, value: Any, usual: Any, epochly: tuple[str, ...]) -> str | None:
    """What is allowed for this key, in words, or None if the value is."""
    count = _is(COUNT, key) and not isinstance(usual, bool)
    if usual == MISSING or (usual is None and (value is None or not (count or _is(TEXT, key)))):
        return None
    if usual is None and _is(TEXT, key):
        usual = "text"
    if value is None:
        return None if _is(NULLABLE, key) or usual in ({}, []) else f"{_type_name(key, usual)}, not null"
    if _is(FREQUENCY, key):
        fits = value in epochly or (_is_number(value, whole=True) and value >= -1 and value != 0)
        return None if fits else " or ".join(["a whole number of 1 or more", "-1 for never", *epochly])
    if isinstance(usual, list) or (isinstance(value, list) and _is(TEXT_OR_LIST, key)):
        return _violated_list(key, value, usual)
    if count or (isinstance(usual, int | float) and not isinstance(usual, bool)):
        return _violated_number(key, value, int(count and usual != 0), usual)
    if (isinstance(value, str) and _is(TEXT_OR_LIST, key)) or type(value) is type(usual):
        return "text that is not empty" if value == "" and usual else None
    return _type_name(key, usual)


def _violated_number(key: str, value: Any, least: int, usual: Any) -> str | None:
    if SIGNED.search(key):
        least_allowed: float = -math.inf
    else:
        least_allowed = -1 if isinstance(usual, int) and usual < 0 else least
    most = 1 if _is(SHARE, key) else math.inf
    whole = not isinstance(usual, float) and not _is(NUMBER, key)
    if _is_number(value, whole=whole) and least_allowed <= value <= most:
        return None
    kind = TYPES[int if whole else float]
    return f"{kind} from {least_allowed} to 1" if most == 1 else f"{kind} of {least_allowed} or more"


def _violated_list(key: str, value: Any, usual: Any) -> str | None:
    if isinstance(value, str) and value and _is(TEXT_OR_LIST, key):
        return None
    if not isinstance(value, list):
        return "text or a list" if _is(TEXT_OR_LIST, key) else TYPES[list]
    if isinstance(usual, list) and usual and all(_is_number(part) for part in usual):
        whole, negative = isinstance(usual[0], int), min(usual) < 0
        if len(value) != len(usual) or not all(_is_number(part, whole) and (part >= 0 or negative) for part in value):
            return f"a list of {len(usual)} {'whole ' * whole}numbers"
    elif usual and not all(isinstance(part, str) and part for part in value):
        return "a list of texts"
    return None


def _is(pattern: re.Pattern[str], key: str) -> bool:
    """Whether a pattern matches the last parts of a key."""
    starts = [0, *(match.end() for match in re.finditer(r"\.", key))]
    return any(pattern.match(key, start) for start in starts)


def _is_number(value: Any, whole: bool = False) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or (not whole and math.isfinite(value))


def _type_name(key: str, usual: Any) -> str:
    kind: type = float if _is(NUMBER, key) else type(usual)
    return TYPES[kind] if usual is not None else TYPES[int]


def _shown(value: Any) -> str:
    """A value as Hydra's overrides are written."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value) if isinstance(value, str) else str(value)
