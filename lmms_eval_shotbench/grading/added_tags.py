"""Tags of thoughts that a user adds to the built-in ones (`reasoning_tags.py`), in the format of lmms-eval.

The option `--reasoning_tags` of `shotbench eval`, `score`, `compare` and `report`, and the variable
SHOTBENCH_REASONING_TAGS for tasks that run in lmms-eval or lm-eval directly. Standard library only.
"""

from __future__ import annotations

import json
import os

from lmms_eval_shotbench.environment import REASONING_TAGS_VARIABLE
from lmms_eval_shotbench.grading.reasoning_tags import REASONING_TAGS, ReasoningTags


def parse_reasoning_tags(text: str) -> ReasoningTags:
    """Parse pairs of tags: a JSON list of [opening, closing]; "none" or blank text is no pair.

    Raises:
        ValueError: The text is in another format, or a tag is empty.
    """
    if text.strip() in ("", "none"):
        return ()
    try:
        pairs = json.loads(text)
    except (ValueError, RecursionError):
        pairs = None
    if not isinstance(pairs, list) or not all(map(_is_pair, pairs)):
        example = json.dumps([["<scratch>", "</scratch>"]])
        raise ValueError(f"reasoning tags must be a JSON list of pairs such as {example}, got {text!r:.200}")
    return tuple((opening, closing) for opening, closing in pairs)


def _is_pair(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(tag, str) and tag.strip() for tag in pair)


def with_built_in(added: ReasoningTags) -> ReasoningTags:
    """Return the built-in tags and those added, each once."""
    return tuple(dict.fromkeys(REASONING_TAGS + added))


def added_tags() -> ReasoningTags:
    """Return the tags of $SHOTBENCH_REASONING_TAGS; raises like `parse_reasoning_tags`."""
    return parse_reasoning_tags(os.environ.get(REASONING_TAGS_VARIABLE, ""))


def tags_in_use() -> ReasoningTags:
    """Return the built-in tags and those of $SHOTBENCH_REASONING_TAGS; raises like `parse_reasoning_tags`."""
    return with_built_in(added_tags())
