"""Media in local folders, unpacked or in zip files, found by the paths that a release gives them.

Owns the index of files and zip members, and the reading of one medium. Nothing is unpacked. Releases name media by
paths of their authors' machines, so a medium is found by its path below any folder, else by its base name; two files
of one base name are ambiguous. The tars of ShotBench are in `release_media.py`.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from data_pipeline.defects import DefectKind, Flaw
from data_pipeline.releases.release_media import ImportRefused, ReleaseFile, allowed_root, files_under
from lmms_eval_shotbench.vocabulary import MediaKind

ZIP = ".zip"


class MediaFolder:
    """The media of some folders; their zip files stay open until `close` is called."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self._by_base_name: dict[str, list[ReleaseFile]] = {}
        self._zips: dict[Path, zipfile.ZipFile] = {}

    def close(self) -> None:
        """Close the zip files."""
        for archive in self._zips.values():
            archive.close()

    def fingerprint(self) -> list[object]:
        """Return name, size and modification time of all files."""
        return [
            [path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns]
            for folder in self.folders
            for path in files_under(folder)
            for status in [path.stat(follow_symlinks=path.exists())]
        ]

    def scan(self) -> None:
        """Index all files and the members of all zip files; raises `ImportRefused` on a damaged zip file."""
        for folder in self.folders:
            root = allowed_root(folder)
            for path in files_under(folder):
                self._add(_file(path, folder, root))
                if path.suffix.lower() == ZIP and path.is_file():
                    for medium in self._zip_members(path):
                        self._add(medium)

    def find(self, path: str, kind: MediaKind) -> ReleaseFile | Flaw:
        """Find a medium by the end of its path, else by its base name; unpacked files come before zip members."""
        wanted = PurePosixPath(path)
        named = self._by_base_name.get(wanted.name, [])
        unpacked = [medium for medium in named if not self._is_packed(medium)]
        candidates = unpacked or named
        found = [medium for medium in candidates if f"/{medium.name}".endswith(f"/{wanted}")] or candidates
        if not found:
            return Flaw(DefectKind.MISSING_MEDIUM, f"no {kind} of this name in {' or '.join(map(str, self.folders))}")
        if len(found) > 1:
            names = ", ".join(str(medium.store / medium.name) for medium in found[:3])
            return Flaw(DefectKind.AMBIGUOUS_MEDIUM, f"{len(found)} files could be meant: {names}")
        return found[0] if found[0].regular else Flaw(DefectKind.NOT_A_REGULAR_FILE, found[0].detail)

    def read(self, medium: ReleaseFile) -> bytes:
        """Read a medium's bytes."""
        if self._is_packed(medium):
            return self._zips[medium.store].read(medium.name)
        return (medium.store / medium.name).read_bytes()

    def _is_packed(self, medium: ReleaseFile) -> bool:
        return medium.store in self._zips

    def _add(self, medium: ReleaseFile) -> None:
        self._by_base_name.setdefault(PurePosixPath(medium.name).name, []).append(medium)

    def _zip_members(self, path: Path) -> Iterator[ReleaseFile]:
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise ImportRefused(f"{path} is cut off or damaged ({error}); download it again") from None
        self._zips[path] = archive
        for member in archive.infolist():
            if not member.is_dir():
                yield ReleaseFile(member.filename, member.file_size, True, "", path, None)


def _file(path: Path, folder: Path, root: Path) -> ReleaseFile:
    inside = Path(os.path.realpath(path)).is_relative_to(root)
    regular = inside and path.is_file()
    detail = "a symbolic link out of the folder, or to nowhere" if path.is_symlink() else "a device or pipe"
    size = path.stat().st_size if regular else 0
    return ReleaseFile(path.relative_to(folder).as_posix(), size, regular, detail, folder, None)
