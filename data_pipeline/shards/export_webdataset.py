"""Shards as WebDataset tars, for training loops that stream: SPLIT-000000.tar, SPLIT-000001.tar, …

A sample is a medium with all questions about it, so that its bytes are stored once: `KEY.json`, whose `questions` are
rows of the columns of `QAItem`, then `KEY.jpg`, `KEY.mp4` or another suffix of the medium. Keys count the samples of a
split. The tars depend on the shards and their size only. `index.json` lists them with their samples; it is written
last, so a folder without it is incomplete, and is written again.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.folder_lock import only_writer
from data_pipeline.shards.full_disk import disk_full_reported
from lmms_eval_shotbench.atomic_file import atomic_path
from lmms_eval_shotbench.progress import progress_bar
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import MANIFEST, ShardFolder, locate_shards
from lmms_eval_shotbench.remote_path import Location, resolved
from lmms_eval_shotbench.runs.audit import split_names

INDEX = "index.json"
TAR_SUFFIX = ".tar"


class ExportedTars(NamedTuple):
    """Result of an export."""

    folder: Location
    samples: dict[str, int]  # by split
    tars: int
    already_complete: bool


def export_webdataset(shards: str, out: Location, tar_bytes: int, overwrite: bool = False) -> ExportedTars:
    """Write all splits of shards as tars into a folder or an address.

    Args:
        tar_bytes: A tar ends with the sample that reaches this size.

    Raises:
        DatasetNotFound: there are no such shards.
        WriteRefused: `out` holds something else, or the tars of other shards without `overwrite`.
    """
    if tar_bytes <= 0:
        raise ValueError(f"the size of a tar is {tar_bytes} bytes; use a positive number")
    folder, out = locate_shards(shards), resolved(out)
    source = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    with only_writer(out) if isinstance(out, Path) else nullcontext():
        index = _index(out)
        if (index.get("source"), index.get("tar_bytes")) == (source, tar_bytes):
            return _result(out, index, already_complete=True)
        _clear(out, bool(index), overwrite)
        index = {"source": source, "tar_bytes": tar_bytes, "tars": []}
        for split in split_names(folder):
            index["tars"] += _write_split(ShardFolder(folder, split), split, out, tar_bytes)
        with _new_file(out / INDEX) as draft:
            draft.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return _result(out, index, already_complete=False)


def _index(out: Location) -> dict[str, Any]:
    """The index of complete tars; empty if there is none."""
    try:
        index: dict[str, Any] = json.loads((out / INDEX).read_text(encoding="utf-8"))
        return index if index["tars"] else {}
    except (FileNotFoundError, NotADirectoryError, ValueError, LookupError, TypeError):
        return {}


def _clear(out: Location, is_complete: bool, overwrite: bool) -> None:
    """Remove the tars of an interrupted run, or of other shards; raises `WriteRefused` if it may not."""
    names = [path.name for path in out.iterdir() if not path.name.startswith(".")] if out.exists() else []
    if foreign := [name for name in names if name != INDEX and not name.endswith(TAR_SUFFIX)]:
        raise WriteRefused(f"{out} holds {foreign[0]!r}, which is no tar; choose another --out")
    if is_complete and not overwrite:
        raise WriteRefused(f"{out} holds tars of other shards or of another size; choose another --out or --overwrite")
    for name in sorted(names, reverse=True):  # the index first
        (out / name).unlink()


@contextmanager
def _new_file(target: Location) -> Iterator[Path]:
    """Yield a local path for the content of a file, which appears at `target` when it is complete."""
    if isinstance(target, Path):
        with disk_full_reported(target), atomic_path(target) as draft:
            yield draft
        return
    with tempfile.TemporaryDirectory(prefix="shotbench-export-") as name, disk_full_reported(Path(name)):
        yield Path(name) / target.name
        target.upload(Path(name) / target.name)


def _write_split(shards: ShardFolder, split: str, out: Location, tar_bytes: int) -> list[dict[str, Any]]:
    """Write the tars of a split; returns their entries in the index."""
    questions: dict[str, list[QAItem]] = {}  # by medium, in the order of their first questions
    for item in shards.items():
        questions.setdefault(item.medium, []).append(item)
    entries: list[dict[str, Any]] = []
    with progress_bar(f"export {split}", len(questions), "medium") as progress:
        samples = enumerate(questions.values())
        sample = next(samples, None)
        while sample is not None:
            name, count = f"{split}-{len(entries):06d}{TAR_SUFFIX}", 0
            with _new_file(out / name) as draft, tarfile.open(draft, "w", format=tarfile.USTAR_FORMAT) as tar:
                while sample is not None and (not count or tar.offset < tar_bytes):
                    for member, content in _members(*sample, shards):
                        _add(tar, member, content)
                    count += 1
                    progress.update()
                    sample = next(samples, None)
            entries.append({"name": name, "split": split, "samples": count})
    return entries


def _members(number: int, questions: Sequence[QAItem], shards: ShardFolder) -> Iterator[tuple[str, bytes]]:
    """The members of a sample."""
    rows = [item.to_row() for item in questions]
    yield f"{number:09d}.json", json.dumps({"questions": rows}, ensure_ascii=False).encode()
    suffix = PurePosixPath(questions[0].media_path).suffix.lower() or ".bin"
    yield f"{number:09d}{suffix}", shards.media(questions[0].item_id)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # without times and owners
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _result(out: Location, index: dict[str, Any], already_complete: bool) -> ExportedTars:
    samples: dict[str, int] = {}
    for entry in index["tars"]:
        samples[entry["split"]] = samples.get(entry["split"], 0) + entry["samples"]
    return ExportedTars(out, samples, len(index["tars"]), already_complete)
