"""What a preset gives an evaluation, and what the command line gives instead."""

from __future__ import annotations

import os
from dataclasses import replace

from lmms_eval_shotbench.harness.eval_plan import EvalRequest
from lmms_eval_shotbench.harness.passed_on import value_of, with_max_new_tokens
from lmms_eval_shotbench.harness.presets import Preset, PresetError
from lmms_eval_shotbench.model_args import format_model_args, parse_model_args
from lmms_eval_shotbench.prompts import MAX_NEW_TOKENS


def apply_preset(preset: Preset, request: EvalRequest) -> EvalRequest:
    """Return the request with the preset's values where the request has none of its own.

    Args:
        preset: The preset.
        request: Request with the values given on the command line; `model` is empty if none was given.

    Raises:
        PresetError: The request names another model, or the key of the API is not set.
    """
    if request.model not in ("", preset.model):
        raise PresetError(
            f"preset {preset.name} is for --model {preset.model}, not {request.model}; leave out --model or --preset"
        )
    given = parse_model_args(request.model_args)
    if preset.api_key and not os.environ.get(preset.api_key) and "api_key" not in given:
        raise PresetError(f"preset {preset.name} needs an API key in ${preset.api_key}")
    if missing := [name for name, value in preset.model_args.items() if value is None and name not in given]:
        raise PresetError(f"preset {preset.name} leaves a choice to you: --model_args {missing[0]}=…")
    added = {name: value for name, value in preset.model_args.items() if name not in given}
    passed_on = list(request.passed_on)
    if preset.max_new_tokens != MAX_NEW_TOKENS:
        passed_on = with_max_new_tokens(passed_on, preset.max_new_tokens)
    if preset.batch_size and value_of(passed_on, "--batch_size", "-b") is None:
        passed_on = ["--batch_size", str(preset.batch_size), *passed_on]
    return replace(
        request,
        preset=preset.name,
        model=preset.model,
        model_args=format_model_args(added, request.model_args),
        stills_args={name: value for name, value in preset.stills.model_args.items() if name not in given},
        clips_args={name: value for name, value in preset.clips.model_args.items() if name not in given},
        passed_on=passed_on,
    )
