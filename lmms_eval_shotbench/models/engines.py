"""Choice and start of the engine of `shotvl`."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from lmms_eval_shotbench.models.engine import Engine, EngineUnavailable
from lmms_eval_shotbench.models.planning import Planner
from lmms_eval_shotbench.qwen.input_rules import InputRules, read_input_rules

ENGINES = ("auto", "transformers", "vllm", "server")


class EngineSettings(NamedTuple):
    """Checkpoint and arguments of an engine."""

    pretrained: str
    revision: str | None
    device: torch.device
    dtype: str
    of_transformers: Mapping[str, Any]  # arguments that only transformers has; None or "" if not given
    further: Mapping[str, Any]  # arguments that only another engine has


def open_engine(
    name: str, settings: EngineSettings, planner_of: Callable[[InputRules], Planner]
) -> tuple[Engine, Planner]:
    """Open an engine, with the planner by its input rules.

    Raises:
        EngineUnavailable: The engine cannot be used here, or not with these arguments.
        UnsupportedCheckpoint: `shotvl` cannot run the checkpoint.
    """
    if name not in ENGINES:
        raise EngineUnavailable(f"engine={name}: choose one of {', '.join(ENGINES)}")
    if name == "server":
        return _open_server(settings, planner_of)
    if _uses_vllm(name, settings):
        return _open_vllm(settings, planner_of)
    if settings.further:
        raise EngineUnavailable(
            f"shotvl on transformers has no argument {', '.join(settings.further)}; arguments of vLLM need "
            "engine=vllm, those of a server engine=server"
        )
    return _open_transformers(settings, planner_of)


def _uses_vllm(name: str, settings: EngineSettings) -> bool:
    if name != "auto":
        return name == "vllm"
    several = int(os.environ.get("WORLD_SIZE", 1)) > 1
    asked = any(settings.of_transformers.values()) or several
    return settings.device.type == "cuda" and not asked and importlib.util.find_spec("vllm") is not None


def _open_vllm(settings: EngineSettings, planner_of: Callable[[InputRules], Planner]) -> tuple[Engine, Planner]:
    from lmms_eval_shotbench.models.vllm_engine import VllmEngine
    from lmms_eval_shotbench.models.vllm_start import VllmArguments
    from lmms_eval_shotbench.qwen.checkpoint import chosen_dtype

    if given := [one for one, value in settings.of_transformers.items() if value]:
        raise EngineUnavailable(f"{', '.join(given)}: only with engine=transformers")
    dtype = chosen_dtype(settings.dtype, settings.device)
    arguments = VllmArguments(settings.pretrained, settings.revision, settings.device, dtype, settings.further)
    planner = planner_of(read_input_rules(settings.pretrained, settings.revision))
    return VllmEngine(arguments, planner), planner


def _open_server(settings: EngineSettings, planner_of: Callable[[InputRules], Planner]) -> tuple[Engine, Planner]:
    from lmms_eval_shotbench.models.server_connection import ServerArguments
    from lmms_eval_shotbench.models.server_engine import ServerEngine

    others = {**settings.of_transformers, "dtype": settings.dtype != "auto"}
    if given := [one for one, value in others.items() if value]:
        raise EngineUnavailable(f"{', '.join(given)}: an argument of the server, not of engine=server")
    arguments = ServerArguments.of(settings.pretrained, settings.further)
    planner = planner_of(read_input_rules(settings.pretrained, settings.revision))
    return ServerEngine(arguments, planner), planner


def _open_transformers(settings: EngineSettings, planner_of: Callable[[InputRules], Planner]) -> tuple[Engine, Planner]:
    from lmms_eval_shotbench.models.token_budget import tokens_for_free_memory
    from lmms_eval_shotbench.models.transformers_engine import TransformersEngine
    from lmms_eval_shotbench.qwen.checkpoint import load_checkpoint

    given = dict(settings.of_transformers)
    batch_tokens = given.pop("batch_tokens")
    checkpoint = load_checkpoint(
        settings.pretrained, device=settings.device, revision=settings.revision, dtype=settings.dtype, **given
    )
    planner = planner_of(checkpoint)
    return TransformersEngine(checkpoint, planner, int(batch_tokens or tokens_for_free_memory(checkpoint))), planner
