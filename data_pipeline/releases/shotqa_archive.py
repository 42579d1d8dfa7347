"""The media of ShotQA: `data.tar.gz` read once from front to back, never unpacked.

Owns the stream, and telling its end from its breaking off. Which files are wanted is in `wanted_media.py`, what is
wrong with a file's content in `check_media.py`.

A stream cannot know whether a name comes again: the first file of a name counts (unpacking would leave the last), and
later ones are told. Nothing is ever written by a name from the archive; links and devices are no media. gzip is read by
isal's igzip where that is installed, several times faster.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any

from data_pipeline.checks.check_media import judge_size
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.releases.release_media import ImportRefused
from data_pipeline.releases.wanted_media import ArchivedMedium, Strangers, Wanted, WantedMedia

GZIP_START = b"\x1f\x8b"
BLOCK_BYTES = 1 << 20


class ArchiveDamaged(ImportRefused):
    """The archive breaks off or cannot be read."""


def stream_media(
    archive: Path, media: WantedMedia, strangers: Strangers, again: list[tuple[Wanted, str]]
) -> Iterator[ArchivedMedium]:
    """Yield the wanted media in the archive's order; `again` takes files whose medium was there before.

    Raises:
        ArchiveDamaged: it is no archive, or breaks off; told where that shows, after all media before.
    """
    with ExitStack() as opened:
        stream = _open(archive, opened)
        tar = opened.enter_context(_tar(stream, archive))
        for member in _members(tar, archive):
            name = str(PurePosixPath(member.name.lstrip("/")))
            wanted = media.meant_by(name)
            new = [medium for medium in wanted if media.is_new(medium)]
            again += [(medium, name) for medium in wanted if medium not in new]
            if not wanted:
                strangers.add(name)
            if new:
                flaw = _flaw(member)
                encoded = b"" if flaw else _read(tar, member, archive)
                yield from (ArchivedMedium(medium, name, encoded, flaw) for medium in new)
        _read_out(stream, archive)


def _flaw(member: tarfile.TarInfo) -> Flaw | None:
    if member.isreg():
        return judge_size(member.size)
    return Flaw(
        DefectKind.NOT_A_REGULAR_FILE, f"a link to {member.linkname}" if member.linkname else "a device or pipe"
    )


class _Header(tarfile.TarInfo):
    """`tarfile` takes a broken or missing header for the end of the archive; here it is an error."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: Any, errors: Any) -> Any:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from None


def _open(archive: Path, opened: ExitStack) -> Any:
    """The bytes of the tar."""
    raw = opened.enter_context(archive.open("rb"))
    start = raw.read(len(GZIP_START))
    raw.seek(0)
    if start != GZIP_START:
        return raw
    try:
        from isal import igzip
    except ImportError:
        return opened.enter_context(gzip.open(raw, "rb"))
    return opened.enter_context(igzip.open(raw, "rb"))  # type: ignore[no-untyped-call]


def _tar(stream: Any, archive: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=stream, mode="r:", tarinfo=_Header)  # members come in order: it never goes back
    except _errors() as error:
        raise _damaged(archive, error) from None


def _errors() -> tuple[type[Exception], ...]:
    """What a damaged archive raises."""
    errors: list[type[Exception]] = [tarfile.TarError, EOFError, zlib.error, OSError]
    try:
        from isal import isal_zlib
    except ImportError:
        return tuple(errors)
    errors.append(isal_zlib.error)  # type: ignore[arg-type]
    return tuple(errors)


def _read_out(stream: Any, archive: Path) -> None:
    """Read on behind the end mark, so that the checksum of the whole gzip stream is compared."""
    try:
        while stream.read(BLOCK_BYTES):
            pass
    except _errors() as error:
        raise _damaged(archive, error) from None


def _members(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    """All files, links and devices; `tarfile` would keep every header."""
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


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: Path) -> bytes:
    try:
        stream = tar.extractfile(member)
        return stream.read() if stream else b""
    except _errors() as error:
        raise _damaged(archive, error) from None


def _damaged(archive: Path, error: Exception) -> ArchiveDamaged:
    return ArchiveDamaged(f"{archive} is cut off or damaged ({error or type(error).__name__}); download it again")
