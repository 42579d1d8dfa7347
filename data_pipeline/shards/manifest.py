"""`manifest.json` of a shard folder: size and checksum of every other file, and a summary of the media warnings.

Owns writing it, verifying a folder against it, and recognizing folders that hold something else. A folder without a
manifest is incomplete, see `lmms_eval_shotbench/questions/shards.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_pipeline.defects import FIRST_MEDIA, Defect, media_warnings_by_kind
from data_pipeline.shards.atomic_folder import WriteRefused, make_durable
from data_pipeline.shards.composition import Counts
from data_pipeline.shards.dataset_card import CARD, DEFECTS
from data_pipeline.shards.finished_files import DATA, FinishedFile, file_blake3
from data_pipeline.shards.full_disk import write_output
from lmms_eval_shotbench.progress import with_progress
from lmms_eval_shotbench.questions.shards import FORMAT_VERSION, MANIFEST, locate_shards


class Damaged(ValueError):
    """A shard folder does not match its manifest."""


class ListedFile(NamedTuple):
    """A file listed in a manifest."""

    name: str  # POSIX, relative to the folder
    bytes: int
    blake3: str


def write_manifest(
    folder: Path, counts: Counts, fingerprint: str, data: Mapping[str, FinishedFile], defects: Sequence[Defect] = ()
) -> None:
    """Write the manifest, as the last file, and make all files durable; checksums of `data` are already known."""
    files: dict[str, Any] = {f"{DATA}/{name}": {"bytes": f.bytes, "blake3": f.blake3} for name, f in data.items()}
    for path in folder.iterdir():
        if path.is_file():
            make_durable(path)
            files[path.name] = {"bytes": path.stat().st_size, "blake3": file_blake3(path)}
    manifest = {
        "format_version": FORMAT_VERSION,
        "source_fingerprint": fingerprint,
        "counts": counts,
        "media_warnings": {
            str(kind): {"media": len(warned), "first": [defect.index for defect in warned[:FIRST_MEDIA]]}
            for kind, warned in media_warnings_by_kind(defects).items()
        },
        "files": dict(sorted(files.items())),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    make_durable(folder / MANIFEST)
    make_durable(folder)


def replace_files(folder: Path, contents: Mapping[str, str], added: Iterable[str] = ()) -> None:
    """Write small files into a finished shard folder, each atomically, and then the manifest that lists them.

    Args:
        contents: Contents by file name.
        added: Names of files that were written into the folder already, and are to be listed as well.
    """
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
    for name in added:
        make_durable(folder / name)
        size = (folder / name).stat().st_size
        manifest["files"][name] = {"bytes": size, "blake3": file_blake3(folder / name)}
    for name, content in contents.items():
        write_output(folder / name, content)
        make_durable(folder / name)
        manifest["files"][name] = {"bytes": len(content.encode()), "blake3": file_blake3(folder / name)}
    manifest["files"] = dict(sorted(manifest["files"].items()))
    write_output(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    make_durable(folder / MANIFEST)
    make_durable(folder)


def verified_files(folder: Path) -> list[ListedFile]:
    """All files except the manifest itself, after verifying size and checksum of each; raises `Damaged`."""
    if not folder.is_dir():
        raise Damaged(f"{folder} is not a folder; give a local shard folder")
    locate_shards(str(folder))
    files = listed_files((folder / MANIFEST).read_bytes())
    _verify(folder, files)
    return files


def verify_data(folder: Path) -> None:
    """Verify only the data files, since little else is downloaded from the Hub; raises `Damaged`."""
    files = listed_files((folder / MANIFEST).read_bytes())
    _verify(folder, [file for file in files if Path(file.name).parts[0] == DATA])


def _verify(folder: Path, files: Sequence[ListedFile]) -> None:
    for file in with_progress(files, "verify", len(files), "file"):
        path = folder / file.name
        if not path.is_file() or path.stat().st_size != file.bytes or file_blake3(path) != file.blake3:
            raise Damaged(
                f"{path} is missing or does not match {MANIFEST}; write the shards again, or copy them again from "
                "their source"
            )


def listed_files(manifest: str | bytes) -> list[ListedFile]:
    """The files listed in a manifest; raises `Damaged` if it is malformed."""
    try:
        rows: Mapping[str, Any] = json.loads(manifest)["files"]
        return [ListedFile(name, int(row["bytes"]), str(row["blake3"])) for name, row in rows.items()]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Damaged(f"not a valid {MANIFEST} of shards ({error})") from None


def check_target(out: Path, overwrite: bool) -> None:
    """Raise `WriteRefused` if `out` holds anything but shards (never deleted), or shards and `overwrite` is False."""
    if out.exists() and not out.is_dir():
        raise WriteRefused(f"{out} is not a folder; choose another --out")
    if not out.exists() or not any(out.iterdir()):
        return
    try:
        known = {Path(file.name).parts[0] for file in listed_files((out / MANIFEST).read_bytes())}
    except (OSError, Damaged):
        known = set()
    foreign = sorted({path.name for path in out.iterdir()} - {CARD, DEFECTS, MANIFEST, DATA} - known)
    foreign += sorted(path.name for path in (out / DATA).glob("*") if path.suffix != ".parquet")
    if foreign:
        raise WriteRefused(f"{out} holds {foreign[0]!r}, which is not part of a shard folder; choose another --out")
    if not overwrite:
        raise WriteRefused(f"{out} holds shards of another source, or broken ones; choose another --out or --overwrite")
