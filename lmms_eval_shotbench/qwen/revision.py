"""Revision of a model's weights: the Hub's commit, or a digest of a local folder. Does not import torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lmms_eval_shotbench.model_args import parse_model_args

SMALL_FILE = 16_000_000  # maximum size in bytes of a file hashed by content; larger files and safetensors are weights
NAMES = ("pretrained", "model", "model_version", "model_name_or_path")  # checkpoint arguments of lmms-eval's models


def revision_in_use(model_args: str) -> str:
    """Return the revision of the checkpoint named in lmms-eval's model arguments; "" if it is not on this machine.

    A Hub id is looked up in the local cache; nothing is downloaded.
    """
    given = parse_model_args(model_args)
    named = next((given[name] for name in NAMES if given.get(name)), "")
    if not named:
        return ""
    folder = Path(named).expanduser()
    return f"folder {folder_digest(folder)[:16]}" if folder.is_dir() else _cached_commit(named, given.get("revision"))


def _cached_commit(repository: str, revision: str | None) -> str:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(repository, "config.json", revision=revision)
    except HFValidationError:  # not a Hub id, such as the name of an API's model
        return ""
    return Path(config).parent.name if isinstance(config, str) else ""  # …/snapshots/COMMIT/config.json


def folder_digest(folder: Path) -> str:
    """Return a digest of a local checkpoint: small files by content, weights by size and modification time.

    Hashing 15 GB of weights would take longer than loading them, and a training run that rewrites them changes the
    time.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*")):
        if path.is_file():
            stat = path.stat()
            digest.update(f"{path.name} {stat.st_size} ".encode())
            small = stat.st_size <= SMALL_FILE and path.suffix != ".safetensors"
            digest.update(path.read_bytes() if small else str(stat.st_mtime_ns).encode())
    return digest.hexdigest()
