"""A split of a finished shard folder, as the source of a derived set: its questions, its media, what its card says.

Owns what steps share that go from shards to shards (`chains.py`, `difficulty.py`). Reading shards is in
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
from data_pipeline.shards.write_shards import ShardRow, finished_manifest
from lmms_eval_shotbench.qa_item import QAItem
from lmms_eval_shotbench.questions.shards import MANIFEST, ShardFolder, file_sha256, locate_shards

UNKNOWN_LICENCE = "other"  # the Hub's word


class SourceSplit:
    """One split of the shards at `name` (a folder or Hub id); raises `DatasetNotFound`."""

    def __init__(self, name: str, split: str) -> None:
        self.folder, self.split = locate_shards(name), split
        self._shards = ShardFolder(self.folder, split)
        self.items = list(self._shards.items())
        self.sha256 = file_sha256(self.folder / MANIFEST)  # names the checksum of every file
        self.title, self.licence = _card_says(self.folder)

    def media(self, item: QAItem) -> bytes:
        """Encoded bytes of an item's medium."""
        return self._shards.media(item.item_id)

    def media_sha256(self, item: QAItem) -> str:
        """Checksum of an item's medium; where the shards name none it is computed."""
        return item.media_sha256 or hashlib.sha256(self.media(item)).hexdigest()

    def row(self, split: str, item: QAItem) -> ShardRow:
        """An item for a derived set, with its medium byte for byte."""
        return ShardRow(split, item, partial(self.media, item))

    def check_out(self, out: Path, overwrite: bool, settings: str) -> None:
        """Refuse early, before work is done, what `write_shards` would refuse at the end.

        Args:
            settings: Beginning of the fingerprint that the derived set will have.
        """
        place, source = Path(os.path.realpath(out.expanduser())), Path(os.path.realpath(self.folder))
        if place == source or place in source.parents or source in place.parents:
            raise WriteRefused(f"--out {out} lies in the source {self.folder} or holds it; choose another place")
        if place.is_dir() and any(place.iterdir()) and not overwrite and not _is_of(place, settings):
            raise WriteRefused(f"{out} is in use; choose another --out, or replace shards there with --overwrite")


def _is_of(folder: Path, settings: str) -> bool:
    try:
        fingerprint = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["source_fingerprint"]
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return str(fingerprint).startswith(settings) and finished_manifest(folder, fingerprint) is not None


def _card_says(folder: Path) -> tuple[str, str]:
    """Title and licence of a shard folder, by its card."""
    from huggingface_hub import DatasetCard

    if not (folder / CARD).is_file():
        return folder.name, UNKNOWN_LICENCE
    data = DatasetCard.load(folder / CARD).data.to_dict()
    return str(data.get("pretty_name") or folder.name), str(data.get("license") or UNKNOWN_LICENCE)
