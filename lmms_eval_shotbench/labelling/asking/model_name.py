"""The name of a model in votes: its checkpoint or name on a server, with the revision where that is known."""

from __future__ import annotations

from pathlib import Path

from lmms_eval_shotbench.harness.backends import constructor_arguments, find_model_class
from lmms_eval_shotbench.harness.eval_plan import EvalRequest
from lmms_eval_shotbench.model_args import format_model_args, parse_model_args
from lmms_eval_shotbench.qwen.revision import NAMES, revision_in_use

REVISION_LENGTH = 12  # characters, as in ProbabilityAsker


def model_name(request: EvalRequest) -> str:
    """Return the name, such as "Vchitect/ShotVL-3B@0123456789ab" or "gpt-4o".

    A checkpoint of the Hub has no revision before it is downloaded.
    """
    given = parse_model_args(request.model_args)
    argument = next((name for name in NAMES if given.get(name)), "")
    if argument:
        named, arguments = given[argument], request.model_args
    else:
        defaults = constructor_arguments(find_model_class(request.model, request.force_simple))
        argument = next((name for name in NAMES if isinstance(defaults.get(name), str)), "")
        named = defaults[argument] if argument else ""
        arguments = format_model_args({argument: named}, request.model_args) if argument else ""
    revision = revision_in_use(arguments).removeprefix("folder ")[:REVISION_LENGTH]
    short = Path(named).name if named and Path(named).expanduser().is_dir() else named
    return "@".join(filter(None, [short or request.model, revision]))
