"""Files and folders in object stores and other storage that fsspec knows, such as s3://bucket/films.

Owns the parsing of addresses; `RemotePath`, which implements as much of `pathlib`'s interface as this project uses;
range reads, of which a process caches a few blocks for all its readers; and the errors of storage. Writes are atomic:
in an object store a file appears under its name only when it is complete.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

BLOCK_BYTES = 8_000_000  # of one range read; smaller ones wait longer for the network than they transfer
BLOCKS_CACHED = 12  # in a process; the index of a film may lie at its end
ADDRESS = "://"
WITH_FOLDERS = ("file", "local", "memory", "sftp", "ssh", "smb", "hdfs", "webhdfs", "ftp", "dbfs")
NEXT_STEPS = {
    "ValueError": "give an address that fsspec knows, such as s3://BUCKET/FOLDER",
    "NoCredentialsError": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, on every node",
    "PermissionError": "the credentials do not permit it, or there are none",
}


class StorageFailed(RuntimeError):
    """Remote storage cannot be read or written; the message states why and what to do next."""


def location(name: str) -> Location:
    """Return a `RemotePath` for an address SCHEME://…, otherwise, and for file://, a `Path`."""
    if ADDRESS not in name or name.startswith("file://"):
        return Path(name.removeprefix("file://"))
    return RemotePath(name)


def resolved(path: Location) -> Location:
    """Return a local path without links and `~`; a remote one unchanged."""
    return Path(os.path.realpath(path.expanduser())) if isinstance(path, Path) else path


