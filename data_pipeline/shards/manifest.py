"""`manifest.json` of a shard folder: what every other file weighs, and its checksum.

Owns writing it, checking a folder against it, and telling a shard folder from one that holds something else. That a
folder without it is not complete is told in `lmms_eval_shotbench/questions/shards.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_pipeline.shards.composition import Counts
from data_pipeline.shards.dataset_card import CARD, DEFECTS
from data_pipeline.shards.finished_files import DATA, FinishedFile, file_blake3
from data_pipeline.shards.whole_folder import WriteRefused, make_durable
from lmms_eval_shotbench.questions.shards import FORMAT_VERSION, MANIFEST, locate_shards


class Damaged(ValueError):
    """A shard folder is not what its manifest says."""


class Listed(NamedTuple):
    """A file as a manifest lists it."""

    name: str  # POSIX, relative to the folder
    bytes: int
    blake3: str


def write_manifest(folder: Path, counts: Counts, fingerprint: str, data: Mapping[str, FinishedFile]) -> None:
    """Write it last. Checksums of the data are known, the other files are small. All are on the disk afterwards."""
    files: dict[str, Any] = {f"{DATA}/{name}": {"bytes": f.bytes, "blake3": f.blake3} for name, f in data.items()}
    for path in folder.iterdir():
        if path.is_file():
            make_durable(path)
            files[path.name] = {"bytes": path.stat().st_size, "blake3": file_blake3(path)}
    manifest = {
        "format_version": FORMAT_VERSION,
        "source_fingerprint": fingerprint,
        "counts": counts,
        "files": dict(sorted(files.items())),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    make_durable(folder / MANIFEST)
    make_durable(folder)


def verified_files(folder: Path) -> list[Listed]:
    """All files but the manifest itself, each read whole and compared; raises `Damaged`."""
    if not folder.is_dir():
        raise Damaged(f"{folder} is no folder; give a shard folder on this machine")
    locate_shards(str(folder))
    files = listed_files((folder / MANIFEST).read_bytes())
    _verify(folder, files)
    return files


def verify_data(folder: Path) -> None:
    """Compare the files of rows alone: of a set on the Hub little else is fetched. Raises `Damaged`."""
    files = listed_files((folder / MANIFEST).read_bytes())
    _verify(folder, [file for file in files if Path(file.name).parts[0] == DATA])


def _verify(folder: Path, files: Sequence[Listed]) -> None:
    from tqdm import tqdm

    for file in tqdm(files, "verify", unit="file", file=sys.stderr, disable=None):
        path = folder / file.name
        if not path.is_file() or path.stat().st_size != file.bytes or file_blake3(path) != file.blake3:
            raise Damaged(
                f"{path} is missing or not what {MANIFEST} says; write the shards again, or copy them again from where "
                "they came"
            )


def listed_files(manifest: str | bytes) -> list[Listed]:
    """What a manifest lists; raises `Damaged` if it is none."""
    try:
        rows: Mapping[str, Any] = json.loads(manifest)["files"]
        return [Listed(name, int(row["bytes"]), str(row["blake3"])) for name, row in rows.items()]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Damaged(f"this is no {MANIFEST} of shards ({error})") from None


def check_place(out: Path, overwrite: bool) -> None:
    """Refuse a place that holds anything but shards: not even `overwrite` may delete what no import has written."""
    if out.exists() and not out.is_dir():
        raise WriteRefused(f"{out} is no folder; choose another --out")
    if not out.exists() or not any(out.iterdir()):
        return
    try:
        known = {Path(file.name).parts[0] for file in listed_files((out / MANIFEST).read_bytes())}
    except (OSError, Damaged):
        known = set()
    strangers = sorted({path.name for path in out.iterdir()} - {CARD, DEFECTS, MANIFEST, DATA} - known)
    strangers += sorted(path.name for path in (out / DATA).glob("*") if path.suffix != ".parquet")
    if strangers:
        raise WriteRefused(f"{out} holds {strangers[0]!r}, which is no part of a shard folder; choose another --out")
    if not overwrite:
        raise WriteRefused(f"{out} holds shards of another source, or broken ones; choose another --out or --overwrite")
