"""Validation of stored scores against `scores.schema.json`: files may be edited, merged or truncated.

The schema is the only specification of scores.json. docs/scores.md is generated from it:

    python -m lmms_eval_shotbench.runs.scores_schema > docs/scores.md
"""

from __future__ import annotations

import json
import math
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lmms_eval_shotbench.runs.responses import SAMPLES

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

Schema = dict[str, Any]

_GENERATED = (
    "This page is generated from the [JSON Schema](../lmms_eval_shotbench/runs/scores.schema.json) that stored scores "
    "are validated against when they are read."
)


class BadRun(ValueError):
    """A stored run that cannot be used, or an argument that is not a run; the message states which, and what to do."""


def check_scores(scores: object, file: Path, part: Literal["answers", "numbers"]) -> None:
    """Raise `BadRun` with the first field that does not match the schema.

    Args:
        scores: Parsed contents of `file`.
        file: Path for the error message.
        part: `answers` is required by every reader of runs, `numbers` by reports; earlier versions wrote fewer fields.
    """
    if error := next(_validator(part).iter_errors(scores), None):
        raise BadRun(f"{file}: {_problem(error, scores, file)}")


@cache
def scores_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of scores.json."""
    schema: Schema = json.loads(Path(__file__).with_name("scores.schema.json").read_text(encoding="utf-8"))
    return schema


@cache
def _validator(part: str) -> Validator:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    # Python's json parses NaN, which passes any bounds check; an index of 7.0 would be printed as such.
    types = Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": lambda _, value: _is_integer(value), "number": lambda _, value: _is_number(value)}
    )
    schema = scores_schema()
    validator: Validator = extend(Draft202012Validator, type_checker=types)(schema)
    return validator.evolve(schema=schema["$defs"][part])


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def _problem(error: ValidationError, scores: Any, file: Path) -> str:
    """Describe what is wrong and what to do, in one line."""
    path, problem = list(error.absolute_path), f"is {error.instance!r:.80}"
    absent: list[str] = []
    if error.validator == "required":
        absent = [name for name in error.validator_value if name not in error.instance]
    elif "propertyNames" in error.absolute_schema_path:
        problem = f"has the key {error.instance!r:.80}"
    match path:
        case [] | ["protocol"] | ["items"] | ["items", int()] if not absent or {"protocol", "items"} & set(absent):
            return "not scores of `shotbench eval` or `shotbench score --format json`"
        case ["schema"]:
            step = "install the version that wrote it, or score its responses again"
            return f"schema {problem}, this version reads {error.validator_value}; {step}"
        case ["items", int()]:
            return (
                f"its items have no {', '.join(absent)}: written by an earlier version. Score the run again: shotbench "
                f"score QUESTIONS {file.parent / SAMPLES} --protocol {scores['protocol']} --format json --out {file}"
            )
        case ["items", int(number), name]:
            field = f"{name} of an item (index {scores['items'][number]['index']!r:.80})"
        case _:
            steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in [*path, *absent[:1]])
            field = "".join(steps).lstrip(".")
    return f"{field} {'is absent' if absent else problem}, which docs/scores.md does not allow; score the run again"


def scores_page() -> str:
    """Return docs/scores.md: a section for each definition with properties, with their types and descriptions."""
    schema = scores_schema()
    lines = [f"# {schema['title']}", "", *_wrapped(f"{schema['description']}\n\n{_GENERATED}")]
    for part in filter(_has_section, schema["$defs"].values()):
        lines += ["", f"## {part['title'].capitalize()}", "", *_wrapped(part["description"]), ""]
        lines += ["| field | type | meaning |", "|---|---|---|"]
        lines += [
            f"| `{path}` | {_type(field)} | {field['description']} |"
            for path, field in _fields(part | {"description": ""}, "")
        ]
    return "\n".join(lines) + "\n"


def _wrapped(text: str) -> list[str]:
    wrapped = (textwrap.wrap(line, 120, break_long_words=False, break_on_hyphens=False) for line in text.split("\n"))
    return [line for lines in wrapped for line in lines or [""]]


def _fields(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Yield every described field; a reference with its own description is not expanded."""
    if schema.get("description"):
        yield path, schema
    elif "$ref" in schema:
        yield from _fields(_definition(schema) | {"description": ""}, path)
    for name, field in schema.get("properties", {}).items():
        yield from _fields(field, f"{path}.{name}".lstrip("."))
    if isinstance(each := schema.get("items"), dict):
        yield from _fields(each, f"{path}[]")
    if isinstance(each := schema.get("additionalProperties"), dict):
        names = schema.get("propertyNames", {"title": "name"})
        yield from _fields(each, f"{path}.<{_definition(names)['title']}>")


def _definition(schema: Schema) -> Schema:
    """Resolve a reference; return any other schema unchanged."""
    if "$ref" not in schema:
        return schema
    found: Schema = scores_schema()["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return found


def _has_section(schema: Schema) -> bool:
    return "title" in schema and "properties" in schema


def _type(schema: Schema) -> str:
    if "const" in schema:
        return f"{schema['const']}"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kinds = [schema["type"]] if isinstance(schema.get("type"), str) else list(schema.get("type", ()))
    if "$ref" in schema and "title" in (definition := _definition(schema)):
        title = definition["title"]
        kinds = [f"[{title}](#{title})" if _has_section(definition) else title, *kinds[1:]]
    elif "prefixItems" in schema:
        kinds = [f"[{', '.join(map(_type, schema['prefixItems']))}]"]
    elif "items" in schema:
        kinds[0] = f"array of {_type(schema['items'])}"
    return " or ".join(kinds)


if __name__ == "__main__":
    sys.stdout.write(scores_page())
