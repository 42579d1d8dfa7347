"""A skeleton of a map: every name and value that names no term, by count, to be filled by a person."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

from data_pipeline.annotations.aliases import find_dimension
from data_pipeline.annotations.tools.tool_annotation import ToolAnnotation
from lmms_eval_shotbench.runs.formatting import first_few
from lmms_eval_shotbench.vocabulary import slugs

MOST_VALUES = 200  # of one name; one with more is no vocabulary
SHOWN = 5  # of its values
_HEAD = """# A map for `shotbench data annotations --map`: fill the empty texts. An empty text is no entry.
# A name is: one of {dimensions};
# "any" (its values name the dimension), "shots" (its ranges are the shots), "skip", or ["shots", DIMENSION].
# A value is: "TERM", "DIMENSION: TERM", a list of these, or "skip". [values."*"] counts for every name.
"""


def map_template(unmapped: Iterable[tuple[ToolAnnotation, str]]) -> str:
    """The skeleton as TOML.

    Args:
        unmapped: Annotations that name no term, and why.
    """
    values: dict[str, Counter[str]] = {}
    reasons: dict[tuple[str, str], str] = {}
    for annotation, reason in unmapped:
        values.setdefault(annotation.name, Counter())[annotation.value] += 1
        reasons[annotation.name, annotation.value] = reason
    lines = [_HEAD.format(dimensions=", ".join(slugs())), "[names]"]
    for name, counts in values.items():
        shown = first_few([f"{value!r} {count:,}" for value, count in counts.most_common()], SHOWN)
        lines.append(f"# {counts.total():,} without a term: {_one_line(shown)}")
        dimension = find_dimension(name) if name else None
        lines.append(f"{_quoted(name)} = {_quoted(dimension.slug if dimension else '')}")
    for name, counts in values.items():
        if not any(counts) or len(counts) > MOST_VALUES:
            continue
        lines += ["", f"[values.{_quoted(name)}]"]
        for value, count in counts.most_common():
            if value:
                lines.append(f'{_quoted(value)} = ""  # {count:,}; {_one_line(reasons[name, value])}')
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
