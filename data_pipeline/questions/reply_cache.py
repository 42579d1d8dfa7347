"""Replies that were asked for and paid for, kept on disk the moment they arrive: a run that is killed asks none again.

    {"key": …, "item_id": …, "reply": …}    one a line, appended, never changed

Owns the file and its lock. What a key is made of is the caller's affair. The file survives SIGKILL at any moment: a
line that was cut off is taken away when the file is opened next.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from lmms_eval_shotbench.file_lock import LockingUnsupported, open_locked


class CacheRefused(ValueError):
    """The file cannot serve as the cache: why, and what to do."""


class ReplyCache:
    """Replies by key. One process at a time; its threads may share it for reading, one of them adds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = open_locked(path, os.O_APPEND)
        except (BlockingIOError, LockingUnsupported):
            raise CacheRefused(f"{path} is in use by another run; wait for it, or name another --cache") from None
        except OSError as error:
            raise CacheRefused(f"{path} cannot be opened as the cache of replies ({error.strerror})") from error
        try:
            self._replies = self._read()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._file)

    def __len__(self) -> int:
        return len(self._replies)

    def reply(self, key: str) -> str | None:
        """The reply kept under a key."""
        return self._replies.get(key)

    def add(self, key: str, item_id: str, reply: str) -> None:
        """Keep a reply; it is in the file when this returns."""
        line = json.dumps({"key": key, "item_id": item_id, "reply": reply}, ensure_ascii=False).encode() + b"\n"
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise RuntimeError(
                f"the cache {self.path} cannot be written ({error.strerror}); nothing else is"
            ) from error
        if written < len(line):
            raise RuntimeError(f"the cache {self.path} cannot be written: the disk is full; make room and run again")
        self._replies[key] = reply

    def _read(self) -> dict[str, str]:
        """Read what is kept and take away a last line that was cut off."""
        replies, whole = {}, 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.endswith(b"\n"):
                    whole += len(line)
                elif line.startswith(b'{"key"'[: len(line)]):
                    break
                entry = self._entry(number, line)
                replies[entry["key"]] = entry["reply"]
        os.ftruncate(self._file, whole)
        return replies

    def _entry(self, number: int, line: bytes) -> dict[str, str]:
        try:
            entry = json.loads(line)
            if all(isinstance(entry[name], str) for name in ("key", "reply")):
                return dict(entry)
        except (ValueError, LookupError, TypeError):
            pass
        raise CacheRefused(f"{self.path}, line {number}: no reply; move the file away or name another --cache")
