"""Push a shard folder to a dataset repository on the Hub in one commit: readers see the old shards or the new ones.

The Hub stores large files by checksum, so files sent by an interrupted push are not sent again. Afterwards, sizes and
checksums are verified on the Hub. Data files of older shards and the files that describe them are deleted in the same
commit; additional files that only the older shards had (e.g. an audit) are kept, as are all files that are not part of
shards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_pipeline.shards.croissant import CROISSANT
from data_pipeline.shards.dataset_card import CARD, DEFECTS
from data_pipeline.shards.eval_yaml import EVAL_YAML, INSPECT
from data_pipeline.shards.finished_files import DATA, file_blake3
from data_pipeline.shards.manifest import ListedFile
from data_pipeline.shards.push_result import PushRefused, PushResult
from lmms_eval_shotbench.error_text import first_line
from lmms_eval_shotbench.questions.shards import MANIFEST, file_sha256

if TYPE_CHECKING:
    from huggingface_hub import HfApi

REPLACED = [f"{DATA}/*", f"{INSPECT}/*", MANIFEST, CARD, DEFECTS, EVAL_YAML, CROISSANT]


def push_to_hub(
    shards: Path, files: Sequence[ListedFile], name: str, *, private: bool, must_be_private: bool, revision: str
) -> PushResult:
    """Create the repository if it does not exist, and commit the listed files and the manifest to it."""
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return _push(HfApi(), shards, files, name, private, must_be_private, revision or "main")
    except (HfHubHTTPError, HFValidationError, httpx.HTTPError, OSError, RuntimeError) as error:
        reasons = [error, error.__cause__] if error.__cause__ else [error]
        reason = " ".join(map(first_line, reasons))
        raise PushRefused(
            f"the Hub did not accept {name}: {reason}. Check the name and the network, and log in with "
            "`hf auth login`; files already sent are not sent again"
        ) from error


def _push(
    api: HfApi,
    shards: Path,
    files: Sequence[ListedFile],
    name: str,
    private: bool,
    must_be_private: bool,
    revision: str,
) -> PushResult:
    api.create_repo(name, repo_type="dataset", private=private or None, exist_ok=True)  # None: the account's default
    if private and not api.dataset_info(name).private:
        what = "the licence does not permit publication" if must_be_private else "--private was requested"
        raise PushRefused(f"{name} already exists and is public, and {what}; choose another name")
    if revision != "main":
        api.create_branch(name, branch=revision, repo_type="dataset", exist_ok=True)
    manifest = ListedFile(MANIFEST, (shards / MANIFEST).stat().st_size, file_blake3(shards / MANIFEST))
    sha256 = cache(lambda name: file_sha256(shards / name))  # compared before and after
    all_files = [*files, manifest]
    before = _remote_files(api, name, revision)
    to_send = [file for file in all_files if not _same(before.get(file.name), file, shards, sha256)]
    target = f"{api.endpoint}/datasets/{name}"
    if to_send:
        api.upload_folder(
            repo_id=name,
            repo_type="dataset",
            folder_path=shards,
            allow_patterns=[file.name for file in all_files],
            delete_patterns=REPLACED,
            revision=revision,
            commit_message=f"shards, manifest {sha256(MANIFEST)[:12]}",
        )
        after = _remote_files(api, name, revision)
        if wrong := [file.name for file in all_files if not _same(after.get(file.name), file, shards, sha256)]:
            raise PushRefused(f"{wrong[0]} on the Hub differs from what was sent; push again")
    sent = sum(file.bytes for file in to_send)
    return PushResult(target, len(to_send), sent, len(all_files) - len(to_send))


def _remote_files(api: HfApi, name: str, revision: str) -> dict[str, Any]:
    """Files in the repository by path."""
    from huggingface_hub.hf_api import RepoFile

    tree = api.list_repo_tree(name, recursive=True, revision=revision, repo_type="dataset")
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def _same(remote: Any, file: ListedFile, shards: Path, sha256: Callable[[str], str]) -> bool:
    """Whether a file on the Hub is identical: LFS files have a SHA-256, others a git blob id."""
    if remote is None or remote.size != file.bytes:
        return False
    if remote.lfs is not None:
        return bool(remote.lfs.sha256 == sha256(file.name))
    content = (shards / file.name).read_bytes()
    return bool(remote.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest())
