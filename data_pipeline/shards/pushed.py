"""What a push did, and the refusal to do it; shared by the kinds of place that shards are sent to."""

from __future__ import annotations

from typing import NamedTuple


class PushRefused(ValueError):
    """The shards cannot be sent there: what is in the way and what to do next."""


class Pushed(NamedTuple):
    """Outcome of a push; the manifest counts as a file."""

    target: str
    sent_files: int
    sent_bytes: int
    files_there: int  # not sent, since they were there already
