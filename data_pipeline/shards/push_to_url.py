"""Push a shard folder to a URL supported by fsspec: s3://, gs://, file://, memory://, …

Object stores have no atomic rename, so the manifest marks completeness: it is removed first and written last, and
readers treat shards without it as incomplete. During a push, `.pushing.json` records which shards are being sent and
which files were there before; after an interruption, files of the right size are not sent again if the marker names the
same shards. Concurrent pushes to one URL are not detected; callers must avoid them. Shards that are written to a URL in
the first place end in the same way, see `remote_draft.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from data_pipeline.shards.finished_files import DATA
from data_pipeline.shards.manifest import Damaged, ListedFile, listed_files
from data_pipeline.shards.push_result import PushRefused, PushResult
from lmms_eval_shotbench.progress import with_progress
from lmms_eval_shotbench.questions.shards import MANIFEST
from lmms_eval_shotbench.remote_path import RemotePath, StorageFailed

MARKER = ".pushing.json"
Send = Callable[[ListedFile, RemotePath], None]


def push_to_url(shards: Path, files: Sequence[ListedFile], url: str, overwrite: bool) -> PushResult:
    """Send the listed files, verify their sizes at the target, and write the manifest."""
    manifest = (shards / MANIFEST).read_bytes()
    try:
        return publish(manifest, files, RemotePath(url), overwrite, lambda file, to: to.upload(shards / file.name))
    except StorageFailed as error:
        raise PushRefused(str(error)) from error


def publish(
    manifest: bytes, files: Sequence[ListedFile], target: RemotePath, overwrite: bool, send: Send, at_once: int = 1
) -> PushResult:
    """Make shards complete at a target: send the files that it does not have, then write the manifest.

    Args:
        manifest: The content of the manifest, which lists the files.
        send: Writes a file to the given path.
        at_once: How many files are sent at the same time.

    Raises:
        PushRefused: the target holds something else, or a file has another size there.
        StorageFailed: the target does not accept the files.
    """
    new = _TargetState(hashlib.sha256(manifest).hexdigest(), {file.name for file in files})
    old = _state_of(target)
    sizes = {name: status.st_size for name, status in target.files().items()} if old.files else {}
    present = [file for file in files if old.sha256 == new.sha256 and sizes.get(file.name) == file.bytes]
    if len(present) == len(files) and _content(target / MANIFEST) == manifest:
        return PushResult(str(target), 0, 0, len(files) + 1)
    _require_replaceable(target, new, old, overwrite)
    marker = {"sha256": new.sha256, "files": sorted(new.files | old.files)}
    (target / MARKER).write_bytes(json.dumps(marker).encode())
    (target / MANIFEST).unlink(missing_ok=True)
    for name in sorted(old.files - new.files):  # leftovers in `data/` would be read with the new files
        (target / name).unlink(missing_ok=True)
    names = {file.name for file in present}
    to_send = [file for file in files if file.name not in names]
    threads = ThreadPoolExecutor(at_once)
    try:
        sent = threads.map(partial(_send, target, send), to_send)
        for _ in with_progress(sent, "send", len(to_send), "file"):
            pass
    finally:
        threads.shutdown(cancel_futures=True)
    (target / MANIFEST).write_bytes(manifest)
    (target / MARKER).unlink(missing_ok=True)
    return PushResult(str(target), len(to_send) + 1, sum(file.bytes for file in to_send) + len(manifest), len(present))


def require_free_target(target: RemotePath, overwrite: bool) -> None:
    """Raise `PushRefused` if a target holds anything but shards, or complete ones without `overwrite`."""
    old = _state_of(target)
    _require_replaceable(target, old, old, overwrite)
    if not overwrite and _content(target / MANIFEST):
        raise PushRefused(f"{target} holds other shards; choose another target or --overwrite")


def _send(target: RemotePath, send: Send, file: ListedFile) -> None:
    send(file, target / file.name)
    if (size := (target / file.name).stat().st_size) != file.bytes:
        raise PushRefused(f"{file.name} has {size} bytes at {target}, {file.bytes} were sent; run the command again")


class _TargetState(NamedTuple):
    """Shards at a target, complete or not."""

    sha256: str  # of their manifest; empty if there are none
    files: set[str]  # every file they may have left


def _content(path: RemotePath) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _state_of(target: RemotePath) -> _TargetState:
    """Shards at the target, including those of an interrupted push and those that it was replacing."""
    manifest, marker = _content(target / MANIFEST), _content(target / MARKER)
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


def _require_replaceable(target: RemotePath, new: _TargetState, old: _TargetState, overwrite: bool) -> None:
    """Raise `PushRefused` if the target holds anything but shards, or other shards without `overwrite`."""
    names = {path.name for path in target.iterdir()} | {f"{DATA}/{path.name}" for path in (target / DATA).iterdir()}
    folders = {name.partition("/")[0] for name in old.files}
    if foreign := sorted(names - old.files - folders - {MANIFEST, MARKER, DATA}):
        raise PushRefused(f"{target} holds {foreign[0]!r}, which is not part of shards; choose another target")
    if old.sha256 not in ("", new.sha256) and not overwrite:
        raise PushRefused(f"{target} holds other shards, or a part of them; choose another target or --overwrite")
