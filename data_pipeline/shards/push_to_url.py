"""Push a shard folder to a URL supported by fsspec: s3://, gs://, file://, memory://, …

Object stores have no atomic rename, so the manifest marks completeness: it is removed first and written last, and
readers treat shards without it as incomplete. During a push, `.pushing.json` records which shards are being sent and
which files were there before; after an interruption, files of the right size are not sent again if the marker names the
same shards. Concurrent pushes to one URL are not detected; callers must avoid them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from data_pipeline.shards.finished_files import DATA
from data_pipeline.shards.manifest import Damaged, ListedFile, listed_files
from data_pipeline.shards.push_result import PushRefused, PushResult
from lmms_eval_shotbench.progress import with_progress
from lmms_eval_shotbench.questions.shards import MANIFEST

MARKER = ".pushing.json"


def push_to_url(shards: Path, files: Sequence[ListedFile], url: str, overwrite: bool) -> PushResult:
    """Send the listed files, verify their sizes at the target, and write the manifest."""
    target = _Target(url)
    try:
        return _push(shards, files, target, overwrite)
    except OSError as error:
        raise PushRefused(f"{url} did not accept the shards ({error}); push again to resume") from error


def _push(shards: Path, files: Sequence[ListedFile], target: _Target, overwrite: bool) -> PushResult:
    manifest = (shards / MANIFEST).read_bytes()
    new = _TargetState(hashlib.sha256(manifest).hexdigest(), {file.name for file in files})
    old = _state_of(target)
    present = [file for file in files if old.sha256 == new.sha256 and target.size(file.name) == file.bytes]
    if len(present) == len(files) and target.read(MANIFEST) == manifest:
        return PushResult(target.url, 0, 0, len(files) + 1)
    _require_replaceable(target, new, old, overwrite)
    target.write(MARKER, json.dumps({"sha256": new.sha256, "files": sorted(new.files | old.files)}).encode())
    target.remove(MANIFEST)
    for name in sorted(old.files - new.files):  # leftovers in `data/` would be read with the new files
        target.remove(name)
    to_send = [file for file in files if file not in present]
    _send(shards, to_send, target)
    target.write(MANIFEST, manifest)
    target.remove(MARKER)
    return PushResult(target.url, len(to_send) + 1, sum(file.bytes for file in to_send) + len(manifest), len(present))


class _TargetState(NamedTuple):
    """Shards at a target, complete or not."""

    sha256: str  # of their manifest; empty if there are none
    files: set[str]  # every file they may have left


class _Target:
    """The folder behind a URL; file names are relative to it."""

    def __init__(self, url: str) -> None:
        import fsspec

        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise PushRefused(f"{url} cannot be reached: {error}") from None
        self.url, self._root = url, root.rstrip("/")

    def read(self, name: str) -> bytes | None:
        try:
            content: bytes = self._files.cat_file(self._path(name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return content

    def write(self, name: str, content: bytes) -> None:
        self._files.makedirs(self._root, exist_ok=True)
        self._files.pipe_file(self._path(name), content)

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def size(self, name: str) -> int | None:
        try:
            return int(self._files.info(self._path(name))["size"])
        except FileNotFoundError:
            return None

    def send(self, source: Path, name: str) -> None:
        path = self._path(name)
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._files.put_file(str(source), path)
        self._files.invalidate_cache()

    def names(self, folder: str) -> list[str]:
        """Files and folders in a folder, as `folder/name`."""
        try:
            found: list[Any] = self._files.ls(self._path(folder), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [f"{folder}/{path.rstrip('/').rpartition('/')[2]}".lstrip("/") for path in found]

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")


def _state_of(target: _Target) -> _TargetState:
    """Shards at the target, including those of an interrupted push and those that it was replacing."""
    manifest, marker = target.read(MANIFEST), target.read(MARKER)
    sha256, files = "", set[str]()
    with suppress(Damaged):
        if manifest:
            files |= {file.name for file in listed_files(manifest)}
            sha256 = hashlib.sha256(manifest).hexdigest()
    with suppress(ValueError, LookupError, TypeError):
        if marker:
            interrupted = json.loads(marker)
            sha256, files = str(interrupted["sha256"]), files | set(interrupted["files"])
    return _TargetState(sha256, files)


def _require_replaceable(target: _Target, new: _TargetState, old: _TargetState, overwrite: bool) -> None:
    """Raise `PushRefused` if the target holds anything but shards, or other shards without `overwrite`."""
    names = {*target.names(""), *target.names(DATA)}
    if foreign := sorted(names - old.files - {MANIFEST, MARKER, DATA}):
        raise PushRefused(f"{target.url} holds {foreign[0]!r}, which is not part of shards; choose another target")
    if old.sha256 not in ("", new.sha256) and not overwrite:
        raise PushRefused(f"{target.url} holds other shards, or a part of them; choose another target or --overwrite")


def _send(shards: Path, files: Sequence[ListedFile], target: _Target) -> None:
    for file in with_progress(files, "send", len(files), "file"):
        target.send(shards / file.name, file.name)
        if (size := target.size(file.name)) != file.bytes:
            raise PushRefused(f"{file.name} has {size} bytes at {target.url}, {file.bytes} were sent; push again")
