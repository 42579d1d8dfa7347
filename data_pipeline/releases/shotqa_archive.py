"""Stream the media of ShotQA from `data.tar.gz` in one pass, without unpacking it.

Owns the stream, and distinguishing its end from truncation. Requested files are in `wanted_media.py`, checks of their
content in `check_media.py`.

A stream cannot look ahead for repeated names: the first file of a name is used (unpacking would keep the last), and
later ones are recorded. Nothing is ever written to a path from the archive; links and devices are not media. gzip is
decompressed by isal's igzip if installed, which is several times faster.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any

from data_pipeline.checks.check_media import check_file_size
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.releases.release_media import ImportRefused
from data_pipeline.releases.wanted_media import ArchivedMedium, RequiredMedium, UnusedFiles, WantedMedia

GZIP_MAGIC = b"\x1f\x8b"
BLOCK_BYTES = 1 << 20


class ArchiveDamaged(ImportRefused):
    """The archive is truncated or cannot be read."""


def stream_media(
    archive: Path, media: WantedMedia, unused_files: UnusedFiles, repeated: list[tuple[RequiredMedium, str]]
) -> Iterator[ArchivedMedium]:
    """Yield the requested media in the archive's order.

    Args:
        media: The requested media; those found are marked.
        unused_files: Counts files without a question.
        repeated: Receives (medium, name) for files whose medium occurred before.

    Raises:
        ArchiveDamaged: it is not an archive, or truncated; raised after the media before the damage.
    """
    with ExitStack() as opened:
        stream = _open(archive, opened)
        tar = opened.enter_context(_tar(stream, archive))
        for member in _members(tar, archive):
            name = str(PurePosixPath(member.name.lstrip("/")))
            requested = media.matches(name)
            new = [medium for medium in requested if media.is_new(medium)]
            repeated += [(medium, name) for medium in requested if medium not in new]
            if not requested:
                unused_files.add(name)
            if new:
                flaw = _flaw(member)
                encoded = b"" if flaw else _member_bytes(tar, member, archive)
                yield from (ArchivedMedium(medium, name, encoded, flaw) for medium in new)
        _read_to_end(stream, archive)


def _flaw(member: tarfile.TarInfo) -> Flaw | None:
    if member.isreg():
        return check_file_size(member.size)
    return Flaw(
        DefectKind.NOT_A_REGULAR_FILE, f"a link to {member.linkname}" if member.linkname else "a device or pipe"
    )


class _Header(tarfile.TarInfo):
    """A header that raises if broken or missing, which `tarfile` would take for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: Any, errors: Any) -> Any:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from None


def _open(archive: Path, opened: ExitStack) -> Any:
    """Open the tar's byte stream, decompressing it if necessary."""
    raw = opened.enter_context(archive.open("rb"))
    start = raw.read(len(GZIP_MAGIC))
    raw.seek(0)
    if start != GZIP_MAGIC:
        return raw
    try:
        from isal import igzip
    except ImportError:
        return opened.enter_context(gzip.open(raw, "rb"))
    return opened.enter_context(igzip.open(raw, "rb"))  # type: ignore[no-untyped-call]


def _tar(stream: Any, archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=stream, mode="r:", tarinfo=_Header)  # read in order, without seeking back
    except _errors() as error:
        raise _damaged(archive, error) from None


def _errors() -> tuple[type[Exception], ...]:
    """Return the exception types raised by a damaged archive."""
    errors: list[type[Exception]] = [tarfile.TarError, EOFError, zlib.error, OSError]
    try:
        from isal import isal_zlib
    except ImportError:
        return tuple(errors)
    errors.append(isal_zlib.error)  # type: ignore[arg-type]
    return tuple(errors)


def _read_to_end(stream: Any, archive: Path) -> None:
    """Read past the end marker, so that the checksum of the complete gzip stream is verified."""
    try:
        while stream.read(BLOCK_BYTES):
            pass
    except _errors() as error:
        raise _damaged(archive, error) from None


def _members(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    """Yield all files, links and devices, without keeping the headers as `tarfile` does."""
    while True:
        try:
            member = tar.next()
        except _errors() as error:
            raise _damaged(archive, error) from None
        if member is None:
            return
        tar.members.clear()  # type: ignore[attr-defined]
        if not member.isdir():
            yield member


def _member_bytes(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: Path) -> bytes:
    try:
        stream = tar.extractfile(member)
        return stream.read() if stream else b""
    except _errors() as error:
        raise _damaged(archive, error) from None


def _damaged(archive: Path, error: Exception) -> ArchiveDamaged:
    return ArchiveDamaged(f"{archive} is cut off or damaged ({error or type(error).__name__}); download it again")
