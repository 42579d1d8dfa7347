"""Model arguments of lmms-eval, `pretrained=MODEL,device=cpu`, as text. Standard library only.

Arguments are split as by lmms-eval's `simple_parse_args_string`: at commas outside quotes, braces and brackets, so that
a value may be JSON; a value begins after the first equals sign. Two differences: values remain strings (lmms-eval
turns `08` into 8), because they are recorded, compared and passed on unchanged; and a part without an equals sign
raises no error, because lmms-eval rejects it with its own message when it creates the model.
"""

from __future__ import annotations

from collections.abc import Mapping


def split_model_args(text: str) -> list[str]:
    """Split the text into its arguments, `name=value` each, in order."""
    parts, depth, quote, previous = [""], 0, "", ""
    for character in text:
        if quote:
            quote = "" if character == quote and previous != "\\" else quote
        elif character in ("'", '"') and previous != "\\":
            quote = character
        else:
            depth += (character in "{[") - (character in "}]")
        if character == "," and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
        previous = character
    return [part.strip() for part in parts if part.strip()]


def parse_model_args(text: str) -> dict[str, str]:
    """Values by name; the last value of a repeated name wins, as in lmms-eval."""
    return dict(part.split("=", 1) for part in split_model_args(text) if "=" in part)


def format_model_args(arguments: Mapping[str, object], given: str = "") -> str:
    """Format arguments as text, appended to the text `given`."""
    return ",".join(filter(None, [given, *(f"{name}={value}" for name, value in arguments.items())]))
