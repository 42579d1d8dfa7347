"""Paths of the machine that evaluated, which say nothing to readers of an exported run and may name a person."""

from __future__ import annotations

import re

# The folders of an absolute path that begins a word, a quoted text, or a value after `=`, `,` or `:`, if a name
# follows; the slashes of an address or of ORG/MODEL follow other characters.
FOLDERS = re.compile(r"""(?<![^\s=,:;'"`(\[{])(?:file://|~[\w.-]*)?/(?:[^\s=,:;'"`()\[\]{}/]+/)*(?=[\w.-])""")


def without_folders(text: str) -> str:
    """Shorten every absolute path in a text to its last part: `--data /home/anna/shards` to `--data shards`."""
    return FOLDERS.sub("", text)
