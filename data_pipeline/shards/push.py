"""Push a finished shard folder to the Hub, to another folder, or to a URL such as s3://bucket/shards.

Owns the parsing of TARGET and the rule on licences: questions are pushed to a public Hub repository only under licences
that permit redistribution and modification (`OPEN`), unless the caller confirms having the rights. Folders, URLs and
private repositories are not restricted.

Nothing is sent before every file is verified against the manifest, and nothing to the Hub that its dataset viewer
cannot show (`hub_viewer.py`), unless the caller accepts that. Atomicity at each kind of target is implemented in
`push_to_folder.py`, `push_to_url.py` and `push_to_hub.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from data_pipeline.shards.dataset_card import CARD
from data_pipeline.shards.finished_files import DATA
from data_pipeline.shards.manifest import verified_files
from data_pipeline.shards.push_result import PushRefused, PushResult

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
    ignore_viewer: bool = False,
) -> PushResult:
    """Push the folder `shards` to `target`; files already there are not sent again.

    Args:
        target: ORG/NAME is a dataset on the Hub, SCHEME://… a URL supported by fsspec, anything else a folder.
        private: On the Hub, require a private repository; a new one is created private.
        revision: On the Hub, the branch to commit to.
        overwrite: Replace other shards at `target`. On the Hub the older ones stay in the history.
        have_the_rights: Confirms the right to publish, where a licence alone does not give it.
        ignore_viewer: Send shards to the Hub that its dataset viewer cannot show.

    Raises:
        PushRefused: the target is in use, ambiguous or unreachable, or the licence forbids it.
        data_pipeline.shards.manifest.Damaged: the folder is incomplete or does not match its manifest.
    """
    kind, name = parse_target(target)
    if kind is not TargetKind.HUB and (private or revision):
        raise PushRefused(f"--private and --revision are for the Hub; {target} is a {kind}")
    files = verified_files(shards)
    if kind is TargetKind.FOLDER:
        from data_pipeline.shards.push_to_folder import push_to_folder

        return push_to_folder(shards, files, Path(name), overwrite)
    if kind is TargetKind.URL:
        from data_pipeline.shards.push_to_url import push_to_url

        return push_to_url(shards, files, name, overwrite)
    from data_pipeline.shards.push_to_hub import push_to_hub

    closed = [] if have_the_rights else closed_licences(shards)
    if closed and not private:
        raise PushRefused(
            f"{shards} holds material under {', '.join(closed)}, which does not permit redistributing derived works. "
            "Push with --private, to a folder, or with --i-have-the-rights if you have them"
        )
    if not ignore_viewer:
        _require_viewable(shards)
    return push_to_hub(shards, files, name, private=private, must_be_private=bool(closed), revision=revision)


def parse_target(target: str) -> tuple[TargetKind, str]:
    """Kind of a target, and its Hub id, path or URL; raises `PushRefused` if it is ambiguous."""
    if match := HUB_ID.fullmatch(target):
        named_as_folder = target.startswith((".", "~"))
        if not named_as_folder and not target.startswith("hf://") and Path(target).exists():
            raise PushRefused(
                f"{target} is a local folder and could be a Hub id: use ./{target} or hf://datasets/{target}"
            )
        if not named_as_folder:
            return TargetKind.HUB, match["id"]
    return (TargetKind.URL, target) if "://" in target else (TargetKind.FOLDER, target)


def _require_viewable(shards: Path) -> None:
    from data_pipeline.shards.hub_viewer import NotViewable, check_viewable

    try:
        check_viewable(shards)
    except NotViewable as error:
        raise PushRefused(f"the Hub's viewer cannot show {shards}: {error}. --ignore-viewer sends it anyway") from None


def closed_licences(shards: Path) -> list[str]:
    """Licences of the card and of the questions that do not permit redistributing derived works."""
    return sorted({licence or "no licence" for licence in _licences(shards) if not OPEN.fullmatch(licence.lower())})


def _licences(shards: Path) -> Sequence[str]:
    """Licences of the card and of all questions; a question without one has that of the card."""
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet
    from huggingface_hub import DatasetCard

    found = {str(DatasetCard.load(shards / CARD).data.license or "")}
    for path in sorted((shards / DATA).glob("*.parquet")):
        found |= set(compute.unique(parquet.read_table(path, columns=["licence"])["licence"]).to_pylist()) - {""}
    return sorted(found)
