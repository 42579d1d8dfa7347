"""The result of cutting one film as one object in remote storage: a ZIP file of its media and records.

Owns the format and the reading of single media, each by one range read. Ten million shots would be twenty million
objects, which cost more to write than their bytes; films are some thousand. Nothing is compressed, since media are, and
the records come last, beside the directory of the file, so that one range read has both.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lmms_eval_shotbench.remote_path import RemotePath

SUFFIX = ".zip"
HEADER_BYTES = 30  # of a member, before its name; members of less than 2 GiB have no extra fields there
READ_AT_ONCE = 32  # media; range reads wait for the network far longer than they transfer


class ArchiveEntry(NamedTuple):
    """Where a medium is in its archive."""

    start: int  # byte offset
    size: int  # bytes
    crc32: int


def write_archive(folder: Path, target: RemotePath, records: Sequence[str]) -> dict[str, ArchiveEntry]:
    """Store the files of a folder at `target`; returns where each medium is, by its name.

    Args:
        records: Names of the files that are not media.
    """
    media = sorted(path.name for path in folder.iterdir() if path.name not in records)
    path = folder / f"archive{SUFFIX}"
    with zipfile.ZipFile(path, "w") as archive:
        for name in [*media, *records]:
            archive.writestr(zipfile.ZipInfo(name), (folder / name).read_bytes())
        stored = archive_entries(archive, records)
    target.upload(path)
    return stored


def archive_entries(archive: zipfile.ZipFile, records: Sequence[str]) -> dict[str, ArchiveEntry]:
    """Where the media of an archive are, by name."""
    return {
        member.filename: ArchiveEntry(
            member.header_offset + HEADER_BYTES + len(member.filename.encode()), member.file_size, member.CRC
        )
        for member in archive.infolist()
        if member.filename not in records
    }


class FilmArchives:
    """The media of many archives below a work folder, by their paths FOLDER/NAME."""

    def __init__(self, work: RemotePath) -> None:
        self._work = work
        self._stored: dict[str, ArchiveEntry] = {}

    def add(self, folder: str, stored: Mapping[str, ArchiveEntry]) -> None:
        """Add the media of the film whose archive is FOLDER.zip."""
        self._stored |= {f"{folder}/{name}": medium for name, medium in stored.items()}

    def size(self, media_path: str) -> int:
        """Size of a medium in bytes."""
        return self._stored[media_path].size

    def read(self, media_path: str) -> bytes:
        """Read a medium; raises `ValueError` if it is damaged."""
        start, size, crc32 = self._stored[media_path]
        archive = self._work / f"{media_path.rpartition('/')[0]}{SUFFIX}"
        content = archive.read_range(start, start + size)
        if zlib.crc32(content) != crc32:
            raise ValueError(f"{media_path} in {archive} is damaged or was replaced")
        return content
