"""Writing of a shard folder to remote storage, resumable after an interruption, also from another machine.

Every finished file is sent to a draft beside OUT, `.NAME.partial/`, and removed from the local disk, which needs space
for unfinished files only. At the end the files are copied to their final names within the storage, and the manifest is
written last (`push_to_url.py`): readers see either no shards or complete ones. Object stores have no locks: concurrent
runs with one OUT are not detected.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_pipeline.shards.finished_files import (
    DATA,
    FinishedFile,
    ShardFiles,
    file_blake3,
    intact,
    journal_files,
    journal_text,
)
from data_pipeline.shards.manifest import ListedFile, listed_files
from data_pipeline.shards.push_result import PushRefused
from data_pipeline.shards.push_to_url import publish, require_free_target
from lmms_eval_shotbench.questions.shards import MANIFEST
from lmms_eval_shotbench.remote_path import RemotePath, StorageFailed

JOURNAL = "journal.jsonl"
COPIED_AT_ONCE = 16  # files; the storage copies them, and each takes it seconds


class RemoteFiles(ShardFiles):
    """The finished files of a draft in remote storage. A context manager."""

    def __init__(self, draft: RemotePath, folder: Path, key: Mapping[str, Any]) -> None:
        """Keep the files that an earlier run with the same key finished.

        Args:
            draft: The remote draft.
            folder: The local folder in which files are written, and which has a folder `data`.
            key: What the files depend on.
        """
        self._draft, self._folder, self._key = draft, folder / DATA, key
        try:
            journal = (draft / JOURNAL).read_text()
        except FileNotFoundError:
            journal = ""
        sizes = {name: status.st_size for name, status in draft.files().items()} if journal else {}
        super().__init__(intact(journal_files(journal, key), lambda file: sizes.get(file.name)))
        self._final: dict[str, FinishedFile] = {}

    def give_final_names(self) -> dict[str, FinishedFile]:
        """Decide the final names, under which `send` copies the files."""
        self._final = super().give_final_names()
        return self._final

    def send(self, file: ListedFile, target: RemotePath) -> None:
        """Write a file of the finished shards to its final path, from the draft or from the local folder."""
        if finished := self._final.get(file.name.removeprefix(f"{DATA}/")):
            target.copy_from(self._draft / finished.name)
        else:
            target.upload(self._folder.parent / file.name)

    def _finish(self, file: FinishedFile) -> None:
        path = self._folder / file.name
        finished = replace(file, bytes=path.stat().st_size, blake3=file_blake3(path))
        sent = self._draft / file.name
        sent.upload(path)
        if (size := sent.stat().st_size) != finished.bytes:
            raise StorageFailed(f"{sent} has {size} bytes, {finished.bytes} were sent; run the same command again")
        path.unlink()
        self.files.append(finished)
        (self._draft / JOURNAL).write_bytes(journal_text(self._key, self.files).encode())


@contextmanager
def remote_draft(out: RemotePath, overwrite: bool, key: Mapping[str, Any]) -> Iterator[tuple[Path, RemoteFiles]]:
    """Yield a local folder to write shards in, and the finished files of `out`; on success they are completed there.

    If the work fails, the draft is kept, unless the error is a `ValueError`, as in `atomic_folder.py`. It is also kept
    if `out` was changed in the meantime, so that only the last step is repeated.

    Raises:
        PushRefused: `out` holds something else, or other shards without `overwrite`.
    """
    require_free_target(out, overwrite)
    draft = out.with_name(f".{out.name}.partial")
    with tempfile.TemporaryDirectory(prefix="shotbench-shards-") as name:
        folder = Path(name)
        (folder / DATA).mkdir()
        try:
            with RemoteFiles(draft, folder, key) as files:
                yield folder, files
                manifest = (folder / MANIFEST).read_bytes()
                publish(manifest, listed_files(manifest), out, overwrite, files.send, COPIED_AT_ONCE)
        except PushRefused:
            raise
        except ValueError:
            draft.remove_tree()
            raise
    draft.remove_tree()
