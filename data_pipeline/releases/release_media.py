"""The official release on disk: where its question file and media are, and reading one medium at a time.

Owns the finding of media by the path a question names, in `images.tar` and `videos.tar` or in unpacked folders, and
the release's fingerprint. Tars are uncompressed: their headers are read once, members by seeking; nothing is unpacked.
What is wrong with the release as a whole is an `ImportRefused`; with one medium, a `Flaw` (see `check_media.py`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from data_pipeline.checks.check_media import judge_size
from data_pipeline.defects import DefectKind, Flaw
from lmms_eval_shotbench.questions.shards import DatasetNotFound, file_sha256, hub_snapshot
from lmms_eval_shotbench.vocabulary import MediaKind

QUESTIONS = "test.tsv"
TARS = {MediaKind.STILL: "images.tar", MediaKind.CLIP: "videos.tar"}
FOLDERS = {MediaKind.STILL: ("image", "images"), MediaKind.CLIP: ("video", "videos")}
WANTED = [QUESTIONS, "README.md", *TARS.values(), *(f"{name}/*" for names in FOLDERS.values() for name in names)]
COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstandard"}
FINGERPRINT_VERSION = 1  # raise when an import of the same release would write other rows


class ImportRefused(ValueError):
    """The release cannot be imported as it is: what is wrong, where, and what to do next."""


class ReleaseFile(NamedTuple):
    """One file of the release; `member` is its header where it lies in a tar."""

    name: str  # POSIX, relative to the tar or the release folder, without "./"
    size: int
    regular: bool
    detail: str  # what it is, where it is no regular file
    store: Path
    member: tarfile.TarInfo | None
    times: int = 1  # how often its tar holds this name; the last one counts, as when unpacking


@dataclass
class Release:
    """A release folder; its tars stay open while media are read, until `close`."""

    folder: Path
    _media: dict[tuple[Path, str], ReleaseFile] = field(default_factory=dict)
    _by_last_name: dict[str, list[ReleaseFile]] = field(default_factory=dict)
    _tars: dict[Path, tarfile.TarFile] = field(default_factory=dict)

    def close(self) -> None:
        """Close the tars."""
        for tar in self._tars.values():
            tar.close()

    def stores(self, kind: MediaKind) -> list[Path]:
        """Where media of this kind lie: the tar, else the unpacked folders, else nowhere."""
        tar = self.folder / TARS[kind]
        return [tar] if tar.is_file() else [path for n in FOLDERS[kind] if (path := self.folder / n).is_dir()]

    def require(self, kind: MediaKind) -> None:
        """Raise `ImportRefused` if questions ask for media of a kind that the release folder lacks altogether."""
        if not self.stores(kind):
            raise ImportRefused(
                f"{self.folder} has neither {TARS[kind]} nor a folder {' or '.join(FOLDERS[kind])}, but {QUESTIONS} "
                f"asks for {kind}s; put {TARS[kind]} of the release there, as it is or unpacked"
            )

    def fingerprint(self) -> str:
        """Identify the release without reading its media: question file, and name, size and time of the rest."""
        seen: list[object] = [FINGERPRINT_VERSION, file_sha256(self.folder / QUESTIONS)]
        for store in (store for kind in MediaKind for store in self.stores(kind)):
            for path in [store] if store.is_file() else _files_under(store):
                status = path.stat(follow_symlinks=path.exists())
                seen.append([path.relative_to(self.folder).as_posix(), status.st_size, status.st_mtime_ns])
        return hashlib.sha256(json.dumps(seen).encode()).hexdigest()

    def scan(self) -> None:
        """List all media; raise `ImportRefused` on a damaged tar."""
        for store in (store for kind in MediaKind for store in self.stores(kind)):
            for medium in self._tar_members(store) if store.is_file() else self._folder_files(store):
                known = self._media.get((store, medium.name))
                self._media[store, medium.name] = medium._replace(times=known.times + 1 if known else 1)
        for medium in self._media.values():
            self._by_last_name.setdefault(PurePosixPath(medium.name).name, []).append(medium)

    def find(self, path: str, kind: MediaKind) -> ReleaseFile | Flaw:
        """Find the medium a question names: by its exact name, else by the one name that ends like it."""
        wanted = PurePosixPath(path)
        candidates = self._by_last_name.get(wanted.name, [])
        rules = (
            [medium for medium in candidates if medium.name == str(wanted)],
            [medium for medium in candidates if medium.name.endswith(f"/{wanted}")],
            # At the top of `images.tar`, the folder's name is that of the tar.
            [m for m in candidates if PurePosixPath(m.store.stem, m.name).parent.name in FOLDERS[kind]],
        )
        found = next((rule for rule in rules if rule), [])
        if not found:
            return Flaw(DefectKind.MISSING_MEDIUM, f"not in {' or '.join(s.name for s in self.stores(kind))}")
        if len(found) > 1:
            names = ", ".join(f"{medium.store.name}:{medium.name}" for medium in found[:3])
            return Flaw(DefectKind.AMBIGUOUS_MEDIUM, f"{len(found)} files could be meant: {names}")
        if not found[0].regular:
            return Flaw(DefectKind.NOT_A_REGULAR_FILE, found[0].detail)
        return found[0]

    def read(self, medium: ReleaseFile) -> bytes:
        """Read a medium's bytes; raise `ImportRefused` if the disk does not give what was listed."""
        try:
            if medium.member is None:
                return (self.folder / medium.name).read_bytes()
            stream = self._tars[medium.store].extractfile(medium.member)
            return stream.read() if stream else b""
        except (OSError, tarfile.TarError) as error:
            raise ImportRefused(f"{medium.name} in {medium.store} cannot be read ({error}); check the disk") from error

    def _tar_members(self, path: Path) -> Iterator[ReleaseFile]:
        self._tars[path] = tar = _open_tar(path)
        for member in _whole_listing(tar, path):
            if not member.isdir():
                name = str(PurePosixPath(member.name.lstrip("/")))
                detail = f"a link to {member.linkname}" if member.linkname else "a device or pipe"
                yield ReleaseFile(name, member.size, member.isreg(), detail, path, member)

    def _folder_files(self, store: Path) -> Iterator[ReleaseFile]:
        root = _allowed_root(self.folder)
        if not Path(os.path.realpath(store)).is_relative_to(root):
            raise ImportRefused(f"{store} is a link out of the release; put the media themselves there, or their tar")
        for path in _files_under(store):
            name = path.relative_to(self.folder).as_posix()
            inside = Path(os.path.realpath(path)).is_relative_to(root)  # Path.resolve raises on a circle of links
            detail = "a symbolic link out of the release, or to nowhere" if path.is_symlink() else "a device or pipe"
            regular = inside and path.is_file()  # is_file follows the link; a pipe is never opened
            yield ReleaseFile(name, path.stat().st_size if regular else 0, regular, detail, store, None)


