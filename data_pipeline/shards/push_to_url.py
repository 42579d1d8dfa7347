"""Send a shard folder to a URL that fsspec knows: s3://, gs://, file://, memory://, …

Such places have no rename, so there the manifest makes the difference: it is removed first and written last, and a
reader takes shards without it for incomplete. While files are being sent, `.pushing.json` says of which shards, and
what lay there before: files that lie there in the right size under the same mark are not sent again. Nothing keeps two
pushes to one URL apart; that is left to the callers.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from data_pipeline.shards.finished_files import DATA
from data_pipeline.shards.manifest import Damaged, Listed, listed_files
from data_pipeline.shards.pushed import Pushed, PushRefused
from lmms_eval_shotbench.questions.shards import MANIFEST

MARK = ".pushing.json"


def push_to_url(shards: Path, files: Sequence[Listed], url: str, overwrite: bool) -> Pushed:
    """Send the listed files, check their sizes there, and write the manifest."""
    place = _Place(url)
    try:
        return _push(shards, files, place, overwrite)
    except OSError as error:
        raise PushRefused(f"{url} did not take the shards ({error}); push again to go on") from error


def _push(shards: Path, files: Sequence[Listed], place: _Place, overwrite: bool) -> Pushed:
    manifest = (shards / MANIFEST).read_bytes()
    new, found = _Found(hashlib.sha256(manifest).hexdigest(), {file.name for file in files}), _found(place)
    there = [file for file in files if found.sha256 == new.sha256 and place.size(file.name) == file.bytes]
    if len(there) == len(files) and place.read(MANIFEST) == manifest:
        return Pushed(place.url, 0, 0, len(files) + 1)
    _check(place, new, found, overwrite)
    place.write(MARK, json.dumps({"sha256": new.sha256, "files": sorted(new.files | found.files)}).encode())
    place.remove(MANIFEST)
    for name in sorted(found.files - new.files):  # those left in `data/` would be read with the new ones
        place.remove(name)
    to_send = [file for file in files if file not in there]
    _send(shards, to_send, place)
    place.write(MANIFEST, manifest)
    place.remove(MARK)
    return Pushed(place.url, len(to_send) + 1, sum(file.bytes for file in to_send) + len(manifest), len(there))


class _Found(NamedTuple):
    """Shards at a place, complete or not: which ones, and every name they may have left."""

    sha256: str  # of their manifest; empty: there are none
    files: set[str]


class _Place:
    """The folder behind a URL."""

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
        """Files in a folder, and folders, as `folder/name`."""
        try:
            found: list[Any] = self._files.ls(self._path(folder), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [f"{folder}/{path.rstrip('/').rpartition('/')[2]}".lstrip("/") for path in found]

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")


def _found(place: _Place) -> _Found:
    """What lies there; a push that was interrupted counts, and what it was about to replace."""
    manifest, mark = place.read(MANIFEST), place.read(MARK)
    sha256, files = "", set[str]()
    with suppress(Damaged):
        if manifest:
            files |= {file.name for file in listed_files(manifest)}
            sha256 = hashlib.sha256(manifest).hexdigest()
    with suppress(ValueError, LookupError, TypeError):
        if mark:
            said = json.loads(mark)
            sha256, files = str(said["sha256"]), files | set(said["files"])
    return _Found(sha256, files)


def _check(place: _Place, new: _Found, found: _Found, overwrite: bool) -> None:
    """Refuse a place that holds anything but shards, and other shards unless they may be replaced."""
    names = {*place.names(""), *place.names(DATA)}
    if strangers := sorted(names - found.files - {MANIFEST, MARK, DATA}):
        raise PushRefused(f"{place.url} holds {strangers[0]!r}, which is no part of shards; choose another place")
    if found.sha256 not in ("", new.sha256) and not overwrite:
        raise PushRefused(f"{place.url} holds other shards, or a part of them; choose another place or --overwrite")


def _send(shards: Path, files: Sequence[Listed], place: _Place) -> None:
    from tqdm import tqdm

    for file in tqdm(files, "send", unit="file", file=sys.stderr, disable=None):
        place.send(shards / file.name, file.name)
        if (size := place.size(file.name)) != file.bytes:
            raise PushRefused(f"{file.name} has {size} bytes at {place.url}, {file.bytes} were sent; push again")
