"""The official release on disk: locating its question file and media, and reading one medium at a time.

Owns finding media by the path in a question, in `images.tar` and `videos.tar` or in unpacked folders, and
the release's fingerprint. Tars are uncompressed: their headers are read once, members by seeking; nothing is unpacked.
A problem of the release itself raises `ImportRefused`; a problem of one medium is a `Flaw` (see `check_media.py`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from data_pipeline.checks.check_media import CheckedMedium, check_file_size, check_header
from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.medium_guard import RunEnds
from lmms_eval_shotbench.questions.shards import DatasetNotFound, file_sha256, hub_snapshot
from lmms_eval_shotbench.vocabulary import MediaKind

QUESTIONS = "test.tsv"
TARS = {MediaKind.STILL: "images.tar", MediaKind.CLIP: "videos.tar"}
FOLDERS = {MediaKind.STILL: ("image", "images"), MediaKind.CLIP: ("video", "videos")}
DOWNLOADED = [QUESTIONS, "README.md", *TARS.values(), *(f"{name}/*" for names in FOLDERS.values() for name in names)]
COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstandard"}
FINGERPRINT_VERSION = 3  # increment when an import of the same release would write other rows


class ImportRefused(RunEnds, ValueError):
    """The release cannot be imported; the message says what is wrong, where, and what to do next."""


class ReleaseFile(NamedTuple):
    """One file of the release; `member` is its tar header, or None outside a tar."""

    name: str  # POSIX, relative to the tar or the release folder, without "./"
    size: int
    regular: bool
    detail: str  # the kind of file, if it is not a regular one
    store: Path
    member: tarfile.TarInfo | None
    times: int = 1  # number of tar members with this name; the last one is used, as when unpacking


@dataclass
class Release:
    """A release folder; its tars stay open until `close` is called."""

    folder: Path
    _media: dict[tuple[Path, str], ReleaseFile] = field(default_factory=dict)
    _by_last_name: dict[str, list[ReleaseFile]] = field(default_factory=dict)
    _tars: dict[Path, tarfile.TarFile] = field(default_factory=dict)

    def close(self) -> None:
        """Close the tars."""
        for tar in self._tars.values():
            tar.close()

    def stores(self, kind: MediaKind) -> list[Path]:
        """Return where media of this kind are stored: the tar, else the unpacked folders, else an empty list."""
        tar = self.folder / TARS[kind]
        return [tar] if tar.is_file() else [path for n in FOLDERS[kind] if (path := self.folder / n).is_dir()]

    def require(self, kind: MediaKind) -> None:
        """Raise `ImportRefused` if the release folder has no media of this kind."""
        if not self.stores(kind):
            raise ImportRefused(
                f"{self.folder} has neither {TARS[kind]} nor a folder {' or '.join(FOLDERS[kind])}, but {QUESTIONS} "
                f"asks for {kind}s; put {TARS[kind]} of the release there, packed or unpacked, or leave the questions "
                "about them out with --allow-missing or --dimensions"
            )

    def fingerprint(self, dimensions: Sequence[str] = ()) -> str:
        """Hash the question file, and the name, size and modification time of all media files, with the choice."""
        parts: list[object] = [FINGERPRINT_VERSION, file_sha256(self.folder / QUESTIONS), *sorted(dimensions)]
        for store in (store for kind in MediaKind for store in self.stores(kind)):
            for path in [store] if store.is_file() else files_under(store):
                status = path.stat(follow_symlinks=path.exists())
                parts.append([path.relative_to(self.folder).as_posix(), status.st_size, status.st_mtime_ns])
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def scan(self) -> None:
        """Index all media; raises `ImportRefused` on a damaged tar."""
        for store in (store for kind in MediaKind for store in self.stores(kind)):
            for medium in self._tar_members(store) if store.is_file() else self._folder_files(store):
                known = self._media.get((store, medium.name))
                self._media[store, medium.name] = medium._replace(times=known.times + 1 if known else 1)
        for medium in self._media.values():
            self._by_last_name.setdefault(PurePosixPath(medium.name).name, []).append(medium)

    def find(self, path: str, kind: MediaKind) -> ReleaseFile | Flaw:
        """Find the medium of a question by its exact name, else by the only name with the same ending."""
        wanted = PurePosixPath(path)
        candidates = self._by_last_name.get(wanted.name, [])
        rules = (
            [medium for medium in candidates if medium.name == str(wanted)],
            [medium for medium in candidates if medium.name.endswith(f"/{wanted}")],
            # For members at the top level of `images.tar`, the tar's name is used as the folder name.
            [m for m in candidates if PurePosixPath(m.store.stem, m.name).parent.name in FOLDERS[kind]],
        )
        found = next((rule for rule in rules if rule), [])
        if not found:
            stores = " or ".join(store.name for store in self.stores(kind))
            return Flaw(DefectKind.MISSING_MEDIUM, f"not in {stores}" if stores else f"there is no {TARS[kind]}")
        if len(found) > 1:
            names = ", ".join(f"{medium.store.name}:{medium.name}" for medium in found[:3])
            return Flaw(DefectKind.AMBIGUOUS_MEDIUM, f"{len(found)} files could be meant: {names}")
        if not found[0].regular:
            return Flaw(DefectKind.NOT_A_REGULAR_FILE, found[0].detail)
        return found[0]

    def read(self, medium: ReleaseFile) -> bytes:
        """Read a medium's bytes."""
        if medium.member is None:
            return (self.folder / medium.name).read_bytes()
        stream = self._tars[medium.store].extractfile(medium.member)
        return stream.read() if stream else b""

    def _tar_members(self, path: Path) -> Iterator[ReleaseFile]:
        self._tars[path] = tar = _open_tar(path)
        for member in _all_headers(tar, path):
            if not member.isdir():
                name = str(PurePosixPath(member.name.lstrip("/")))
                detail = f"a link to {member.linkname}" if member.linkname else "a device or pipe"
                yield ReleaseFile(name, member.size, member.isreg(), detail, path, member)

    def _folder_files(self, store: Path) -> Iterator[ReleaseFile]:
        root = allowed_root(self.folder)
        if not Path(os.path.realpath(store)).is_relative_to(root):
            raise ImportRefused(f"{store} is a link out of the release; put the media themselves there, or their tar")
        for path in files_under(store):
            name = path.relative_to(self.folder).as_posix()
            inside = Path(os.path.realpath(path)).is_relative_to(root)  # Path.resolve raises on circular links
            detail = "a symbolic link out of the release, or to nowhere" if path.is_symlink() else "a device or pipe"
            regular = inside and path.is_file()  # is_file follows links; pipes are never opened
            yield ReleaseFile(name, path.stat().st_size if regular else 0, regular, detail, store, None)