def find_release(name: str) -> Release:
    """Find a release folder or, where there is none of that name, the Hub's dataset; raise `ImportRefused`."""
    folder = Path(name).expanduser()
    folder = folder if folder.exists() else _download(name)
    if not (folder / QUESTIONS).is_file():
        raise ImportRefused(f"{folder} has no {QUESTIONS}; give the folder that holds the release's files and tars")
    return Release(folder.resolve())


def _download(name: str) -> Path:
    try:
        return hub_snapshot(name, WANTED)
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
            raise ImportRefused(f"{path} is compressed ({name}), the release's tars are not; decompress it first")
    try:
        return tarfile.open(path, "r:")
    except (tarfile.TarError, ValueError) as error:
        raise ImportRefused(f"{path} is no tar file ({error}); download it again") from None


def _whole_listing(tar: tarfile.TarFile, path: Path) -> list[tarfile.TarInfo]:
    """All headers. `tarfile` takes a broken or cut header for the end, so the end mark is looked for as well."""
    try:
        members = tar.getmembers()
        assert tar.fileobj is not None, "the tar is open"
        tar.fileobj.seek(tar.offset)
        if tar.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError(f"no end mark at byte {tar.offset:,}")
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise ImportRefused(f"{path} is cut off or damaged ({error}); download it again") from None
    return members


def _files_under(folder: Path) -> Iterator[Path]:
    """Everything but folders, in a fixed order; linked folders are not entered."""
    for place, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(place, name) for name in sorted(files))


def _allowed_root(folder: Path) -> Path:
    """What links may point to: the release folder; in the Hub's cache, files are links into `blobs` beside it."""
    storage = folder.parent.parent
    return storage if folder.parent.name == "snapshots" and (storage / "blobs").is_dir() else folder


STARTS = {
    MediaKind.STILL: re.compile(
        rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|....ftyp(?:avif|avis|mif1)|II\*\0|MM\0\*|BM|GIF8[79]a", re.DOTALL
    ),
    MediaKind.CLIP: re.compile(
        rb"....(?:ftyp|moov|mdat|free|skip|wide)|\x1aE\xdf\xa3|RIFF....AVI |FLV\x01|G.{187}G|\0\0\x01[\xba\xb3]|OggS",
        re.DOTALL,
    ),
}


def trust_medium(kind: MediaKind, encoded: bytes) -> Flaw | None:
    """Return what is wrong with a medium's size or first bytes, None if nothing is."""
    if flaw := judge_size(len(encoded)):
        return flaw
    return None if STARTS[kind].match(encoded) else Flaw(DefectKind.UNDECODABLE_MEDIUM, f"not the start of any {kind}")
