"""Undecoded media: passed to models of this package, which decode them in parallel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from lmms_eval_shotbench.vocabulary import MediaKind, View

undecoded: ContextVar[bool] = ContextVar("undecoded", default=False)  # whether tasks pass media as `StoredMedium`


class StoredMedium(NamedTuple):
    """A medium with its kind, the checksum of its encoded bytes, a function that reads them, and its view."""

    kind: MediaKind
    sha256: str
    read: Callable[[], bytes]
    view: View = View.AS_FILMED

    @classmethod
    def of(cls, kind: MediaKind, sha256: str, read: Callable[[], bytes], view: View = View.AS_FILMED) -> StoredMedium:
        """Create a stored medium; an empty `sha256` is computed from the bytes."""
        return cls(kind, sha256 or hashlib.sha256(read()).hexdigest(), read, view)

    @property
    def key(self) -> str:
        """Identifier of what the model sees: the checksum and, unless as filmed, the view."""
        return self.sha256 if self.view is View.AS_FILMED else f"{self.sha256} {self.view}"


@contextmanager
def media_undecoded() -> Iterator[None]:
    """Context in which tasks pass media as `StoredMedium`, for a model that decodes them itself, in parallel."""
    token = undecoded.set(True)
    try:
        yield
    finally:
        undecoded.reset(token)
