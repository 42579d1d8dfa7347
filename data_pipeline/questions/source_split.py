"""A split of a finished shard folder as the source of a derived dataset: its items, media and card metadata.

Owns the code shared by the stages that derive shards from shards (`chains.py`, `difficulty.py`). Reading shards is in
`lmms_eval_shotbench/questions/shards.py`, writing them in `write_shards.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from pathlib import Path

from data_pipeline.shards.atomic_folder import WriteRefused
from data_pipeline.shards.dataset_card import CARD
from data_pipeline.shards.row_writer import PendingRow
from data_pipeline.shards.write_shards import finished_manifest
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import MANIFEST, ShardFolder, file_sha256, locate_shards

UNKNOWN_LICENCE = "other"  # the Hub's identifier for a licence it does not list


class SourceSplit:
    """One split of the shards at `name` (a folder or Hub id); raises `DatasetNotFound`."""

    def __init__(self, name: str, split: str) -> None:
        self.folder, self.split = locate_shards(name), split
        self._shards = ShardFolder(self.folder, split)
        self.items = list(self._shards.items())
        self.sha256 = file_sha256(self.folder / MANIFEST)  # covers all files: the manifest lists their checksums
        self.title, self.licence = _title_and_licence(self.folder)

    def media(self, item: QAItem) -> bytes:
        """Return the encoded bytes of an item's medium."""
        return self._shards.media(item.item_id)

    def media_sha256(self, item: QAItem) -> str:
        """Return the SHA-256 of an item's medium, computed if the shards do not record it."""
        return item.media_sha256 or hashlib.sha256(self.media(item)).hexdigest()

    def row(self, split: str, item: QAItem) -> PendingRow:
        """Return an item as a row of the derived dataset, with its medium unchanged."""
        return PendingRow(split, item, partial(self.media, item))

    def check_output(self, out: Path, overwrite: bool, fingerprint_prefix: str) -> None:
        """Raise `WriteRefused` before any work if `write_shards` would refuse `out` at the end.

        Args:
            fingerprint_prefix: Prefix of the derived dataset's fingerprint.
        """
        target = require_apart(out, self.folder)
        if (
            target.is_dir()
            and any(target.iterdir())
            and not overwrite
            and not _has_fingerprint_prefix(target, fingerprint_prefix)
        ):
            raise WriteRefused(f"{out} is in use; choose another --out, or replace shards there with --overwrite")


def require_apart(out: Path, source: Path) -> Path:
    """Return the real path of an output folder; raises `WriteRefused` if it is inside the source or contains it."""
    target, folder = Path(os.path.realpath(out.expanduser())), Path(os.path.realpath(source))
    if target == folder or target in folder.parents or folder in target.parents:
        raise WriteRefused(f"--out {out} is inside the source {source} or contains it; choose another folder")
    return target


def _has_fingerprint_prefix(folder: Path, fingerprint_prefix: str) -> bool:
    try:
        fingerprint = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["source_fingerprint"]
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return str(fingerprint).startswith(fingerprint_prefix) and finished_manifest(folder, fingerprint) is not None


def _title_and_licence(folder: Path) -> tuple[str, str]:
    """Return title and licence of a shard folder from its dataset card."""
    from huggingface_hub import DatasetCard

    if not (folder / CARD).is_file():
        return folder.name, UNKNOWN_LICENCE
    data = DatasetCard.load(folder / CARD).data.to_dict()
    return str(data.get("pretty_name") or folder.name), str(data.get("license") or UNKNOWN_LICENCE)
