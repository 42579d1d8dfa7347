"""Send a shard folder to a dataset repository on the Hub, in one commit: readers see the old shards or the new ones.

The Hub keeps large files by their checksum, so those that an interrupted push has sent are not sent again. Sizes and
checksums are asked back afterwards. The data of older shards are deleted in the same commit; files of other names that
only the older ones had (an audit, say) stay, as do all files that are no part of shards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_pipeline.shards.dataset_card import CARD, DEFECTS
from data_pipeline.shards.finished_files import DATA, file_blake3
from data_pipeline.shards.manifest import Listed
from data_pipeline.shards.pushed import Pushed, PushRefused
from lmms_eval_shotbench.questions.shards import MANIFEST, file_sha256

if TYPE_CHECKING:
    from huggingface_hub import HfApi

REPLACED = [f"{DATA}/*", MANIFEST, CARD, DEFECTS]


def push_to_hub(
    shards: Path, files: Sequence[Listed], name: str, *, private: bool, must_be_private: bool, revision: str
) -> Pushed:
    """Make the repository if need be, and commit the listed files and the manifest to it."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return _push(HfApi(), shards, files, name, private, must_be_private, revision or "main")
    except (HfHubHTTPError, HFValidationError, OSError, RuntimeError) as error:
        reasons = [error, error.__cause__] if error.__cause__ else [error]
        reason = " ".join((str(one).strip() or type(one).__name__).splitlines()[0] for one in reasons)
        raise PushRefused(
            f"the Hub did not take {name}: {reason}. Check the name and the network, and log in with `hf auth login`; "
            "what was sent is not sent again"
        ) from error


def _push(
    api: HfApi, shards: Path, files: Sequence[Listed], name: str, private: bool, must_be_private: bool, revision: str
) -> Pushed:
    api.create_repo(name, repo_type="dataset", private=private or None, exist_ok=True)  # else as usual there
    if private and not api.dataset_info(name).private:
        what = "its licence does not let it be published" if must_be_private else "--private was asked for"
        raise PushRefused(f"{name} is there already and public, and {what}; choose another name")
    if revision != "main":
        api.create_branch(name, branch=revision, repo_type="dataset", exist_ok=True)
    manifest = Listed(MANIFEST, (shards / MANIFEST).stat().st_size, file_blake3(shards / MANIFEST))
    sha256 = cache(lambda name: file_sha256(shards / name))  # asked before and after
    everything = [*files, manifest]
    before = _there(api, name, revision)
    to_send = [file for file in everything if not _same(before.get(file.name), file, shards, sha256)]
    target = f"{api.endpoint}/datasets/{name}"
    if to_send:
        api.upload_folder(
            repo_id=name,
            repo_type="dataset",
            folder_path=shards,
            allow_patterns=[file.name for file in everything],
            delete_patterns=REPLACED,
            revision=revision,
            commit_message=f"shards, manifest {sha256(MANIFEST)[:12]}",
        )
        after = _there(api, name, revision)
        if wrong := [file.name for file in everything if not _same(after.get(file.name), file, shards, sha256)]:
            raise PushRefused(f"{wrong[0]} is not on the Hub as it was sent; push again")
    sent = sum(file.bytes for file in to_send)
    return Pushed(target, len(to_send), sent, len(everything) - len(to_send))


def _there(api: HfApi, name: str, revision: str) -> dict[str, Any]:
    """Files in the repository by their path."""
    from huggingface_hub.hf_api import RepoFile

    tree = api.list_repo_tree(name, recursive=True, revision=revision, repo_type="dataset")
    return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def _same(there: Any, file: Listed, shards: Path, sha256: Callable[[str], str]) -> bool:
    """Whether a file on the Hub is this one: large files carry their SHA-256, small ones git's checksum."""
    if there is None or there.size != file.bytes:
        return False
    if there.lfs is not None:
        return bool(there.lfs.sha256 == sha256(file.name))
    content = (shards / file.name).read_bytes()
    return bool(there.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest())