def remove_tree(folder: Location) -> None:
    """Remove a folder and everything in it, as far as possible if it is local."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.remove_tree()


class RemoteStatus(NamedTuple):
    """The status of a remote file."""

    st_size: int
    st_mtime_ns: int  # in whole seconds, since stores round differently in different answers


class RemotePath:
    """A file or folder at an address; it can be pickled and opened on other machines."""

    def __init__(self, address: str, listing: Mapping[str, RemoteStatus] | None = None) -> None:
        scheme, _, path = address.partition(ADDRESS)
        self._address = f"{scheme}{ADDRESS}{re.sub('/+', '/', path).rstrip('/')}"
        self._listing = listing  # of the addresses of all files in a folder around it, see `listed`

    def __reduce__(self) -> tuple[type[RemotePath], tuple[str]]:
        return RemotePath, (self._address,)  # a listing may be large

    def __str__(self) -> str:
        return self._address

    def __repr__(self) -> str:
        return f"RemotePath({self._address!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and self._address == other._address

    def __hash__(self) -> int:
        return hash(self._address)

    def __truediv__(self, name: str | PurePosixPath) -> RemotePath:
        return RemotePath(f"{self._address}/{name}", self._listing)

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self._address.partition(ADDRESS)[2].rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The suffix of the name, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> RemotePath:
        """The folder that it is in; the uppermost folder is its own."""
        scheme, _, path = self._address.partition(ADDRESS)
        return RemotePath(f"{scheme}{ADDRESS}{path.rpartition('/')[0] or path}", self._listing)

    def with_name(self, name: str) -> RemotePath:
        """Return the path of this name in the same folder."""
        if self.parent == self:
            raise ValueError(f"{self} has no folder around it; give an address with a path, such as {self}/{name}")
        return self.parent / name

    @property
    def parents(self) -> list[RemotePath]:
        """The folders around it, from the inside."""
        parents, path = list[RemotePath](), self
        while path.parent != path:
            path = path.parent
            parents.append(path)
        return parents

    def resolve(self) -> RemotePath:
        """Return itself: addresses are absolute."""
        return self

    def listed(self) -> RemotePath:
        """Return this folder with one listing of all its files, from which it and paths below it take their status."""
        return RemotePath(self._address, {str(self / name): status for name, status in self.files().items()})

    def files(self) -> dict[str, RemoteStatus]:
        """Return all files below a folder, by their sorted paths relative to it; none if there is no such folder."""
        found: Mapping[str, Any] = {}
        with suppress(FileNotFoundError, NotADirectoryError), self._errors():
            found = self._files.find(self._path, detail=True)
        top = self._path.rstrip("/") + "/"
        names = {path.removeprefix(top): info for path, info in found.items() if path.startswith(top)}
        return {name: _status(names[name]) for name in sorted(names) if not name.endswith("/")}

    def stat(self) -> RemoteStatus:
        """Return its status; raises `FileNotFoundError`."""
        if self._listing is not None and (known := self._listing.get(self._address)):
            return known
        with self._errors():
            return _status(self._files.info(self._path))

    def exists(self) -> bool:
        """Whether there is a file or folder."""
        return bool(self._type())

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self._address in self._listing if self._listing is not None else self._type() == "file"

    def is_dir(self) -> bool:
        """Whether it is a folder: in an object store, one that has files."""
        return self._type() == "directory"

    def iterdir(self) -> Iterator[RemotePath]:
        """Yield what is directly in a folder, sorted by name; nothing if there is no such folder."""
        try:
            with self._errors():
                found = self._files.ls(self._path, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return
        names = {path.rstrip("/").rpartition("/")[2] for path in found if path.rstrip("/") != self._path.rstrip("/")}
        yield from (self / name for name in sorted(names))

    def open(self, mode: Literal["rb"] = "rb") -> RemoteFile:
        """Open a file for range reads through the cache of blocks."""
        return RemoteFile(self, self.stat())

    def read_bytes(self) -> bytes:
        """Read a file as a whole."""
        with self._errors():
            content: bytes = self._files.cat_file(self._path)
        return content

    def read_text(self, encoding: str | None = None) -> str:
        """Read a text file."""
        return self.read_bytes().decode(encoding or "utf-8")

    def read_range(self, start: int, end: int) -> bytes:
        """Read the bytes from `start` to `end` - 1."""
        with self._errors():
            content: bytes = self._files.cat_file(self._path, start=start, end=end)
        return content

    def write_bytes(self, content: bytes) -> None:
        """Write a file as a whole."""
        with self._errors(writing=True):
            self._make_parent()
            self._files.pipe_file(self._path, content)

    def upload(self, source: Path) -> None:
        """Write a file with the content of a local one."""
        with self._errors(writing=True):
            self._make_parent()
            self._files.put_file(str(source), self._path)

    def download(self, target: Path) -> None:
        """Copy a file to a local one."""
        with self._errors():
            self._files.get_file(self._path, str(target))

    def copy_from(self, source: RemotePath) -> None:
        """Write a file with the content of another one at the same storage, without downloading it."""
        with self._errors(writing=True):
            self._make_parent()
            self._files.cp_file(source._path, self._path)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove a file."""
        try:
            with self._errors(writing=not missing_ok):
                self._files.rm_file(self._path)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def remove_tree(self) -> None:
        """Remove a folder and everything in it, if there is one."""
        try:
            with self._errors():
                self._files.rm(self._path, recursive=True)
        except FileNotFoundError:
            return

    def _make_parent(self) -> None:
        """Create the folder around it. In an object store that would create a bucket, perhaps of a misspelt name."""
        if self._address.partition(ADDRESS)[0] in WITH_FOLDERS:
            self._files.makedirs(self.parent._path, exist_ok=True)

    def _type(self) -> str:
        try:
            with self._errors():
                return str(self._files.info(self._path)["type"])
        except (FileNotFoundError, NotADirectoryError):
            return ""

    @property
    def _files(self) -> Any:
        """The file system of fsspec; listings are not cached, since other processes write."""
        import fsspec

        files, _ = fsspec.core.url_to_fs(self._address, use_listings_cache=False)
        return files

    @property
    def _path(self) -> str:
        import fsspec

        return str(fsspec.core.url_to_fs(self._address, use_listings_cache=False)[1])

    @contextmanager
    def _errors(self, writing: bool = False) -> Iterator[None]:
        """Turn whatever the libraries of a storage raise into `StorageFailed`; missing files are as with `pathlib`."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            if writing:
                raise StorageFailed(f"{self} cannot be written: there is no such bucket or folder") from error
            raise FileNotFoundError(f"there is no {self}") from error
        except StorageFailed:
            raise
        except ImportError as error:
            extra = "; pip install 'lmms-eval-shotbench[s3]'" if "s3" in self._address.partition(ADDRESS)[0] else ""
            raise StorageFailed(f"{self}: {error}{extra}") from error
        except Exception as error:
            kind = type(error).__name__
            reason = (str(error).strip() or kind).splitlines()[0].rstrip(".")
            step = NEXT_STEPS.get(kind, "once it is reachable, run the same command again to resume")
            raise StorageFailed(f"{self} cannot be {'written' if writing else 'read'}: {reason}; {step}") from error


def _status(info: Mapping[str, Any]) -> RemoteStatus:
    """The status in an answer of fsspec, whose storages name the time differently."""
    given = (info.get(name) for name in ("LastModified", "last_modified", "updated", "created", "mtime"))
    modified = next((time for time in given if time), 0)
    seconds = modified.timestamp() if hasattr(modified, "timestamp") else modified
    return RemoteStatus(int(info.get("size") or 0), int(seconds) * 10**9 if isinstance(seconds, (int, float)) else 0)


class RemoteFile(io.RawIOBase):
    """A remote file opened for reading."""

    def __init__(self, path: RemotePath, status: RemoteStatus) -> None:
        self._source, self._status, self._position = path, status, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._status.st_size}[whence]
        self._position = max(start + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, unless the file ends before."""
        view, filled = memoryview(buffer).cast("B"), 0
        while filled < len(view) and self._position < self._status.st_size:
            block = _block(self._source, self._status, self._position // BLOCK_BYTES)
            start = self._position % BLOCK_BYTES
            part = block[start : start + len(view) - filled]
            if not part:
                raise StorageFailed(f"{self._source} ends before its size; it was replaced while it was read")
            view[filled : filled + len(part)] = part
            filled, self._position = filled + len(part), self._position + len(part)
        return filled


@lru_cache(maxsize=BLOCKS_CACHED)
def _block(path: RemotePath, status: RemoteStatus, number: int) -> bytes:
    """One block of a file; the status distinguishes it from files that had the same address before."""
    return path.read_range(number * BLOCK_BYTES, min((number + 1) * BLOCK_BYTES, status.st_size))


Location = Path | RemotePath  # a file or folder
