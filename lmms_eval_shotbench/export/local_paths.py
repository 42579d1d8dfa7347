"""Paths of the machine that evaluated, which say nothing to readers of an exported run and may name a person."""

from __future__ import annotations

import re

QUOTED_OR_WORD = re.compile(r"""'[^']*'|"[^"]*"|\S+""")  # only in quotes may a path have blanks
# The folders of an absolute path that begins there, or after `=`, `,`, `:` or a bracket, if a name follows; the slashes
# of an address or of ORG/MODEL follow other characters.
FOLDERS = re.compile(r"""(?<![^\s=,:;'"`(\[{])(?:file://|~[\w.-]*)?/(?:[^=,:;'"`/]+/)*(?=[^\s=,:;'"`/])""")


def without_folders(text: str) -> str:
    """Shorten every absolute path in a text to its last part: `--data /home/anna/shards` to `--data shards`."""
    return QUOTED_OR_WORD.sub(lambda part: FOLDERS.sub("", part[0]), text)
