"""The result of a push, and the error that refuses one; shared by all kinds of target."""

from __future__ import annotations

from typing import NamedTuple


class PushRefused(ValueError):
    """The shards cannot be pushed; the message says why and what to do next."""


class PushResult(NamedTuple):
    """Result of a push; the manifest counts as a file."""

    target: str
    sent_files: int
    sent_bytes: int
    skipped_files: int  # not sent, since the target already had them
