"""Send a finished shard folder somewhere: to the Hub, to a folder, or to a URL such as s3://bucket/shards.

Owns the flow, what TARGET may be, and the rule on licences: a public repository on the Hub takes questions only under
licences known to let others pass on and change the work (`OPEN`), unless the caller vouches for the rights. Folders and
URLs are the caller's own places, whose readers are unknown here; a private repository is one as well.

Nothing is sent before every file has been read and compared with the manifest. How each kind of place becomes complete
or stays absent is in `push_to_folder.py`, `push_to_url.py` and `push_to_hub.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from data_pipeline.shards.dataset_card import CARD
from data_pipeline.shards.finished_files import DATA
from data_pipeline.shards.manifest import verified_files
from data_pipeline.shards.pushed import Pushed, PushRefused

HUB_ID = re.compile(r"(?:hf://datasets/)?(?P<id>[\w.-]+/[\w.-]+)")
OPEN = re.compile(
    r"apache-2\.0|mit|bsd(-[\w-]+)?|isc|unlicense|cc0-1\.0|cc-by(-nc)?(-sa)?-\d\.\d|odc-by|odbl|pddl|cdla-[\w.-]+"
)


class TargetKind(StrEnum):
    """Kinds of target."""

    HUB = "Hub"
    FOLDER = "folder"
    URL = "URL"


def push(
    shards: Path,
    target: str,
    *,
    private: bool = False,
    revision: str = "",
    overwrite: bool = False,
    have_the_rights: bool = False,
) -> Pushed:
    """Send the folder `shards` to `target`; what is there already is not sent again.

    Args:
        target: ORG/NAME is a dataset on the Hub, SCHEME://… a URL that fsspec knows, everything else a folder.
        private: On the Hub, the repository must be private; it is made so if it is new.
        revision: On the Hub, the branch to send to.
        overwrite: Replace other shards at `target`. On the Hub the older ones stay in the history.
        have_the_rights: Publish although a licence does not allow that by itself.

    Raises:
        PushRefused: the target is in use or ambiguous, the licence forbids it, or the place does not answer.
        data_pipeline.shards.manifest.Damaged: the folder is incomplete or not what its manifest says.
    """
    place, name = place_of(target)
    if place is not TargetKind.HUB and (private or revision):
        raise PushRefused(f"--private and --revision are for the Hub; {target} is a {place}")
    files = verified_files(shards)
    if place is TargetKind.FOLDER:
        from data_pipeline.shards.push_to_folder import push_to_folder

        return push_to_folder(shards, files, Path(name), overwrite)
    if place is TargetKind.URL:
        from data_pipeline.shards.push_to_url import push_to_url

        return push_to_url(shards, files, name, overwrite)
    from data_pipeline.shards.push_to_hub import push_to_hub

    closed = [] if have_the_rights else closed_licences(shards)
    if closed and not private:
        raise PushRefused(
            f"{shards} holds material under {', '.join(closed)}, and that does not say that others may pass on what is "
            "made of it. Send it with --private, to a folder, or with --i-have-the-rights if you do have them"
        )
    return push_to_hub(shards, files, name, private=private, must_be_private=bool(closed), revision=revision)


def place_of(target: str) -> tuple[TargetKind, str]:
    """What a target means, and its name there; raises `PushRefused` where two things could be meant."""
    if match := HUB_ID.fullmatch(target):
        named_as_folder = target.startswith((".", "~"))
        if not named_as_folder and not target.startswith("hf://") and Path(target).exists():
            raise PushRefused(
                f"{target} is a folder here and could be a Hub id: say ./{target} or hf://datasets/{target}"
            )
        if not named_as_folder:
            return TargetKind.HUB, match["id"]
    return (TargetKind.URL, target) if "://" in target else (TargetKind.FOLDER, target)


def closed_licences(shards: Path) -> list[str]:
    """Licences of the card and of the questions that do not let others pass on what is made of the work."""
    return sorted({licence or "no licence" for licence in _licences(shards) if not OPEN.fullmatch(licence.lower())})


def _licences(shards: Path) -> Sequence[str]:
    """Where a question names none, that of the card counts."""
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet
    from huggingface_hub import DatasetCard

    found = {str(DatasetCard.load(shards / CARD).data.license or "")}
    for path in sorted((shards / DATA).glob("*.parquet")):
        found |= set(compute.unique(parquet.read_table(path, columns=["licence"])["licence"]).to_pylist()) - {""}
    return sorted(found)
