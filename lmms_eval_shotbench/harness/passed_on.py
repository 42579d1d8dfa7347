"""Options of lmms-eval that are passed on to it, as far as `shotbench eval` has to know them."""

from __future__ import annotations

from collections.abc import Sequence

from lmms_eval_shotbench.model_args import format_model_args, parse_model_args
from lmms_eval_shotbench.prompts import MAX_NEW_TOKENS

GENERATION = "--gen_kwargs"


def value_of(arguments: Sequence[str], *names: str) -> str | None:
    """Return the value of an option, the last if it is repeated, or None."""
    value = None
    for index, argument in enumerate(arguments):
        name, equals, text = argument.partition("=")
        if name in names:
            value = text if equals else next(iter(arguments[index + 1 :]), "")
    return value


def max_new_tokens(arguments: Sequence[str]) -> int:
    """Return the maximum number of new tokens: that of --gen_kwargs, or the protocol's.

    Raises:
        ValueError: It is not a number.
    """
    given = parse_model_args(value_of(arguments, GENERATION) or "").get("max_new_tokens", str(MAX_NEW_TOKENS))
    if not given.isdecimal():
        raise ValueError(f"{GENERATION} max_new_tokens={given}: a number of tokens is expected")
    return int(given)


def with_max_new_tokens(arguments: Sequence[str], limit: int) -> list[str]:
    """Return the arguments with this limit, unless they have one."""
    given = value_of(arguments, GENERATION) or ""
    if "max_new_tokens" in parse_model_args(given):
        return list(arguments)
    return [*arguments, GENERATION, format_model_args({"max_new_tokens": limit}, given)]
