"""Model arguments of lmms-eval, `pretrained=MODEL,device=cpu`, as text. Standard library only.

Split where lmms-eval's `simple_parse_args_string` splits: at commas outside quotes, braces and brackets, so that JSON
may be a value; a value begins behind the first equals sign. Unlike there, values stay text, for they are recorded,
compared and passed on as they were given (there `08` becomes 8), and a part without an equals sign is kept or passed
over instead of raising: lmms-eval itself refuses it, with its own message, when it makes the model.
"""

from __future__ import annotations

from collections.abc import Mapping


def split_model_args(text: str) -> list[str]:
    """The arguments, `name=value` each, in order."""
    parts, depth, quote, before = [""], 0, "", ""
    for character in text:
        if quote:
            quote = "" if character == quote and before != "\\" else quote
        elif character in ("'", '"') and before != "\\":
            quote = character
        else:
            depth += (character in "{[") - (character in "}]")
        if character == "," and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
        before = character
    return [part.strip() for part in parts if part.strip()]


def parse_model_args(text: str) -> dict[str, str]:
    """Values by name; of two of one name the last, as in lmms-eval."""
    return dict(part.split("=", 1) for part in split_model_args(text) if "=" in part)


def format_model_args(arguments: Mapping[str, object], given: str = "") -> str:
    """The text of arguments, behind the text of those `given`."""
    return ",".join(filter(None, [given, *(f"{name}={value}" for name, value in arguments.items())]))
