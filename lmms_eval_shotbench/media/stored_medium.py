"""A medium as the shards store it, not decoded: for models of ours, which decode media themselves, in parallel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from lmms_eval_shotbench.vocabulary import MediaKind, View

undecoded: ContextVar[bool] = ContextVar("undecoded", default=False)  # whether tasks hand over `StoredMedium`


class StoredMedium(NamedTuple):
    """A medium as it is stored: what it is, which bytes they are, how to read them when needed, how to show them."""

    kind: MediaKind
    sha256: str
    read: Callable[[], bytes]
    view: View = View.AS_FILMED

    @classmethod
    def of(cls, kind: MediaKind, sha256: str, read: Callable[[], bytes], view: View = View.AS_FILMED) -> StoredMedium:
        """A medium of the shards; where they name no checksum it is computed."""
        return cls(kind, sha256 or hashlib.sha256(read()).hexdigest(), read, view)

    @property
    def key(self) -> str:
        """What a model is shown: the bytes, and how."""
        return self.sha256 if self.view is View.AS_FILMED else f"{self.sha256} {self.view}"


@contextmanager
def media_undecoded() -> Iterator[None]:
    """Within it, media are handed over as `StoredMedium`, for a model of ours that decodes them itself, in parallel."""
    token = undecoded.set(True)
    try:
        yield
    finally:
        undecoded.reset(token)