def find_release(name: str) -> Release:
    """Find a release folder, or else the Hub dataset of that name; raises `ImportRefused`."""
    folder = Path(name).expanduser()
    folder = folder if folder.exists() else _download_shotbench(name)
    if not (folder / QUESTIONS).is_file():
        raise ImportRefused(f"{folder} has no {QUESTIONS}; give the folder that holds the release's files and tars")
    return Release(folder.resolve())


def _download_shotbench(name: str) -> Path:
    try:
        return hub_snapshot(name, DOWNLOADED)
    except DatasetNotFound as error:
        raise ImportRefused(
            f"no release at {name!r}: {error}. Check the name and the network, or download the release by hand and "
            "give its folder"
        ) from None


def _open_tar(path: Path) -> tarfile.TarFile:
    with path.open("rb") as stream:
        start = stream.read(6)
    for magic, name in COMPRESSIONS.items():
        if start.startswith(magic):
            raise ImportRefused(f"{path} is compressed ({name}), unlike the tars of the release; decompress it first")
    try:
        return tarfile.open(path, "r:")
    except (tarfile.TarError, ValueError) as error:
        raise ImportRefused(f"{path} is not a tar file ({error}); download it again") from None


def _all_headers(tar: tarfile.TarFile, path: Path) -> list[tarfile.TarInfo]:
    """Return all headers. `tarfile` takes a broken or truncated header for the end, so check the end marker, too."""
    try:
        members = tar.getmembers()
        assert tar.fileobj is not None, "the tar is open"
        tar.fileobj.seek(tar.offset)
        if tar.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError(f"no end marker at byte {tar.offset:,}")
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise ImportRefused(f"{path} is cut off or damaged ({error}); download it again") from None
    return members


def files_under(folder: Path) -> Iterator[Path]:
    """Yield all files in a fixed order; linked folders are not followed."""
    for parent, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(files))


def allowed_root(folder: Path) -> Path:
    """Return the folder that links must stay in: the release or, in the Hub's cache, the repository with `blobs`."""
    storage = folder.parent.parent
    return storage if folder.parent.name == "snapshots" and (storage / "blobs").is_dir() else folder


MAGIC_NUMBERS = {
    MediaKind.STILL: re.compile(
        rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|....ftyp(?:avif|avis|mif1)|II\*\0|MM\0\*|BM|GIF8[79]a|"
        rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",  # JPEG 2000: a file and a codestream
        re.DOTALL,
    ),
    MediaKind.CLIP: re.compile(
        rb"....(?:ftyp|moov|mdat|free|skip|wide)|\x1aE\xdf\xa3|RIFF....AVI |FLV\x01|G.{187}G|\0\0\x01[\xba\xb3]|OggS",
        re.DOTALL,
    ),
}


def trust_medium(kind: MediaKind, encoded: bytes) -> CheckedMedium:
    """Check a medium by its size, its first bytes and, of a still, its header."""
    if flaw := check_file_size(len(encoded)):
        return CheckedMedium(flaw)
    if not MAGIC_NUMBERS[kind].match(encoded):
        return CheckedMedium(Flaw(DefectKind.UNDECODABLE_MEDIUM, f"not the start of any {kind}"))
    return check_header(kind, encoded)
